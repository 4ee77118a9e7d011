"""What a model sees in an image: feature maps of any layer, and Grad-CAM."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_blocks.core import validation
from keras_blocks.core.graphs import calls
from keras_blocks.look.expanding import flat_model, inputs_of
from keras_blocks.models.side_outputs import MAIN_OUTPUT
from keras_blocks.ops.gradients import value_and_gradient


def feature_maps(model: keras.Model, images: Any, layer: Any) -> Any:
    """What a layer or a block gives for images, however deep inside of a model it is.

    Args:
        model: any model that holds blocks, see `keras_blocks.expand`.
        images: a batch, as the model takes it; of several inputs a list or a dict.
        layer: a layer or a block, or its name; or a list of such. A layer in a block is called as in the model that
            `keras_blocks.expand` gives: "fire_squeeze" is `squeeze` in the block "fire".

    Returns:
        A NumPy array; of a list a dict, name -> array.

    Raises:
        ValueError: for a layer that is not in the model, with the nearest names; for a name that several have; for a
            model that cannot be expanded.

    Example:

    >>> import numpy as np, keras_blocks
    >>> net = keras_blocks.create_model("resnet20_cifar", classes=10)
    >>> keras_blocks.feature_maps(net, np.zeros((2, 32, 32, 3)), "group2_block1").shape
    (2, 16, 16, 32)
    """
    flat = Opened(model)
    layers = list(layer) if isinstance(layer, (list, tuple)) else [layer]
    if not layers:
        raise ValueError("`layer` must be a layer or its name, or a list of them that is not empty; received none.")
    tensors = [flat.tensor(one) for one in layers]
    graph = keras.Model(flat.inputs, tensors)
    alone = len(flat.graph.inputs) == 1 and not isinstance(images, Mapping)
    given = keras.ops.convert_to_tensor(images) if alone else _as_tensors(images)
    if alone:
        _check_batch(given, flat.graph.inputs[0].shape)  # Keras takes one image of a channel for a batch of its rows
    maps = [_array(one) for one in keras.tree.flatten(graph(given, training=False))]
    if not isinstance(layer, (list, tuple)):
        return maps[0]
    return dict(zip((one if isinstance(one, str) else one.name for one in layers), maps))


def grad_cam(model: keras.Model, images: Any, class_index: Any = None, layer: Any = None) -> np.ndarray:
    """Where a model looks when it tells a class: Grad-CAM, a heat map for each image.

    A layer's channels, each weighted by the mean gradient of the class' score with respect to it, are added up; what
    speaks against the class counts as 0. The score is the one before the softmax or sigmoid of the last layer, be that
    a layer of its own or a `Dense` with it inside; of any other layer with it inside, the probability's logarithm.

    Args:
        model: any model that holds blocks, of one input and one output of classes; see `keras_blocks.expand`. Of an
            architecture with auxiliary classifiers, the main output counts.
        images: a batch, as the model takes it.
        class_index: a class, or one for each image; `None` for each image's most probable one.
        layer: a layer or a block, or its name, see `feature_maps`; `None` for the last feature map before the output.

    Returns:
        NumPy array (batch, height, width) from 0 to 1, as large as the images; 0 throughout where nothing in an image
        speaks for the class.

    Raises:
        ValueError: for a class that there is not; for a layer that gives no feature map, or is not in the model.

    Reference:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017,
        section 3, equations 1 and 2.

    Example:

    >>> import numpy as np, keras_blocks
    >>> net = keras_blocks.create_model("resnet20_cifar", classes=10)
    >>> keras_blocks.grad_cam(net, np.random.uniform(size=(2, 32, 32, 3)), class_index=3).shape
    (2, 32, 32)
    """
    flat = Opened(model)
    if len(flat.graph.inputs) != 1:
        raise ValueError(f"`model` must take one batch of images; '{model.name}' has {len(flat.graph.inputs)} inputs.")
    images = keras.ops.convert_to_tensor(images, flat.graph.inputs[0].dtype)
    _check_batch(images, flat.graph.inputs[0].shape)
    scores = flat.scores()
    features = flat.last_map(scores) if layer is None else flat.tensor(layer)
    if len(features.shape) != 4:
        raise ValueError(
            f"`layer` must give feature maps, of 4 axes; received {layer!r}, which gives {features.shape}."
        )
    classes = _classes(class_index, len(images), int(scores.shape[-1]))
    maps = keras.Model(flat.inputs, features)(images, training=False)
    # What goes by the layer, as a shortcut does, is held as it is.
    output = flat.output()
    ends = [scores] if scores is output else [scores, output]  # each tensor once, or Keras does not connect them
    rest = keras.Model([features, *flat.graph.inputs], ends)

    def score(x: Any) -> tuple[Any, Any]:
        given = keras.tree.flatten(rest([x, images], training=False))
        found, outputs = given[0], given[-1]
        chosen = keras.ops.argmax(outputs, -1) if classes is None else keras.ops.convert_to_tensor(classes, "int32")
        found = keras.ops.log(found + 1e-30) if flat.squashed(scores) else found
        picked = keras.ops.one_hot(chosen, found.shape[-1], dtype=found.dtype)
        return keras.ops.sum(found * keras.ops.stop_gradient(picked)), chosen

    _, gradient = value_and_gradient(score, maps)
    found, weights = (_array(one).astype("float32") for one in (maps, gradient))
    axes, channels = ((1, 2), -1) if flat.channels_last() else ((2, 3), 1)
    heat = np.maximum((found * weights.mean(axes, keepdims=True)).sum(channels), 0)
    most = heat.max((1, 2), keepdims=True)
    heat = heat / np.where(most > 0, most, 1)
    size = images.shape[1:3] if flat.channels_last() else images.shape[2:4]
    resized = keras.ops.image.resize(heat[..., None], tuple(map(int, size)), "bilinear", data_format="channels_last")
    clipped: np.ndarray = np.clip(_array(resized)[..., 0], 0, 1)
    return clipped


@dataclasses.dataclass(frozen=True)
class Part:
    """Something in the model that has a name, and the tensors it gives, the last of which counts."""

    part: Any
    tensors: list[Any]


class Opened:
    """A model with all blocks opened, in which the tensors of blocks and layers are found by their names."""

    def __init__(self, model: keras.Model):
        if not isinstance(model, keras.Model):
            raise TypeError(f"`model` must be a Keras model; received {type(model).__name__}.")
        self.model, self.inputs = model, inputs_of(model)
        self.parts: dict[int, Part] = {}
        self.graph = flat_model(model, self.inputs, self._note)
        for operation, _, outputs in calls(self.graph):
            if isinstance(operation, keras.layers.Layer):
                self._note(operation, outputs)

    def tensor(self, layer: Any) -> keras.KerasTensor:
        """What a layer or a block gives, the last time that it is called."""
        if isinstance(layer, keras.layers.Layer):
            if id(layer) not in self.parts:
                raise ValueError(f"`layer` must be in the model '{self.model.name}'; '{layer.name}' is not.")
            return self._one(self.parts[id(layer)], layer.name)
        names = sorted({part.part.name for part in self.parts.values()})
        validation.choice("layer", layer, names, where=f"`keras_blocks.expand({self.model.name})`")
        found = [part for part in self.parts.values() if part.part.name == layer]
        if len(found) > 1:
            raise ValueError(f"`layer` must tell one of {len(found)} layers that are called {layer!r}: give it itself.")
        return self._one(found[0], layer)

    def output(self) -> keras.KerasTensor:
        """The output that tells classes."""
        outputs = self.graph.output
        if isinstance(outputs, Mapping) and MAIN_OUTPUT in outputs:
            outputs = outputs[MAIN_OUTPUT]
        flat = keras.tree.flatten(outputs)
        if len(flat) != 1 or len(flat[0].shape) != 2:
            raise ValueError(
                f"`model` must give one score for each class, (batch, classes); '{self.model.name}' gives "
                f"{[tuple(one.shape) for one in flat]}."
            )
        return flat[0]

    def scores(self) -> keras.KerasTensor:
        """The output before its softmax or sigmoid, where that is a layer of its own or part of a dense one."""
        output = self.output()
        for operation, inputs, outputs in calls(self.graph):
            if outputs[0] is not output or not squashes(operation):
                continue
            if isinstance(operation, keras.layers.Activation | keras.layers.Softmax):
                return inputs[0]
            # A sure model's probability is 1 in float32, and no gradient comes through it.
            if type(operation) is keras.layers.Dense and operation.quantization_mode is None:
                found = keras.ops.matmul(inputs[0], operation.kernel)
                return found if operation.bias is None else keras.ops.add(found, operation.bias)
        return output

    def squashed(self, scores: keras.KerasTensor) -> bool:
        """Whether the scores are probabilities: a softmax is part of the layer that computes them."""
        return any(outputs[0] is scores and squashes(operation) for operation, _, outputs in calls(self.graph))

    def last_map(self, scores: keras.KerasTensor) -> keras.KerasTensor:
        """The last feature map of more than a pixel, on the way to the scores."""
        way = calls(keras.Function(self.graph.inputs, scores))
        maps = [one for _, given, outputs in way if given for one in outputs if len(one.shape) == 4]
        axes = (1, 2) if self.channels_last() else (2, 3)
        wide = [one for one in maps if all(one.shape[axis] != 1 for axis in axes)]
        if not (found := wide or maps):
            raise ValueError(f"the model '{self.model.name}' has no feature maps, of 4 axes, on the way to its output.")
        return found[-1]

    def channels_last(self) -> bool:
        """Where the channels of its feature maps are."""
        told = [getattr(operation, "data_format", None) for operation in self.graph.operations]
        formats = [one for one in told if one] or [keras.config.image_data_format()]
        return bool(formats[0] == "channels_last")

    def _note(self, part: Any, outputs: Any) -> None:
        self.parts.setdefault(id(part), Part(part, [])).tensors.append(outputs)

    def _one(self, part: Part, name: str) -> keras.KerasTensor:
        tensors = keras.tree.flatten(part.tensors[-1])
        if len(tensors) != 1:
            raise ValueError(f"`layer` must be of one output; '{name}' has {len(tensors)}.")
        return tensors[0]


def squashes(operation: Any) -> bool:
    """Whether it ends in a softmax or a sigmoid, which hides what a model is sure of."""
    name = getattr(getattr(operation, "activation", None), "__name__", "")
    return name in ("softmax", "sigmoid") or isinstance(operation, keras.layers.Softmax)


def _classes(given: Any, batch: int, count: int) -> list[int] | None:
    if given is None:
        return None
    given = given.tolist() if isinstance(given, np.ndarray) else given
    many = isinstance(given, Sequence) and not isinstance(given, str)
    classes = [validation.integer("class_index", one, least=0) for one in (given if many else [given])]
    classes = classes if many else classes * batch
    if len(classes) != batch or not all(0 <= one < count for one in classes):
        raise ValueError(
            f"`class_index` must be a class from 0 to {count - 1}, or one for each of {batch} images; received "
            f"{given!r}."
        )
    return classes


def _check_batch(images: Any, expected: Any) -> None:
    fits = len(images.shape) == len(expected)
    if not fits or any(b is not None and a != b for a, b in zip(images.shape, expected)):
        raise ValueError(
            f"`images` must be a batch of the shape {tuple(expected)}; received {tuple(images.shape)}. One image is a "
            "batch as `image[None]`."
        )


def _as_tensors(images: Any) -> Any:
    if isinstance(images, Mapping):
        return {name: keras.ops.convert_to_tensor(one) for name, one in images.items()}
    if isinstance(images, (list, tuple)):
        return [keras.ops.convert_to_tensor(one) for one in images]
    return keras.ops.convert_to_tensor(images)


def _array(x: Any) -> np.ndarray:
    x = keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
    return np.asarray(x)
