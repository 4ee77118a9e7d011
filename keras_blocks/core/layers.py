"""What the layers of a block, or the blocks of an architecture, have in common: bound once, handed down from here."""

import zlib
from collections.abc import Mapping
from typing import Any, Self

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.chain import Chain, Fork, LayerSpec, Split
from keras_blocks.core.grouped_conv2d import GroupedConv2D
from keras_blocks.core.immutable import FrozenDict, freeze, thaw
from keras_blocks.core.keywords import check_call
from keras_blocks.core.normalization import BatchNormalization
from keras_blocks.core.registration import class_named
from keras_blocks.core.reprs import html_of
from keras_blocks.core.shapes import as_pair
from keras_blocks.core.signature import takes
from keras_blocks.core.sizes import ChannelKind, ChannelPooling, ChannelSlice, SizeHow, SizeLike
from keras_blocks.ops.casting import wide
from keras_blocks.typing import Activation, BatchNorm, DataFormat, Initializer, Padding, Pair, Regularizer

SETTINGS = ("activation", "batch_norm", "use_bias", "kernel_initializer", "kernel_regularizer", "data_format", "remat")
"""The settings that an architecture hands to each of its blocks, and a block to each of its layers."""

NORMALIZED = FrozenDict({"batch_norm": True, "use_bias": False, "kernel_initializer": "he_normal"})
"""The default settings of ResNet and of what is built as it is."""


class LayerFactory:
    """Mixed into `Block` and `Network`: the shared settings, and the layers that follow from them.

    Its constructor is called by theirs, which pass the settings on: they are declared here alone. See `Block`.
    """

    dtype_policy: Any  # Keras' layers have it

    takes_more = False
    """See `keywords.NamedArguments`, which is no base: few classes stand between an architecture and Keras."""

    default_settings: Mapping[str, Any] = FrozenDict()
    """Name -> default of the settings for which a class has another default than the constructor below."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        check_call(cls, args, kwargs, takes_more=cls.takes_more)
        return super().__new__(cls, *args, **kwargs)

    def __init__(
        self,
        *,
        activation: Activation = "relu",
        batch_norm: BatchNorm = False,
        use_bias: bool | None = None,
        kernel_initializer: Initializer = "glorot_uniform",
        kernel_regularizer: Regularizer = None,
        data_format: DataFormat | None = None,
        remat: bool = False,
    ):
        self.activation = keras_arguments.activation("activation", activation)
        self.batch_norm = freeze(validation.batch_norm("batch_norm", batch_norm))
        self.use_bias = validation.optional(validation.boolean, "use_bias", use_bias)
        self.kernel_initializer = keras_arguments.initializer("kernel_initializer", kernel_initializer)
        self.kernel_regularizer = keras_arguments.regularizer("kernel_regularizer", kernel_regularizer)
        self.data_format = keras_arguments.data_format("data_format", data_format)
        self.remat = validation.boolean("remat", remat)

    def _repr_html_(self) -> str | None:
        return html_of(self)

    @property
    def channel_axis(self) -> int:
        """The axis of a batch that holds the channels: -1, or 1 for channels_first."""
        return -1 if self.data_format == "channels_last" else 1

    def channels(self, shape: Any) -> Any:
        """The number of channels of a batch of this shape."""
        return shape[self.channel_axis]

    # -- the layers of a chain, as data -----------------------------------------------------------------------------

    def layer(self, name: str, cls: type, **options: Any) -> LayerSpec:
        """A layer of any class, told the data format and the dtype policy; a block is told all shared settings."""
        shared = SETTINGS if issubclass(cls, LayerFactory) else ("data_format",)
        bound = {key: getattr(self, key) for key in shared if takes(cls, key)}
        if "kernel_initializer" in bound:
            bound["kernel_initializer"] = own_initializer(self.kernel_initializer, name)
        dtype = options.pop("dtype", self.dtype_policy)
        return LayerSpec(cls, name, FrozenDict({**bound, **options}), dtype)

    def declared(self, name: str, declaration: Mapping[str, Any], **given: Any) -> LayerSpec:
        """The layer that a `layer_declaration` tells of; it is given those of `given` that its class takes."""
        options = dict(declaration)
        cls = class_named(name, options.pop("layer"), keras.layers.Layer)
        return self.layer(name, cls, **{**options, **{key: value for key, value in given.items() if takes(cls, key)}})

    def conv2d(
        self, name: str, filters: int, kernel_size: Pair, *, transposed: bool = False, **options: Any
    ) -> LayerSpec:
        """A convolution with the settings' initializer and regularizer; its activation is a layer of its own.

        It has a bias unless the settings say otherwise, or a normalization follows (see `conv_unit`).
        """
        bound = {"filters": filters, **self._of_kernels(name, "kernel_", kernel_size)}
        cls = keras.layers.Conv2D if options.get("groups", 1) == 1 else GroupedConv2D
        if transposed:
            cls = keras.layers.Conv2DTranspose
        return self.layer(name, cls, **{**bound, **options})

    def depthwise_conv2d(self, name: str, kernel_size: Pair, *, depth_multiplier: int = 1, **options: Any) -> LayerSpec:
        """A convolution of each channel by itself, to `depth_multiplier` channels; the rest as of `conv2d`."""
        bound = {"depth_multiplier": depth_multiplier, **self._of_kernels(name, "depthwise_", kernel_size)}
        return self.layer(name, keras.layers.DepthwiseConv2D, **{**bound, **options})

    def _of_kernels(self, name: str, kind: str, kernel_size: Pair) -> dict[str, Any]:
        return {
            "kernel_size": kernel_size,
            "padding": "same",
            "use_bias": self.use_bias is not False,
            kind + "initializer": own_initializer(self.kernel_initializer, name),
            kind + "regularizer": self.kernel_regularizer,
        }

    def norm(self, name: str) -> LayerSpec:
        """A normalization of the channels, of batches or, with "groups" among the settings' options, of groups."""
        options = self.batch_norm if isinstance(self.batch_norm, Mapping) else {}
        cls = keras.layers.GroupNormalization if "groups" in options else BatchNormalization
        return self.layer(name, cls, axis=self.channel_axis, **options)

    def activate(self, name: str) -> LayerSpec:
        return self.layer(name, keras.layers.Activation, activation=self.activation)

    def padded_conv2d(
        self,
        name: str,
        filters: int | None,
        kernel_size: Pair,
        *,
        padding: Padding = "same",
        depthwise: bool = False,
        separable: bool = False,
        **options: Any,
    ) -> tuple[LayerSpec, ...]:
        """A convolution that may also pad as PyTorch and keras.applications do: "symmetric", as much on every side.

        Keras' "same" pads so that the last window ends at the border, which for strides over 1 shifts all windows
        by up to a pixel against those that published weights were trained with. Without strides both are one.

        With `depthwise` it is of each channel by itself, without `filters`; with `separable` such a one, called
        `name_depthwise`, and a 1x1 convolution behind it.
        """
        if separable:
            bias = {key: options.pop(key) for key in ("use_bias",) if key in options}
            given: dict[str, Any] = {"padding": padding, "use_bias": False, **options}
            first = self.padded_conv2d(f"{name}_depthwise", None, kernel_size, depthwise=True, **given)
            return (*first, self.conv2d(name, _filters(name, filters), 1, **bias))
        if padding == "symmetric" and _dilated_strides(options):
            return self._skipping(name, filters, kernel_size, depthwise, options)
        strided = padding == "symmetric" and as_pair(options.get("strides", 1)) != (1, 1)
        options["padding"] = "valid" if strided else "same" if padding == "symmetric" else padding
        if depthwise:
            conv = self.depthwise_conv2d(name, kernel_size, **options)
        else:
            conv = self.conv2d(name, _filters(name, filters), kernel_size, **options)
        reach = zip(as_pair(kernel_size), as_pair(options.get("dilation_rate", 1)))
        borders = tuple(step * (size - 1) // 2 for size, step in reach)
        if not strided or not any(borders):
            return (conv,)
        return (self.layer(f"{name}_pad", keras.layers.ZeroPadding2D, padding=borders), conv)

    def _skipping(
        self, name: str, filters: int | None, kernel_size: Pair, depthwise: bool, options: dict[str, Any]
    ) -> tuple[LayerSpec, ...]:
        """A convolution with strides and dilation, which Keras has not: of every second pixel where no other counts."""
        strides, dilation = as_pair(options.pop("strides")), as_pair(options.pop("dilation_rate"))
        every = self.layer(f"{name}_subsample", keras.layers.MaxPooling2D, pool_size=1, strides=strides)
        apart = any(rate % step for step, rate in zip(strides, dilation))  # then pixels that are skipped do count
        rates = dilation if apart else tuple(rate // step for step, rate in zip(strides, dilation))
        conv = self.padded_conv2d(name, filters, kernel_size, depthwise=depthwise, dilation_rate=rates, **options)
        return (*conv, every) if apart else (every, *conv)

    def conv_unit(
        self,
        name: str,
        filters: int | None,
        kernel_size: Pair,
        *,
        pre_activation: bool = False,
        activated: bool = True,
        **options: Any,
    ) -> tuple[LayerSpec, ...]:
        """Convolution, normalization if the settings ask for it, activation; pre-activated, the convolution is last.

        A convolution right before a normalization, which takes out any bias, has none unless the settings want one.
        """
        norm = self.norm_if_any(name)
        if norm and not pre_activation:
            options = {"use_bias": bool(self.use_bias), **options}
        conv = self.padded_conv2d(name, filters, kernel_size, **options)
        after = (*norm, *((self.activate(f"{name}_activation"),) if activated else ()))
        return (*after, *conv) if pre_activation else (*conv, *after)

    def dense(self, name: str, units: int) -> LayerSpec:
        """A dense layer with the settings' initializer and regularizer, and a bias."""
        return self.layer(
            name,
            keras.layers.Dense,
            units=units,
            kernel_initializer=own_initializer(self.kernel_initializer, name),
            kernel_regularizer=self.kernel_regularizer,
        )

    def probabilities(self, name: str, activation: Activation) -> LayerSpec:
        """The activation of an output, in float32 also where the policy computes in 16 bits."""
        options = FrozenDict({"activation": activation})
        return LayerSpec(keras.layers.Activation, name, options, wide_policy(self.dtype_policy))

    def norm_if_any(self, name: str) -> tuple[LayerSpec, ...]:
        """The normalization that belongs to the layer `name`, or nothing where the settings have none."""
        return (self.norm(f"{name}_bn"),) if self.batch_norm is not False else ()

    def concatenate(self, name: str, *branches: Chain) -> Split:
        """Branches whose outputs are concatenated along the channels."""
        return Split(branches, self.layer(name, keras.layers.Concatenate, axis=self.channel_axis))

    def sum_of(self, name: str, *branches: Chain) -> Split:
        """Branches whose outputs, all of one shape, are added."""
        return Split(branches, self.layer(name, keras.layers.Add))

    def product_of(self, name: str, *branches: Chain) -> Split:
        """Branches whose outputs are multiplied; one of size 1x1 scales the channels of the others."""
        return Split(branches, self.layer(name, keras.layers.Multiply))

    def fork(self, **branches: Chain) -> Fork:
        """Branches that stay apart, by name: `Take("name")` goes on with one of them; an empty one is the input."""
        return Fork(FrozenDict(branches))

    def fitted(self, name: str, branch: Chain, like: Chain, how: SizeHow = "crop") -> Split:
        """What the first branch gives, in the height and width of the second's: cropped in its middle, or resized."""
        return Split((branch, like), self.layer(name, SizeLike, how=how))

    def pooled_channels(self, name: str, kind: ChannelKind = "mean") -> LayerSpec:
        """The mean of each pixel's channels, or the largest of them."""
        return self.layer(name, ChannelPooling, kind=kind)

    def part_of_channels(self, name: str, part: int, parts: int) -> LayerSpec:
        """One of so many equal parts of the channels, counted from 0."""
        return self.layer(name, ChannelSlice, part=part, parts=parts)


def _filters(name: str, filters: int | None) -> int:
    if filters is None:
        raise TypeError(f"'{name}' must have `filters`: only a depthwise convolution has none.")
    return filters


def _dilated_strides(options: Mapping[str, Any]) -> bool:
    return all(max(as_pair(options.get(name, 1))) > 1 for name in ("strides", "dilation_rate"))


def wide_policy(policy: Any) -> Any:
    """The dtype policy of layers that 16 bits are too few for: "float32" in place of one that computes in those."""
    return policy if wide(policy.compute_dtype) == policy.compute_dtype else "float32"


def own_initializer(initializer: keras.initializers.Initializer, name: str) -> keras.initializers.Initializer:
    """A copy for one layer alone.

    One initializer object gives the same kernel to every convolution of the same shape, and so do copies with one
    seed: a given seed is therefore varied by the layer's name.
    """
    config = initializer.get_config()
    seed = config.get("seed")
    if isinstance(seed, dict):  # a SeedGenerator's
        seed = seed["config"]["seed"]
    if seed is not None:
        config["seed"] = (seed + zlib.crc32(name.encode())) % 2**31
    return type(initializer).from_config(config)


def penalized(layer: Any, outputs: Any) -> Any:
    """What a layer gives where its own layers are called in its place: what it adds to the loss is added still."""
    regularizer = getattr(layer, "activity_regularizer", None)
    if regularizer is None:
        return outputs
    return keras.layers.Identity(name=f"{layer.name}_penalty", activity_regularizer=regularizer)(outputs)


def serialized(value: Any) -> Any:
    """A constructor's argument as plain data for a config."""
    if isinstance(value, keras.initializers.Initializer):
        return keras.initializers.serialize(value)
    if isinstance(value, keras.regularizers.Regularizer):
        return keras.regularizers.serialize(value)
    if isinstance(value, keras.layers.Layer):
        return keras.saving.serialize_keras_object(value)
    if isinstance(value, Mapping):
        return {key: serialized(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [serialized(item) for item in value]
    if callable(value):
        return keras.activations.serialize(value)
    return thaw(value)
