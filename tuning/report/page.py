"""An HTML page with everything in it; the templates, the script and the style in the folder page lay it out."""

import base64
import datetime
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

import keras_blocks
from keras_blocks.tuning.files import replacing
from keras_blocks.tuning.objectives import short
from keras_blocks.tuning.report.descriptions import described, duration

Data = dict[str, Any]
FOLDER = Path(__file__).with_name("page")


class Plot(NamedTuple):
    """A figure, the id of its place, what it shows in words, its tab's heading, and the pixels that it needs."""

    name: str
    figure: go.Figure
    words: str
    heading: str = ""
    tall: bool = False
    least: int = 0


def write_page(path: Path, *, title: str, cards: Data, sections: Mapping[str, Data]) -> Path:
    """Writes the page; the old file stays until the new one is whole.

    Args:
        path: of the file.
        title: of the page.
        cards: what stands at its top in large letters.
        sections: id -> data, which a macro of that name lays out. Figures are in a list "plots".

    Returns:
        The path.
    """
    scripts = [text.replace("\r\n", "\n") for text in (get_plotlyjs(), _read("report.js"))]
    plots = [plot for data in sections.values() for plot in data.get("plots", ())]
    text = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=title,
            cards=cards,
            sections=sections,
            figures={plot.name: json.loads(plot.figure.to_json()) for plot in plots},
            style=Markup(_read("report.css")),
            scripts=[Markup(script) for script in scripts],
            digests=[base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts],
            written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=keras_blocks.__version__,
        )
    )
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return path


@functools.cache
def _environment() -> jinja2.Environment:
    """Compiles each template once."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"described": described, "duration": duration, "short": short}
    # NaN is no JSON. What would end a script element is escaped by `tojson`.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
