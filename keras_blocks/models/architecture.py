"""Architecture: preprocess, stem, learner, classifier, assembled from metaparameters into a functional model."""

import contextvars
from collections.abc import Mapping

import keras

from keras_blocks import validation
from keras_blocks.block import Block, freeze_part, frozen_parts
from keras_blocks.chain import LayerSpec, ShapeTensor
from keras_blocks.decoding import decode_predictions
from keras_blocks.frozen import Frozen
from keras_blocks.models.preprocessing import DetachablePreprocessing, preprocessing_layers
from keras_blocks.models.side_outputs import MAIN, SideOutputs, main_only
from keras_blocks.settings import SHARED, Settings, serialized
from keras_blocks.signature import arguments

_OUTLINING = contextvars.ContextVar("outlining", default=False)


class Architecture(Settings, DetachablePreprocessing, SideOutputs, keras.Model):
    """A functional model in four parts: `preprocess`, `stem`, `learner`, `classifier`.

    Each part is a method that takes and returns a Keras tensor, so a subclass overrides one and keeps the others, and
    `outline(...)` gives them to be used alone. The constructor's arguments are the metaparameters; they are plain data,
    cannot be changed, and are what a saved file holds.

    A subclass passes its own metaparameters, validated, as `own`, and adds layers by
    `self.layer(name, cls, **options)(x)`, which hands down the shared settings, the data format and the dtype.

    Args:
        own: the subclass' own metaparameters.
        input_shape: (height, width, channels) in the data format, height and width `None` for any; the class'
            `default_input_shape` where it is `None`.
        input_tensor: a `keras.Input` to build the model on, in place of `input_shape`.
        classes: number of classes.
        include_top: whether the classifier is part of the model.
        pooling: with `include_top=False`: `None` for the feature map, "avg" or "max" for its global pooling.
        classifier_activation: activation of the output; `None` for logits. Computed in float32 under a mixed policy.
        preprocess: Keras layer or list of layers put in front, part of the model and of the saved file; what augments
            does so in training alone. `input_shape` is then that of the images as they come, such as (None, None, 3)
            in front of a `Resizing`. See `detach_preprocessing`.
        labels: the classes' names, kept in the saved file, for `decode_predictions`; `None` for none.
        activation, batch_norm, use_bias, kernel_initializer, kernel_regularizer, data_format, remat: the settings that
            all blocks share, see `keras_blocks.Block`.
        dtype: dtype policy of all layers; `None` is Keras' global policy.
        name, trainable: as in every Keras model.
    """

    variants: dict = {}
    """Name -> metaparameters of the published networks."""

    sources: dict = {}
    """Name -> where the variant is published: whose layers, counts and details of padding and normalization it has."""

    published: dict = {}
    """Name -> function of keras.applications whose ImageNet weights the variant takes, by `weights="imagenet"`."""

    default_input_shape = (224, 224, 3)

    def __init__(
        self,
        own,
        *,
        input_shape=None,
        input_tensor=None,
        classes=1000,
        include_top=True,
        pooling=None,
        classifier_activation="softmax",
        preprocess=None,
        labels=None,
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
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        object.__setattr__(self, "_policy", policy)
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
        classes = validation.integer("classes", classes)
        self.metaparameters = Frozen(
            {
                **own,
                "input_shape": self._image_shape(input_shape),
                "classes": classes,
                "labels": None if labels is None else validation.names("labels", labels, count=classes),
                "include_top": validation.boolean("include_top", include_top),
                "pooling": validation.choice("pooling", pooling, (None, "avg", "max")),
                "classifier_activation": validation.activation("classifier_activation", classifier_activation),
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

    # -- the four parts ---------------------------------------------------------------------------------------------

    def preprocess(self, x):
        """The layers given as `preprocess`, in turn."""
        for layer in self.metaparameters.preprocess:
            x = x.through(layer) if isinstance(x, ShapeTensor) else layer(x)
        return x

    def stem(self, x):
        """The layers before the first group."""
        raise NotImplementedError

    def learner(self, x):
        """The groups of blocks."""
        raise NotImplementedError

    def classifier(self, x):
        """From the learner's feature map to the output."""
        raise NotImplementedError

    def assemble(self, x):
        """All parts in turn: the model's output for the input `x`, a dict where there are auxiliary ones."""
        self._preprocessed = self.preprocess(x)
        x = self.learner(self.stem(self._preprocessed))
        if self.metaparameters.include_top:
            return self.with_side_outputs(self.classifier(x))
        if self.metaparameters.pooling is None:
            return x
        return self.global_pool("pool", self.metaparameters.pooling)(x)

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

    @property
    def dtype_policy(self):
        return self._policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        object.__setattr__(self, "_policy", keras.dtype_policies.get(value))

    def feature(self, name, x):
        """Notes `x` as the feature map of this name, and returns it."""
        self._features[name] = x
        return x

    def global_pool(self, name, kind) -> LayerSpec:
        pooling = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
        return self.layer(name, pooling[kind])

    def output_activation(self, name="predictions") -> LayerSpec:
        """The classifier's activation."""
        return self.probabilities(name, self.metaparameters.classifier_activation)

    # -- what users ask of the model --------------------------------------------------------------------------------

    @property
    def features(self) -> dict:
        """Name -> Keras tensor of the stem's and each group's output, to build further models on."""
        return dict(self._features)

    def decode_predictions(self, predictions, top=5, threshold=None):
        """The best classes of each image, by the names given as `labels`.

        Args:
            predictions: the model's outputs, or what `predict` gives; of auxiliary ones, the main one counts.
            top, threshold: see `keras_blocks.decode_predictions`.

        Returns:
            For each image a list of `(index, name, score)`, the best first.

        Raises:
            ValueError: for a model without `labels`, or outputs of another number of classes.

        Example:

        >>> net = keras_blocks.create_model("resnet20_cifar", classes=2, labels=["cat", "dog"])
        >>> net.decode_predictions([[0.25, 0.75]], top=1)
        [[(1, 'dog', 0.75)]]
        """
        if self.metaparameters.labels is None:
            raise ValueError(
                f"the model '{self.name}' has no `labels`: give them at construction, or use "
                "`keras_blocks.decode_predictions(predictions, labels)`."
            )
        if self._side_outputs and isinstance(predictions, Mapping):
            predictions = predictions[MAIN]
        return decode_predictions(predictions, self.metaparameters.labels, top, threshold)

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

    def without_auxiliary(self):
        """The model without its auxiliary classifiers, sharing all other layers with this one.

        Its output is this model's main one, not a dict of one. If this model is compiled, it is compiled for the same
        loss and metrics, with an optimizer of its own. A model that has none is returned as it is.

        Example:

        >>> model = keras_blocks.create_model("googlenet_cifar", auxiliary=True)
        >>> sorted(model.output), model.without_auxiliary().output.shape
        (['aux_1', 'aux_2', 'predictions'], (None, 10))
        """
        if not self._side_outputs:
            return self
        model = type(self).outline(**{**self._arguments(), "auxiliary": False})
        model._features, model._preprocessed = dict(self._features), self._preprocessed
        model._connect(self.input, self.output[MAIN], name=self.name, trainable=self.trainable)
        if self.compiled:
            model.compile_from_config(main_only(self.get_compile_config()))
        return model

    def published_names(self) -> dict:
        """Convention -> {path of a layer in this model: its name in published weights}, for `convert_weights`."""
        return {}

    def expand(self):
        """A flat functional model of plain Keras layers that shares this model's weights, with every block opened."""
        inputs = keras.Input(self.metaparameters.input_shape, name="image")
        return keras.Model(inputs, opened(self, inputs), name=f"{self.name}_expanded")

    @classmethod
    def from_variant(cls, variant, /, **overrides):
        """The published network of this name.

        Args:
            variant: a key of the class' `variants`.
            **overrides: constructor's arguments that replace the variant's.

        Raises:
            ValueError: for an unknown name, with the nearest ones.
        """
        validation.choice("variant", variant, tuple(cls.variants))
        return cls(**{"name": variant, **cls.variants[variant], **overrides})

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
