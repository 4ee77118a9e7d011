"""An HTML page with everything in it: figures, tables, tabs; its scripts and its style lie in the folder page."""

import base64
import datetime
import hashlib
import html
import importlib.resources
import json

import keras_blocks


class Page:
    """Collects figures, and puts the page together."""

    def __init__(self):
        self._figures = {}

    def plot(self, name, figure, words, *, tall=False, least=0) -> str:
        """A figure's place. `words` say what it shows to those who do not see it."""
        self._figures[name] = json.loads(figure.to_json())
        style = f' style="--least:{least}px"' if least else ""
        return (
            f'<figure{style} class="{"wide" if least else ""}" role="group" aria-label="{escaped(words)}">'
            f'<div class="plot{" tall" if tall else ""}" id="{name}"></div></figure>'
        )

    def whole(self, title, cards, sections) -> str:
        from plotly.offline import get_plotlyjs

        folder = importlib.resources.files("keras_blocks.tuning.report") / "page"
        scripts = [get_plotlyjs(), (folder / "report.js").read_text(encoding="utf-8")]
        scripts = [script.replace("\r\n", "\n") for script in scripts]
        # Scripts run by their digest only, and nothing is loaded: whatever a name holds, it stays text.
        # plotly.js compiles the shaders' bindings of parallel coordinates with `new Function`.
        digests = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
        policy = (
            f"default-src 'none'; script-src {digests} 'unsafe-eval'; style-src 'unsafe-inline'; "
            "img-src data: blob:; base-uri 'none'; form-action 'none'"
        )
        links = "".join(f'<li><a href="#{name}">{escaped(heading)}</a></li>' for name, heading, _ in sections)
        body = "\n".join(
            f'<section id="{name}" aria-labelledby="{name}-heading">'
            f'<h2 id="{name}-heading">{escaped(heading)}</h2>{content}</section>'
            for name, heading, content in sections
        )
        written = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(title)}</title>
<link rel="icon" href="data:,">
<style>
{(folder / "report.css").read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>{escaped(title)}</h1>
<p class="soft">Written {written} by keras_blocks {keras_blocks.__version__}.</p>
{cards}
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
<noscript><p>The figures need JavaScript; the tables do not.</p></noscript>
{body}
</main>
<footer>
<p>Everything is in this file; it loads nothing. Trials have the numbers that optuna-dashboard shows.</p>
</footer>
<script type="application/json" id="figures">{_json(self._figures)}</script>
<script>{scripts[0]}</script>
<script>{scripts[1]}</script>
</body>
</html>
"""


def tabs(name, words, panels) -> str:
    """One panel at a time; of a single one, that alone."""
    if len(panels) == 1:
        return panels[0][1]
    hidden = " hidden"
    buttons = "".join(
        f'<button role="tab" id="{name}-tab-{i}" aria-controls="{name}-panel-{i}" '
        f'aria-selected="{"false" if i else "true"}" tabindex="{-1 if i else 0}">{escaped(heading)}</button>'
        for i, (heading, _) in enumerate(panels)
    )
    bodies = "".join(
        f'<div role="tabpanel" id="{name}-panel-{i}" aria-labelledby="{name}-tab-{i}"{hidden if i else ""}>{body}</div>'
        for i, (_, body) in enumerate(panels)
    )
    return f'<div role="tablist" aria-label="{escaped(words)}">{buttons}</div>{bodies}'


def table(heads, rows, *, numbers=None, foot=None, caption) -> str:
    """`rows` of (class, HTML) cells; the first cell of each is its head."""
    numbers = [head for head in heads if head != "how"] if numbers is None else numbers
    kind = {head: ' class="number"' if head in numbers else "" for head in heads}
    top = "".join(f'<th scope="col"{kind[head]}>{escaped(head)}</th>' for head in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row" class="{cls}">{cell}</th>' if i == 0 else f'<td class="{cls}">{cell}</td>'
            for i, (cls, cell) in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    feet = "".join(f"<td{kind[head]}>{escaped(cell)}</td>" for head, cell in zip(heads[1:], (foot or [""])[1:]))
    foot = f'<tfoot><tr><th scope="row">{escaped(foot[0])}</th>{feet}</tr></tfoot>' if foot else ""
    words = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(caption or ", ".join(heads))}">'
        f"<table>{words}<thead><tr>{top}</tr></thead><tbody>{body}</tbody>{foot}</table></div>"
    )


def sortable(head, number, sorted_by) -> str:
    """A column's head with a button to sort by it."""
    kind = ' class="number"' if number else ""
    state = "ascending" if sorted_by else "none"
    return f'<th scope="col"{kind} aria-sort="{state}"><button type="button">{escaped(head)}</button></th>'


def facts(found: dict) -> str:
    """Names and values."""
    rows = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in found.items())
    return f'<dl class="facts">{rows}</dl>'


def none(words) -> str:
    """Says that there is nothing to show, and why."""
    return f'<p class="none">{escaped(words)}</p>'


def escaped(words) -> str:
    """Text that is no HTML."""
    return html.escape(str(words))


def _json(data) -> str:
    """JSON that ends no script element, whatever the strings in it; NaN is refused."""
    found = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return found.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _sha256(script) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
