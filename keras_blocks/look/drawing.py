"""A block, an architecture or a model as the figure that papers draw of it."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import Block
from keras_blocks.core.reprs import shown_by
from keras_blocks.look.boxes import boxes_of
from keras_blocks.look.canvas import as_png, as_svg
from keras_blocks.look.layout import Item, Layers, arranged, written
from keras_blocks.look.plan import Plan, plan_of

Theme = Literal["auto", "light", "dark"]

MARGIN, HEADING = 16, 24
ASSUMED = (256, 64, 192, 768, 2048, 128, 32, 16, 3)
"""Numbers of channels that a block may be drawn for, where it is not told of any."""


@dataclasses.dataclass(frozen=True, repr=False)
class Drawing:
    """A figure, as `draw` gives it: shown by notebooks, and saved by `save`.

    Attributes:
        label: what it shows.
        items: the lines, boxes and words of it.
        width, height: in pixels of a page.
        theme: "auto", "light" or "dark".

    Example:

    >>> import keras_blocks
    >>> keras_blocks.draw("squeezenet_1.1").svg[:4]
    '<svg'
    """

    label: str
    items: Sequence[Item]
    width: float
    height: float
    theme: Theme = "auto"

    @property
    def svg(self) -> str:
        """The text of an SVG file, which needs no other. In the theme "auto" it is light or dark as the page is."""
        return as_svg(self.items, self.width, self.height, self.label, self.theme)

    def png(self, theme: Theme | None = None, scale: float = 2) -> bytes:
        """The bytes of a PNG file, drawn by Pillow.

        Args:
            theme: "light" or "dark"; `None` is the drawing's own, and "auto" is light.
            scale: pixels of the file for a pixel of a page.

        Raises:
            ImportError: where Pillow is not installed: `pip install 'keras-blocks[detection]'`.
        """
        scale = validation.number("scale", scale, least=0.1, most=10)
        return as_png(self.items, self.width, self.height, self._in(theme).theme, scale)

    def save(self, path: str | os.PathLike[str], theme: Theme | None = None, scale: float = 2) -> None:
        """Writes a file of the kind that the name ends with, .svg or .png.

        Args:
            path: of the file.
            theme: "auto", "light" or "dark"; `None` is the drawing's own. A PNG of the theme "auto" is light.
            scale: of a PNG, its pixels for a pixel of a page.

        Raises:
            ImportError: for a PNG where Pillow is not installed.
            ValueError: for another ending.
        """
        file = Path(path)
        if file.suffix.lower() not in (".svg", ".png"):
            raise ValueError(f"`path` must end with .svg or .png; received {str(path)!r}.")
        figure = self._in(theme)
        if file.suffix.lower() == ".png":
            file.write_bytes(figure.png(scale=scale))
        else:
            file.write_text(figure.svg, encoding="utf-8")

    def _in(self, theme: Theme | None) -> "Drawing":
        chosen = self.theme if theme is None else validation.choice("theme", theme, Theme)
        return dataclasses.replace(self, theme=chosen)

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Drawing of {self.label}, {self.width:.0f}x{self.height:.0f}>"


def draw(
    target: Any,
    input_shape: Any = None,
    *,
    depth: int | None = None,
    fold: bool = True,
    shapes: bool = True,
    theme: Theme = "auto",
    **metaparameters: Any,
) -> Drawing:
    """The figure as papers draw it: branches side by side, where they merge, with filters, kernel sizes and shapes.

    It is drawn from the declaration: nothing is built, and neither graphviz nor another program is needed.

    Args:
        target: a block, built or not; an architecture's class, or a variant's name; or any Keras model.
        input_shape: (height, width, channels), without the batch; of a block with several inputs a dict of such. By
            default a model's own. A block that is not told of it is drawn without shapes.
        depth: 1 for the layers of a block, or the blocks of a model; 2 for what is in these, too; and so on. `None` is
            1, or for a block that consists of blocks 2.
        fold: whether equal blocks in a row are one box, with their number beside it.
        shapes: whether each box has its output's shape, height x width x channels.
        theme: "auto", light or dark as the page is; "light"; or "dark".
        **metaparameters: the constructor's arguments, where `target` is an architecture's class or a name.

    Returns:
        A `Drawing`, which notebooks show, with the text `svg`, and `save("figure.svg")` or `save("figure.png")`.

    Raises:
        TypeError: for a target of another kind.
        ValueError: for an unknown name; for a shape that the target cannot take.

    Reference:
        Boxes and their order follow Szegedy et al. 2014, figure 2(b); He et al. 2015, figure 5; Hu et al. 2017, figure
        3: arrows go downwards, a plus is a sum, a cross a product.

    Example:

    >>> import keras_blocks
    >>> keras_blocks.draw(keras_blocks.FireBlock(16), (55, 55, 96)).svg[:4]
    '<svg'
    """
    depth = validation.optional(validation.integer, "depth", depth)
    theme = validation.choice("theme", theme, Theme)
    plan, note = _plan(target, input_shape, metaparameters)
    shapes = validation.boolean("shapes", shapes) and not note
    if depth is None:
        depth = 2 if _of_blocks(target, plan) else 1
    boxes, ends = boxes_of(plan, depth, validation.boolean("fold", fold))
    piece = arranged(boxes, ends, shapes)
    if alone := isinstance(piece, Layers):
        piece.stand_alone()
    label = _label(target)
    top = MARGIN + HEADING + (14 if note else 0)
    needed = max(written(label, 14), written(note, 11)) + 2 * MARGIN
    width = max(piece.left + piece.right + 2 * MARGIN, needed)
    x = MARGIN + piece.left + (width - piece.left - piece.right - 2 * MARGIN) / 2
    items = [Item("text", ((MARGIN, MARGIN + 12),), "heading", label, 14)]
    items += [Item("text", ((MARGIN, MARGIN + 28),), "note", note, 11)] if note else []
    items += piece.place(x, top)
    low = top + piece.height
    if not alone:
        items.append(Item("arrow", ((x, low), (x, low + 18)), "edge"))
    return Drawing(label, tuple(items), width, low + 18 + MARGIN, theme)


@shown_by
def as_html(target: Any) -> str | None:
    """What a notebook shows of a block or a model: its drawing; `None`, for its repr, where it cannot be drawn."""
    try:
        return draw(target).svg
    except Exception:  # whatever a user's `chain` raises: a notebook goes on
        return None


def _plan(target: Any, input_shape: Any, metaparameters: dict[str, Any]) -> tuple[Plan, str]:
    """The plan, and what is to be said of the input that was assumed for it."""
    if not isinstance(target, Block) or target.built or input_shape is not None:
        return plan_of(target, input_shape, **metaparameters), ""
    errors: list[Exception] = []
    own = getattr(target, "output_channels", None)
    for channels in (own, *ASSUMED) if isinstance(own, int) else ASSUMED:
        shape = (64, 64, channels) if target.data_format == "channels_last" else (channels, 64, 64)
        try:
            return plan_of(target, shape), f"for an input of {channels} channels"
        except (TypeError, ValueError, AttributeError) as error:
            errors.append(error)
    raise ValueError(
        f"{type(target).__name__} '{target.name}' cannot be drawn without an `input_shape`, such as (56, 56, 64): "
        f"{errors[0]}"
    ) from errors[0]


def _of_blocks(target: Any, plan: Plan) -> bool:
    """Whether a block consists of blocks alone."""
    inside = [node for node in plan.nodes if node.step is not None]
    return isinstance(target, Block) and bool(inside) and all(issubclass(node.cls, Block) for node in inside)


def _label(target: Any) -> str:
    if isinstance(target, str):
        return target
    if isinstance(target, type):
        return target.__name__
    return str(target.name) if isinstance(target, keras.Model) else type(target).__name__
