"""RoIPool on PyTorch's CPU: each bin is a bag of pixels, of which `embedding_bag` finds the maximum and where it is.

It looks at the pixels in the order that torchvision does, and so sends the gradient to the same one of equal pixels. A
gradient through windows of tables takes four times torchvision's time there, this one none more.
"""

import functools
from typing import Any

from keras_blocks.typing import Tensor

MOST_PIXELS = 32
"""Of a bin, in the mean, above which windows of tables, whose cost is that of four pixels, are faster."""


def fits(features: Tensor, rows: Any, columns: Any) -> bool:
    """Whether this is the faster way, and one that can be taken: what is traced knows no sizes."""
    import torch

    if features.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    pixels = int(((rows[1] - rows[0]).sum(2) * (columns[1] - columns[0]).sum(2)).sum())
    return pixels <= MOST_PIXELS * int(rows[0].numel() * columns[0].shape[2])


def maxima(features: Tensor, rows: Any, columns: Any) -> Tensor:
    """As `roi_maxima.maxima`."""
    batch, height, width, channels = features.shape
    pixels = features.reshape(-1, channels)
    places, starts, empty = _bags(rows, columns, batch, height, width)
    found = _maximum_of_bags().apply(pixels, places, starts, empty)
    return found.reshape(*rows[0].shape, columns[0].shape[2], channels)


def _bags(rows: Any, columns: Any, batch: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels of all bins one after another, row by row; where each bin's begin; and which bins have none."""
    import torch

    (top, bottom), (left, right) = ([end.long() for end in of] for of in (rows, columns))
    across = (right - left)[:, :, None, :].expand(-1, -1, top.shape[2], -1).flatten()
    counts = ((bottom - top)[:, :, :, None] * (right - left)[:, :, None, :]).flatten()
    image = torch.arange(batch).reshape(-1, 1, 1, 1) * (height * width)
    corners = (image + top[:, :, :, None] * width + left[:, :, None, :]).flatten()
    starts = counts.cumsum(0) - counts
    within = torch.arange(int(counts.sum())) - torch.repeat_interleave(starts, counts)
    down = within // torch.repeat_interleave(across, counts)
    # A step down is a row of the map less the bin's own pixels, which `within` has counted.
    places = torch.repeat_interleave(corners, counts) + within + down * torch.repeat_interleave(width - across, counts)
    return places, starts, counts == 0


@functools.cache
def _maximum_of_bags() -> Any:
    """The function with a gradient of its own: PyTorch's goes through the channels one by one."""
    import torch

    class MaximumOfBags(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, pixels: Tensor, places: Tensor, starts: Tensor, empty: Tensor) -> Tensor:
            wanted = context.needs_input_grad[0]
            with torch.set_grad_enabled(wanted):  # only then it says which pixels they were
                leaf = pixels.detach().requires_grad_(wanted)
                found, _, _, which = torch.embedding_bag(leaf, places, starts, mode=2)
            context.save_for_backward(which, empty)
            context.shape = pixels.shape
            return found.detach()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
            which, empty = context.saved_tensors
            if empty.any():
                gradient = gradient.masked_fill(empty[:, None], 0.0)
            total = torch.float64 if gradient.dtype == torch.float64 else torch.float32  # sums of many, also of 16 bits
            pixels = torch.zeros(context.shape, dtype=total).scatter_add_(0, which, gradient.to(total))
            return pixels.to(gradient.dtype), None, None, None

    return MaximumOfBags
