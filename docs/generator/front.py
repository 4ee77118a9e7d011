"""Draws a search's front from its trials: `PYTHONPATH=docs python -m generator.front docs/front.csv docs/front.svg`.
`benchmarks/overnight.py` draws docs/overnight.svg.

docs/front.csv is trials.csv of `keras-blocks search --data digits --objective val_accuracy --objective params
--trials 24 --epochs 5 --set groups=1..2`.
"""

import csv
import math
import sys
from pathlib import Path

WIDTH, HEIGHT = 420, 320
LEFT, RIGHT, TOP, LOW = 56, 16, 40, 48
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
LIGHT = (".page{fill:#fff}.ink{fill:#1b1f24}.muted{fill:#5b6570}.grid{stroke:#dfe3e8}", "#4f86c6", "#59636e", "#dbe9fb")
DARK = (
    ".page{fill:#14171a}.ink{fill:#e8ebee}.muted{fill:#a3adb7}.grid{stroke:#2a2f35}",
    "#5b93d6",
    "#98a2ac",
    "#1d3552",
)


def front_of(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Of (parameters, accuracy), those that none with fewer parameters is as good as."""
    found: list[tuple[int, float]] = []
    for params, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or accuracy > found[-1][1]:
            found.append((params, accuracy))
    return found


def as_svg(points: list[tuple[int, float]], title: str, cost: str = "parameters") -> str:
    """The figure, light or dark as the page is.

    Args:
        points: (what it costs, validation accuracy) of each trial.
        title: what they are.
        cost: what is counted.
    """
    low, high = (math.log10(bound) for bound in (min(p for p, _ in points) * 0.8, max(p for p, _ in points) * 1.25))
    least = math.floor(min(a for _, a in points) * 10) / 10

    def x(params: int) -> float:
        return LEFT + (math.log10(params) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(accuracy: float) -> float:
        return TOP + (1 - accuracy) / (1 - least) * (HEIGHT - TOP - LOW)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" font-family="{FONT}">',
        f"<title>Validation accuracy of each trial against its {cost}, and the front</title>",
        f"<style>{_style(*LIGHT)}@media (prefers-color-scheme:dark){{{_style(*DARK)}}}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="ink" x="16" y="24" font-size="14" font-weight="600">{title}</text>',
    ]
    for tick in (least + (1 - least) * i / 4 for i in range(5)):
        lines.append(f'<path class="grid" d="M{LEFT},{y(tick):.1f}H{WIDTH - RIGHT}"/>')
        lines.append(_text(LEFT - 6, y(tick) + 4, f"{tick:.0%}", "end"))
    for params in (digit * 10**power for power in range(math.floor(low), math.ceil(high)) for digit in (1, 2, 5)):
        if low <= math.log10(params) <= high:
            lines.append(_text(x(params), HEIGHT - LOW + 18, f"{params:,}", "middle"))
    lines.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, f"{cost}; up: validation accuracy", "middle"))
    best = front_of(points)
    way = "L".join(f"{x(p):.1f},{y(a):.1f}" for p, a in best)
    lines.append(f'<path class="front" d="M{way}"/>')
    for point in points:
        kind = "best" if point in best else "point"
        lines.append(
            f'<circle class="{kind}" cx="{x(point[0]):.1f}" cy="{y(point[1]):.1f}" r="{5 if kind == "best" else 4}"/>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="muted" x="{x:.1f}" y="{y:.1f}" font-size="11" text-anchor="{anchor}">{text}</text>'


def _style(rules: str, strong: str, muted: str, face: str) -> str:
    return (
        f"{rules}.grid{{fill:none}}.front{{fill:none;stroke:{strong};stroke-width:1.5}}"
        f".best{{fill:{strong}}}.point{{fill:{face};stroke:{muted}}}"
    )


def read(path: Path, cost: str = "params") -> list[tuple[int, float]]:
    """(what a trial costs, by the column of this name, validation accuracy) of each that has both."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("val_accuracy") and row.get(cost)]
    return [(int(float(row[cost])), float(row["val_accuracy"])) for row in rows]


if __name__ == "__main__":
    found = read(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(as_svg(found, f"{len(found)} SqueezeNets on digits"))
