"""Models around a backbone are compared in float64, which JAX has where it is told so."""

import keras
import pytest


@pytest.fixture(autouse=True)
def float64(request):
    if keras.backend.backend() != "jax" or "around_backbones" not in request.module.__name__:
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield
