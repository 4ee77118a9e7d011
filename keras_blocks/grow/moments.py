"""An optimizer's state carried into the child's."""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_blocks.core.arrays import as_float64
from keras_blocks.grow.carrying import Transfer


class Weights(NamedTuple):
    """Those that the child's optimizer and the model's are built of, in that order, and what becomes of the latter."""

    mine: list[Any]
    theirs: list[Any]
    transfers: Mapping[int, Transfer]
    """`id` of one of the child's -> how it was made."""


def compile_alike(child: keras.Model, model: keras.Model, transfers: Iterable[Transfer]) -> None:
    """Compiles the child as the model is, where it is, and carries the optimizer's state."""
    if not model.compiled:
        return
    config = model.get_compile_config()
    if config is None:
        return
    try:
        child.compile_from_config(config)
    except (TypeError, ValueError) as error:  # of what is known here alone
        what = "its optimizer, losses or metrics"
        warnings.warn(f"the grown model is not compiled, as Keras cannot make {what} anew: {error}", stacklevel=4)
        return
    mine, theirs = child.optimizer, model.optimizer
    if theirs is None or not theirs.built:
        return
    if not mine.built:
        mine.build(child.trainable_variables)
    if hasattr(mine, "inner_optimizer") != hasattr(theirs, "inner_optimizer"):  # but one of them scales the loss
        mine, theirs = (getattr(one, "inner_optimizer", one) for one in (mine, theirs))
    made = {id(one.mine): one for one in transfers}
    carry_state(mine, theirs, Weights(child.trainable_variables, model.trainable_variables, made))


def carry_state(mine: Any, theirs: Any, weights: Weights) -> None:
    """Gives a built optimizer what another of the same settings knows: its steps, rate and moments.

    The moments of a copied weight are those of the weight, undivided: a copy has half of the weight, but its gradient
    is that of the whole where what it is given is the same. Those of new weights are what the optimizer begins with.
    """
    inner, others = _within(mine), _within(theirs)
    if len(inner) != len(others):
        warnings.warn(
            f"the optimizer begins anew: it is made of {len(inner)} others, and the model's of {len(others)}, so that "
            "it is not known whose state is whose.",
            stacklevel=5,
        )
        return
    for one, other in zip(inner, others):
        carry_state(one, other, weights)
    (slots, scalars), (known, steps) = _sorted(mine, weights.mine), _sorted(theirs, weights.theirs)
    for one, other in zip(scalars, steps):  # the first are Keras' own
        if len(scalars) == len(steps) or _key(mine, one) in ("iteration", "learning_rate"):
            one.assign(np.array(keras.ops.convert_to_numpy(other)))  # a copy, as JAX deletes what a step is given
    for (weight, slot), variable in slots.items():
        transfer = weights.transfers.get(weight)
        twin = known.get((id(transfer.theirs), slot)) if transfer is not None else None
        if transfer is not None and twin is not None:
            _move(variable, twin, transfer)
    if isinstance(mine, keras.optimizers.Adafactor):
        _factorize(mine)
    _restart(mine, slots, weights.mine)


def _within(optimizer: Any) -> list[Any]:
    """The optimizers that one is made of: that whose loss it scales, or those among which it divides the weights."""
    if hasattr(optimizer, "inner_optimizer"):
        return [optimizer.inner_optimizer]
    return list(getattr(optimizer, "optimizers", ()))


def _sorted(optimizer: Any, weights: Iterable[Any]) -> tuple[dict[tuple[int, str], Any], list[Any]]:
    """What an optimizer itself knows: `id` of a weight and the slot's name -> variable; and scalars that are no slots.

    The name of a slot begins with its weight's. Weights that have one name, as those of two towers of the same layers,
    have their slots in the order of the weights.
    """
    named, slots, scalars = defaultdict(list), defaultdict(list), []
    for weight in weights:
        named[weight.path.replace("/", "_")].append(weight)
    others = {id(variable) for one in _within(optimizer) for variable in one.variables}
    for variable in optimizer.variables:
        if id(variable) in others:
            continue
        key = _key(optimizer, variable)
        ends = (end for end in range(len(key) - 1, 0, -1) if key[end] == "_" and key[:end] in named)
        end = next(ends, None)  # of the longest name, as "a_scale" is none of "a"
        if end is not None:
            slots[key[:end], key[end + 1 :]].append(variable)
        elif not len(variable.shape):
            scalars.append(variable)
    alike = ((slot, named[name], found) for (name, slot), found in slots.items())
    paired = {(id(w), slot): v for slot, all_, found in alike if len(all_) == len(found) for w, v in zip(all_, found)}
    return paired, scalars


def _key(optimizer: Any, variable: Any) -> str:
    """A variable's name without that of its optimizer."""
    return str(variable.path).removeprefix(f"{optimizer.name}/")


def _move(variable: Any, twin: Any, transfer: Transfer) -> None:
    """Assigns to a slot what the parent's has, where the weight is made of the parent's."""
    theirs, initial = as_float64(twin), as_float64(variable)
    value, made = (transfer.moved(one, False) for one in (theirs, np.ones_like(theirs)))
    if value.size == initial.size:
        variable.assign(np.where(made.reshape(initial.shape) != 0, value.reshape(initial.shape), initial))


def _factorize(optimizer: keras.optimizers.Adafactor) -> None:
    """Gives Adafactor the factors of what its velocities are now: what it knows of a kernel are means of two axes.

    The factors stand in front of their velocity, and do not say in their names whose they are.
    """
    for place, velocity in enumerate(optimizer.variables):
        if _key(optimizer, velocity).endswith("_velocity") and len(velocity.shape) > 1:
            rows, columns = optimizer.variables[place - 2 : place]
            rows.assign(keras.ops.mean(velocity, axis=-1))
            columns.assign(keras.ops.mean(velocity, axis=-2))


def _restart(optimizer: Any, slots: Mapping[tuple[int, str], Any], weights: Iterable[Any]) -> None:
    """What an optimizer has in place of the weights, of which copies share what goes out, begins at the child's."""
    for weight in weights:
        value = as_float64(weight)  # a copy, as above
        average, sequence = (slots.get((id(weight), name)) for name in ("average", "momentum"))
        if optimizer.use_ema and average is not None:
            average.assign(value)
        if isinstance(optimizer, keras.optimizers.ScheduleFreeAdamW) and sequence is not None:
            sequence.assign(value)
        if isinstance(optimizer, keras.optimizers.Ftrl) and (id(weight), "linear") in slots:
            slots[id(weight), "linear"].assign(_linear(optimizer, value, slots[id(weight), "accumulator"]))


def _linear(optimizer: keras.optimizers.Ftrl, weight: np.ndarray, accumulator: Any) -> np.ndarray:
    """Of what Ftrl makes a weight anew at each step: that of which it makes what the weight is now."""
    rate = as_float64(optimizer.learning_rate)
    curvature = as_float64(accumulator) ** -optimizer.learning_rate_power / rate
    curvature = curvature + 2 * optimizer.l2_regularization_strength + optimizer.beta / rate
    return np.asarray(-weight * curvature - np.sign(weight) * optimizer.l1_regularization_strength)
