"""Items of a figure as SVG text, in light and dark, and as the pixels of a PNG, which Pillow draws."""

import html
import io
from collections.abc import Sequence

from keras_blocks.core.extras import require
from keras_blocks.look.boxes import TIMES
from keras_blocks.look.layout import Item

COLOURS = {
    "light": {
        "page": ("#ffffff", "#ffffff"),
        "ink": ("#1b1f24", "#5b6570"),
        "edge": ("#59636e", "#59636e"),
        "input": ("#ffffff", "#59636e"),
        "conv": ("#dbe9fb", "#4f86c6"),
        "pool": ("#dff3e4", "#4f9a69"),
        "dense": ("#fde7d3", "#c47d3c"),
        "block": ("#ece3fa", "#8566c2"),
        "merge": ("#fff4cc", "#b3902c"),
        "other": ("#eef0f2", "#87919b"),
        "frame": ("#f7f8fa", "#a9b2bb"),
    },
    "dark": {
        "page": ("#14171a", "#14171a"),
        "ink": ("#e8ebee", "#a3adb7"),
        "edge": ("#98a2ac", "#98a2ac"),
        "input": ("#14171a", "#98a2ac"),
        "conv": ("#1d3552", "#5b93d6"),
        "pool": ("#1c3c2a", "#5fae7b"),
        "dense": ("#48311b", "#d2935a"),
        "block": ("#362a50", "#a58bdc"),
        "merge": ("#443917", "#cbb24f"),
        "other": ("#2a2f35", "#7b8691"),
        "frame": ("#1b1f23", "#59636e"),
    },
}
"""Theme -> part of a figure -> its face and its line; of the ink, words and figures."""

ROUND = {"rect": 5.0, "frame": 8.0}
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
MUTED = ("details", "shape", "shape-left", "frame-title", "note")
BOLD = ("heading", "count")
TO_LEFT = ("shape-left", "frame-title", "heading", "note")
IN_PILLOWS_FONT = str.maketrans({TIMES: "x", "…": "..."})
"""Signs that the font which comes with Pillow lacks."""

HEAD = (3.6, 7.0)
"""Half the width of an arrow's head, and its length."""


def as_svg(items: Sequence[Item], width: float, height: float, label: str, theme: str) -> str:
    """One SVG element, which needs nothing from elsewhere; in the theme "auto" it follows the page's colours."""
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="kb kb-{theme}" {size} role="img" '
        f'style="max-width:100%;height:auto" font-family="{FONT}">',
        f"<title>{_escaped(label)}</title>",
        f"<style>{_style(theme)}</style>",
        f'<rect class="page" width="{width:.0f}" height="{height:.0f}"/>',
        *map(_element, items),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def as_png(items: Sequence[Item], width: float, height: float, theme: str, scale: float) -> bytes:
    """The bytes of a PNG, `scale` pixels for a unit."""
    require("PIL", "detection")
    from PIL import Image, ImageDraw, ImageFont

    finer, colours = 3, COLOURS["dark" if theme == "dark" else "light"]
    by = scale * finer
    page = Image.new("RGB", (round(width * by), round(height * by)), colours["page"][0])
    draw = ImageDraw.Draw(page)
    fonts = {item.size: ImageFont.load_default(item.size * by) for item in items if item.kind == "text"}
    for item in items:
        points = [(x * by, y * by) for x, y in item.points]
        face, line = colours["ink"] if item.kind == "text" else colours.get(item.style, colours["edge"])
        if item.kind == "rect":
            corners = [*points[0], *points[1]]
            draw.rounded_rectangle(corners, _round(item.style) * by, fill=face, outline=line, width=round(1.2 * by))
        elif item.kind == "circle":
            (x, y), (r, _) = points
            draw.ellipse([x - r, y - r, x + r, y + r], fill=face, outline=line, width=round(1.2 * by))
        elif item.kind == "text":
            anchor = "ls" if item.style in TO_LEFT else "ms"
            ink = line if item.style in MUTED else face
            text = item.text.translate(IN_PILLOWS_FONT)
            draw.text(points[0], text, font=fonts[item.size], fill=ink, anchor=anchor)
        else:
            draw.line(points, fill=colours["edge"][0], width=round(1.3 * by), joint="curve")
            if item.kind == "arrow":
                draw.polygon([(x * by, y * by) for x, y in _head(item)], fill=colours["edge"][0])
    out = io.BytesIO()
    page.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()


def _element(item: Item) -> str:
    points = item.points
    if item.kind == "rect":
        (x, y), (right, low) = points
        place = f'x="{x:.1f}" y="{y:.1f}" width="{right - x:.1f}" height="{low - y:.1f}" rx="{_round(item.style):g}"'
        return f'<rect class="{item.style}" {place}/>'
    if item.kind == "circle":
        (x, y), (r, _) = points
        return f'<circle class="{item.style}" cx="{x:.1f}" cy="{y:.1f}" r="{r:g}"/>'
    if item.kind == "text":
        (x, y) = points[0]
        anchor = "start" if item.style in TO_LEFT else "middle"
        kind = "muted" if item.style in MUTED else "ink"
        weight = ' font-weight="600"' if item.style in BOLD else ""
        return (
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{item.size:g}" text-anchor="{anchor}"{weight}>'
            f"{_escaped(item.text)}</text>"
        )
    way = "M" + "L".join(f"{x:g},{y:g}" for x, y in ((round(px, 1), round(py, 1)) for px, py in points))
    line = f'<path class="edge" d="{way}"/>'
    if item.kind != "arrow":
        return line
    return f'{line}<path class="head" d="M{"L".join(f"{round(x, 1):g},{round(y, 1):g}" for x, y in _head(item))}z"/>'


def _head(item: Item) -> list[tuple[float, float]]:
    """An arrow's head: arrows end downwards."""
    (x, y), (half, length) = item.points[-1], HEAD
    return [(x, y), (x - half, y - length), (x + half, y - length)]


def _style(theme: str) -> str:
    if theme != "auto":
        return _rules(theme, f".kb-{theme}")
    dark = _rules("dark", ".kb-auto")
    return f"{_rules('light', '.kb-auto')}@media (prefers-color-scheme:dark){{{dark}}}"


def _rules(theme: str, where: str) -> str:
    colours = dict(COLOURS[theme])
    (words, figures), (edge, _) = colours.pop("ink"), colours.pop("edge")
    rules = [f"{where} .{name}{{fill:{face};stroke:{line}}}" for name, (face, line) in colours.items()]
    rules += [f"{where} .ink{{fill:{words}}}{where} .muted{{fill:{figures}}}{where} .head{{fill:{edge}}}"]
    return "".join(rules) + f"{where} .edge,{where} .sign{{fill:none;stroke:{edge};stroke-width:1.3}}"


def _round(style: str) -> float:
    return ROUND.get(style, 13.0 if style == "input" else ROUND["rect"])


def _escaped(text: str) -> str:
    """Text for XML: names may hold anything, also what XML knows no place for."""
    return html.escape("".join(sign for sign in text if sign.isprintable() or sign == " "))
