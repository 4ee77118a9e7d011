"""Keras' layers of images, at the backend's own speed: what is made where a chain declares Keras' own.

A subclass computes what Keras' class does and goes by its name: in a file, and wherever classes are told apart, it is
Keras' own, and so files are alike on every backend, and need this library no more than before. What a file calls Keras'
own is read as that: a layer of a user's is none of ours.
"""

import functools
import inspect
from typing import Any

import keras

from keras_blocks.core.graphs import is_masked, is_told, only_computes
from keras_blocks.core.remat import is_rematerializing
from keras_blocks.ops import torch_images
from keras_blocks.typing import Tensor

layers = keras.layers


class Direct:
    """Mixed into layers: a call that comes to nothing else than `call` goes there at once.

    On PyTorch every step calls each layer, and what Keras does around it took a third of the time of a small batch. On
    the other backends it is done once, when a function is traced.
    """

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("mask", 0) is None:
            del kwargs["mask"]  # which Keras notes in a graph
        if torch_images.is_backend() and len(args) == 1 and kwargs.keys() <= {"training"} and self._is_direct(args[0]):
            if not self.trains_otherwise:
                return self.call(*args)
            if kwargs.get("training") is not None:
                return self.call(*args, **kwargs)
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        """Pickle finds a class by its name, which is that of Keras' own, and so it is what comes back."""
        made: Any = super().__reduce_ex__(protocol)
        make, *rest = made
        if type(self) in _OWN and getattr(make, "__self__", None) is type(self):
            make = getattr(own_class(self), make.__name__)
        return (make, *rest)

    trains_otherwise = False
    """Whether `call` takes `training`."""

    def _is_direct(self: Any, inputs: Any) -> bool:
        tensors = inputs if isinstance(inputs, list) else [inputs]
        return (
            only_computes(self)
            and "call" not in vars(self)  # which somebody has put in the place of the class' own
            and torch_images.are_plain(tensors, self.compute_dtype)
            and not any(map(is_masked, tensors))
            and (inputs is tensors or torch_images.is_traced() or fits(self.input_spec, inputs.shape))
            and not torch_images.watches()
        )


class DirectWithin(Direct):
    """Mixed into layers that consist of others: a call within that of a model goes to `call` at once.

    One that stands alone is Keras', which tells the layers inside of `training`, and clears their losses.
    """

    trains_otherwise = True

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        within = torch_images.is_backend() and is_told(kwargs.get("training"))
        call: Any = super().__call__ if within else super(Direct, self).__call__  # type: ignore[misc]
        return call(*args, **kwargs)

    def _is_direct(self: Any, inputs: Any) -> bool:
        told = _takes_training(type(self))  # type: ignore[arg-type]
        return told and not isinstance(inputs, list) and super()._is_direct(inputs)


@functools.cache
def _takes_training(cls: type[Any]) -> bool:
    """Whether the `call` of a class takes `training`, which a user's own block need not."""
    return "training" in inspect.signature(cls.call).parameters


def fits(spec: Any, shape: Any) -> bool:
    """Whether a tensor of this shape is what a layer was built for."""
    if spec is None:
        return True
    if type(spec) is not keras.InputSpec or spec.shape is not None or spec.dtype is not None:
        return False  # a user's own: Keras looks at it, and says what is wrong
    axes, (least, most) = len(shape), (spec.min_ndim or 0, spec.max_ndim)
    counted = spec.ndim in (None, axes) and least <= axes and (most is None or axes <= most)
    return counted and all(size is None or shape[axis] == size for axis, size in (spec.axes or {}).items())


class Convolves(Direct):
    """Mixed into convolutions: kernel, bias and activation as Keras has them, the operation PyTorch's."""

    def call(self: Any, inputs: Tensor) -> Tensor:
        if not torch_images.takes(inputs):
            return super().call(inputs)  # type: ignore[misc]
        bias = torch_images.value_of(self.bias, inputs) if self.use_bias else None
        kernel = torch_images.value_of(self.kernel, inputs)
        if isinstance(self, layers.DepthwiseConv2D):
            kernel = keras.ops.reshape(kernel, (*self.kernel_size, 1, -1))
        how = (self.strides, self.padding, self.dilation_rate, self.data_format)
        outputs = torch_images.conv2d(inputs, kernel, bias, *how)
        if self.activation is keras.activations.relu and torch_images.is_overwritable(outputs):
            return torch_images.relu_overwriting(outputs)
        return outputs if self.activation is None else self.activation(outputs)


class Pools(Direct):
    """Mixed into poolings."""

    def call(self: Any, inputs: Tensor) -> Tensor:
        if not torch_images.takes(inputs):
            return super().call(inputs)  # type: ignore[misc]
        pool = keras.ops.max_pool if isinstance(self, layers.MaxPooling2D) else keras.ops.average_pool
        return torch_images.pooled(pool, inputs, self.pool_size, self.strides, self.padding, self.data_format)


class Activation(Direct, keras.layers.Activation):
    __module__ = "keras.layers"
    takes = 1

    def may_overwrite(self, inputs: Tensor, maker: Any) -> bool:
        """Whether the outputs may take the memory of the inputs, which a layer has given to this one alone."""
        known = self.activation is keras.activations.relu and self._is_direct(inputs)
        return known and may_be_overwritten(inputs, maker)

    def overwriting(self, inputs: Tensor, place: None = None) -> Tensor:
        """The activation of what `may_overwrite` holds of."""
        return torch_images.relu_overwriting(inputs)


class Add(Direct, keras.layers.Add):
    __module__ = "keras.layers"
    gives_anew = True
    takes = 2

    def may_overwrite(self, inputs: Any, maker: Any) -> bool:
        """Whether the sum of two may take the memory of one, which a layer has given to this one alone."""
        alike = self._is_direct(inputs) and inputs[0].shape == inputs[1].shape
        return alike and all(may_be_overwritten(x, maker) for x in inputs)

    def call(self, inputs: Any) -> Tensor:
        return inputs[0] + inputs[1] if len(inputs) == 2 and torch_images.are_alike(inputs) else super().call(inputs)

    def overwriting(self, inputs: Any, place: int) -> Tensor:
        """The sum, in the memory of the one in this place."""
        return torch_images.add_overwriting(inputs[place], inputs[1 - place])


class AveragePooling2D(Pools, keras.layers.AveragePooling2D):
    __module__ = "keras.layers"


class Concatenate(Direct, keras.layers.Concatenate):
    __module__ = "keras.layers"

    def call(self, inputs: Any) -> Tensor:
        return torch_images.joined(inputs, self.axis) if torch_images.are_alike(inputs) else super().call(inputs)


class Conv2D(Convolves, keras.layers.Conv2D):
    __module__ = "keras.layers"
    gives_anew = True


class DepthwiseConv2D(Convolves, keras.layers.DepthwiseConv2D):
    __module__ = "keras.layers"
    gives_anew = True


class GlobalAveragePooling2D(Direct, keras.layers.GlobalAveragePooling2D):
    __module__ = "keras.layers"


class MaxPooling2D(Pools, keras.layers.MaxPooling2D):
    __module__ = "keras.layers"


class Multiply(Direct, keras.layers.Multiply):
    __module__ = "keras.layers"


class ZeroPadding2D(Direct, keras.layers.ZeroPadding2D):
    __module__ = "keras.layers"


NATIVE = {
    layers.Activation: Activation,
    layers.Add: Add,
    layers.AveragePooling2D: AveragePooling2D,
    layers.Concatenate: Concatenate,
    layers.Conv2D: Conv2D,
    layers.DepthwiseConv2D: DepthwiseConv2D,
    layers.GlobalAveragePooling2D: GlobalAveragePooling2D,
    layers.MaxPooling2D: MaxPooling2D,
    layers.Multiply: Multiply,
    layers.ZeroPadding2D: ZeroPadding2D,
}
_OWN = {native: own for own, native in NATIVE.items()}


def natively(cls: Any) -> Any:
    """The class to make in place of one of Keras': on PyTorch one of those above, else itself."""
    return NATIVE.get(cls, cls) if torch_images.is_backend() else cls


def makes_anew(layer: Any) -> bool:
    """Whether a layer keeps nowhere what it gives, nor was given it."""
    usual = (None, keras.activations.linear, keras.activations.relu)
    return "gives_anew" in vars(type(layer)) and getattr(layer, "activation", None) in usual


def may_be_overwritten(x: Tensor, maker: Any) -> bool:
    """Whether what a layer, which is one that `makes_anew`, gave to one other alone may be written over.

    ReLU's gradient looks at what it gave; and others may see what a call gives that somebody has put in its place.
    """
    kept = getattr(maker, "activation", None) is keras.activations.relu or is_rematerializing()
    return (
        not (kept and torch_images.derives())
        and torch_images.is_overwritable(x)
        and makes_anew(maker)
        and "call" not in vars(maker)
        and only_computes(maker)
    )


def own_class(layer: Any) -> type:
    """The class that a layer goes by: Keras' own for those above."""
    found: type = _OWN.get(type(layer), type(layer))
    return found
