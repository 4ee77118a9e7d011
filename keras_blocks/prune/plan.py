"""What pruning would take away, as text, and what makes the pruned model of it."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras

from keras_blocks.core.copies import finalized, like
from keras_blocks.deploy.copying import rebuilt
from keras_blocks.prune.budget import RunningCount
from keras_blocks.prune.coupling import Coupling, Kept, Part
from keras_blocks.prune.reconstruction import checked_images
from keras_blocks.prune.reconstruction import reconstruct as fit_again


class PrunedLayer(NamedTuple):
    """A layer that gets narrower.

    Attributes:
        name: in the flat model, see `expand`.
        block: the layer of the model in which it is; its own name where it is in none.
        kind: its class' name.
        before: channels that it makes now.
        after: those that it will make.

    Example:

    >>> plan = keras_blocks.plan_pruning(keras_blocks.create_model("resnet20_cifar"), macs=0.5)
    >>> plan.layers[0][:4]
    ('stem_conv', 'stem', 'Conv2D', 16)
    """

    name: str
    block: str
    kind: str
    before: int
    after: int


@dataclass(frozen=True)
class PruningPlan:
    """What pruning a model would take away. It is text, and makes the pruned model.

    Attributes:
        layers: a `PrunedLayer` for each layer that makes channels, those that stay as they are too.
        macs: multiply-adds of one image, (before, after).
        params: parameters, (before, after).
        stays: name of a layer -> why the channels that it is given, or makes, cannot go; of what would be lost by that
            alone, so not of outputs.
        latency: seconds for one image, (before, after), where the budget is one of them.

    Example:

    >>> plan = keras_blocks.plan_pruning(keras_blocks.create_model("resnet20_cifar"), macs=0.5)
    >>> plan.macs[1] <= 0.5 * plan.macs[0], keras_blocks.cost(plan.make()).macs == plan.macs[1]
    (True, True)
    """

    layers: tuple[PrunedLayer, ...]
    macs: tuple[int, int]
    params: tuple[int, int]
    stays: dict[str, str]
    _coupling: Coupling = field(repr=False, compare=False)
    _kept: Kept = field(repr=False, compare=False)
    _name: str = field(repr=False, compare=False)
    latency: tuple[float, float] | None = None

    @property
    def widths(self) -> dict[str, dict[str, int]]:
        """Name of a block -> {name of a layer in it: channels that it makes then}."""
        found: dict[str, dict[str, int]] = {}
        for layer in self.layers:
            found.setdefault(layer.block, {})[layer.name] = layer.after
        return found

    def make(self, reconstruct: Any = None) -> keras.Model:
        """The pruned model: new layers of the same names, with weights of their own.

        Args:
            reconstruct: images, see `prune`.

        Raises:
            TypeError, ValueError: for images that the model does not take.
        """
        images = None if reconstruct is None else checked_images(self._coupling.flat, reconstruct)
        changes = {
            id(part.layer): _Narrower(part, self._kept)
            for part in self._coupling.parts.values()
            if any(self._kept.mask(labels).sum() < len(labels) for labels in _all_labels(part))
        }
        pruned = rebuilt(self._coupling.flat, changes, self._name)
        if images is not None:
            fit_again(pruned, self._coupling, self._kept, images)
        return pruned

    def __str__(self) -> str:
        longest = max([len(layer.name) for layer in self.layers], default=0)
        rows = [
            f"{layer.name:{longest}}  {layer.before:5} -> {layer.after:5}"
            for layer in self.layers
            if layer.after < layer.before
        ]
        counts = [
            f"{word}: {before:,} -> {after:,} ({after / max(before, 1):.1%})"
            for word, (before, after) in (("multiply-adds", self.macs), ("parameters", self.params))
        ]
        if self.latency is not None:
            before, after = self.latency
            counts.append(f"milliseconds: {_milliseconds(before)} -> {_milliseconds(after)} ({after / before:.1%})")
        return "\n".join([*rows, *counts, *(f"stays: {name}: {why}" for name, why in self.stays.items())])


def _milliseconds(seconds: float) -> str:
    """Of some seconds, to three digits and without an exponent, as people read them."""
    decimals = max(2 - math.floor(math.log10(1e3 * seconds)), 0)
    return f"{1e3 * seconds:,.{decimals}f}"


def planned(
    model: keras.Model, coupling: Coupling, kept: Kept, keep: float, latency: tuple[float, float] | None = None
) -> PruningPlan:
    """The plan by which these channels stay."""
    macs, params = (_before_and_after(RunningCount(coupling, what, keep), kept) for what in ("macs", "parameters"))
    names = sorted((layer.name for layer in model.layers), key=len, reverse=True)
    made = [part for part in coupling.parts.values() if part.followed.config(lambda labels: 0) and part.followed.made]
    rows = [
        PrunedLayer(
            part.layer.name,
            _block_of(part.layer.name, names),
            type(part.layer).__name__,
            len(part.followed.out),  # type: ignore[arg-type]
            kept.count(part.followed.out),  # type: ignore[arg-type]
        )
        for part in made
    ]
    return PruningPlan(tuple(rows), macs, params, coupling.stays, coupling, kept, model.name, latency)


def _before_and_after(count: RunningCount, kept: Kept) -> tuple[int, int]:
    before = count.total
    for label in count.labels():
        if not kept.stays[label]:
            count.change(label, -1)
    return before, count.total


def _block_of(name: str, blocks: list[str]) -> str:
    """The longest name of a block with which a flat layer's name begins, as those of its layers do."""
    return next((block for block in blocks if name == block or name.startswith(f"{block}_")), name)


class _Narrower:
    """What is called in place of a layer: one of the same name with the channels that stay, the same at each call."""

    def __init__(self, part: Part, kept: Kept):
        self._part, self._kept = part, kept
        self._made: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._made is not None:
            return self._made(*args, **kwargs)
        layer = self._part.layer
        self._made = like(layer, **self._part.followed.config(self._kept.count))
        outputs = self._made(*args, **kwargs)
        axes = {id(variable): axes for _, variable, axes in self._part.weights()}
        values = zip(layer.weights, layer.get_weights(), strict=True)
        self._made.set_weights([self._kept.weight(value, axes.get(id(weight), {})) for weight, value in values])
        finalized(self._made)
        return outputs


def _all_labels(part: Part) -> list[Any]:
    found = [labels for _, _, axes in part.weights() for labels in axes.values()]
    return found if part.followed.made else [*found, *(labels.ravel() for labels in (part.followed.labels,))]
