"""What stands in front of a network: part of the model and of its file, and yet removable."""

import inspect

import keras

from keras_blocks.core.registration import register

NEEDS_LABELS = (keras.layers.MixUp, keras.layers.CutMix)


@register
class PreprocessingPipeline(keras.layers.Pipeline):
    """A pipeline that takes integers as the model does: as float32.

    Keras' `Resizing` of integer images rounds to integers again, for instance.
    """

    def __init__(self, layers, name=None):
        super().__init__(layers, name=name)
        self.as_float = keras.layers.Rescaling(1.0, dtype="float32")  # a cast that works in tf.data under any backend

    def call(self, inputs, training=True, mask=None):
        return super().call(self.as_float(inputs), training=training, mask=mask)


def unless_training(layer):
    """The layer, to be called on a Keras tensor, such that it augments in training alone.

    Keras' random layers do it whenever they are not told otherwise. What a layer is told here is kept in the graph, and
    so holds in every model that is built on that graph, until a model is told of `training`.
    """
    told = {"training": False} if "training" in inspect.signature(layer.call).parameters else {}
    return lambda x: layer(x, **told)


def preprocessing_layers(name, value) -> tuple:
    """A layer, a list of layers, a pipeline of layers, or None, as a tuple of layers that need no labels."""
    if isinstance(value, keras.layers.Pipeline):
        value = value.layers
    layers = value if isinstance(value, (list, tuple)) else () if value is None else (value,)
    for layer in layers:
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(f"`{name}` must be a Keras layer or a list of them; received {layer!r}.")
        if isinstance(layer, NEEDS_LABELS):
            raise ValueError(
                f"`{name}` must be layers that leave the labels as they are; {type(layer).__name__} mixes them: map "
                "it over a tf.data.Dataset of {'images': ..., 'labels': ...}, with one-hot labels."
            )
    return tuple(layers)


def shape_after(layers, shape):
    """The shape of one image behind the layers, or None where they cannot take it."""
    shape = (None, *shape)
    try:
        for layer in layers:
            shape = tuple(layer.compute_output_shape(shape))
    except (TypeError, ValueError):
        return None
    return shape[1:]
