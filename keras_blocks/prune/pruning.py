"""Models without the channels that matter least."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import keras

from keras_blocks.core import validation
from keras_blocks.core.freeing import functional
from keras_blocks.core.graphs import replay
from keras_blocks.core.shapes import check_fit, with_batch
from keras_blocks.look.expanding import expand
from keras_blocks.prune.budget import RunningCount, choose, choose_by, in_turn
from keras_blocks.prune.coupling import coupling_of
from keras_blocks.prune.importance import BY_GRADIENT, Criterion, checked_criterion, scores
from keras_blocks.prune.plan import PruningPlan, planned

HALF = 0.5
"""The share of multiply-adds that stays where no budget is given."""

Predictor: TypeAlias = Callable[[keras.Model], float]
"""Tells the seconds that a model takes for one image."""


def prune(
    model: keras.Model,
    macs: float | None = None,
    *,
    parameters: float | None = None,
    latency: float | None = None,
    predictor: Predictor | None = None,
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
    a normalization over channels, or as it is not known; another one of a `latency` that is not exceeded, so that
    nothing goes. Outputs keep their channels.

    Args:
        model: a `Sequential`, a functional model, an architecture of the library, or a subclassed model that is built;
            blocks may be in it or not. It stays as it is.
        macs: budget of multiply-adds for one image, see `cost`: a share of the model's, such as 0.5, or a whole number
            of them. It is met or undercut by less than one channel. 0.5 where there is no other budget.
        parameters: budget of parameters in place of that one, in the same way.
        latency: budget of seconds for one image in place of these, by `predictor`: channels go in turn until it is met.
        predictor: a function of a model that tells its seconds: `keras_blocks.tuning.predict_latency`, or one of yours
            that measures. In each step it is asked once for about each doubling of the channels, such as 14 times for a
            ResNet-50; each model that it is given takes images of the known size.
        by: what matters. "l1": the sums of the absolute values of the kernels that make a channel, over their mean in
            the layer. "bn": the absolute scales of its normalizations, likewise. "taylor": how much the `loss` on
            `data` would change without it, by its gradient, for what it counts in the budget, or for its multiply-adds
            where that is `latency`. "jacobian": how much the outputs would, before a softmax that ends the model,
            likewise, which needs no answers, and is the better one where the model knows its training images by heart:
            their loss has no gradient. Or a function of a layer and its kernel, an array whose last axis is the
            channels that it makes, which gives a score for each.
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
        TypeError, ValueError: as `expand`; for an argument out of range; for several budgets; for a budget that cannot
            be met, with the least that can.

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
    what, value = _which(macs, parameters, latency)
    plan = _whole_plan(model, what, value, predictor, options)
    if steps > 1 and not _is_met(plan, latency):
        plan = _last_step(model, plan, what, latency, steps, reconstruct, options, predictor)
    if plan.stays:
        told = "; ".join(f"'{name}': {why}" for name, why in list(plan.stays.items())[:5])
        more = f"; and {len(plan.stays) - 5} more" if len(plan.stays) > 5 else ""
        warnings.warn(f"channels at these layers stay as they are: {told}{more}.", stacklevel=2)
    return plan.make(reconstruct)


def _last_step(
    model: keras.Model,
    whole: PruningPlan,
    what: str,
    latency: float | None,
    steps: int,
    reconstruct: Any,
    options: dict[str, Any],
    predictor: Predictor | None,
) -> PruningPlan:
    """The plan of the last of several steps, each of which begins with what the one before left."""
    before, after = {"macs": whole.macs, "parameters": whole.params, "latency": whole.latency}[what]  # type: ignore[misc]
    if latency is not None:
        after = latency  # not what was reached: one that measures may tell a little more of the same the next time
    widths = {layer.name: layer.before for layer in whole.layers}
    shapes = _known_shapes(model, expand(model), options["input_shape"])  # which what is left does not say of itself
    options = {**options, "input_shape": None, "loss": _known_loss(model, options["loss"], options["by"])}
    options["predictor"] = predictor
    for step in range(1, steps):
        gone = (before - after) * step
        budget = before - (gone / steps if what == "latency" else gone // steps)
        model = _plan(model, what, budget, widths=widths, shapes=shapes, **options).make(reconstruct)
    return _plan(model, what, after, widths=widths, shapes=shapes, **options)


def plan_pruning(
    model: keras.Model,
    macs: float | None = None,
    *,
    parameters: float | None = None,
    latency: float | None = None,
    predictor: Predictor | None = None,
    by: Criterion = "l1",
    data: Any = None,
    loss: Any = None,
    keep: float = 0.1,
    input_shape: Any = None,
) -> PruningPlan:
    """What `prune` would take away, before it does: widths of all layers, counts, and what cannot go.

    Args:
        model, macs, parameters, latency, predictor, by, data, loss, keep, input_shape: see `prune`.

    Returns:
        A `PruningPlan`, whose `make()` gives the pruned model.

    Raises:
        TypeError, ValueError: as `prune`.

    Example:

    >>> plan = keras_blocks.plan_pruning(keras_blocks.create_model("resnet20_cifar"), macs=0.5)
    >>> plan.layers[0].name, plan.layers[0].before
    ('stem_conv', 16)
    """
    options: Any = {"by": by, "data": data, "loss": loss, "keep": keep, "input_shape": input_shape}
    return _whole_plan(model, *_which(macs, parameters, latency), predictor, options)


def _whole_plan(model: keras.Model, what: str, value: Any, predictor: Any, options: dict[str, Any]) -> PruningPlan:
    """See `plan_pruning`; it warns the caller of what calls this."""
    given = validation.number(what, value, least=1e-9, most=1e6) if what == "latency" else _budget(what, value)
    if what == "latency" and predictor is None:
        raise ValueError(
            f"`latency={value!r}` needs `predictor`, a function of a model that tells its seconds for one image, as "
            "`keras_blocks.tuning.predict_latency` does."
        )
    if predictor is not None and what != "latency":
        raise ValueError(f"`predictor` goes with `latency`; received `{what}={value!r}`.")
    if predictor is not None and not callable(predictor):
        raise TypeError(f"`predictor` must be a function of a model; received {predictor!r}.")
    plan = _plan(model, what, given, widths={}, predictor=predictor, **options)
    if plan.latency is not None and _is_met(plan, given):
        took = f"`latency={value!r}` seconds are not exceeded: the model takes {plan.latency[0]:.3g}; nothing is pruned"
        warnings.warn(took, stacklevel=3)
    return plan


def _is_met(plan: PruningPlan, latency: float | None) -> bool:
    """Whether the model takes no more seconds than this, where that is the budget, as it is."""
    return latency is not None and plan.latency is not None and plan.latency[0] <= latency


def _which(macs: float | None, parameters: float | None, latency: float | None) -> tuple[str, Any]:
    """The budget that is given, and its name; multiply-adds where none is.

    Raises:
        ValueError: for several.
    """
    given = {"macs": macs, "parameters": parameters, "latency": latency}
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1:
        told = " and ".join(f"`{name}={value!r}`" for name, value in given.items())
        raise ValueError(f"{told} are {len(given)} budgets, of which one can be met.")
    return next(iter(given.items()), ("macs", HALF))


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
    predictor: Predictor | None = None,
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
    shapes = shapes or _known_shapes(model, flat, input_shape)
    coupling = coupling_of(flat, shapes)
    count = RunningCount(coupling, "macs" if what == "latency" else what, keep, widths)

    def order() -> list[int]:
        return in_turn(count, scores(coupling, by, data, _known_loss(model, loss, by)), by_gradient)

    reached: float
    if what == "latency":
        whole = reached = _seconds(predictor, flat, shapes)
        budget: float = given
        if whole > budget:

            def takes() -> float:
                return _seconds(predictor, planned(model, coupling, count.kept, keep).make(), shapes)

            reached = choose_by(count, order(), takes, budget)
    else:
        whole = coupling.macs if what == "macs" else coupling.params
        reached = count.total
        budget = given if isinstance(given, int) else int(given * count.total)
        if reached > budget:
            reached = choose(count, order(), int(budget))
    if reached > budget:
        stays = f" Some of it must stay: {coupling.stays}." if coupling.stays else ""
        least, all_of_it = (f"{one:,}" if isinstance(one, int) else f"{one:.3g} seconds" for one in (reached, whole))
        raise ValueError(
            f"`{what}={given!r}` cannot be met: {least} are left at least, {reached / whole:.3f} of the model's "
            f"{all_of_it}, with `keep={keep}`.{stays}"
        )
    return planned(model, coupling, count.kept, keep, (whole, reached) if what == "latency" else None)


def _seconds(predictor: Any, model: keras.Model, shapes: list[Any]) -> float:
    """What a predictor tells of a flat model on inputs of these shapes.

    Raises:
        TypeError, ValueError: for what is no number of seconds.
    """
    if any(tuple(tensor.shape[1:]) != tuple(shape[1:]) for tensor, shape in zip(model.inputs, shapes, strict=True)):
        inputs = [
            keras.Input(batch_shape=(None, *shape[1:]), dtype=tensor.dtype, name=tensor.name)
            for tensor, shape in zip(model.inputs, shapes)
        ]  # images of any size take any time: it is asked for those that are counted for, by the same layers
        model = functional(inputs, replay(model, inputs), model.name)
    found = predictor(model)
    try:
        seconds = float(found)
    except (TypeError, ValueError):
        raise TypeError(f"`predictor` must return seconds; returned {found!r} for '{model.name}'.") from None
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"`predictor` must return seconds, above 0 and finite; returned {found!r} for '{model.name}'.")
    return seconds


def _known_loss(model: keras.Model, loss: Any, by: Any) -> Any:
    return getattr(model, "loss", None) if loss is None and by == "taylor" else loss


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
