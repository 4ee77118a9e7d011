"""Convolution and pooling of images on PyTorch, at PyTorch's speed: what Keras gives, without Keras' copies.

A view of channels_last images with the channels in front is what PyTorch calls the memory format channels_last. Keras
copies it to the other order before each convolution and pooling, and back before each convolution; and it copies each
kernel to PyTorch's order, and its gradient back, which for the last layers of a ResNet takes longer than to convolve.
Here images are viewed, and of kernels there are fewer and faster copies:

| where | formulation | copies of the kernel |
|---|---|---|
| CPU, a kernel of one pixel | oneDNN's convolution of many pixels, else a product of matrices | one, or none |
| CPU, up to 2 pixels for each filter | windows, copied side by side, and a product of matrices | none |
| else | PyTorch's convolution | one to PyTorch's order, one of its gradient, in blocks that the cache holds |

Products of matrices are as fast as PyTorch's own convolution there, or faster.
"""

import functools
from typing import Any

import keras

from keras_blocks.typing import DataFormat, Ints, KerasPadding, Tensor


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
    for x in tensors:  # noqa: SIM110 - each layer asks at each call, and a generator takes three times as long
        if type(x) is not torch.Tensor or x.dtype is not wanted or x.is_meta:
            return False
    return True


def are_alike(tensors: Any) -> bool:
    """Whether these are tensors in PyTorch's hands, all of one dtype and one number of axes."""
    import torch

    plain = all(type(x) is torch.Tensor and x.device.type != "meta" for x in tensors)
    return plain and len({(x.dtype, x.ndim) for x in tensors}) == 1


def value_of(variable: Any, like: Tensor) -> Tensor:
    """The value of one of Keras' variables, on the device of a tensor."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return value if getattr(value, "device", None) == like.device else keras.ops.convert_to_tensor(variable)


def move(variable: Any, new: Tensor, momentum: float) -> None:
    """Moves a variable that has a momentum towards a new value: in 9 microseconds, by Keras' `assign` in 23."""
    import torch

    with torch.no_grad():
        value = variable.value
        value.mul_(momentum).add_(new.to(value.device), alpha=1 - momentum)


def joined(tensors: Any, axis: int) -> Tensor:
    import torch

    return torch.cat(tensors, axis)


def watches() -> bool:
    """Whether PyTorch is to tell of the calls of all modules."""
    import torch

    return bool(torch.nn.modules.module._has_any_global_hook())  # type: ignore[no-untyped-call]


def derives() -> bool:
    """Whether PyTorch notes what is computed, for a gradient."""
    import torch

    return torch.is_grad_enabled()


def is_overwritable(x: Tensor) -> bool:
    """Whether what an operation gave may be written over, where neither others nor its own gradient look at it."""
    return not is_traced() and (not derives() or _shows_all(x))


def _shows_all(x: Tensor) -> bool:
    """Whether images are all of what an operation gave, as it gave it or with the channels behind."""
    base = x._base
    if base is None or base.ndim != 4:
        return base is None
    shown = base.permute(0, 2, 3, 1)
    return bool((shown.shape, shown.stride()) == (x.shape, x.stride()))


def _written(x: Tensor) -> Tensor | None:
    """What to write to in place of `x`, which shows it: a gradient copies what was written to a view."""
    return x._base if derives() else None


def relu_overwriting(x: Tensor) -> Tensor:
    """ReLU in the memory of `x`, which `is_overwritable`: new memory takes longer than the operation."""
    import torch

    base = _written(x)
    return torch.relu_(x) if base is None else torch.relu_(base).permute(0, 2, 3, 1)


def add_overwriting(x: Tensor, other: Tensor) -> Tensor:
    """The sum of two of one shape in the memory of `x`, which `is_overwritable`."""
    base = _written(x)
    return x.add_(other) if base is None else base.add_(channels_second(other)).permute(0, 2, 3, 1)


def channels_second(images: Tensor) -> Tensor:
    """Channels_last images as PyTorch takes them: by a view, which is of its memory format channels_last."""
    if is_traced() or not images.requires_grad:
        return images.permute(0, 3, 1, 2)
    return _functions().ChannelsSecond.apply(images)


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
            return _computed(_functions().OfPixels, inputs, kernel, bias, tuple(strides))
        shape = [
            (inputs.shape[axis] + sum(border) - size) // step + 1
            for axis, border, size, step in zip(axes, borders, sizes, strides)
        ]
        if max(dilation_rate) == 1 and 0 < inputs.shape[0] * shape[0] * shape[1] <= 2 * filters:
            outputs = _computed(_functions().OfWindows, inputs, kernel, tuple(strides), tuple(borders), tuple(shape))
            return outputs if bias is None else outputs + bias
    images = channels_second(inputs) if data_format == "channels_last" else inputs
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

    images = channels_second(inputs) if data_format == "channels_last" else inputs
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
    """Whether PyTorch compiles, traces, transforms (torch.func) or derives forward: then its own operations do all.

    Sizes may be no numbers, and what is asked of them is written down.
    """
    import torch

    looks = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    forward = torch.autograd.forward_ad._current_level >= 0
    return looks or forward or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _computed(function: Any, *inputs: Any) -> Tensor:
    """What a function of ours gives. To note it for a gradient takes longer than a small convolution."""
    return (function.apply if derives() else function.plain)(*inputs)


@functools.cache
def _functions() -> Any:
    """PyTorch's functions with gradients of our own, made once PyTorch is imported."""
    from keras_blocks.ops import torch_functions

    return torch_functions
