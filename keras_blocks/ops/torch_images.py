"""Convolution and pooling of images on PyTorch, at PyTorch's speed: what Keras gives, without Keras' copies.

A view of channels_last images with the channels in front is what PyTorch calls the memory format channels_last. Keras
copies it to the other order before each convolution and pooling, and back before each convolution; and it copies each
kernel to PyTorch's order, and its gradient back, which for the last layers of a ResNet takes longer than to convolve.
Here images are viewed, and of kernels there are fewer and faster copies:

| where | formulation | copies of the kernel |
|---|---|---|
| CPU, a kernel of one pixel | a product of matrices | none |
| CPU, up to 2 pixels for each filter | windows, copied side by side, and a product of matrices | none |
| else | PyTorch's convolution | one to PyTorch's order, one of its gradient, in blocks that the cache holds |

Products of matrices are as fast as PyTorch's own convolution there, or faster.
"""

import functools
import math
from typing import Any

import keras

from keras_blocks.typing import DataFormat, Ints, KerasPadding, Tensor

MANY_PIXELS = 1200
"""Pixels of the outputs from which on oneDNN's convolution is faster than a product of matrices, in inference."""


def is_backend() -> bool:
    return bool(keras.backend.backend() == "torch")


def takes(inputs: Any) -> bool:
    """Whether these are images in PyTorch's hands, and not shapes alone."""
    if not is_backend():
        return False
    import torch

    return isinstance(inputs, torch.Tensor) and inputs.ndim == 4 and inputs.device.type != "meta"


def are_plain(tensors: Any, dtype: str) -> bool:
    """Whether these are tensors of this dtype in PyTorch's hands."""
    import torch

    wanted = getattr(torch, dtype)
    return all(type(x) is torch.Tensor and x.dtype is wanted and x.device.type != "meta" for x in tensors)


def are_alike(tensors: Any) -> bool:
    """Whether these are tensors in PyTorch's hands, all of one dtype and one number of axes."""
    import torch

    plain = all(type(x) is torch.Tensor and x.device.type != "meta" for x in tensors)
    return plain and len({(x.dtype, x.ndim) for x in tensors}) == 1


def value_of(variable: Any, like: Tensor) -> Tensor:
    """The value of one of Keras' variables, on the device of a tensor."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return value if getattr(value, "device", None) == like.device else keras.ops.convert_to_tensor(variable)


def joined(tensors: Any, axis: int) -> Tensor:
    import torch

    return torch.cat(tensors, axis)


def watches() -> bool:
    """Whether PyTorch is to tell of the calls of all modules."""
    from torch.nn.modules import module

    return bool(module._has_any_global_hook())  # type: ignore[no-untyped-call]


def is_unkept(x: Tensor) -> bool:
    """Whether no gradient will be taken through a tensor."""
    return not x.requires_grad and not is_traced()


def relu_overwriting(x: Tensor) -> Tensor:
    """ReLU in the memory of `x`: new memory takes longer than the operation."""
    import torch

    return torch.relu_(x)


def conv2d(
    inputs: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    strides: Ints,
    padding: KerasPadding,
    dilation_rate: Ints,
    data_format: DataFormat,
) -> Tensor:
    """What `keras.ops.conv` gives for images that `takes` holds of, with the bias added.

    Args:
        inputs: images, (batch, height, width, channels) or (batch, channels, height, width).
        kernel: (kernel_height, kernel_width, channels / groups, filters).
        bias: (filters,), or `None`.
        strides, dilation_rate: two integers, in pixels.
        padding: "same" or "valid".
        data_format: "channels_last" or "channels_first".
    """
    import torch

    *sizes, channels, filters = kernel.shape
    axes = (1, 2) if data_format == "channels_last" else (2, 3)
    borders = [
        _border(inputs.shape[axis], size, step, rate) if padding == "same" else (0, 0)
        for axis, size, step, rate in zip(axes, sizes, strides, dilation_rate)
    ]
    if data_format == "channels_last" and channels == inputs.shape[-1] and _multiplies(inputs, kernel):
        if sizes == [1, 1]:
            many = not _is_derived(inputs, kernel) and inputs.numel() >= MANY_PIXELS * math.prod(strides) * channels
            if many and inputs.dtype == torch.float32 and _has_onednn():
                return _of_pixels(inputs, kernel, bias, strides)
            return _product(inputs[:, :: strides[0], :: strides[1]], kernel, bias)
        shape = [
            (inputs.shape[axis] + sum(border) - size) // step + 1
            for axis, border, size, step in zip(axes, borders, sizes, strides)
        ]
        if max(dilation_rate) == 1 and 0 < inputs.shape[0] * shape[0] * shape[1] <= 2 * filters:
            outputs = _computed(_functions().OfWindows, inputs, kernel, tuple(strides), tuple(borders), tuple(shape))
            return outputs if bias is None else outputs + bias
    images = inputs.permute(0, 3, 1, 2) if data_format == "channels_last" else inputs
    (top, bottom), (left, right) = borders
    if (top, left) != (bottom, right):
        images, top, left = torch.nn.functional.pad(images, (left, right, top, bottom)), 0, 0
    weights = kernel.permute(3, 2, 0, 1) if is_traced() else _computed(_functions().Reordered, kernel)
    groups = images.shape[1] // channels
    outputs = torch.nn.functional.conv2d(images, weights, bias, strides, (top, left), dilation_rate, groups)
    return outputs.permute(0, 2, 3, 1) if data_format == "channels_last" else outputs


def pooled(
    pool: Any,
    inputs: Tensor,
    pool_size: tuple[int, ...],
    strides: tuple[int, ...],
    padding: KerasPadding,
    data_format: DataFormat,
) -> Tensor:
    """What a pooling of `keras.ops` gives; of channels_last images, by a view of them."""
    import torch

    images = inputs.permute(0, 3, 1, 2) if data_format == "channels_last" else inputs
    if padding == "same" and torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        outputs = _pooled_by_numbers(pool, images, pool_size, strides)
    else:
        outputs = pool(images, pool_size, strides, padding, data_format="channels_first")
    return outputs.permute(0, 2, 3, 1) if data_format == "channels_last" else outputs


def _pooled_by_numbers(pool: Any, images: Tensor, windows: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    """Keras' padding "same": in a trace sizes are tensors, and no file can hold a padding that is computed of one."""
    import torch

    sizes = map(int, images.shape[2:])
    borders = [_border(size, window, step, 1) for size, window, step in zip(sizes, windows, strides)]
    (top, bottom), (left, right) = borders
    if (top, left) != (bottom, right):
        images, top, left = torch.nn.functional.pad(images, (left, right, top, bottom), mode="replicate"), 0, 0
    if pool is keras.ops.max_pool:
        return torch.nn.functional.max_pool2d(images, windows, strides, (top, left))
    return torch.nn.functional.avg_pool2d(images, windows, strides, (top, left), count_include_pad=False)


def _border(size: int, kernel: int, step: int, rate: int) -> tuple[int, int]:
    """Pixels that the padding "same" adds before and after."""
    missing = max(0, ((size + step - 1) // step - 1) * step + (kernel - 1) * rate + 1 - size)
    return missing // 2, missing - missing // 2


def _multiplies(inputs: Tensor, kernel: Tensor) -> bool:
    """Whether products of matrices may stand for a convolution. Traced code may run for another number of images."""
    import torch

    dense = inputs.dtype == kernel.dtype and inputs.dtype in (torch.float32, torch.float64)
    # The gradients that are written here know nothing of PyTorch's own casting.
    return dense and inputs.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not is_traced()


def is_traced() -> bool:
    """Whether PyTorch compiles or traces: then sizes may be no numbers, and what is asked of them is written down."""
    import torch

    return torch.compiler.is_compiling() or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _of_pixels(inputs: Tensor, kernel: Tensor, bias: Tensor | None, strides: Ints) -> Tensor:
    """oneDNN's convolution, which PyTorch takes for kernels of one pixel where it has several threads."""
    import torch

    images, weights = inputs.permute(0, 3, 1, 2), _functions().Reordered.forward(kernel)
    outputs = torch.mkldnn_convolution(images, weights, bias, (0, 0), tuple(strides), (1, 1), 1)
    return outputs.permute(0, 2, 3, 1)


def _product(inputs: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    import torch

    rows, weights = inputs.reshape(-1, inputs.shape[-1]), kernel.reshape(kernel.shape[-2:])
    outputs = torch.mm(rows, weights) if bias is None else torch.addmm(bias, rows, weights)
    return outputs.view(*inputs.shape[:3], kernel.shape[-1])


def _computed(function: Any, *inputs: Any) -> Tensor:
    """What a function of ours gives. To note it for a gradient takes longer than a small convolution."""

    return (function.apply if _is_derived(*inputs) else function.forward)(*inputs)


def _is_derived(*inputs: Any) -> bool:
    """Whether a gradient may be taken through these, also forward, or one of torch.func's transforms looks on."""
    import torch
    from torch.autograd import forward_ad

    if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
        return True
    tensors = [x for x in inputs if isinstance(x, torch.Tensor)]
    return any(forward_ad.unpack_dual(x).tangent is not None for x in tensors)  # type: ignore[no-untyped-call]


def _has_onednn() -> bool:
    import torch

    return bool(torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled)  # type: ignore[no-untyped-call]


@functools.cache
def _functions() -> Any:
    """PyTorch's functions with gradients of our own, made once PyTorch is imported."""
    from keras_blocks.ops import torch_functions

    return torch_functions
