"""What stands in front of a network: part of the model and of its file, and yet removable."""

import inspect

import keras

from keras_blocks.core.registration import register

NEEDS_LABELS = (keras.layers.MixUp, keras.layers.CutMix)


class DetachablePreprocessing:
    """Mixed into `Network` and `Siamese`: takes the layers given as `preprocess` off the model, and puts others on."""

    def detach_preprocessing(self):
        """The model without its preprocessing, and the preprocessing, for instance for use in `tf.data`.

        All layers are shared with this model, which stays what it was: train one, and the other has learned it.

        Returns:
            `(model, pipeline)`: a model of the same class, not compiled, with the preprocessed images' shape as its
            `input_shape`; and a `keras.layers.Pipeline`, a layer which, unlike a `Sequential`, works in `tf.data`
            under every backend. As any such layer, it augments unless called with `training=False`; with it,
            `model(pipeline(images, training=False))` has this model's outputs, bit for bit.

        Raises:
            ValueError: for a model without preprocessing.

        Example:

        >>> net = keras_blocks.create_model(
        ...     "resnet18", input_shape=(None, None, 3), classes=10,
        ...     preprocess=[keras.layers.Resizing(64, 64), keras_blocks.ImageNormalization("torch")],
        ... )
        >>> bare, pipeline = net.detach_preprocessing()
        >>> net.input_shape, bare.input_shape, [type(layer).__name__ for layer in pipeline.layers]
        ((None, None, None, 3), (None, 64, 64, 3), ['Resizing', 'ImageNormalization'])
        >>> bare.attach_preprocessing(pipeline).input_shape
        (None, None, None, 3)
        """
        layers = self.metaparameters.preprocess
        if not layers:
            raise ValueError(f"the model '{self.name}' has no preprocessing to detach.")
        shape = tuple(self._preprocessed.shape[1:])
        return self._with_preprocessing((), shape), PreprocessingPipeline(list(layers))

    def attach_preprocessing(self, layers, input_shape=None):
        """The model behind preprocessing layers: a new one, not compiled, which shares all layers with this one.

        Args:
            layers: Keras layer, list of layers, or the pipeline that `detach_preprocessing` gave.
            input_shape: (height, width, channels) of the images as they come, in the data format. `None`: height and
                width are any where the layers bring all images to this model's size, else this model's own.

        Returns:
            A model of the same class.

        Raises:
            TypeError: for what is no layer.
            ValueError: for a model that has preprocessing; for layers that do not give this model's `input_shape`.

        Example:

        >>> net = keras_blocks.create_model("resnet18", input_shape=(64, 64, 3), classes=10)
        >>> net.attach_preprocessing([keras.layers.Resizing(64, 64), keras.layers.Rescaling(1 / 255)]).input_shape
        (None, None, None, 3)
        """
        if self.metaparameters.preprocess:
            raise ValueError(f"the model '{self.name}' has preprocessing: detach it first by `detach_preprocessing`.")
        layers = preprocessing_layers("layers", layers)
        if not layers:
            raise ValueError("`layers` must be a Keras layer or a list of them that is not empty; received none.")
        own = self.metaparameters.input_shape
        if input_shape is None:
            channels = self.channels((None, *own))
            any_size = (None, None, channels) if self.data_format == "channels_last" else (channels, None, None)
            input_shape = any_size if shape_after(layers, any_size) == own else own
        after = shape_after(layers, input_shape)
        if after != own:
            raise ValueError(
                f"`layers` must give the model's `input_shape` {own}; images of {tuple(input_shape)} become {after}. "
                "`input_shape=` gives the shape of the images as they come."
            )
        return self._with_preprocessing(layers, input_shape)


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
