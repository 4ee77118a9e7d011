"""Operations of PyTorch whose gradient is written here. Imported where PyTorch is the backend, and else not.

Each has a `plain` one, which notes nothing for a gradient. What they give is no view of another tensor: PyTorch lets
views that a function made be overwritten by none, and sums no gradients in the memory of one.
"""

from typing import Any

import torch
from torch.nn import functional

Sizes = tuple[int, int]
Borders = tuple[Sizes, Sizes]

MANY_PIXELS = 1200
"""Pixels of the outputs from which on oneDNN's convolution is faster than a product of matrices."""


def unviewed(x: torch.Tensor) -> torch.Tensor:
    """A tensor that shows the same memory, and is noted nowhere as a view of another; a batched gradient as it is."""
    return x if _is_batched(x) else x.new_empty(0).set_(x)  # type: ignore[call-overload]


def _is_batched(x: torch.Tensor) -> bool:
    """Whether a gradient stands for those of many outputs at once (`is_grads_batched`)."""
    transforms: Any = torch._C._functorch
    return torch._C._are_functorch_transforms_active() or transforms.is_legacy_batchedtensor(x)


class ChannelsSecond(torch.autograd.Function):
    """A view of channels_last images with the channels in front of the pixels."""

    @staticmethod
    def forward(context: Any, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _last(gradient)


class Reordered(torch.autograd.Function):
    """A kernel, (height, width, channels, filters), as PyTorch's convolutions take it.

    It is (filters, channels, height, width), in the memory format channels_last: the transposed of a matrix with a
    column for each filter, for which PyTorch has fast code that it does not find for four axes.
    """

    @staticmethod
    def plain(kernel: torch.Tensor) -> torch.Tensor:
        height, width, channels, filters = kernel.shape
        rows = kernel.detach().reshape(-1, filters).t().contiguous()
        return rows.view(filters, height, width, channels).permute(0, 3, 1, 2)

    @staticmethod
    def forward(context: Any, kernel: torch.Tensor) -> torch.Tensor:
        return Reordered.plain(kernel)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        filters, channels, height, width = gradient.shape
        columns = gradient.permute(0, 2, 3, 1).reshape(filters, -1).t().contiguous()
        return columns.view(height, width, channels, filters)


class OfPixels(torch.autograd.Function):
    """Convolution of channels_last images by a kernel of one pixel: a product of matrices, or oneDNN's convolution.

    Its arguments: images, kernel, bias (or `None`), strides. PyTorch takes oneDNN's where it has several threads.
    """

    @staticmethod
    def plain(images: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None, strides: Sizes) -> torch.Tensor:
        if _is_onednn_s(images, strides):
            return _last(_of_onednn(images, Reordered.plain(kernel), bias, strides))
        taken, matrix = _taken(images, strides), kernel.reshape(kernel.shape[-2:])
        rows = taken.reshape(-1, images.shape[-1])
        outputs = torch.mm(rows, matrix) if bias is None else torch.addmm(bias, rows, matrix)
        return unviewed(outputs.view(*taken.shape[:3], kernel.shape[-1]))

    @staticmethod
    def forward(
        context: Any, images: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None, strides: Sizes
    ) -> torch.Tensor:
        context.save_for_backward(images, kernel)
        context.strides = strides
        return OfPixels.plain(images, kernel, bias, strides)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        images, kernel = context.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_images = of_kernel = of_bias = None
        if context.needs_input_grad[0]:
            of_images = _of_taken(_of_pixels(gradient, rows, kernel), images, context.strides)
        if context.needs_input_grad[1]:
            taken = _taken(images, context.strides).reshape(-1, images.shape[-1])
            of_kernel = torch.mm(taken.t(), rows).view(kernel.shape)
        if context.needs_input_grad[2]:
            of_bias = rows.sum(0)
        return of_images, of_kernel, of_bias, None


def _of_pixels(gradient: torch.Tensor, rows: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """The gradient of the pixels that a kernel of one pixel has taken."""
    channels, filters = kernel.shape[-2:]
    if not torch.is_grad_enabled() and _is_onednn_s(gradient, (1, 1)):  # which has no gradient of its own
        weights = kernel.reshape(channels, 1, 1, filters).permute(0, 3, 1, 2)
        return _last(_of_onednn(gradient, weights, None, (1, 1)))
    pixels = torch.mm(rows, kernel.reshape(channels, filters).t()).view(*gradient.shape[:3], channels)
    return pixels if torch.is_grad_enabled() else unviewed(pixels)


def _of_taken(pixels: torch.Tensor, images: torch.Tensor, strides: Sizes) -> torch.Tensor:
    """The gradient of images of which the strides pass over some pixels."""
    if strides == (1, 1):
        return pixels
    whole = pixels.new_zeros(images.shape)
    whole[:, :: strides[0], :: strides[1]] = pixels
    return whole


def _taken(images: torch.Tensor, strides: Sizes) -> torch.Tensor:
    return images if strides == (1, 1) else images[:, :: strides[0], :: strides[1]]


def _last(images: torch.Tensor) -> torch.Tensor:
    """Channels_last, of images with the channels in front of the pixels."""
    shown = images.permute(0, 2, 3, 1)
    return shown if torch.is_grad_enabled() else unviewed(shown)


def _is_onednn_s(images: torch.Tensor, strides: Sizes) -> bool:
    many = images.numel() >= MANY_PIXELS * strides[0] * strides[1] * images.shape[-1]
    onednn: Any = torch.backends.mkldnn
    takes = images.dtype == torch.float32 and not _is_batched(images)
    return bool(many and takes and onednn.is_available() and onednn.enabled)


def _of_onednn(images: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None, strides: Sizes) -> torch.Tensor:
    return torch.mkldnn_convolution(images.permute(0, 3, 1, 2), weights, bias, (0, 0), strides, (1, 1), 1)


class OfWindows(torch.autograd.Function):
    """Convolution of channels_last images by one product of matrices: each window a row, each filter a column.

    Its arguments: images, kernel, strides, the border of zeros (before and after), height and width of the outputs.
    The windows take more memory than the images do, and are made anew for the gradient.
    """

    @staticmethod
    def plain(
        images: torch.Tensor, kernel: torch.Tensor, strides: Sizes, borders: Borders, shape: Sizes
    ) -> torch.Tensor:
        windows = _windows(images, kernel.shape[:2], strides, borders, shape)
        return unviewed(torch.mm(windows, kernel.reshape(-1, kernel.shape[-1])).view(len(images), *shape, -1))

    @staticmethod
    def forward(
        context: Any, images: torch.Tensor, kernel: torch.Tensor, strides: Sizes, borders: Borders, shape: Sizes
    ) -> torch.Tensor:
        context.save_for_backward(images, kernel)
        context.how = strides, borders, shape
        return OfWindows.plain(images, kernel, strides, borders, shape)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        images, kernel = context.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_images = of_kernel = None
        if context.needs_input_grad[0]:
            windows = torch.mm(rows, kernel.reshape(-1, kernel.shape[-1]).t())
            of_images = _summed(windows, images, kernel.shape[:2], *context.how)
        if context.needs_input_grad[1]:
            windows = _windows(images, kernel.shape[:2], *context.how)
            of_kernel = torch.mm(windows.t(), rows).view(kernel.shape)
        return of_images, of_kernel, None, None, None


def _windows(images: torch.Tensor, sizes: torch.Size, strides: Sizes, borders: Borders, shape: Sizes) -> torch.Tensor:
    """A matrix with a row for each window of the images."""
    (top, bottom), (left, right) = borders
    padded = functional.pad(images, (0, 0, left, right, top, bottom))
    windows = padded.unfold(1, sizes[0], strides[0]).unfold(2, sizes[1], strides[1])
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(len(images) * shape[0] * shape[1], -1)


def _summed(
    windows: torch.Tensor, images: torch.Tensor, sizes: torch.Size, strides: Sizes, borders: Borders, shape: Sizes
) -> torch.Tensor:
    """The gradient of images: the sum of that of the windows in which each pixel lies."""
    batch, height, width, channels = images.shape
    (top, bottom), (left, right) = borders
    windows = windows.view(batch, *shape, *sizes, channels)
    padded = windows.new_zeros(batch, height + top + bottom, width + left + right, channels)
    for row in range(sizes[0]):
        rows = slice(row, row + strides[0] * (shape[0] - 1) + 1, strides[0])
        for column in range(sizes[1]):
            columns = slice(column, column + strides[1] * (shape[1] - 1) + 1, strides[1])
            padded[:, rows, columns] += windows[:, :, :, row, column]
    return padded[:, top : top + height, left : left + width]
