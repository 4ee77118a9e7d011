"""Whether what is computed is written to a file, and what must be said otherwise there.

A file is to hold for other values, and for more or fewer images and boxes than it was traced with: what decides by a
value would be decided once and for all, and `keras.ops` has operations that PyTorch's exporters have not.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras

from keras_blocks.typing import Tensor

_format: ContextVar[str | None] = ContextVar("format", default=None)


@contextlib.contextmanager
def for_format(format: str) -> Iterator[None]:
    """What is traced here is written in a format of `export`."""
    before = _format.set(format)
    try:
        yield
    finally:
        _format.reset(before)


def is_for_openvino() -> bool:
    """Whether what is traced is for OpenVINO, which has a few things wrong.

    In 2026.4, a loop over as many boxes as there are loses some, and a quotient is a product with the reciprocal, which
    is rounded: 14 / 7 is less than 2.
    """
    return _format.get() == "openvino"


def is_for_another_runtime() -> bool:
    """Whether what is traced is for a runtime that has other operations than its backend."""
    return _format.get() not in (None, "saved_model")


def is_written() -> bool:
    """Whether one of PyTorch's exporters traces what is computed. Sizes may then be tensors, or symbols."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    if _is_traced():
        return True
    if hasattr(torch.compiler, "is_exporting"):
        return bool(torch.compiler.is_exporting())
    # PyTorch 2.6: `torch.export` without its compiler.
    return bool(torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling())


def largest(values: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The `most` largest of each row, or all, and their places; of equals that are among them the first come first."""
    found, index = keras.ops.top_k(values, _at_most(most, keras.ops.shape(values)[-1]))
    # Regions with the same pixels are equal, and PyTorch orders them as it likes. ONNX does not, nor sorts like this.
    if keras.backend.backend() == "torch" and not _is_traced():
        index, order = index.sort(dim=-1)
        found, order = found.gather(-1, order).sort(dim=-1, descending=True, stable=True)
        index = index.gather(-1, order)
    return found, index


def _is_traced() -> bool:
    import torch

    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _at_most(limit: int, count: Any) -> Any:
    """The smaller one; of a size that is not known yet, as what the backend has for sizes."""
    if isinstance(count, int):
        return min(limit, count)
    if keras.backend.backend() == "torch" and not keras.ops.is_tensor(count):
        import torch

        return torch.sym_min(limit, count)  # type: ignore[no-untyped-call]
    return keras.ops.minimum(limit, count)


def taken(values: Tensor, index: Tensor) -> Tensor:
    """What lies at the indices along axis 1.

    Args:
        values: (batch, n, ...).
        index: (batch, k), from 0 to n - 1.

    Returns:
        (batch, k, ...).
    """
    extra = len(values.shape) - 2
    index = keras.ops.reshape(index, (*keras.ops.shape(index), *(1,) * extra))
    if keras.backend.backend() != "torch":
        return keras.ops.take_along_axis(values, index, axis=1)
    # The exporter to ONNX has no `take_along_dim`, which is this.
    import torch

    return torch.gather(values, 1, index.long().expand(*index.shape[:2], *values.shape[2:]))
