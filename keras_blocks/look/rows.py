"""What each block of a model costs and sees, before anything is built: rows, and a page with the drawing."""

import functools
import html
from typing import Any, NamedTuple

from keras_blocks.look.drawing import draw
from keras_blocks.look.memory import memory_of_rows, sizes_are_known
from keras_blocks.look.plan import plan_of
from keras_blocks.look.receptive import receptive_field
from keras_blocks.look.table import written

HEADINGS = (
    *("name", "class", "output shape", "parameters", "multiply-adds", "memory"),
    *("alive in inference", "in training", "with remat", "sees", "step"),
)


class BlockRow(NamedTuple):
    """One block, or a layer between blocks, in the order of the forward pass.

    Attributes:
        name: in the model.
        kind: its class' name.
        shape: of its output, without the batch.
        params, macs, activation_bytes: as in `Cost`; `None` where an input's size is not known.
        receptive_field: (height, width) in pixels of the image that a pixel of its output is made of, where no border
            cuts it off; `None` for the whole image, or where that is not known.
        stride: pixels of the image from one pixel of its output to the next, (vertical, horizontal); or `None`.
        inference_bytes: of what is computed for one image, without weights, the most that are alive at a time while it
            runs in inference; `None` where a size is not known.
        training_bytes: the same in training, in its forward and its backward pass. What is alive grows with the batch.
        remat_bytes: the same in training where every block has `remat=True`; see `keras_blocks.memory`.

    Example:

    >>> import keras_blocks
    >>> [row.kind for row in keras_blocks.cost_rows("vgg16", (224, 224, 3))[:2]]
    ['VGGGroup', 'VGGGroup']
    """

    name: str
    kind: str
    shape: Any
    params: int | None
    macs: int | None
    activation_bytes: int | None
    receptive_field: tuple[int, int] | None
    stride: tuple[float, float] | None
    inference_bytes: int | None = None
    training_bytes: int | None = None
    remat_bytes: int | None = None


def cost_rows(target: Any, input_shape: Any = None, **metaparameters: Any) -> list[BlockRow]:
    """What each block of a model, or each layer of a block, costs and sees, with nothing built.

    Args:
        target: a block; a model; an architecture's class, or a variant's name.
        input_shape: (height, width, channels), without the batch; by default a model's own.
        **metaparameters: the constructor's arguments, where `target` is an architecture's class or a name.

    Returns:
        A `BlockRow` for each, whose parameters, multiply-adds and bytes together are `keras_blocks.cost`'s.

    Raises:
        TypeError: for a target of another kind.
        ValueError: for a block that is not built, where there is no `input_shape`; for an unknown name.

    Reference:
        Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", 2019.

    Example:

    >>> import keras_blocks
    >>> row = keras_blocks.cost_rows("vgg16", (224, 224, 3))[4]
    >>> row.name, row.shape, row.receptive_field, row.stride
    ('group5', (7, 7, 512), (212, 212), (32, 32))
    """
    plan = plan_of(target, input_shape, **metaparameters)
    known = sizes_are_known(plan)
    alive = memory_of_rows(plan) if known else {}
    rows = []
    for node in plan.nodes:
        if node.step is not None:
            shape = node.shape[1:] if isinstance(node.shape, tuple) else node.shape
            params, macs, size = (None, None, None) if node.cost is None else node.cost
            seen, step = receptive_field(plan, node)
            memory = alive.get(id(node), (0, 0, 0) if known else ())
            rows.append(BlockRow(node.name, node.cls.__name__, shape, params, macs, size, seen, step, *memory))
    return rows


def cells(row: BlockRow) -> tuple[str, ...]:
    """A row as texts, below `HEADINGS`."""
    shape = written((None, *row.shape)) if isinstance(row.shape, tuple) else written(row.shape)
    numbers = (row.params, row.macs, row.activation_bytes, row.inference_bytes, row.training_bytes, row.remat_bytes)
    counts = ["?" if number is None else f"{number:,}" for number in numbers]
    seen = "all" if row.receptive_field is None else "x".join(map(str, row.receptive_field))
    step = "" if row.stride is None else "x".join(f"{one:g}" for one in row.stride)
    return (row.name, row.kind, shape, *counts, seen, step)


def total(rows: list[BlockRow]) -> tuple[str, ...]:
    """The sums, and of what is alive at a time the most, as texts."""
    columns = list(zip(*rows)) if rows else [()] * len(BlockRow._fields)
    added = [(sum, column) for column in columns[3:6]]
    most = [(functools.partial(max, default=0), column) for column in columns[8:]]
    texts = ["?" if None in column else f"{together(column):,}" for together, column in added + most]
    return ("total", "", "", *texts, "", "")


def page(target: Any, input_shape: Any = None, title: str = "", **metaparameters: Any) -> str:
    """One HTML page: the rows, and the drawing beside them. Light or dark as the reader's programs are."""
    rows = cost_rows(target, input_shape, **metaparameters)
    lines = [HEADINGS, *map(cells, rows), total(rows)]
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    style = (
        "body{margin:1.5rem;font:14px system-ui,sans-serif;color-scheme:light dark;background:Canvas;color:CanvasText}"
        "main{display:flex;flex-wrap:wrap;gap:2rem;align-items:flex-start}.table{overflow-x:auto;max-width:100%}"
        "td{padding:.2rem .7rem;border-bottom:1px solid #8884;white-space:nowrap}tr:first-child,tr:last-child"
        "{font-weight:600}td:nth-child(n+4){text-align:right}table{border-collapse:collapse}"
    )
    drawn = draw(target, input_shape, **metaparameters).svg
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{style}</style><h1>{html.escape(title)}</h1><main>{drawn}"
        f'<div class="table"><table>{body}</table></div></main></html>\n'
    )
