"""Network: a functional model that is assembled from metaparameters, and can be saved, opened and counted."""

import contextvars

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import Block, freeze_part, frozen_parts
from keras_blocks.core.chain import ShapeTensor
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.layers import SHARED, LayerFactory, serialized
from keras_blocks.core.signature import arguments
from keras_blocks.models.preprocessing import DetachablePreprocessing, preprocessing_layers, unless_training
from keras_blocks.models.side_outputs import SideOutputs
from keras_blocks.models.variants import Variants

_OUTLINING = contextvars.ContextVar("outlining", default=False)


class Network(LayerFactory, Variants, DetachablePreprocessing, SideOutputs, keras.Model):
    """What all models of the library are: a functional model whose graph `assemble` makes of metaparameters.

    The constructor's arguments are the metaparameters; they are plain data, cannot be changed, and are what a saved
    file holds. A subclass passes its own, validated, as `own`, and adds layers by
    `self.layer(name, cls, **options)(x)`, which hands down the shared settings, the data format and the dtype.

    Args:
        own: the subclass' own metaparameters.
        input_shape, input_tensor, preprocess, activation, batch_norm, use_bias, kernel_initializer,
            kernel_regularizer, data_format, remat, dtype, name, trainable: see `Architecture`.
    """

    default_input_shape = (224, 224, 3)

    def __init__(
        self,
        own,
        *,
        input_shape=None,
        input_tensor=None,
        preprocess=None,
        activation="relu",
        batch_norm=False,
        use_bias=None,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        data_format=None,
        remat=False,
        dtype=None,
        name=None,
        trainable=True,
    ):
        self.dtype_policy = dtype or keras.config.dtype_policy()
        self._set_settings(
            activation=activation,
            batch_norm=batch_norm,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            data_format=data_format,
            remat=remat,
        )
        if input_tensor is not None:
            input_shape = _shape_of_input(input_tensor, input_shape)
        self.metaparameters = FrozenDict(
            {
                **own,
                "input_shape": self._image_shape(input_shape),
                "preprocess": preprocessing_layers("preprocess", preprocess),
            }
        )
        self._features, self._side_outputs = {}, {}
        if _OUTLINING.get():
            return
        inputs = keras.Input(self.metaparameters.input_shape, name="image") if input_tensor is None else input_tensor
        self._connect(inputs, self.assemble(inputs), name=name, trainable=trainable)

    def _connect(self, inputs, outputs, **options):
        """Makes the outline a functional model."""
        policy = self.dtype_policy
        super().__init__(inputs=inputs, outputs=outputs, **options)
        self.dtype_policy = policy

    # -- its parts --------------------------------------------------------------------------------------------------

    def preprocess(self, x):
        """The layers given as `preprocess`, in turn."""
        for layer in self.metaparameters.preprocess:
            x = x.through(layer) if isinstance(x, ShapeTensor) else unless_training(layer)(x)
        return x

    def assemble(self, x):
        """All parts in turn: the model's output for the input `x`, a dict where there are auxiliary ones."""
        raise NotImplementedError

    @classmethod
    def outline(cls, **metaparameters):
        """The architecture before anything is built: its `metaparameters`, and its parts to be used alone.

        Returns:
            An object with the methods `preprocess`, `stem`, `learner`, `classifier` and `assemble`, each of which adds
            new layers to the Keras tensor that it is given. It is no model yet: it has no layers and no weights.
        """
        token = _OUTLINING.set(True)
        try:
            return cls(**metaparameters)
        finally:
            _OUTLINING.reset(token)

    # -- what the parts are written with ----------------------------------------------------------------------------

    def feature(self, name, x):
        """Notes `x` as the feature map of this name, and returns it."""
        self._features[name] = x
        return x

    # -- what users ask of the model --------------------------------------------------------------------------------

    @property
    def features(self) -> dict:
        """Name -> Keras tensor of the stem's and each group's output, to build further models on."""
        return dict(self._features)

    def freeze(self, up_to=None) -> None:
        """Freezes the layers up to and including a feature map; frozen BatchNormalization works as in inference.

        To train what follows, compile the model afterwards. `model.trainable = True` thaws everything.

        Args:
            up_to: a key of `features`, such as "stem" or "group3"; `None` for all but the classifier.

        Raises:
            ValueError: for a name that is no feature map, with those that are.

        Example:

        >>> model = keras_blocks.create_model("resnet18", classes=10, input_shape=(64, 64, 3))
        >>> model.freeze(up_to="group3")
        >>> model.get_layer("group3_block2").trainable, model.get_layer("group4_block1").trainable
        (False, True)
        """
        up_to = list(self._features)[-1] if up_to is None else validation.choice("up_to", up_to, tuple(self._features))
        for layer in keras.Model(self.inputs, self._features[up_to]).layers:
            layer.trainable = False

    def weight_names(self) -> dict:
        """Convention -> {path of a layer in this model: its name in published weights}, for `convert_weights`."""
        return {}

    def expand(self):
        """A flat functional model of plain Keras layers that shares this model's weights, with every block opened."""
        inputs = keras.Input(self.metaparameters.input_shape, name="image")
        return keras.Model(inputs, opened(self, inputs), name=f"{self.name}_expanded")

    def _arguments(self) -> dict:
        """The constructor's arguments."""
        found = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy}
        found.update({name: getattr(self, name) for name in SHARED})
        found.update(self.metaparameters)
        # What a subclass takes beyond that, it keeps as an attribute of the same name.
        more = set(arguments(type(self))) - set(found) - {"own", "input_tensor"}
        return {**found, **{name: getattr(self, name) for name in sorted(more)}}

    def get_config(self):
        config = {**self._arguments(), "dtype": None}
        config = {**serialized(config), "dtype": keras.dtype_policies.serialize(self.dtype_policy)}
        if frozen := frozen_parts(self):
            config["frozen"] = frozen
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        frozen = config.pop("frozen", ())
        with keras.saving.CustomObjectScope(custom_objects or {}):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
            config["preprocess"] = [keras.saving.deserialize_keras_object(item) for item in config["preprocess"]]
            model = cls(**config)
        for path in frozen:
            freeze_part(model, path)
        return model

    def _with_preprocessing(self, layers, input_shape):
        """This model's layers behind others."""
        model = type(self).outline(**{**self._arguments(), "preprocess": layers, "input_shape": input_shape})
        inputs = keras.Input(model.metaparameters.input_shape, name="image")
        model._preprocessed = model.preprocess(inputs)
        parts = {"outputs": self.output, "features": self.features}
        graph = keras.Model(self._preprocessed, parts)
        parts = graph._run_through_graph([model._preprocessed], operation_fn=lambda operation: operation)
        model._features = parts["features"]
        model._side_outputs = {
            name: (parts["outputs"][name], weight) for name, (_, weight) in self._side_outputs.items()
        }
        model._connect(inputs, parts["outputs"], name=self.name, trainable=self.trainable)
        return model

    def __repr__(self):
        return super().__repr__() if hasattr(self, "_operations") else f"<outline of {type(self).__name__}>"

    def _image_shape(self, shape):
        if shape is None:
            height, width, channels = self.default_input_shape
            return (height, width, channels) if self.data_format == "channels_last" else (channels, height, width)
        shape = validation.sequence("input_shape", shape, of="height, width and channels, in the data format's order")
        if len(shape) != 3:
            raise ValueError(f"`input_shape` must have 3 sizes, without the batch; received {tuple(shape)}.")
        if self.channels((None, *shape)) is None:
            raise ValueError(f"`input_shape` must give the number of channels; received {tuple(shape)}.")
        return tuple(None if size is None else validation.integer("input_shape", size) for size in shape)


def opened(model, x):
    """The model's graph applied to `x`, with blocks, and models within the model, opened."""

    def open_operation(operation):
        if isinstance(operation, Block):
            return operation.expand
        if isinstance(operation, keras.Sequential) or hasattr(operation, "_run_through_graph"):
            return lambda inner, **ignored: opened(operation, inner)
        return operation

    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            x = open_operation(layer)(x)
        return x
    return model._run_through_graph([x], operation_fn=open_operation)


def _shape_of_input(tensor, input_shape):
    """The image shape of a `keras.Input`, which must agree with `input_shape` where that is given."""
    if not isinstance(tensor, keras.KerasTensor):
        raise TypeError(f"`input_tensor` must be a keras.Input; received {type(tensor).__name__}.")
    history = getattr(tensor, "_keras_history", None)
    if history is None or not isinstance(history.operation, keras.layers.InputLayer):
        raise ValueError(
            "`input_tensor` must be a keras.Input. To put the model behind other layers, call it: model(tensor)."
        )
    shape = tuple(tensor.shape[1:])
    if input_shape is not None and tuple(input_shape) != shape:
        raise ValueError(f"`input_shape` must be `input_tensor`'s, {shape}; received {tuple(input_shape)}.")
    return shape
