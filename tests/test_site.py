"""The site: every page is reached and leads somewhere, and pages that are made of the code have what the code says."""

import json
import re
from pathlib import Path

import pytest
from site_links import broken_in_markdown, broken_in_site
from thorough import run_all

import keras_blocks
from generator import api, docstrings, names, papers
from generator.__main__ import FROM_ROOT, from_root

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NAVIGATION = re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
GENERATED = {
    "gallery.md",
    *FROM_ROOT.values(),
    "api/index.md",
    "papers/index.md",
    *(f"api/{names.file_of(name)}" for name in names.public()),
    *(f"papers/{slug}.md" for slug in papers.PAPERS),
}
MADE = [DOCS / "generated" / file for file in GENERATED]


def test_every_page_is_in_the_navigation_and_there():
    written = {path.name for path in DOCS.glob("*.md")}
    assert {page for page in NAVIGATION if "/" not in page} == written
    assert {page.removeprefix("generated/") for page in NAVIGATION if "/" in page} <= GENERATED


def test_no_answer_is_further_from_the_home_page_than_in_the_docs_of_peers():
    lines = (DOCS / "peers.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "/issues/" in line]
    home = (DOCS / "index.md").read_text()
    one_click = {*NAVIGATION, *re.findall(r"\]\(([\w/]+\.md)", home)}
    assert [int(row[0]) for row in rows] == list(range(1, 21))
    for _, question, threads, ours, *peers in rows:
        assert re.search(r"\(https://github\.com/[\w-]+/[\w-]+/issues/\d+\)", threads), question
        clicks, page = re.fullmatch(r"\[(\d)\]\((\w+\.md)(?:#[\w-]+)?\)", ours).groups()
        assert page == "index.md" if clicks == "0" else page in one_click, question
        assert len(peers) == 4 and {*peers} <= {"0", "1", "2", "3", "no", "-"}
        assert all(clicks <= peer for peer in peers if peer.isdigit()), question
    told = ["No module named 'tensorflow'", "classes=10", "ImageNormalization", "--max-params", "--trials"]
    assert [text for text in [*told, "val_auc:max", "best.keras", "tf.data.Dataset"] if text not in home] == []


def test_every_question_leads_to_an_answer():
    rows = re.findall(r"^\| (.*\?) \| (.*) \| (.*) ?\|$", (DOCS / "questions.md").read_text(), flags=re.MULTILINE)
    assert len(rows) >= 30 and all(re.search(r"\]\(\w+\.md", answer) for _, answer, _ in rows)


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert list(broken_in_markdown(page, MADE)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# One thing: `x`\n")
    page.write_text("[a](other.md#one-thing-x) [b](other.md#two) [c](no.md) ![d](no.png) `[e](no)` [f](https://x.y)\n")
    assert list(broken_in_markdown(page)) == ["page.md: other.md#two", "page.md: no.md", "page.md: no.png"]
    (tmp_path / "page.html").write_text('<a href="no.html"></a><h1 id="x"></h1><a href="#x"></a><a href="page.html#y">')
    assert sorted(broken_in_site(tmp_path)) == ["page.html: no.html", "page.html: page.html#y"]


def test_files_of_names_differ_where_case_counts_for_nothing():
    files = [names.file_of(name).lower() for name in names.public()]
    assert len(set(files)) == len(files) > 100


@pytest.mark.parametrize("name", names.public())
def test_a_page_has_all_of_the_docstring(name):
    thing, text = names.public()[name], api.page(name)
    assert text.startswith(f"# {name}\n\n```python\n{names.import_path(name).partition('(')[0]}")
    assert text.count("```") % 2 == 0 and ">>>" not in text
    outside = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    assert not re.search(r"^(Args|Raises|Returns|Example|Reference):", outside, flags=re.MULTILINE)
    for title, section in docstrings.sections(thing.__doc__):
        if title in docstrings.LISTS:
            assert docstrings.listed(section, str).startswith("- "), f"{name}: {title} has no items"


def test_an_argument_has_its_type_and_its_default():
    page = api.page("FireBlock")
    assert "- `expand_ratio: int = 4`: each expand convolution has" in page
    assert "# (None, 55, 55, 128)" in page and "## Raises" in page
    assert "[`Block`](../api/Block.md)" in page


def test_a_method_is_on_the_page_of_who_has_it_first():
    assert "### freeze\n\n```python\nfreeze(up_to: str | None = None)" in api.page("Architecture")
    page = api.page("ResNet")
    assert "### freeze" not in page and "It also has what [`Architecture`](../api/Architecture.md) has." in page


def test_a_papers_page_has_counts_deviations_and_errata():
    page = papers.page(papers.PAPERS["squeezenet"])
    assert "| `squeezenet_1.1` | 1,235,496 | 349.2 M | 224 x 224 x 3 | 1,235,496 trained" in page
    assert "gives (12, 12, 128), with 11,920 parameters" in page
    assert "- fires expand 3x3 has a 3x3 kernel" in page
    assert "padding is not in the paper" in page


def test_every_network_and_every_block_is_of_a_paper():
    told = {name for paper in papers.PAPERS.values() for name in (*paper.blocks, paper.network)}
    kinds = {name for name in keras_blocks.__all__ if names.kind_of(name) in ("Blocks and layers", "Networks")}
    assert {name for name in kinds if isinstance(getattr(keras_blocks, name), type)} - told == {
        *("Architecture", "Block"),  # bases
        *("ConvBlock", "MultiLabelHead", "ImageNormalization", "Letterbox"),  # of no one paper
    }


def test_every_variant_is_on_a_page():
    classes = {getattr(keras_blocks, paper.network) for paper in papers.PAPERS.values() if paper.network}
    assert {name for cls in classes for name in cls.variants} == set(keras_blocks.list_models())


def test_pages_of_the_root_lead_on():
    assert from_root("[a](docs/b.md) [c](SECURITY.md)") == "[a](../b.md) [c](security.md)"


def test_versions_on_the_page_are_those_that_are_tried():
    page = (DOCS / "compatibility.md").read_text()
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    lowest = dict(re.findall(r'"([\w-]+)==([\d.]+)"', (ROOT / "Makefile").read_text()))
    rows = {"Keras": "keras", "NumPy": "numpy", "JAX": "jax", "TensorFlow": "tensorflow", "PyTorch": "torch"}
    rows |= {"KerasTuner": "keras-tuner", "Optuna": "optuna"}
    for shown, name in rows.items():
        assert f"| {shown} | {lowest.get(name, '')} | {pinned[name]} |".replace("|  |", "| |") in page


def notebook(path):
    """The code of each cell, of a notebook that holds no outputs."""
    content = json.loads(path.read_text())
    assert (content["nbformat"], content["metadata"]["kernelspec"]["language"]) == (4, "python")
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    return ["".join(cell["source"]) for cell in cells]


@pytest.mark.parametrize("name", ["quick_start", "search", "detection"])
@pytest.mark.filterwarnings("ignore")  # as in Jupyter
def test_notebooks_run(name, tmp_path, monkeypatch, eager):
    path = DOCS / "notebooks" / f"{name}.ipynb"
    code = notebook(path)
    assert f'WHEEL = "keras_blocks-{keras_blocks.__version__}-py3-none-any.whl"' in code[0]
    if name != "quick_start" and not run_all():
        for number, cell in enumerate(code):
            compile(cell, f"{path.name}, cell {number}", "exec")
        return
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    namespace = {"__name__": "__main__"}
    for number, cell in enumerate(code):
        exec(compile(cell, f"{path.name}, cell {number}", "exec"), namespace)
