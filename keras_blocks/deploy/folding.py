"""Normalizations folded into the layers beside them: kernel and bias of what both compute, where it is linear."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_blocks.core.arrays import as_float64
from keras_blocks.core.copies import like
from keras_blocks.core.layer_kinds import CONVOLUTIONS, DEPTHWISE, NORMALIZATIONS, SEPARABLE, TRANSPOSED
from keras_blocks.core.native_layers import own_class

layers = keras.layers

LINEAR = (*CONVOLUTIONS, *TRANSPOSED, *DEPTHWISE, *SEPARABLE, layers.Dense)
"""Layers that a normalization behind them can be folded into."""


class Affine(NamedTuple):
    """What a normalization does to each channel in inference: `scale * x + shift`, in float64."""

    scale: np.ndarray
    shift: np.ndarray


def affine_of(norm: keras.layers.BatchNormalization) -> Affine:
    """What a built normalization does in inference.

    Example:

    >>> norm = keras.layers.BatchNormalization(epsilon=0.0)
    >>> norm.build((None, 2))
    >>> affine_of(norm)
    Affine(scale=array([1., 1.]), shift=array([0., 0.]))
    """
    scale = 1 / np.sqrt(as_float64(norm.moving_variance) + norm.epsilon)
    scale = scale * as_float64(norm.gamma) if norm.scale else scale
    shift = -as_float64(norm.moving_mean) * scale
    return Affine(scale, shift + as_float64(norm.beta) if norm.center else shift)


def folds_behind(norm: Any, layer: Any) -> bool:
    """Whether a normalization of what a layer gives can be folded into it."""
    alike = _is_plain(norm) and _is_linear(layer) and norm.dtype_policy == layer.dtype_policy
    return alike and _axis(norm) == _axis(layer)


def folds_before(norm: Any, layer: Any) -> bool:
    """Whether a normalization of what a layer takes can be folded into it: where there is no border of zeros."""
    if not folds_behind(norm, layer):
        return False
    if type(layer) is layers.Dense:
        return True
    unbordered = own_class(layer) in CONVOLUTIONS and (layer.padding == "valid" or set(layer.kernel_size) == {1})
    return unbordered and layer.groups == 1


def takes_activation(layer: Any, activation: Any) -> bool:
    """Whether an activation behind a convolution can be its own: of each number for itself, in the same type."""
    alike = own_class(activation) is layers.Activation and activation.dtype_policy == layer.dtype_policy
    return alike and _is_linear(layer) and own_class(layer) in (*CONVOLUTIONS, *DEPTHWISE)


def activated(layer: Any, activation: Any) -> Callable[..., Any]:
    """A convolution as this one, with an activation of its own, once it is called."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        new = like(layer, activation=activation.activation)
        outputs = new(x, *args, **kwargs)
        new.set_weights(layer.get_weights())
        return outputs

    return call


def behind(layer: Any, affine: Affine) -> dict[str, np.ndarray]:
    """Weights of the layer with what a normalization behind it does."""
    bias = as_float64(layer.bias) if layer.use_bias else 0.0
    weights = {"bias": bias * affine.scale + affine.shift}
    if own_class(layer) in SEPARABLE:
        weights["depthwise_kernel"] = as_float64(layer.depthwise_kernel)
        weights["pointwise_kernel"] = as_float64(layer.pointwise_kernel) * affine.scale
    elif own_class(layer) in TRANSPOSED:
        weights["kernel"] = as_float64(layer.kernel) * affine.scale[:, None]  # (..., filters, channels)
    else:
        kernel = as_float64(layer.kernel)
        weights["kernel"] = kernel * affine.scale.reshape(kernel.shape[-2:] if own_class(layer) in DEPTHWISE else -1)
    return weights


def before(layer: Any, affine: Affine) -> dict[str, np.ndarray]:
    """Weights of the layer with what a normalization before it does."""
    kernel = as_float64(layer.kernel)
    bias = as_float64(layer.bias) if layer.use_bias else 0.0
    moved = (kernel * affine.shift[:, None]).reshape(-1, kernel.shape[-1]).sum(axis=0)
    return {"kernel": kernel * affine.scale[:, None], "bias": bias + moved}


def with_weights(layer: Any, weights: Mapping[str, np.ndarray]) -> Callable[[Any], Any]:
    """A layer as this one, with a bias and these weights, once it is called."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        new = like(layer, use_bias=True)
        outputs = new(x, *args, **kwargs)
        for name, value in weights.items():
            variable = getattr(new, name)
            variable.assign(value.reshape(variable.shape).astype(variable.dtype))
        return outputs

    return call


def _is_plain(norm: Any) -> bool:
    return type(norm) in NORMALIZATIONS and not getattr(norm, "renorm", False)


def _is_linear(layer: Any) -> bool:
    changed = getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None)
    return own_class(layer) in LINEAR and layer.activation is keras.activations.linear and not changed


def _axis(layer: Any) -> int:
    """The channels' axis, counted from 0 with the batch; -1 for the last."""
    if type(layer) in NORMALIZATIONS:
        return -1 if layer.axis in (-1, layer.input_spec.ndim - 1) else layer.axis
    return 1 if getattr(layer, "data_format", None) == "channels_first" else -1
