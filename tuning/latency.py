"""How long a model takes for one image, predicted before it is built."""

import functools
import json
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_blocks.core.registration import class_named
from keras_blocks.costs.cost import Cost
from keras_blocks.look.operations import operations_of
from keras_blocks.look.plan import keras_shapes, plan_of, plan_of_model
from keras_blocks.models.architecture import Architecture
from keras_blocks.tuning import layer_times
from keras_blocks.tuning.latency_model import LatencyModel, features
from keras_blocks.tuning.storage.trial import Trial

LEAST_MEASURED = 4
"""Measured models before others' latency is predicted."""

DOUBT = 1.5
"""A candidate is refused unbuilt only where the predicted latency is so many times the budget: measuring decides."""

LAYERS_DOUBT = 1.4
"""The same where layers that were timed tell it, which docs/benchmarks.md compares with what networks took."""

LATEST = 20
"""So many measured trials of a search, at most, tell by which factor all is longer there than when layers were timed:
several train at a time, say."""


@functools.lru_cache(maxsize=4)
def _model_of(backend: str, times: tuple[tuple[str, float], ...]) -> LatencyModel:
    """Fitted to the times of `layer_times`, once."""
    return LatencyModel([features(layer_times.operations(name)) for name, _ in times], [took for _, took in times])


@functools.lru_cache(maxsize=4096)
def _by_layers(model: LatencyModel, architecture: str, metaparameters: str) -> float | None:
    cls = class_named("architecture", architecture, Architecture)
    try:
        plan = plan_of(cls, **json.loads(metaparameters))
    except (TypeError, ValueError):
        return None
    if any(node.cost is None for node in plan.nodes):
        return None
    return model.predicted(features(operations_of(plan)))


def by_layers(architecture: str, metaparameters: Mapping[str, Any], trials: Sequence[Trial] = ()) -> float | None:
    """Seconds for one image of a model that is not built, from the layers that were timed on this machine.

    Args:
        architecture: registered name of the class.
        metaparameters: arguments of its constructor, plain data.
        trials: of the search so far: by as much as the measured ones took longer, or less, than is predicted of them.

    Returns:
        `None` where none were timed here, or the model's layers cannot be told.
    """
    if (times := layer_times.known()) is None:
        return None
    model = _model_of(keras.backend.backend(), tuple(times.items()))

    def of(name: str, arguments: Mapping[str, Any]) -> float | None:
        return _by_layers(model, name, json.dumps(arguments, sort_keys=True))

    seconds = of(architecture, metaparameters)
    measured = [trial for trial in trials if trial.latency is not None and trial.architecture][-LATEST:]
    told = [(trial.latency, of(str(trial.architecture), trial.metaparameters)) for trial in measured]
    ratios = [took / guess for took, guess in told if took and guess]
    longer = statistics.median(ratios) if len(ratios) >= LEAST_MEASURED else 1.0
    return None if seconds is None else seconds * longer


def predict_latency(model: keras.Model, note: Callable[[str], Any] = print) -> float:
    """Seconds that a model takes for one image on this machine, predicted from its layers.

    The first time on a machine, some 190 networks are timed in a process of its own, which takes about ten minutes, and
    is best done while nothing else runs. The times are kept in KERAS_BLOCKS_TIMES or
    `~/.keras/keras_blocks/layer_times`, for each backend, version and number of cores. It is made for small networks,
    as searches draw them; docs/benchmarks.md says how good it is on those.

    Args:
        model: a Keras model that is built, of images of a known size; with blocks in it or not.
        note: is told what takes its time.

    Returns:
        Seconds of `predict_on_batch` for one image, between its start and its end.

    Raises:
        TypeError: for what is no Keras model.
        ValueError: for a model that has layers of which nothing can be counted, or images of any size.
        RuntimeError: where the networks could not be timed.

    Example, which is not run here, as the first one on a machine takes its minutes:

    >>> import keras_blocks.tuning
    >>> model = keras_blocks.create_model("resnet20_cifar")
    >>> small = keras_blocks.prune(  # doctest: +SKIP
    ...     model, latency=1e-3, predictor=keras_blocks.tuning.predict_latency
    ... )
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model; received {model!r}.")
    operations = operations_of(plan_of_model(model))
    if any(None in shape[1:] for one in operations for shape in keras_shapes(one.node.shape)):
        raise ValueError(f"the latency of '{model.name}', of images of any size, is not known: build it for one.")
    if uncounted := [one.node.name for one in operations if one.node.cost is None]:
        raise ValueError(f"the latency of '{model.name}' cannot be predicted: nothing is known of {uncounted[:3]}.")
    told: list[str] = []

    def heard(text: str) -> None:
        told.append(text)
        note(text)

    if (times := layer_times.make_known(heard)) is None:
        raise RuntimeError(f"the latency of '{model.name}' cannot be predicted: {told[-1]}")
    fitted, layers = _model_of(keras.backend.backend(), tuple(times.items())), features(operations)
    if unknown := fitted.unknown(layers):
        warnings.warn(f"layers of these kinds were not timed; the prediction may be too low: {unknown}", stacklevel=2)
    return fitted.predicted(layers)


def predicted(cost: Cost, trials: Sequence[Trial]) -> float | None:
    """Seconds for one image of a model that is not built, from those of other models of the same search.

    A line through multiply-adds and activation bytes, none of which can make a model faster.

    Args:
        cost: a `Cost`.
        trials: list of `Trial`.

    Returns:
        `None` where too few were measured.
    """
    from scipy.optimize import nnls

    known = [
        (trial.latency, trial.macs, trial.activation_bytes)
        for trial in trials
        if trial.latency is not None and trial.macs is not None and trial.activation_bytes is not None
    ]
    if len(known) < LEAST_MEASURED:
        return None
    rows = np.array([[1.0, macs / 1e9, size / 1e9] for _, macs, size in known])
    weights, _ = nnls(rows, np.array([seconds for seconds, *_ in known]))
    return float(weights @ [1.0, cost.macs / 1e9, cost.activation_bytes / 1e9])
