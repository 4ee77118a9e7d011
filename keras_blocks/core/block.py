"""Block: the layer that every micro-architecture is a declaration of."""

from collections.abc import Callable, Sequence
from typing import Any, Self, Unpack

import keras

from keras_blocks.core.chain import BuiltChain, LayerSpec, checked_chain, specs, walk
from keras_blocks.core.chain import Chain as Chain
from keras_blocks.core.immutable import freeze
from keras_blocks.core.inner import Untracked, changes, quantized, remember, restore
from keras_blocks.core.keywords import accepted, refuse_unknown
from keras_blocks.core.layers import SETTINGS, LayerFactory, penalized, serialized, wide_policy
from keras_blocks.core.native_layers import DirectWithin
from keras_blocks.core.registration import register as register
from keras_blocks.core.remat import rematerialized
from keras_blocks.core.shapes import as_shapes, compatible, known_sizes, traced_shape
from keras_blocks.core.signature import arguments, check_kept
from keras_blocks.core.trainable import trained_whole
from keras_blocks.ops.casting import as_float
from keras_blocks.typing import BlockOptions, Config, Shape, Tensor

_INPUTS = {4: "image batches", 5: "batches of regions"}

BUILT_MARK = "built"
"""Marks a built block in a file of weights: a block that is not built has nowhere to load them to, and says so."""


@register
@trained_whole
class Block(LayerFactory, DirectWithin, keras.layers.Layer):
    """A micro-architecture as one layer: split, transform, merge.

    A subclass declares its layers as data in `chain(channels)` and says nothing else: building, calling, shapes,
    config, data format, dtype policy, `expand` and `keras_blocks.cost` follow from the chain. Sublayers become
    attributes by the names given in the chain (`block.squeeze`). Images carry no masks, so `call` takes none.

    Args:
        activation: name or function, for all activations of the block. `None` is linear.
        batch_norm: whether BatchNormalization follows the convolutions; a dict gives its `momentum`, `epsilon`,
            `center`, `scale`, `synchronized`; one with "groups", as in `{"groups": 32}`, puts GroupNormalization in its
            place, for training from scratch with few images in a batch.
        use_bias: whether convolutions have biases; `None` means those that no BatchNormalization of the block follows.
        kernel_initializer: initializer of the convolutions' kernels; every kernel gets its own draw, also of a
            seeded one.
        kernel_regularizer: regularizer of the convolutions' kernels.
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
        remat: whether training keeps only the block's input, and computes its inner activations again in the backward
            pass: less memory for more time. A block made of blocks alone leaves that to each of them.
        **kwargs: `name`, `dtype`, `trainable`, `activity_regularizer`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` for channels_first. Batch, height
        and width may be `None`. Integer images are cast to the compute dtype.

    Output shape:
        As many axes, by the chain.

    Raises:
        TypeError, ValueError: at construction or build, naming the argument, its value and what is allowed.

    Example: a block of your own is a declaration.

    >>> import keras, keras_blocks
    >>> @keras.saving.register_keras_serializable(package="mine")
    ... class TwoPaths(keras_blocks.Block):
    ...     def __init__(self, filters, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.filters = filters
    ...
    ...     def chain(self, channels):
    ...         narrow, wide = self.conv_unit("narrow", self.filters, 1), self.conv_unit("wide", self.filters, 3)
    ...         return [self.concatenate("concat", narrow, wide)]
    >>> block = TwoPaths(8)
    >>> block(keras.Input((32, 32, 3))).shape
    (None, 32, 32, 16)
    >>> keras_blocks.cost(block, (32, 32, 3)).params
    256
    """

    input_axes = 4
    """Axes of what the block takes. Of a dict of inputs, those with so many are images, or feature maps."""

    wide_outputs = False
    """Whether the block's last layers compute in float32 also where the policy computes in 16 bits."""

    def __init__(self, **kwargs: Unpack[BlockOptions]):
        options: dict[str, Any] = dict(kwargs)
        given = {name: options.pop(name) for name in SETTINGS if name in options}
        refuse_unknown(type(self), options, accepted(keras.layers.Layer), accepted(type(self)))
        keras.layers.Layer.__init__(self, **options)
        LayerFactory.__init__(self, **{**self.default_settings, **given})
        self._built_chain: Any = None  # a BuiltChain, once built
        self._frozen_paths: Sequence[str] = ()
        self._inner = Untracked({})  # what the file has kept of inner layers, until they are built

    def chain(self, channels: Any) -> Chain:
        """The block's layers for an input of so many channels, as a list of specs and splits. The one thing to declare.

        A block of several inputs is given a dict of their channels, with `None` for what is no image, and its chain
        goes from one to the other by `Take` and `Assign`. Specs come from `self.conv_unit`, `self.conv2d`, `self.norm`,
        `self.activate`, `self.layer`; splits from `self.concatenate` and `self.sum_of`. The chain may depend on the
        channels (a projection where they differ), never on the image's size.
        """
        raise NotImplementedError(f"{type(self).__name__} must declare its layers in `chain(self, channels)`.")

    def chain_for(self, input_shape: Any) -> Chain:
        """The chain for inputs of this shape: the one built, or for a block not yet built, the one it would build."""
        return self._built_chain.chain if self._built_chain else self._declare(input_shape).chain

    def build(self, input_shape: Shape) -> None:
        declared = self._declare(input_shape)
        layers = {spec.name: self._make(spec) for spec in specs(declared.chain)}

        built: dict[str, Any] = {}

        def build_layer(spec: LayerSpec, shape: Any) -> Any:
            layer, first = layers[spec.name], spec.name not in built
            after = self._next_shape(layer, spec, shape, build=first)
            if first and not layer.built:
                layer.build(shape)
            self._check_again(spec, built.setdefault(spec.name, shape), shape)
            return after

        walk(declared.chain, as_shapes(input_shape), build_layer)
        for name, layer in layers.items():
            if not self.trainable:
                layer.trainable = False
            setattr(self, name, layer)
        self._built_chain = declared
        for path in self._frozen_paths:
            freeze_part(self, path)
        for name in set(layers) & set(self._inner.config):
            restore(layers[name], self._inner.config[name])
        self.input_spec = self._spec_of(as_shapes(input_shape))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        self._check_size(inputs)
        inputs = self._as_float(inputs)
        if training and self.remat and not all(issubclass(spec.cls, Block) for spec in specs(self._built_chain.chain)):
            return rematerialized([self], lambda x: self._run(x, training), inputs)
        return self._run(inputs, training)

    def _run(self, x: Tensor, training: bool | None) -> Tensor:
        # Keras' call context brings `training` to the sublayers, but for `stateless_call`, which goes round it.
        def apply(spec: LayerSpec, x: Tensor) -> Tensor:
            layer, (maker, place) = getattr(self, spec.name), makers.get(spec.name, (None, None))
            if maker and layer.may_overwrite(x, getattr(self, maker)):
                return layer.overwriting(x, place)
            return layer(x, training=training)

        makers = self._built_chain.makers
        return walk(self._built_chain.chain, x, apply)

    def expand(self, inputs: Tensor, training: None = None) -> Tensor:
        """Applies the block's own layers to a Keras tensor one by one, and returns the output's Keras tensor.

        The graph behind the result is flat and shares the block's weights: `keras.Model(x, block.expand(x))` can be
        tapped at any inner tensor, drawn, or used for Grad-CAM, and its outputs equal the block's.

        Args:
            inputs: Keras tensor of the shape that the block takes. The block is built if it was not.
            training: no longer taken. Keras gives the flag of `fit`, `predict` or a call to every layer of a graph,
                whatever the layer was told when the graph was made: `trainable = False` keeps statistics as they are.

        Returns:
            Keras tensor of the block's output shape.

        Raises:
            TypeError: for a `training` other than `None`.

        Example:

        >>> block = keras_blocks.FireBlock(16)
        >>> x = keras.Input((56, 56, 96))
        >>> flat = keras.Model(x, block.expand(x))
        >>> flat.get_layer(block.expand_3x3.name).output.shape
        (None, 56, 56, 64)
        """
        if training is not None:
            raise TypeError(
                f"`expand` binds no layer to a `training`, since Keras' `fit` and `predict` override it; received "
                f"training={training!r}. To keep BatchNormalization's statistics as they are, set `trainable = False` "
                "on the block, or on its layers alone; to run layers as in training or not, call the model with "
                "`training=True` or `training=False`."
            )
        return self.expanded(inputs)

    def expanded(self, inputs: Tensor, called: Callable[[Any], Any] = lambda layer: layer, **flags: Any) -> Tensor:
        """`expand` by what `called` gives for each layer; a node's flags hold until the graph is told others."""
        if not self.built:
            self.build(keras.tree.map_structure(lambda x: tuple(x.shape), inputs))

        def apply(spec: LayerSpec, x: Tensor) -> Tensor:
            layer = getattr(self, spec.name)
            return layer.expanded(x, called, **flags) if isinstance(layer, Block) else called(layer)(x, **flags)

        return penalized(self, walk(self._built_chain.chain, self._as_float(inputs), apply))

    def compute_output_shape(self, input_shape: Shape) -> Any:
        def shape_after(spec: LayerSpec, shape: Any) -> Any:
            layer = getattr(self, spec.name) if self._built_chain else spec.make()
            return self._next_shape(layer, spec, shape)

        return as_shapes(walk(self.chain_for(input_shape), as_shapes(input_shape), shape_after))

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        found = super().compute_output_spec(*args, **kwargs)
        if not self.wide_outputs:
            return found
        dtype = keras.dtype_policies.get(wide_policy(self.dtype_policy)).compute_dtype
        return keras.tree.map_structure(lambda output: keras.KerasTensor(output.shape, dtype), found)

    def get_config(self) -> Config:
        config: Config = super().get_config()
        config.update({name: serialized(getattr(self, name)) for name in arguments(type(self))})
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = serialized(self.activity_regularizer)
        if frozen := frozen_parts(self) if self.built else self._frozen_paths:
            config["frozen"] = list(frozen)
        if inner := changed_parts(self) if self.built else self._inner.config:
            config["inner"] = dict(inner)
        return config

    @classmethod
    def from_config(cls, config: Config) -> Self:
        config = dict(config)
        frozen, inner = config.pop("frozen", ()), config.pop("inner", {})
        block: Self = super().from_config(config)
        block._frozen_paths, block._inner = tuple(frozen), Untracked(inner)
        return block

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        if self.built:
            store[BUILT_MARK] = True

    def load_own_variables(self, store: Any) -> None:
        keys = list(store.keys())
        if BUILT_MARK in keys and not self.built:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' has no weights to load into, as it is not built yet. Build the "
                "model first, by `model.build(input_shape)` or by calling it on data; then load."
            )
        super().load_own_variables({key: store[key] for key in keys if key != BUILT_MARK})

    def _make(self, spec: LayerSpec) -> Any:
        """The layer of a spec, not built yet, with what the file has kept of it and of the layers inside of it."""
        layer = remember(spec.make(prefix=f"{self.name}_"))
        if isinstance(layer, Block):
            start = f"{spec.name}/"
            inside = {
                path.removeprefix(start): kept for path, kept in self._inner.config.items() if path.startswith(start)
            }
            layer._inner = Untracked(inside)
        return quantized(layer, self._inner.config.get(spec.name, {}))

    def _declare(self, input_shape: Shape) -> BuiltChain:
        """`chain`, for inputs of a shape that has been checked, with names that can be attributes."""
        channels = self._channels_of(as_shapes(input_shape))
        check_kept(self._title(), self, arguments(type(self)))
        declared = BuiltChain(checked_chain(f"the chain of {self._title()}", self.chain(channels)))
        seen = set()
        for spec in specs(declared.chain):
            taken = hasattr(type(self), spec.name) or (not self._built_chain and hasattr(self, spec.name))
            if taken or spec.name in seen or not spec.name.isidentifier() or spec.name.startswith("_"):
                raise ValueError(
                    f"{self._title()} cannot have a layer named '{spec.name}': a name must be an identifier without a "
                    "leading underscore, used once, and no attribute of the class."
                )
            seen.add(spec.name)
        return declared

    @property
    def input_channel_axis(self) -> int:
        """Where the channels of an input are."""
        return self.channel_axis

    def _channels_of(self, shape: Any) -> Any:
        """The channels of the input, or of each of several: `None` for what is no image."""
        if isinstance(shape, dict):
            images = [name for name, one in shape.items() if len(one) == self.input_axes]
            return {**dict.fromkeys(shape), **{name: self._channels_of(shape[name]) for name in images}}
        if len(shape) != self.input_axes:
            raise ValueError(
                f"{self._title()} takes {_INPUTS[self.input_axes]} of {self.input_axes} axes; received the shape "
                f"{shape}."
            )
        channels: int | None = shape[self.input_channel_axis]
        if channels is None:
            raise ValueError(
                f"{self._title()} must know the number of channels (axis {self.input_channel_axis}, as data_format is "
                f"'{self.data_format}'); received the shape {shape}."
            )
        return channels

    def _next_shape(self, layer: Any, spec: LayerSpec, shape: Any, build: bool = False) -> Any:
        """The shape after one layer of the chain; a merge takes a list of shapes.

        A block is built before, if it is to be: else it would make all of its layers for their shapes alone.
        """
        if isinstance(layer, keras.layers.Add) and not compatible(shape):
            raise ValueError(
                f"{self._title()} adds branches in '{spec.name}', which must have equal shapes; received {shape}."
            )
        try:
            if build and isinstance(layer, Block):
                layer.build(shape)
            after = traced_shape(layer, shape, values=build)
        except ValueError as error:
            raise ValueError(
                f"{self._title()}: its layer '{spec.name}' cannot take the shape {shape}: {error}"
            ) from error
        if isinstance(layer, keras.layers.Flatten) and None in after[1:]:
            raise ValueError(
                f"{self._title()}: to flatten images, their height and width must be known; received {shape}."
            )
        if any(size is not None and size < 1 for size in after[1:]):
            raise ValueError(
                f"{self._title()}: images of the shape {shape} are too small for its layer '{spec.name}', which would "
                f"give {after}."
            )
        return after

    def _check_again(self, spec: LayerSpec, first: Any, shape: Any) -> None:
        """Refuses a layer in a second place where its input has other channels than in the first."""
        if isinstance(shape, tuple) and self.channels(first) != self.channels(shape):
            raise ValueError(
                f"{self._title()} has its layer '{spec.name}' in several places, which must have as many channels; "
                f"received the shapes {first} and {shape}."
            )

    def _check_size(self, inputs: Any) -> None:
        """Refuses an image too small for the block before the backend does, or gives an empty tensor and a NaN mean."""
        shape = keras.tree.map_structure(known_sizes, inputs)
        key = freeze(shape)
        if key not in self._built_chain.checked:
            self.compute_output_shape(shape)
            self._built_chain.checked.add(key)

    def _as_float(self, inputs: Any) -> Any:
        """Images that hold integers, in the compute dtype; of several inputs, the images alone."""
        if isinstance(inputs, dict):
            return {
                name: as_float(x, self.compute_dtype) if len(x.shape) == self.input_axes else x
                for name, x in inputs.items()
            }
        return as_float(inputs, self.compute_dtype)

    def _spec_of(self, shape: Any) -> Any:
        """What Keras holds inputs to, once the block is built."""
        if isinstance(shape, dict):
            return {name: self._spec_of(one) for name, one in sorted(shape.items())}
        axes = {self.input_channel_axis: shape[self.input_channel_axis]} if len(shape) == self.input_axes else {}
        return keras.layers.InputSpec(ndim=len(shape), axes=axes)

    def _title(self) -> str:
        return f"{type(self).__name__} '{self.name}'"


def inner_parts(owner: Any) -> list[tuple[str, Any]]:
    """Name -> layer of those that a block or a model consists of."""
    names = [spec.name for spec in specs(owner.chain_for(None))] if isinstance(owner, Block) else []
    return [(name, getattr(owner, name)) for name in names] or [(layer.name, layer) for layer in owner.layers]


def frozen_parts(owner: Any) -> list[str]:
    """Paths of the layers inside a trainable block or model that are frozen: `bn`, `inner/bn`."""
    if not owner.trainable:
        return []
    found = []
    for name, part in inner_parts(owner):
        if not part.trainable:
            found.append(name)
        elif isinstance(part, Block):
            found += [f"{name}/{path}" for path in frozen_parts(part)]
    return found


def changed_parts(owner: Any) -> dict[str, dict[str, Any]]:
    """Path -> what is set otherwise than declared, of the layers inside a block or model."""
    found = {}
    for name, part in inner_parts(owner):
        if own := changes(part):
            found[name] = own
        if isinstance(part, Block | keras.Model):
            found |= {f"{name}/{path}": inner for path, inner in changed_parts(part).items()}
    return found


def part_at(owner: Any, path: str) -> Any:
    """The layer of this path."""
    for name in path.split("/"):
        owner = getattr(owner, name) if isinstance(owner, Block) else owner.get_layer(name)
    return owner


def freeze_part(owner: Any, path: str) -> None:
    """The opposite of `frozen_parts`, for one path."""
    part_at(owner, path).trainable = False
