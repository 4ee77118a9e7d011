"""Models around a backbone are compared in float64, which JAX has where it is told so."""

import keras
import pytest
from versions import in_64_bits


@pytest.fixture(autouse=True)
def float64(request):
    if keras.backend.backend() != "jax" or "around_backbones" not in request.module.__name__:
        yield
        return
    with in_64_bits():
        yield
