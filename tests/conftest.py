"""What all tests share: the backend's name, a seed for each test, and the folder of real data."""

import gc
import os
import pathlib
import warnings

import fast_xla

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.get("KERAS_BACKEND") == "jax":
    os.environ.setdefault("XLA_FLAGS", fast_xla.FLAGS)
# `make test` has a suite for each of its cores: more threads take turns, and wait for each other.
os.environ.update({**dict.fromkeys(fast_xla.THREADS, "1"), **os.environ})

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from thorough import run_alike, run_all

settings.register_profile(
    "ours",
    deadline=None,  # the first example traces; only its result counts
    derandomize=True,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ours")


def pytest_collection_finish():
    """What is imported stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    """Leaves what is marked `once` to PyTorch, and what is marked `twice` to it and to TensorFlow, but for `make
    test-all`; searches are tested on one backend as it is."""
    if run_alike():
        return
    searches = pathlib.Path(__file__).parent / "tuning"
    marks = ("once", "twice") if keras.backend.backend() == "jax" else ("once",)
    marked = {item for item in items if any(map(item.get_closest_marker, marks))}
    left = {item for item in marked if searches not in item.path.parents}
    config.hook.pytest_deselected(items=list(left))
    items[:] = [item for item in items if item not in left]


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random state and Keras' default settings, and leaves no graph behind."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    keras.utils.clear_session(free_memory=False)


@pytest.fixture
def eager():
    """On TensorFlow, what Keras would trace, which takes seconds for steps that take none, runs as it is."""
    if run_all() or keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not apply to tf.data functions", UserWarning)
        yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = pathlib.Path(
        os.environ.get("KERAS_BLOCKS_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data")
    ).resolve()
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}, which is absent here (or set KERAS_BLOCKS_DATA)")
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)
