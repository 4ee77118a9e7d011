"""The family tree of a search that breeds, in the HTML report and on the terminal."""

import dataclasses
import io

import pytest
from rich.console import Console
from test_html_report import ACCURACY, TWO, Page, trial

from keras_blocks.tuning.objectives import ranking
from keras_blocks.tuning.report.descriptions import described_changes
from keras_blocks.tuning.report.family import descent, members
from keras_blocks.tuning.report.html_report import write_report
from keras_blocks.tuning.report.terminal import family_table

HACK = "</script><img src=x onerror='hacked()'><b onclick=hacked()>b</b>"

PARENTS = {4: 1, 5: 1, 6: 4, 7: 4, 8: 6, 9: 2}


def child(number, accuracy, parent, start="exact", changed=None, **more):
    changed = {"filters": [16, 24], "bypass": ["none", "simple"]} if changed is None else changed
    return dataclasses.replace(trial(number, accuracy, **more), parent=parent, start=start, changed=changed)


@pytest.fixture
def trials():
    founders = [trial(number, 0.5 + 0.02 * number) for number in range(4)]
    return [*founders, *(child(number, 0.5 + 0.04 * number, parent) for number, parent in PARENTS.items())]


def page_of(tmp_path, trials, objectives=ACCURACY):
    return Page(write_report(trials, objectives, tmp_path / "report.html", title="A search"))


def test_each_stands_before_its_children():
    family = [trial(0), *(child(number, None, parent) for number, parent in {1: 0, 2: 1, 3: 0, 4: 2}.items())]
    family += [child(5, None, 77), trial(6, status="refused"), trial(7)]
    found = [(member.trial.number, member.depth) for member in members(family)]
    assert found == [(0, 0), (1, 1), (2, 2), (4, 3), (3, 1), (5, 0), (7, 0)]
    assert members([trial(0), trial(1)]) == []


def test_a_line_leads_to_the_best(trials):
    assert [one.number for one in descent(trials[8], trials)] == [1, 4, 6, 8]
    assert descent(trials[3], trials) == [] == descent(None, trials)


def test_a_thousand_generations_end():
    family = [trial(0, 0.1), *(child(number, 0.1, number - 1) for number in range(1, 3000))]
    assert members(family)[-1].depth == 2999 and len(descent(family[-1], family)) == 3000


def test_changes_in_words():
    changed = {"rate": [0.1, 0.123456], "gone": [1, None], "new": [None, "a"], "groups": [None, [1, 2]], "b": [1, 2]}
    assert described_changes(changed) == "rate 0.1 → 0.1235, new a, groups 1 2, b 1 → 2"


def test_the_page_has_the_tree(trials, tmp_path):
    page = page_of(tmp_path, trials)
    assert "The family tree" in page.section("family")
    assert "filters 16 → 24, bypass none → simple" in page.section("family")
    for number in range(10):
        assert page.all("a", href=f"#trial-{number}") and page.all("tr", id=f"trial-{number}")
    depths = {attrs["style"] for attrs in page.all("th") if attrs.get("class") == "kin"}
    assert depths == {"--depth:0", "--depth:1", "--depth:2", "--depth:3"}
    lines = page.figures["family-tree"]["data"]
    pairs = {
        (line["x"][at], line["x"][at + 1])
        for line in lines
        if line["mode"] == "lines"
        for at in range(0, len(line["x"]), 3)
    }
    assert pairs == {(parent, number) for number, parent in PARENTS.items()}
    (thick,) = (line for line in lines if line["name"] == "how the best came about")
    assert [x for x in thick["x"] if x is not None] == [2, 9]  # of the best, which is trial 9


def test_a_search_without_children_has_no_tree(tmp_path):
    page = page_of(tmp_path, [trial(0, 0.5), trial(1, 0.6)])
    assert "family" not in page.sections


def test_several_objectives_and_trials_that_did_not_complete(trials, tmp_path):
    shown = [dataclasses.replace(one, objectives=(one.val_accuracy, one.macs)) for one in trials]
    shown += [
        child(10, None, 4, start=None, status="failed", error="OutOfMemory"),
        child(11, None, 4, status="running"),
    ]
    page = page_of(tmp_path, shown, TWO)
    assert "failed" in page.section("family") and "running" in page.section("family")
    none = [trial(0, error="x"), child(1, None, 0, start="own: no", error="x")]
    assert "own: no" in page_of(tmp_path, none).section("family")


def test_nothing_of_a_family_becomes_code(tmp_path):
    family = [trial(0, 0.5), child(1, 0.6, 0, start=HACK, changed={HACK: [HACK, [HACK, {HACK: HACK}]]})]
    page = page_of(tmp_path, family)
    assert not page.all("img") and not page.all("b")
    assert HACK in page.section("family")


def test_the_terminal_has_the_best_ones_line(trials):
    best = ranking(trials, ACCURACY)[0]
    console = Console(file=io.StringIO(), width=140)
    console.print(family_table(trials, best, ACCURACY))
    told = console.file.getvalue()
    assert "How trial 9 came about" in told and "filters 16 → 24, bypass none → simple" in told and "exact" in told
    assert family_table(trials, trials[0], ACCURACY) is None
    long = [trial(0, 0.1), *(child(number, number / 100, number - 1) for number in range(1, 30))]
    console.print(family_table(long, long[-1], ACCURACY))
    assert "How trial 29 came about, after 20 ancestors" in console.file.getvalue()
    strange = child(12, 0.9, 9, start="\x1b[31m[bold]x[/bold]", changed={"[red]a": [1, "\x1b[2J"]})
    console.print(family_table([*trials, strange], strange, ACCURACY))
    told = console.file.getvalue()
    assert "[bold]x[/bold]" in told and "[red]a" in told and "\x1b[31m" not in told and "\x1b[2J" not in told
