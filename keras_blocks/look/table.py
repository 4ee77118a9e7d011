"""A model's blocks as the rows of a table."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras_blocks.core import validation
from keras_blocks.look.plan import Node, Plan, plan_of

HEADINGS = ("name", "class", "output shape", "parameters")
WIDEST = 44


def summary(
    target: Any,
    input_shape: Any = None,
    *,
    depth: int = 1,
    print_fn: Callable[[str], Any] | None = None,
    **metaparameters: Any,
) -> None:
    """Prints a table of blocks: name, class, output shape and parameters of each, built or not.

    Args:
        target: a model; a block; an architecture's class or a variant's name, of which nothing is built.
        input_shape: (height, width, channels), without the batch, of a block that is not built; by default a model's
            own. Of a block with several inputs a dict of such.
        depth: 1 for the blocks of a model, or the layers of a block; 2 for what is in them, too, indented; and so on.
        print_fn: what each line is given to; `None` is `print`.
        **metaparameters: the constructor's arguments, where `target` is an architecture's class or a name.

    Raises:
        TypeError: for a target of another kind.
        ValueError: for a depth below 1; for a block that is not built, where there is no `input_shape`.

    Example:

    >>> import keras_blocks
    >>> keras_blocks.summary(keras_blocks.SqueezeExciteBlock(4), (8, 8, 16))
    name               class                   output shape  parameters
    -------------------------------------------------------------------
    squeeze            GlobalAveragePooling2D  (1, 1, 16)             0
    reduce             Conv2D                  (1, 1, 4)             68
    reduce_activation  Activation              (1, 1, 4)              0
    restore            Conv2D                  (1, 1, 16)            80
    gates              Activation              (1, 1, 16)             0
    scale              Multiply                (8, 8, 16)             0
    -------------------------------------------------------------------
    total                                                           148
    """
    depth = validation.integer("depth", depth, most=64)
    plan = plan_of(target, input_shape, **metaparameters)
    rows = [
        (f"{'  ' * level}{node.name}", node.cls.__name__, written(node.shape), _counted(node.params))
        for level, node in walked(plan, depth)
    ]
    params = [node.params for node in plan.nodes]
    total = None if None in params else sum(number for number in params if number)
    for line in lined(HEADINGS, rows, ("total", "", "", _counted(total))):
        (print_fn or print)(line)


def walked(plan: Plan, depth: int, level: int = 0) -> Iterator[tuple[int, Node]]:
    """(level, node) of each layer and block, those inside of one behind it."""
    for node in plan.nodes:
        if node.step is not None:
            yield level, node
            if depth > 1 and (inner := node.opened()) is not None:
                yield from walked(inner, depth - 1, level + 1)


def written(shape: Any) -> str:
    """A shape without the batch; of several, each by its name or in turn."""
    if isinstance(shape, Mapping):
        return ", ".join(f"{name} {written(one)}" for name, one in shape.items())
    if isinstance(shape, list):
        return ", ".join(map(written, shape))
    return str(tuple(shape[1:]))


def lined(headings: Any, rows: Any, last: Any) -> Iterator[str]:
    """The lines of a table whose columns are as wide as they need be; the first two are words, and so is a third."""
    every = [headings, *rows, last]
    widths = [min(WIDEST, max(len(row[i]) for row in every)) for i in range(len(headings))]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    for row in (headings, None, *rows, None, last):
        yield rule if row is None else _line(row, widths)


def _line(row: Any, widths: list[int]) -> str:
    cells = [cell if len(cell) <= width else f"{cell[: width - 1]}…" for cell, width in zip(row, widths)]
    placed = [cell.ljust(width) if i < 3 else cell.rjust(width) for i, (cell, width) in enumerate(zip(cells, widths))]
    return "  ".join(placed).rstrip()


def _counted(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"
