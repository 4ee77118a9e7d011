"""A model's feature maps by their levels: how often their size was halved."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from keras_blocks.core.graphs import calls

SIDE = 512
"""Height and width of the image on which the levels of a model for images of any size are found."""


def levels_of(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """A model's feature maps by their levels: "P3" is the last one with an eighth of the image's height.

    From its `pyramid_outputs`, as KerasHub's backbones have, or else its `features`, name -> tensor, as ours.

    Raises:
        ValueError: for a model that has neither.
    """
    found = getattr(model, "pyramid_outputs", None)
    if isinstance(found, Mapping) and found:
        return dict(found)
    features = getattr(model, "features", None)
    if not isinstance(features, Mapping) or not features:
        raise ValueError(
            f"`backbone` must be a model with `pyramid_outputs`, such as {{'P4': tensor, 'P5': tensor}}, or "
            f"`features`, name -> tensor; '{model.name}' has neither: set `model.pyramid_outputs` to a dict of its "
            "feature maps, 'P4' being a sixteenth of the image's size."
        )
    return pyramid_outputs(model, features)


def pyramid_outputs(model: keras.Model, features: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """Of each size the last feature map, by the level that it is."""
    axis = 1 if getattr(model, "data_format", keras.config.image_data_format()) == "channels_last" else 2
    height = model.inputs[0].shape[axis]
    sizes = {name: tensor.shape[axis] for name, tensor in features.items()}
    if height is None or None in sizes.values():
        height, sizes = _sizes(model, features, axis)
    levels = {}
    for name, tensor in features.items():
        levels[f"P{round(math.log2(height / sizes[name]))}"] = tensor
    return levels


def _sizes(model: keras.Model, features: Mapping[str, Any], axis: int) -> tuple[int, dict[str, int]]:
    """The height of an image, of SIDE pixels where the model takes any, and those of its feature maps."""
    shape = [1, *(SIDE if size is None else size for size in model.inputs[0].shape[1:])]
    graph = keras.Function(model.inputs[:1], dict(features))
    found = graph.compute_output_spec([keras.KerasTensor(shape, model.inputs[0].dtype)])
    return shape[axis], {name: tensor.shape[axis] for name, tensor in found.items()}


def named_levels(model: keras.Model) -> dict[str, str]:
    """Level -> name of the layer that gives it, of a functional model of Keras' own on which they were set.

    Its file does not hold them; a class of someone's own brings them itself. None where there are no such.
    """
    found = getattr(model, "pyramid_outputs", None)
    if not isinstance(found, Mapping) or type(model).__module__.partition(".")[0] != "keras":
        return {}
    layers = {id(tensors[0]): layer.name for layer, _, tensors in calls(model)}
    return {level: layers[id(tensor)] for level, tensor in found.items() if id(tensor) in layers}


def set_levels(model: keras.Model, names: Mapping[str, str]) -> None:
    """Sets those levels again."""
    if names:
        model.pyramid_outputs = {level: model.get_layer(name).output for level, name in names.items()}
