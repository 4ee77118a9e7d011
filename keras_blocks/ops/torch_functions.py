"""Operations of PyTorch whose gradient is written here. Imported where PyTorch is the backend, and else not."""

from typing import Any

import torch
from torch.nn import functional

Sizes = tuple[int, int]
Borders = tuple[Sizes, Sizes]


class Reordered(torch.autograd.Function):
    """A kernel, (height, width, channels, filters), as PyTorch's convolutions take it.

    It is (filters, channels, height, width), in the memory format channels_last: the transposed of a matrix with a
    column for each filter, for which PyTorch has fast code that it does not find for four axes.
    """

    @staticmethod
    def forward(kernel: torch.Tensor) -> torch.Tensor:
        height, width, channels, filters = kernel.shape
        rows = kernel.detach().reshape(-1, filters).t().contiguous()
        return rows.view(filters, height, width, channels).permute(0, 3, 1, 2)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        pass

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        filters, channels, height, width = gradient.shape
        columns = gradient.permute(0, 2, 3, 1).reshape(filters, -1).t().contiguous()
        return columns.view(height, width, channels, filters)


class OfWindows(torch.autograd.Function):
    """Convolution of channels_last images by one product of matrices: each window a row, each filter a column.

    Its arguments: images, kernel, strides, the border of zeros (before and after), height and width of the outputs.
    The windows take more memory than the images do, and are made anew for the gradient.
    """

    @staticmethod
    def forward(
        images: torch.Tensor, kernel: torch.Tensor, strides: Sizes, borders: Borders, shape: Sizes
    ) -> torch.Tensor:
        windows = _windows(images, kernel.shape[:2], strides, borders, shape)
        return torch.mm(windows, kernel.reshape(-1, kernel.shape[-1])).view(len(images), *shape, -1)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        images, kernel, *how = inputs
        context.save_for_backward(images, kernel)
        context.how = how

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
