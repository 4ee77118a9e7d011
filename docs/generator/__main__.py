"""Writes docs/generated anew: figures, pages of names and papers, the gallery, and the root's files as pages."""

import re
import shutil
from pathlib import Path

from generator import api, figures, gallery, papers
from generator.names import file_of, public

DOCS = Path(__file__).parents[1]
FOLDER = DOCS / "generated"
FROM_ROOT = {"SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}


def from_root(text: str) -> str:
    """A page of the repository's root, with links that lead on from docs/generated."""
    text = re.sub(r"\]\(docs/", "](../", text)
    for name, page in FROM_ROOT.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    drawn = set(figures.write(FOLDER / "figures"))
    pages = {"gallery.md": gallery.page(), "api/index.md": api.index()}
    for name in public():
        pages[f"api/{file_of(name)}"] = api.page(name, f"../figures/{name}.svg" if name in drawn else None)
    pages |= {f"papers/{file}": text for file, text in papers.written()}
    pages |= {page: from_root((DOCS.parent / name).read_text()) for name, page in FROM_ROOT.items()}
    for file, text in pages.items():
        path = FOLDER / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    print(f"{len(drawn)} figures and {len(pages)} pages in {FOLDER}")


if __name__ == "__main__":
    main()
