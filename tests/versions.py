"""What tests need of other libraries, and what is called otherwise in the oldest versions that are taken."""

import importlib.util

import keras
import pytest

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() == "jax" and importlib.util.find_spec("tensorflow") is None,
    reason="on JAX it takes TensorFlow, which is not installed",
)

KERAS = tuple(map(int, keras.__version__.split(".")[:2]))


def in_64_bits():
    """JAX, and what is within, with numbers of 64 bits."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()
