"""What `keras-blocks models`, `cost` and `inspect` show: names, costs, and each block of a model."""

from pathlib import Path
from typing import Any

from rich.console import Console

from keras_blocks.tuning.console import USAGE, say, stop


def listed(pattern: str) -> None:
    """Prints the models whose names match, with what one image costs."""
    from keras_blocks.costs.cost import cost
    from keras_blocks.models.registry import architecture_of, list_models
    from keras_blocks.tuning.report.terminal import costs_table

    names = list_models(pattern)
    if not names:
        stop(f"no model matches {pattern!r}; there are {', '.join(list_models())}.", USAGE)
    found = [(name, architecture_of(name)) for name in names]
    Console().print(costs_table([(name, cost(model, **model.variants[name])) for name, model in found]))


def costed(name: str, input_shape: Any, classes: int | None) -> None:
    """Prints what a named model costs for one image.

    Args:
        name: of a variant.
        input_shape: (height, width, channels), or `None` for the model's own.
        classes: number of classes; by default 1000, of a detector its own.

    Raises:
        ValueError: for another name, and a shape that the model does not take.
    """
    from keras_blocks.core.signature import takes
    from keras_blocks.costs.cost import cost
    from keras_blocks.models.detector import Detector
    from keras_blocks.models.registry import architecture_of
    from keras_blocks.tuning.report.terminal import costs_table

    architecture = architecture_of(name)
    options = dict(architecture.variants[name])
    if takes(architecture, "classes") and (classes is not None or not issubclass(architecture, Detector)):
        options["classes"] = 1000 if classes is None else classes
    if input_shape:
        options["input_shape"] = input_shape
    Console().print(costs_table([(name, cost(architecture, **options))]))


def inspected(name: str, input_shape: Any, page: Path | None) -> None:
    """Prints the rows of `keras_blocks.cost_rows`; with `page` also writes them there, with the drawing.

    Args:
        name: of a variant, or of a .keras file.
        input_shape: of the images, or `None` for the model's own.
        page: the file to write.

    Raises:
        ValueError: for a name that is neither.
    """
    from keras_blocks.look.rows import HEADINGS, cells, cost_rows, total
    from keras_blocks.look.rows import page as page_of
    from keras_blocks.look.table import lined
    from keras_blocks.tuning.training.evaluation import load_saved

    target = load_saved(name)[1] if name.endswith(".keras") else name
    rows = cost_rows(target, input_shape)
    for line in lined(HEADINGS, [cells(row) for row in rows], total(rows)):
        say(line)
    if page is not None:
        page.write_text(page_of(target, input_shape, title=Path(name).name), encoding="utf-8")
        say(f"page: {page}")
