"""Weights for another number of classes or channels than the source's: what is kept, and what is said of it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

RGB = 3
"""Channels of the images that published networks were trained on."""


@dataclasses.dataclass
class Adapting:
    """How far a model may differ from the source, and what was done where it does.

    Args:
        classes: the model's number of classes, where it was asked for; `None` refuses another one in the source.
        channels: the model's channels of images; `None` refuses others in the source.
    """

    classes: int | None = None
    channels: int | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    """What users should know of weights that are not the source's."""

    @property
    def allows(self) -> bool:
        return self.classes is not None or self.channels is not None

    def apply(
        self, found: dict[str, Any], problems: dict[str, str], targets: Mapping[str, Any], in_top: Callable[[str], bool]
    ) -> None:
        """Mends what it may of `found`, whose names are in `problems` for their shape, and takes them out of these.

        Args:
            found: name -> the source's array.
            problems: name -> what is wrong with it.
            targets: name -> the model's variable.
            in_top: whether a name is of a layer behind the last feature map.
        """
        self._take_channels(found, problems, targets)
        if self.classes is not None and problems:
            self._leave_scores(found, problems, targets, in_top)

    def _take_channels(self, found: dict[str, Any], problems: dict[str, str], targets: Mapping[str, Any]) -> None:
        """As timm: one channel gets the sum over the source's, others get them in turn, scaled to the same sum."""
        channels = self.channels
        if channels is None or channels == RGB:
            return
        for name in list(problems):
            wanted, (*size, inputs, filters) = tuple(targets[name].shape), _shape(found, name, least=2)
            if len(size) != 2 or inputs != RGB or wanted != (*size, channels, filters):
                continue
            found[name] = with_channels(found[name], channels)
            del problems[name]
            how = "their sum" if channels == 1 else f"these in turn, times {RGB}/{channels}"
            self.notes.append(f"images have channels={channels} here and {RGB} in the source: '{name}' is {how}")

    def _leave_scores(
        self,
        found: dict[str, Any],
        problems: dict[str, str],
        targets: Mapping[str, Any],
        in_top: Callable[[str], bool],
    ) -> None:
        """Leaves the layers that give a number for each class as they are, if nothing else is wrong."""
        theirs = set()
        for name in problems:
            wanted, shape = tuple(targets[name].shape), _shape(found, name)
            scores = in_top(name) and wanted[-1:] == (self.classes,) and len(shape) == len(wanted)
            if not (scores and shape[:-1] == wanted[:-1]):
                return
            theirs.add(shape[-1])
        if len(theirs) != 1:
            return
        layers = sorted({name.rpartition("/")[0] for name in problems})
        for name in problems:
            found[name] = targets[name].numpy()
        problems.clear()
        self.notes.append(
            f"classes={self.classes} here and {theirs.pop()} in the source: {layers} begin with initial weights, and "
            "must be trained; all others are the source's"
        )


def _shape(found: Mapping[str, Any], name: str, least: int = 0) -> tuple[int, ...]:
    """Of the source's array, with zeros for what it lacks of the least number of axes."""
    shape: tuple[int, ...] = tuple(np.shape(found[name])) if name in found else ()
    return (0,) * (least - len(shape)) + shape


def with_channels(kernel: Any, channels: int) -> Any:
    """The kernel (height, width, 3, filters) of a first convolution, for images of so many channels.

    Example:

    >>> import numpy as np
    >>> kernel = np.ones((1, 1, 3, 1), "float32")
    >>> with_channels(kernel, 1).ravel().tolist(), with_channels(kernel, 4).ravel().tolist()
    ([3.0], [0.75, 0.75, 0.75, 0.75])
    """
    kernel = np.asarray(kernel)
    if channels == 1:
        return kernel.astype("float32").sum(2, keepdims=True)
    times = -(-channels // RGB)
    return np.tile(kernel, (1, 1, times, 1))[:, :, :channels] * np.float32(RGB / channels)
