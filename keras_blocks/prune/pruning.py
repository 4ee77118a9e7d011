"""Models without the channels that matter least."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras

from keras_blocks.core import validation
from keras_blocks.core.shapes import check_fit, with_batch
from keras_blocks.deploy.copying import config_of, rebuilt
from keras_blocks.look.expanding import expand
from keras_blocks.prune.budget import RunningCount, choose
from keras_blocks.prune.coupling import Coupling, Kept, Part, coupling_of
from keras_blocks.prune.importance import BY_GRADIENT, Criterion, checked_criterion, scores
from keras_blocks.prune.reconstruction import checked_images
from keras_blocks.prune.reconstruction import reconstruct as fit_again

HALF = 0.5
"""The share of multiply-adds that stays where no budget is given."""


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
        return "\n".join([*rows, *counts, *(f"stays: {name}: {why}" for name, why in self.stays.items())])


def prune(
    model: keras.Model,
    macs: float | None = None,
    *,
    parameters: float | None = None,
    by: Criterion = "l1",
    data: Any = None,
    loss: Any = None,
    keep: float = 0.1,
    input_shape: Any = None,
    reconstruct: Any = None,
    steps: int = 1,
) -> keras.Model:
    """A smaller model without the channels that matter least, of ordinary layers with fewer filters and units.

    Channels go where nothing else changes: those that an addition, a multiplication or a grouped convolution binds
    together go together, from every layer that makes or takes them. What is left computes what the model computes with
    the weights of these channels set to zero. It trains, saves, counts, deploys and can be pruned again: taking a few,
    training, and taking more costs less accuracy than taking all at once.

    A warning tells of layers whose channels cannot go, as what mixes all of them would compute something else, such as
    a normalization over channels, or as it is not known. Outputs keep their channels.

    Args:
        model: a `Sequential`, a functional model, an architecture of the library, or a subclassed model that is built;
            blocks may be in it or not. It stays as it is.
        macs: budget of multiply-adds for one image, see `cost`: a share of the model's, such as 0.5, or a whole number
            of them. It is met or undercut by less than one channel. 0.5 where there is no other budget.
        parameters: budget of parameters in place of that one, in the same way.
        by: what matters. "l1": the sums of the absolute values of the kernels that make a channel, over their mean in
            the layer. "bn": the absolute scales of its normalizations, likewise. "taylor": how much the `loss` on
            `data` would change without it, by its gradient, for what it counts in the budget. "jacobian": how much the
            outputs would, before a softmax that ends the model, likewise, which needs no answers, and is the better one
            where the model knows its training images by heart: their loss has no gradient. Or a function of a layer and
            its kernel, an array whose last axis is the channels that it makes, which gives a score for each.
        data: for "taylor", (images, answers) as arrays, or what gives batches of them, such as a `tf.data.Dataset`; for
            "jacobian" images, likewise.
        loss: for "taylor", a Keras loss or its name, in the structure of the outputs; `None` for that of the compiled
            model.
        keep: the least share of a layer's channels that stays; one stays in any case.
        input_shape: (height, width, channels) to count for, of a model that takes images of any size.
        reconstruct: images, as the model takes them, a few hundred of those that it was trained on. With them the
            convolutions and dense layers of what is left are fitted one after the other, by least squares, so that
            they give what they gave before. It needs no labels and no training, and keeps most of the accuracy.
            Convolutions in groups, and layers that are called more than once, keep their weights.
        steps: in how many the budget is reached, each a pruning of what the one before left: what matters is then
            asked again, and what is lost is made up for in between.

    Returns:
        A flat `keras.Model` of the model's name, whose layers are named as those of `expand`. It is not compiled.

    Raises:
        TypeError, ValueError: as `expand`; for an argument out of range; for two budgets; for a budget that cannot be
            met, with the least that can.

    Reference:
        Fang et al., "DepGraph: Towards Any Structural Pruning", 2023: channels that go together; Li et al., "Pruning
        Filters for Efficient ConvNets", 2017: "l1"; Liu et al., "Learning Efficient Convolutional Networks through
        Network Slimming", 2017: "bn"; Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019,
        equations 8 and 9: "taylor"; He, Zhang and Sun, "Channel Pruning for Accelerating Very Deep Neural Networks",
        2017, sections 3.1 and 3.3: reconstruction.

    Example:

    >>> model = keras_blocks.create_model("resnet20_cifar")
    >>> small = keras_blocks.prune(model, macs=0.5)
    >>> keras_blocks.cost(small).macs <= 0.5 * keras_blocks.cost(model).macs
    True
    """
    options: Any = {"by": by, "data": data, "loss": loss, "keep": keep, "input_shape": input_shape}
    if validation.integer("steps", steps, least=1) > 1 and isinstance(data, Iterator):
        raise ValueError(
            f"`data` must be what can be gone through again for each of {steps} `steps`; received a "
            f"{type(data).__name__}, which ends. Give arrays, a list of batches, a keras.utils.PyDataset."
        )
    plan = plan_pruning(model, macs, parameters=parameters, **options)
    if steps > 1:
        plan = _last_step(model, plan, "macs" if parameters is None else "parameters", steps, reconstruct, options)
    if plan.stays:
        told = "; ".join(f"'{name}': {why}" for name, why in list(plan.stays.items())[:5])
        more = f"; and {len(plan.stays) - 5} more" if len(plan.stays) > 5 else ""
        warnings.warn(f"channels at these layers stay as they are: {told}{more}.", stacklevel=2)
    return plan.make(reconstruct)


def _last_step(
    model: keras.Model, whole: PruningPlan, what: str, steps: int, reconstruct: Any, options: dict[str, Any]
) -> PruningPlan:
    """The plan of the last of several steps, each of which begins with what the one before left."""
    before, after = whole.macs if what == "macs" else whole.params
    widths = {layer.name: layer.before for layer in whole.layers}
    shapes = _known_shapes(model, expand(model), options["input_shape"])  # which what is left does not say of itself
    options = {**options, "input_shape": None, "loss": _known_loss(model, options["loss"], options["by"])}
    for step in range(1, steps):
        budget = before - (before - after) * step // steps
        model = _plan(model, what, budget, widths=widths, shapes=shapes, **options).make(reconstruct)
    return _plan(model, what, after, widths=widths, shapes=shapes, **options)


def plan_pruning(
    model: keras.Model,
    macs: float | None = None,
    *,
    parameters: float | None = None,
    by: Criterion = "l1",
    data: Any = None,
    loss: Any = None,
    keep: float = 0.1,
    input_shape: Any = None,
) -> PruningPlan:
    """What `prune` would take away, before it does: widths of all layers, counts, and what cannot go.

    Args:
        model, macs, parameters, by, data, loss, keep, input_shape: see `prune`.

    Returns:
        A `PruningPlan`, whose `make()` gives the pruned model.

    Raises:
        TypeError, ValueError: as `prune`.

    Example:

    >>> plan = keras_blocks.plan_pruning(keras_blocks.create_model("resnet20_cifar"), macs=0.5)
    >>> plan.layers[0].name, plan.layers[0].before
    ('stem_conv', 16)
    """
    if macs is not None and parameters is not None:
        raise ValueError(
            f"`macs` and `parameters` are two budgets, of which one can be met; received {macs!r} and {parameters!r}."
        )
    what = "macs" if parameters is None else "parameters"
    given = _budget(what, HALF if macs is None and parameters is None else macs if parameters is None else parameters)
    return _plan(model, what, given, by, data, loss, keep, input_shape, {})


def _plan(
    model: keras.Model,
    what: str,
    given: float | int,
    by: Any,
    data: Any,
    loss: Any,
    keep: float,
    input_shape: Any,
    widths: Mapping[str, int],
    shapes: list[Any] | None = None,
) -> PruningPlan:
    """See `plan_pruning`.

    `widths` are those of which layers keep a share, by their names, where they had others; `shapes` are the inputs',
    where they are known.
    """
    by, keep = checked_criterion(by), validation.share("keep", keep)
    by_gradient = by in BY_GRADIENT if isinstance(by, str) else False
    if by_gradient and data is None:
        wanted = "(images, answers) on which the loss is computed" if by == "taylor" else "images"
        raise ValueError(f"`by={by!r}` needs `data`, {wanted}.")
    if data is not None and not by_gradient:
        raise ValueError(f"`data` goes with `by='taylor'` and `by='jacobian'`; received `by={by!r}`.")
    if loss is not None and by != "taylor":
        raise ValueError(f"`loss` goes with `by='taylor'`; received `by={by!r}`.")
    flat = expand(model)
    coupling = coupling_of(flat, shapes or _known_shapes(model, flat, input_shape))
    count = RunningCount(coupling, what, keep, widths)
    budget = given if isinstance(given, int) else int(given * count.total)
    reached = count.total
    if reached > budget:
        told = scores(coupling, by, data, _known_loss(model, loss, by))
        reached = choose(count, told, budget, in_units_of_loss=by_gradient)
    if reached > budget:
        stays = f" Some of it must stay: {coupling.stays}." if coupling.stays else ""
        raise ValueError(
            f"`{what}={given!r}` cannot be met: {reached:,} are left at least, {reached / _whole(coupling, what):.3f} "
            f"of the model's {_whole(coupling, what):,}, with `keep={keep}`.{stays}"
        )
    return _planned(model, coupling, count.kept, keep)


def _known_loss(model: keras.Model, loss: Any, by: Any) -> Any:
    return getattr(model, "loss", None) if loss is None and by == "taylor" else loss


def _whole(coupling: Coupling, what: str) -> int:
    return coupling.macs if what == "macs" else coupling.params


def _planned(model: keras.Model, coupling: Coupling, kept: Kept, keep: float) -> PruningPlan:
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
    return PruningPlan(tuple(rows), macs, params, coupling.stays, coupling, kept, model.name)


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
        self._made = type(layer).from_config({**config_of(layer), **self._part.followed.config(self._kept.count)})
        outputs = self._made(*args, **kwargs)
        axes = {id(variable): axes for _, variable, axes in self._part.weights()}
        values = zip(layer.weights, layer.get_weights(), strict=True)
        self._made.set_weights([self._kept.weight(value, axes.get(id(weight), {})) for weight, value in values])
        return outputs


def _all_labels(part: Part) -> list[Any]:
    found = [labels for _, _, axes in part.weights() for labels in axes.values()]
    return found if part.followed.made else [*found, *(labels.ravel() for labels in (part.followed.labels,))]


def _budget(name: str, value: Any) -> float | int:
    """A share or a whole number.

    Raises:
        TypeError, ValueError: for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return validation.integer(name, value, most=2**63)
    share = validation.number(name, value, least=0, most=1)
    if share == 0:
        raise ValueError(f"`{name}` must be a share above 0, or a whole number of them; received {value!r}.")
    return share


def _known_shapes(model: keras.Model, flat: keras.Model, input_shape: Any) -> list[Any]:
    """The shapes of the flat model's inputs, with what is not known in them.

    Raises:
        ValueError: where nothing tells the sizes, and for a shape that the model does not take.
    """
    own = [tuple(tensor.shape) for tensor in flat.inputs]
    usual = getattr(model, "usual_shapes", None)
    if input_shape is None and isinstance(usual, dict):
        return [tuple(usual[tensor.name]) for tensor in flat.inputs]
    given = getattr(model, "canvas_shape", None) if input_shape is None else input_shape
    if given is not None:
        shape = with_batch(given)
        if len(own) != 1 or not isinstance(shape, tuple):
            raise ValueError(
                f"`input_shape` is the sizes of one image, for a model of one input; '{model.name}' has {len(own)}: "
                f"received {given!r}."
            )
        check_fit(own[0], shape)
        own = [shape]
    for shape in own:
        if None in shape[1:]:
            raise ValueError(
                f"`input_shape`: '{model.name}' takes the shape {shape[1:]}, of which nothing can be counted; give "
                "the sizes of an image, such as (224, 224, 3)."
            )
    return own
