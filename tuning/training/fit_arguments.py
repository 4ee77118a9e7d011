"""What is given to `fit`, checked before a training begins: a search would only fail trial after trial."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_blocks.core import validation
from keras_blocks.tuning.data.stored import Images
from keras_blocks.tuning.training.hyperparameters import DEFAULTS

SETS_THE_RATE = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
"""Callbacks whose rate would be overwritten before each epoch."""


class WrongCall(ValueError):
    """What was given to `fit` can train no model, whatever was drawn."""


def fit_arguments(
    fit: Any, hyperparameters: Mapping[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a model's `fit` by their names, its batch size among them.

    Args:
        fit: the model's method.
        hyperparameters: of the training.
        args, kwargs: what was given.

    Raises:
        WrongCall: for what `fit` does not take, for what the hyperparameters decide, and for what would change nothing.
    """
    try:
        given = _named(fit, args, kwargs)
        given["epochs"] = epochs = validation.integer("epochs", given.get("epochs", 1), most=10**9)
        given["initial_epoch"] = validation.integer(
            "initial_epoch", given.get("initial_epoch", 0), least=0, most=epochs - 1
        )
        given["callbacks"] = _callbacks(given.get("callbacks") or ())
        split = validation.share("validation_split", given.get("validation_split", 0.0))
        is_array = _is_array(given.get("x"))
        if split and not is_array:
            raise ValueError(
                f"`validation_split` must be 0 unless `x` is an array; received {split!r}. Give `validation_data`."
            )
        if given.get("class_weight") is not None and given.get("sample_weight") is not None:
            raise ValueError("`class_weight` must be None where `sample_weight` is given: multiply the weights.")
        _check_lottery(hyperparameters, given)
        given["batch_size"] = _batch_size(given, hyperparameters["batch_size"], is_array)
    except (TypeError, ValueError) as error:
        raise WrongCall(str(error)) from error
    return given


def _named(fit: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    signature = inspect.signature(fit)
    parameters = signature.parameters.values()
    if not any(item.kind is item.VAR_KEYWORD for item in parameters):
        for name in kwargs:
            validation.choice("argument of fit", name, tuple(signature.parameters))
    bound = signature.bind(*args, **kwargs).arguments
    for item in parameters:
        if item.kind is item.VAR_KEYWORD:
            bound |= bound.pop(item.name, {})
    return bound


def _callbacks(given: Any) -> list[keras.callbacks.Callback]:
    for i, callback in enumerate(given if isinstance(given, Sequence) else [given]):
        if not isinstance(callback, keras.callbacks.Callback) or not isinstance(given, Sequence):
            raise TypeError(f"`callbacks` must be a list of keras.callbacks.Callback; received {given!r}.")
        if isinstance(callback, SETS_THE_RATE):
            raise ValueError(
                f"`callbacks[{i}]` must not set the learning rate, which the `schedule` sets; "
                f"received a {type(callback).__name__}. Leave it out, or give the space `learning_rate` and `warmup`."
            )
    return list(given)


def _is_array(x: Any) -> bool:
    """Whether Keras cuts it into batches. What is none of these makes its own: tf.data, PyDataset, DataLoader."""
    if x is None or isinstance(x, (list, tuple, dict)):
        leaves = keras.tree.flatten(x)
        if not leaves or not all(hasattr(leaf, "shape") for leaf in leaves):
            received = x if x is None else type(x).__name__
            raise TypeError(f"`x` must be an array or a dataset that makes batches; received {received}.")
        return True
    return hasattr(x, "shape")


def _check_lottery(hyperparameters: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if {**DEFAULTS, **hyperparameters}["lottery"] > 1:
        for name in ("x", "y"):
            if not isinstance(given.get(name), Images):
                raise TypeError(
                    f"`{name}` must be a NumPy array for a `lottery`; received {type(given.get(name)).__name__}. Give "
                    "the space `lottery=1`."
                )


def _batch_size(given: Mapping[str, Any], decided: int | None, is_array: bool) -> int | None:
    asked = given.get("batch_size")
    if asked is not None and asked != decided:
        raise ValueError(
            f"`batch_size` must be left out, as the space decides it; received {asked!r} where that has {decided!r}. "
            f"Give it to the space: `batch_size={asked!r}`."
        )
    if decided is not None and not is_array:
        raise ValueError(
            f"`batch_size` must be None for {type(given.get('x')).__name__}, which makes its own batches; the space "
            f"has {decided!r}, which would change nothing. Give the space `batch_size=None`: then it is not drawn."
        )
    if decided is None and is_array:
        raise ValueError(
            "`batch_size` must be a number for arrays; the space has None, for data that make their own batches."
        )
    return decided
