"""Writes the table of a search's options into docs/searches.md: `python tests/make_options_table.py`."""

import pathlib
import re

from keras_blocks.tuning.search.settings import SearchSettings
from keras_blocks.tuning.search.settings_table import settings_of


def options_table(settings):
    """The settings of a class, as Markdown."""
    rows = ["| option | default | |", "|---|---|---|"]
    for item in settings_of(settings):
        rows.append(f"| `{item.option}` | {item.shown_default or ''} | {' '.join(item.help.splitlines())} |")
    return "\n".join(rows)


if __name__ == "__main__":
    path = pathlib.Path(__file__).parents[1] / "docs" / "searches.md"
    table = re.compile(r"\| option \| default \| \|\n(\|.*\n)+")
    path.write_text(table.sub(lambda _: options_table(SearchSettings) + "\n", path.read_text()))
