"""What a detector cannot be exported to is refused, and what stands in the way is said."""

import keras
import pytest
from test_faster_rcnn import ready

from keras_blocks.core.shapes import known_sizes


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the other backends export it")
def test_onnx_from_pytorch_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"aten::take_along_dim.*KERAS_BACKEND is tensorflow"):
        ready().export(tmp_path / "model.onnx", format="onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="has a tracer whose sizes are tensors")
@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated:DeprecationWarning")
def test_sizes_are_known_while_pytorch_traces():
    import torch

    seen = []

    def program(x):
        seen.append(known_sizes(x))
        return x + 1

    torch.jit.trace(program, torch.zeros(2, 3))
    assert (2, 3) in seen and all(sizes == (2, 3) for sizes in seen)
