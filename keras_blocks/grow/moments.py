"""An optimizer's state carried into the child's."""

import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_blocks.core.arrays import as_float64
from keras_blocks.grow.carrying import Transfer


def carry_state(mine: Any, theirs: Any, transfers: Iterable[Transfer]) -> None:
    """Gives a built optimizer what another of the same settings knows: its steps, rate and moments.

    The moments of a copied weight are those of the weight, undivided: a copy has half of the weight, but its gradient
    is that of the whole where what it is given is the same. Those of new weights are zeros.
    """
    known = {_key(theirs, variable): variable for variable in theirs.variables}
    ours = {_key(mine, variable): variable for variable in mine.variables}
    renamed = [(one.mine.path.replace("/", "_"), one.theirs.path.replace("/", "_"), one.moved) for one in transfers]
    for key, variable in ours.items():
        if key in known and key in ("iteration", "learning_rate"):
            variable.assign(known[key])
        for name, other, moved in renamed:
            slot = key.removeprefix(f"{name}_")
            twin = known.get(f"{other}_{slot}") if key.startswith(f"{name}_") else None
            if twin is not None:
                value = moved(as_float64(twin), False)
                if np.size(value) == np.prod(variable.shape):
                    variable.assign(value.reshape(variable.shape))
                break


def _key(optimizer: Any, variable: Any) -> str:
    """A variable's name without that of its optimizer."""
    return str(variable.path).removeprefix(f"{optimizer.name}/")


def compile_alike(child: keras.Model, model: keras.Model, transfers: Iterable[Transfer]) -> None:
    """Compiles the child as the model is, where it is, and carries the optimizer's state."""
    if not model.compiled:
        return
    config = model.get_compile_config()
    if config is None:
        return
    try:
        child.compile_from_config(config)
    except (TypeError, ValueError) as error:  # of a loss or a metric that is known here alone
        warnings.warn(f"the grown model is not compiled, as Keras cannot make its losses anew: {error}", stacklevel=4)
        return
    optimizer, old = _innermost(child.optimizer), _innermost(model.optimizer)
    if old is not None and old.built:
        if not child.optimizer.built:
            child.optimizer.build(child.trainable_variables)
        carry_state(optimizer, old, transfers)
        if isinstance(optimizer, keras.optimizers.Adafactor):
            _factorize(optimizer)
        if optimizer.use_ema:
            _restart_averages(optimizer, child.trainable_variables)


def _innermost(optimizer: Any) -> Any:
    """Without what only scales the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _factorize(optimizer: keras.optimizers.Adafactor) -> None:
    """Gives Adafactor the factors of what its velocities are now: what it knows of a kernel are means of two axes.

    The factors stand in front of their velocity, and do not say in their names whose they are.
    """
    for place, velocity in enumerate(optimizer.variables):
        if _key(optimizer, velocity).endswith("_velocity") and len(velocity.shape) > 1:
            rows, columns = optimizer.variables[place - 2 : place]
            rows.assign(keras.ops.mean(velocity, axis=-1))
            columns.assign(keras.ops.mean(velocity, axis=-2))


def _restart_averages(optimizer: Any, weights: Iterable[Any]) -> None:
    """Averages of weights are weights, of which copies share what goes out: they begin at the child's."""
    known = {f"{weight.path.replace('/', '_')}_average": weight for weight in weights}
    for variable in optimizer.variables:
        weight = known.get(_key(optimizer, variable))
        if weight is not None:
            variable.assign(weight)
