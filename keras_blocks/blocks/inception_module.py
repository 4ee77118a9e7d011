"""An Inception module as data: any branches, concatenated, or added to the input as in Inception-ResNet."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import Block, Chain, register
from keras_blocks.core.chain import Step
from keras_blocks.core.immutable import FrozenDict, freeze
from keras_blocks.typing import BlockOptions, Padding

Branches = Sequence[Sequence[Mapping[str, Any]]]
PoolKind = Literal["max", "avg"]


def checked_branches(name: str, branches: Any) -> list[list[dict[str, Any]]]:
    """Branches as data, see `InceptionModule`, with all that they leave out."""
    return [
        [_checked(f"{name}[{i}][{j}]", step) for j, step in enumerate(validation.sequence(f"{name}[{i}]", branch))]
        for i, branch in enumerate(validation.sequence(name, branches, of="branches, each a list of steps"))
    ]


def _checked(name: str, step: Any) -> dict[str, Any]:
    validation.mapping(name, step)
    kind = next((key for key in ("filters", "pool", "branches") if key in step), None)
    if kind is None:
        raise ValueError(
            f"`{name}` must have one of the keys 'filters', 'pool' and 'branches'; received {dict(step)!r}."
        )
    keys = {"filters": _CONV, "pool": _POOL, "branches": ("branches",)}[kind]
    validation.mapping(name, step, keys=keys)
    if kind == "branches":
        return {"branches": checked_branches(f"{name}['branches']", step["branches"])}
    found = {
        "strides": validation.integer(f"{name}['strides']", step.get("strides", 1), most=64),
        "padding": validation.choice(f"{name}['padding']", step.get("padding", "same"), Padding),
    }
    if kind == "filters":
        size = validation.pair(f"{name}['kernel_size']", step.get("kernel_size", 1))
        return {"filters": validation.integer(f"{name}['filters']", step["filters"]), "kernel_size": size, **found}
    size = validation.pair(f"{name}['pool_size']", step.get("pool_size", 3))
    return {"pool": validation.choice(f"{name}['pool']", step["pool"], PoolKind), "pool_size": size, **found}


_CONV = ("filters", "kernel_size", "strides", "padding")
_POOL = ("pool", "pool_size", "strides", "padding")


@register
class InceptionModule(Block):
    """Branches of convolutions and poolings, concatenated; or, with a `scale`, a residual that is added to the input.

    Args:
        branches: list of branches, each a list of steps, each a dict: of `filters`, and `kernel_size` (1), `strides`
            (1), `padding` ("same"), for a convolution with normalization and activation; of `pool`, "max" or "avg",
            `pool_size` (3), `strides` (1), `padding`, which leaves its border out of averages; or of `branches` within
            the branch, which are concatenated. Convolutions are numbered in this order: `conv1`, `conv2`, ...
        scale: `None`; or a number by which a 1x1 convolution of the concatenated branches, linear and with a bias, is
            multiplied before it is added to the input.
        activated: whether the sum is activated.
        batch_norm: True by default.
        **kwargs: the settings of `Block`: `activation` ("relu"), `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        The branches', concatenated; with a `scale` the input's.

    Raises:
        TypeError, ValueError: at construction for what is no such list, naming the step; at build for branches of
            different sizes, or an image too small.

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", 2016,
        figures 3 to 19.

    Example: Inception-ResNet-A.

    >>> import keras, keras_blocks
    >>> branches = [
    ...     [{"filters": 32}],
    ...     [{"filters": 32}, {"filters": 32, "kernel_size": 3}],
    ...     [{"filters": 32}, {"filters": 48, "kernel_size": 3}, {"filters": 64, "kernel_size": 3}],
    ... ]
    >>> keras_blocks.InceptionModule(branches, scale=0.17)(keras.Input((35, 35, 320))).shape
    (None, 35, 35, 320)
    """

    default_settings = FrozenDict({"batch_norm": True})

    def __init__(
        self,
        branches: Branches,
        *,
        scale: float | None = None,
        activated: bool = True,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.branches = freeze(checked_branches("branches", branches))
        self.scale = validation.optional(validation.number, "scale", scale, least=-1e3, most=1e3)
        self.activated = validation.boolean("activated", activated)

    def chain(self, channels: int) -> Chain:
        counts = dict.fromkeys(("conv", "pool", "concat"), 0)
        merged = self._merged(self.branches, counts)
        if self.scale is None:
            return [merged]
        project = self.conv2d("project", channels, 1)
        residual = [merged, project, self.layer("rescale", keras.layers.Rescaling, scale=self.scale)]
        return [self.sum_of("add", [], residual), *((self.activate("out_activation"),) if self.activated else ())]

    def _merged(self, branches: Any, counts: dict[str, int]) -> Step:
        """The branches, concatenated, with their layers' names counted on."""
        chains = [[one for step in branch for one in self._step(dict(step), counts)] for branch in branches]
        return self.concatenate(_counted("concat", counts), *chains)

    def _step(self, step: dict[str, Any], counts: dict[str, int]) -> Chain:
        if "branches" in step:
            return [self._merged(step["branches"], counts)]
        if "filters" in step:
            return self.conv_unit(_counted("conv", counts), **step)
        cls = {"max": keras.layers.MaxPooling2D, "avg": keras.layers.AveragePooling2D}[step.pop("pool")]
        return [self.layer(_counted("pool", counts), cls, **step)]


def _counted(kind: str, counts: dict[str, int]) -> str:
    counts[kind] += 1
    return f"{kind}{counts[kind]}"
