"""The page on which everything is drawn."""

from collections.abc import Iterable

from generator import figures
from generator.names import file_of

REAL = (
    ("../grad_cam.jpg", "Where SqueezeNet sees a stupa", "../looking_inside.md#where-a-model-looks"),
    ("../bccd/detections_0.png", "Blood cells, found by Faster R-CNN", "../benchmarks.md#detection"),
    ("../bccd/detections_1.png", "The same, on another image", "../benchmarks.md#detection"),
    (
        "../autoencoder.png",
        "Images, and what an autoencoder makes of their codes",
        "../benchmarks.md#autoencoder-against-pca",
    ),
    ("../front.svg", "A search on digits: accuracy against parameters", "../own_search.md#budgets"),
    ("../report.png", "The report of a search", "../searches.md#watch-it"),
)
"""Committed pictures: the image, what it shows, and where it is told how it was made."""


def page() -> str:
    """The gallery's Markdown."""
    blocks = [name for name in figures.drawn() if name not in figures.NETWORKS]
    lines = [
        "# Gallery",
        "",
        "Every block and a network of each kind, drawn by `keras_blocks.draw` from what is run.",
        "",
    ]
    lines += ["## Blocks", "", *_grid(blocks), "## Networks", "", *_grid(figures.NETWORKS), "## On real images", ""]
    lines += ['<div class="gallery" markdown>', ""]
    for image, what, more in REAL:
        lines += [
            "<div markdown>",
            "",
            f"[![{what}]({image})]({image})",
            "",
            f"{what}: [more]({more})",
            "",
            "</div>",
            "",
        ]
    lines += ["</div>", ""]
    return "\n".join(lines)


def _grid(names: Iterable[str]) -> list[str]:
    lines = ['<div class="gallery" markdown>', ""]
    for name in names:
        image = f"figures/{name}.svg"
        lines += [
            "<div markdown>",
            "",
            f"[![{name}]({image})]({image})",
            "",
            f"[`{name}`](api/{file_of(name)})",
            "",
            "</div>",
            "",
        ]
    return [*lines, "</div>", ""]
