"""A model for use alone: flat, without what only training needs, with normalizations folded into convolutions."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_blocks.blocks.variational import GaussianSampling
from keras_blocks.core.graphs import calls, told_to_train
from keras_blocks.core.layer_kinds import IDLE
from keras_blocks.deploy.copying import Change, rebuilt
from keras_blocks.deploy.folding import (
    activated,
    affine_of,
    before,
    behind,
    folds_before,
    folds_behind,
    takes_activation,
    with_weights,
)
from keras_blocks.look.expanding import expand
from keras_blocks.models.architecture import Architecture

layers = keras.layers


def deploy(model: keras.Model) -> keras.Model:
    """A model for inference that gives a model's outputs, faster.

    It is flat (see `expand`) and has weights of its own: what is done to it leaves the model as it is. Normalizations
    are folded into the convolutions and dense layers before them, and into those behind them where no padding lies
    between; activations behind convolutions become their own; dropout, noise, augmentation, auxiliary outputs and what
    only adds to a loss (activity regularizers, the divergence of a variational autoencoder) are left out; preprocessing
    stays. Where a normalization comes first, as in version 2 of ResNets, or a layer is called
    in several places, it stays.

    Args:
        model: a `Sequential`, a functional model, an architecture of the library, or a subclassed model that is built;
            blocks may be in it or not.

    Returns:
        A `keras.Model` of the model's name, not compiled, whose outputs differ from the model's by rounding alone.

    Raises:
        TypeError, ValueError: as `expand`; for a layer that cannot be copied, as it has no `get_config`.

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
        2018, section 3.2 and equation 14: the folding.

    Example:

    >>> import keras, keras_blocks
    >>> model = keras_blocks.create_model("resnet18", input_shape=(64, 64, 3), classes=10)
    >>> small = keras_blocks.deploy(model)
    >>> sum(isinstance(layer, keras.layers.BatchNormalization) for layer in small.layers)
    0
    """
    if isinstance(model, Architecture):
        model = model.without_auxiliary()
    flat = expand(model)
    busy = {id(operation) for operation in told_to_train(flat)}
    idle = [layer for layer in flat.layers if type(layer) in IDLE and id(layer) not in busy]
    changes: dict[int, Change] = {id(layer): _as_typed(layer) for layer in idle}
    sampling = [one for one in flat.layers if type(one) is GaussianSampling and id(one) not in busy]
    changes |= {id(layer): _mean(layer) for layer in sampling}
    changes |= {id(layer): _normalized(layer) for layer in flat.layers if type(layer) is layers.Normalization}
    graph = rebuilt(flat, changes, model.name)
    for fold in (_normalization_folded, _activation_folded):
        while changes := _foldings(graph, fold):
            graph = rebuilt(graph, changes, model.name)
    for layer in graph.layers:
        layer.activity_regularizer = None  # what is added to a loss is an output to OpenVINO
    return graph


def _mean(layer: GaussianSampling) -> Change:
    """What a code is in inference, without its divergence, which is a loss."""
    typed = _as_typed(layer)
    return lambda codes, *args, **kwargs: typed(codes[0])


def _as_typed(layer: keras.layers.Layer) -> Change:
    """What is left of a layer that does nothing: images of bytes become numbers in the first that augments."""
    dtype = keras.backend.standardize_dtype(layer.output.dtype)

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        return x if keras.backend.standardize_dtype(x.dtype) == dtype else keras.ops.cast(x, dtype)

    return call


def _normalized(layer: keras.layers.Normalization) -> Change:
    """What a normalization of given or adapted numbers does, by numbers in the configs of layers.

    Keras' own holds tensors, which become inputs of their own in a file of ONNX.
    """
    mean = np.array(keras.ops.convert_to_numpy(layer.mean))
    deviation = np.maximum(np.sqrt(keras.ops.convert_to_numpy(layer.variance)), np.float32(keras.backend.epsilon()))
    steps: list[Any] = [(1.0, -mean), (1 / deviation, 0.0)]
    if layer.invert:
        steps = [(deviation, 0.0), (1.0, mean)]
    names = (f"{layer.name}_first", layer.name)
    first, second = (layers.Rescaling(*step, name=name, dtype=layer.dtype_policy) for step, name in zip(steps, names))

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        return second(first(x))

    return call


def _nothing(x: Any, *args: Any, **kwargs: Any) -> Any:
    return x


def _normalization_folded(first: Any, second: Any) -> dict[int, Change]:
    if folds_behind(second, first):
        norm, layer, weights = second, first, behind(first, affine_of(second))
    elif folds_before(first, second):
        norm, layer, weights = first, second, before(second, affine_of(first))
    else:
        return {}
    return {id(norm): _nothing, id(layer): with_weights(layer, weights)}


def _activation_folded(first: Any, second: Any) -> dict[int, Change]:
    if not takes_activation(first, second):
        return {}
    return {id(first): activated(first, second), id(second): _nothing}


def _foldings(graph: keras.Model, fold: Callable[[Any, Any], dict[int, Change]]) -> dict[int, Change]:
    """The identity of a layer -> what takes its place, of some pairs of a layer and the one behind it."""
    made_by: dict[int, Any] = {}
    taken_by: dict[int, Any] = {}
    times_called: Counter[int] = Counter()
    times_taken = Counter(id(tensor) for tensor in graph.outputs)
    for operation, inputs, outputs in calls(graph):
        times_called[id(operation)] += 1
        times_taken.update(map(id, inputs))
        made_by.update(dict.fromkeys(map(id, outputs), operation))
        taken_by.update(dict.fromkeys(map(id, inputs), operation))
    busy = {id(operation) for operation in told_to_train(graph)}
    changes: dict[int, Change] = {}
    for tensor, first in made_by.items():
        second = taken_by.get(tensor)
        pair = (id(first), id(second))
        alone = times_taken[tensor] == times_called[pair[0]] == times_called[pair[1]] == 1
        if not alone or busy.intersection(pair) or any(part in changes for part in pair):
            continue
        changes |= fold(first, second)
    return changes
