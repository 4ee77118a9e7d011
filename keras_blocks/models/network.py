"""Network: a functional model that is assembled from metaparameters, and can be saved, opened and counted."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import changed_parts, freeze_part, frozen_parts, part_at
from keras_blocks.core.chain import ShapeTensor
from keras_blocks.core.freeing import run_freeing, runs_freeing
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.inner import remember, restore
from keras_blocks.core.keywords import accepted, refuse_unknown
from keras_blocks.core.layers import SETTINGS, LayerFactory, serialized
from keras_blocks.core.signature import arguments, check_kept, followed_by
from keras_blocks.core.trainable import set_trainable, trained_whole
from keras_blocks.models.assembly import Assembly, named_inputs, shape_of_input
from keras_blocks.models.freezing import feature_name, train_all_but
from keras_blocks.models.legacy_h5 import saved_readably
from keras_blocks.models.preprocessing import PreprocessingPipeline, preprocessing_layers, shape_after, unless_training
from keras_blocks.models.tracing import opened
from keras_blocks.typing import Config, Shape, Tensor

Names: TypeAlias = dict[str, dict[str, str]]
"""Convention -> {path of a layer in a model: its name in published weights}."""


@saved_readably
@trained_whole
class Network(LayerFactory, keras.Model):
    """What all models of the library are: a functional model whose graph `assemble` makes of metaparameters.

    The constructor's arguments are the metaparameters; they are plain data, cannot be changed, and are what a saved
    file holds. A subclass passes its own, validated, as `own`, and adds layers by
    `self.layer(name, cls, **options)(x)`, which hands down the shared settings, the data format and the dtype.

    Args:
        own: the subclass' own metaparameters.
        input_tensor: see `Architecture`; or an `Assembly` that exists already: of an outline, which is empty, or one
            that shares another model's layers.
        input_shape, preprocess, dtype, name, trainable, **settings: see `Architecture`.
    """

    default_input_shape: tuple[int, int, int] = (224, 224, 3)

    input_names: tuple[str, ...] = ("image",)
    """Names of the model's inputs, each an image of `input_shape`; an `input_tensor` with a name brings its own."""

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Name -> metaparameters of the published networks."""

    sources: ClassVar[Mapping[str, str]] = {}
    """Name -> where the variant is published: whose layers, counts and details of padding and normalization it has."""

    published: ClassVar[Mapping[str, str]] = {}
    """Name -> function of keras.applications whose ImageNet weights the variant takes, by `weights="imagenet"`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A class that keeps none of an argument is told so when the first model is made, not when it is saved."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = followed_by(cls.__init__, cls._check_kept)  # type: ignore[method-assign]

    def __init__(
        self,
        own: Mapping[str, Any],
        *,
        input_shape: Sequence[int | None] | None = None,
        input_tensor: keras.KerasTensor | Assembly | None = None,
        preprocess: Any = None,
        dtype: Any = None,
        name: str | None = None,
        trainable: bool = True,
        **settings: Any,
    ):
        refuse_unknown(type(self), settings, SETTINGS, accepted(type(self)))
        self.dtype_policy = dtype or keras.config.dtype_policy()
        LayerFactory.__init__(self, **{**self.default_settings, **settings})
        given = input_tensor is not None and not isinstance(input_tensor, Assembly)
        self.metaparameters = FrozenDict(
            {
                **own,
                "input_shape": self._image_shape(shape_of_input(input_tensor, input_shape) if given else input_shape),
                "preprocess": preprocessing_layers("preprocess", preprocess),
            }
        )
        if isinstance(input_tensor, Assembly):
            self.assembly = input_tensor
        else:
            self.assembly = Assembly(inputs=input_tensor if given else self.make_inputs())
            self.assembly.outputs = self.assemble(self.assembly.inputs)
        if ends := self.assembly.ends:
            super(LayerFactory, self).__init__(**ends, name=name, trainable=trainable)
            self.input_names = named_inputs(self) or self.input_names
            if not (trainable or isinstance(input_tensor, Assembly)):  # Keras leaves the layers, which normalize, as is
                set_trainable(self, False)
            remember(self)
        else:  # an outline, which has no graph, and so is none of `keras.Functional`, which Keras puts among the bases
            keras.Model.__init__(self, name=name, trainable=trainable)

    @property
    def dtype_policy(self) -> Any:
        return self._policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        # Keras' own is always the global one in a functional model.
        self._policy = keras.dtype_policies.get(value)

    # -- how it is made ---------------------------------------------------------------------------------------------

    @classmethod
    def from_variant(cls, variant: str, /, **overrides: Any) -> Self:
        """The published network of this name.

        Args:
            variant: a key of the class' `variants`.
            **overrides: constructor's arguments that replace the variant's.

        Raises:
            ValueError: for an unknown name, with the nearest ones.
        """
        validation.choice("variant", variant, cls.variants, where=f"`{cls.__name__}.variants`")
        metaparameters = {"name": variant, **cls.variants[variant], **overrides}
        if overrides.get("input_tensor") is not None and "input_shape" not in overrides:
            metaparameters.pop("input_shape", None)  # the tensor has its own
        return cls(**metaparameters)

    @classmethod
    def outline(cls, **metaparameters: Any) -> Self:
        """The architecture before anything is built: its `metaparameters`, and its parts to be used alone.

        Returns:
            An object with the methods `preprocess`, `stem`, `learner`, `classifier` and `assemble`, each of which adds
            new layers to the Keras tensor that it is given. It is no model yet: it has no layers and no weights.
        """
        name = metaparameters.get("name") or "outline"  # Keras would count it
        return cls(**{**metaparameters, "name": name, "input_tensor": Assembly()})

    def make_inputs(self) -> Any:
        """What the model takes, and `assemble` is given: a `keras.Input`, or a list of several."""
        inputs = [keras.Input(self.metaparameters.input_shape, name=name) for name in self.input_names]
        return inputs[0] if len(inputs) == 1 else inputs

    # -- its parts --------------------------------------------------------------------------------------------------

    def preprocess(self, x: Tensor) -> Tensor:
        """The layers given as `preprocess`, in turn."""
        for layer in self.metaparameters.preprocess:
            x = x.through(layer) if isinstance(x, ShapeTensor) else unless_training(layer)(x)
        return x

    def assemble(self, x: Tensor) -> Tensor:
        """All parts in turn: from the model's inputs to its outputs. It notes the preprocessed images."""
        raise NotImplementedError

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is None and runs_freeing(self, inputs):
            return run_freeing(self, inputs, training)
        return super().call(inputs, training=training, mask=mask)  # keras.Functional's

    def feature(self, name: str, x: Tensor) -> Tensor:
        """Notes `x` as the feature map of this name, and returns it."""
        self.assembly.features[name] = x
        return x

    # -- what users ask of the model --------------------------------------------------------------------------------

    @property
    def features(self) -> dict[str, keras.KerasTensor]:
        """Name -> Keras tensor of the stem's and each group's output, to build further models on."""
        return dict(self.assembly.features)

    def freeze(self, up_to: str | None = None) -> None:
        """Freezes the layers up to and including a feature map, and thaws all others, whatever was set before.

        Frozen BatchNormalization works as in inference. A model that is compiled must be compiled again, as what it
        trains is settled there. `unfreeze` thaws more, `model.trainable = False` freezes everything.

        Args:
            up_to: a key of `features`, such as "stem" or "group3", of a `Siamese` the backbone's; `None` for the last,
                and so all but the classifier.

        Raises:
            ValueError: for a name that is no feature map, with those that are.

        Example:

        >>> model = keras_blocks.create_model("resnet18", classes=10, input_shape=(64, 64, 3))
        >>> model.freeze(up_to="group3")
        >>> model.get_layer("group3_block2").trainable, model.get_layer("group4_block1").trainable
        (False, True)
        """
        up_to = feature_name("up_to", up_to, self._feature_names(), self)
        train_all_but(self, self._layers_up_to(up_to))

    def unfreeze(self, from_: str | None = None) -> None:
        """Thaws the layers from a feature map's on, its own included, and freezes those before, whatever was set.

        Compile the model again afterwards, see `freeze`.

        Args:
            from_: a key of `features`; `None` for the whole model.

        Raises:
            ValueError: for a name that is no feature map, with those that are.

        Example: first the classifier alone is trained, then the last group with it.

        >>> model = keras_blocks.create_model("resnet18", classes=10, input_shape=(64, 64, 3))
        >>> model.freeze()
        >>> model.unfreeze(from_="group4")
        >>> model.get_layer("group3_block2").trainable, model.get_layer("group4_block1").trainable
        (False, True)
        """
        names = self._feature_names()
        before = () if from_ is None else names[: names.index(feature_name("from_", from_, names, self))]
        train_all_but(self, [layer for name in before for layer in self._layers_up_to(name)])

    def weight_names(self) -> dict[str, dict[str, str]]:
        """Convention -> {path of a layer in this model: its name in published weights}, for `convert_weights`."""
        return {}

    def misfit(self, convention: str) -> str | None:
        """Why weights under this convention's names would fit this model's shapes and give other outputs; or `None`."""
        return None

    def expand(self) -> keras.Model:
        """A flat functional model of plain Keras layers that shares this model's weights, with every block opened."""
        inputs = self.make_inputs()
        return keras.Model(inputs, opened(self, inputs), name=f"{self.name}_expanded")

    def detach_preprocessing(self) -> tuple[Self, keras.layers.Pipeline]:
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
        shape = tuple(self.assembly.preprocessed.shape[1:])
        return self._with_preprocessing((), shape), PreprocessingPipeline(list(layers))

    def attach_preprocessing(self, layers: Any, input_shape: Shape | None = None) -> Self:
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

    # -- what Keras asks of it --------------------------------------------------------------------------------------

    def compile_from_config(self, config: dict[str, Any]) -> None:
        # Keras' own leaves a model whose `compile` is not Keras' as it is.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def get_config(self) -> Config:
        config: Config = serialized({**self._arguments(), "dtype": None})
        config["dtype"] = keras.dtype_policies.serialize(self.dtype_policy)
        if frozen := self._frozen():
            config["frozen"] = frozen
        if tuple(self.input_names) != type(self).input_names:
            config["input_names"] = list(self.input_names)
        if inner := self._changed():
            config["inner"] = inner
        return config

    @classmethod
    def from_config(cls, config: Config, custom_objects: Mapping[str, Any] | None = None) -> Self:
        config = dict(config)
        frozen, inner = config.pop("frozen", ()), config.pop("inner", {})
        if names := config.pop("input_names", ()):  # of one input: no class takes several
            config["input_tensor"] = keras.Input(config["input_shape"], name=names[0])
        with keras.saving.CustomObjectScope(custom_objects or {}):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
            config["preprocess"] = [keras.saving.deserialize_keras_object(item) for item in config["preprocess"]]
            model = cls(**config)
        for path in frozen:
            model._freeze(path)
        for path, changed in inner.items():
            restore(model._part_at(path), changed)
        return model

    def _arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        found = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy}
        found.update({name: getattr(self, name) for name in SETTINGS})
        found.update(self.metaparameters)
        return {**found, **{name: getattr(self, name) for name in self._own_arguments()}}

    def _own_arguments(self) -> list[str]:
        """Names of what a subclass takes beyond metaparameters and settings, and keeps as attributes of these names."""
        known = {"name", "trainable", "dtype", "own", "input_tensor", *SETTINGS, *self.metaparameters}
        return sorted(set(arguments(type(self))) - known)

    def _check_kept(self) -> None:
        check_kept(f"{type(self).__name__} '{self.name}'", self, self._own_arguments())

    def _feature_names(self) -> tuple[str, ...]:
        """Names of the feature maps that the model may be frozen up to, in their order."""
        return tuple(self.assembly.features)

    def _layers_up_to(self, feature: str) -> list[keras.layers.Layer]:
        layers: list[keras.layers.Layer] = keras.Model(self.inputs, self.assembly.features[feature]).layers
        return layers

    def _frozen(self) -> list[str]:
        """Paths of the frozen layers of a model that is not frozen as a whole."""
        return frozen_parts(self)

    def _freeze(self, path: str) -> None:
        freeze_part(self, path)

    def _changed(self) -> dict[str, Any]:
        """Path -> what is set on a layer beside what the metaparameters say."""
        return changed_parts(self)

    def _part_at(self, path: str) -> Any:
        return part_at(self, path)

    def _with_preprocessing(self, layers: Any, input_shape: Shape) -> Self:
        """This model's layers behind others."""
        changed = {**self._arguments(), "preprocess": layers, "input_shape": input_shape}
        return type(self)(**changed, input_tensor=self._behind(type(self).outline(**changed)))

    def _behind(self, outline: Self) -> Assembly:
        """This model's layers behind an outline's preprocessing."""
        outline.input_names = self.input_names
        inputs = outline.make_inputs()
        return self.assembly.behind(inputs, outline.preprocess(inputs))

    def __repr__(self) -> str:
        return str(super().__repr__()) if self.assembly.ends else f"<outline of {type(self).__name__}>"

    def _image_shape(self, shape: Any) -> Shape:
        if shape is None:
            height, width, channels = self.default_input_shape
            return (height, width, channels) if self.data_format == "channels_last" else (channels, height, width)
        shape = validation.sequence("input_shape", shape, of="height, width and channels, in the data format's order")
        if len(shape) != 3:
            raise ValueError(f"`input_shape` must have 3 sizes, without the batch; received {tuple(shape)}.")
        if self.channels((None, *shape)) is None:
            raise ValueError(f"`input_shape` must give the number of channels; received {tuple(shape)}.")
        return tuple(validation.optional(validation.integer, "input_shape", size) for size in shape)
