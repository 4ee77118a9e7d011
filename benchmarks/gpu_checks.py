"""The checks of gpu.py, each a function that returns what came out in a line, and raises where something is wrong."""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

POLICIES = {"float32": 1e-3, "mixed_float16": 3e-2, "mixed_bfloat16": 1.5e-1}
"""Policy -> how far its outputs may be from those in float32, as a share of the largest."""

FORMATS = ("channels_last", "channels_first")

RANDOM = ("dropout", "drop_rate", "block_dropout", "noise")
"""Arguments by which a layer draws in training."""

DRAWS = ("VariationalBottleneck",)
"""Layers whose outputs are drawn."""


def device(cpu):
    """The accelerator's name."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        there = [torch.cuda.get_device_name(0)] if torch.cuda.is_available() else []
    elif backend == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
        there = [each.device_kind for each in jax.devices() if each.platform != "cpu"]
    else:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)
        there = [each.name for each in tf.config.list_physical_devices("GPU")]
    if not there and not cpu:
        raise RuntimeError(f"{backend} sees no accelerator; `--cpu` tries the script without")
    return f"keras {keras.__version__} on {backend}: {', '.join(there) or 'CPU'}"


def on_tensorflow_cpu(data_format, cpu):
    import keras

    return cpu and data_format == "channels_first" and keras.backend.backend() == "tensorflow"


def far(found, expected):
    """The largest difference as a share of the largest value; infinite where one is no number."""
    import numpy as np

    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6)) if found.size else 0.0


def within(found, expected, tolerance, what):
    worst = far(found, expected)
    assert worst <= tolerance, f"{what} differs by {worst:.1e}, more than {tolerance}"
    return worst


def normalization(policy, axis):
    """Ours and Keras': outputs, moving statistics, gradients; NaN stays NaN behind a ReLU."""
    import keras
    import numpy as np
    from gradients import gradients

    from keras_blocks.core.normalization import BatchNormalization

    images = (2 + 3 * np.random.default_rng(0).normal(size=(8, 7, 6, 16))).astype("float32")
    images = np.moveaxis(images, -1, 1) if axis == 1 else images
    layers = [cls(axis=axis, dtype=policy) for cls in (keras.layers.BatchNormalization, BatchNormalization)]
    tolerance, worst = POLICIES[policy], 0.0
    for layer in layers:
        layer.build((None, *images.shape[1:]))
        rng = np.random.default_rng(1)
        layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    outputs = [_array(layer(images, training=True)) for layer in layers]
    worst = max(worst, within(outputs[1], outputs[0], tolerance, "an output"))
    for theirs, ours in zip(*(layer.weights for layer in layers)):
        worst = max(worst, within(_array(ours), _array(theirs), 1e-3, ours.name))
    for theirs, ours in zip(*(gradients(layer, images) for layer in layers)):
        worst = max(worst, within(ours, theirs, max(tolerance, 2e-3), "a gradient"))
    images[0] = np.nan
    assert np.isnan(_array(keras.ops.relu(layers[1](images, training=True)))).any(), "NaN has become a number"
    return f"as Keras' to {worst:.1e}"


def grouped_convolution(tiny):
    """Equal to slices, in the formulation that the backend is said to take; and what each formulation takes."""
    import keras
    import numpy as np
    from gradients import outputs_and_gradients

    import keras_blocks
    from keras_blocks.ops import grouped_conv

    side, channels = (8, 64) if tiny else (56, 128)
    images = np.random.default_rng(0).normal(size=(2 if tiny else 32, side, side, channels)).astype("float32")
    ours = keras_blocks.GroupedConv2D(channels, 3, groups=32, padding="same", use_bias=False)
    ours.build(images.shape)
    kernel = _array(ours.kernel)
    parts = zip(np.split(images, 32, axis=-1), np.split(kernel, 32, axis=-1))
    slices = [_array(keras.ops.conv(image, part, padding="same", data_format="channels_last")) for image, part in parts]
    worst = within(_array(ours(images)), np.concatenate(slices, axis=-1), 1e-3, "the output")
    seconds, own = {}, grouped_conv._formulation
    choices = {"chosen": None, "Keras'": keras.ops.conv, "block-diagonal": grouped_conv.block_diagonal}
    given = keras.ops.convert_to_tensor(images)
    for name, formulation in choices.items():
        layer = keras_blocks.GroupedConv2D(channels, 3, groups=32, padding="same", use_bias=False)
        layer.build(images.shape)
        layer.set_weights([kernel])
        try:
            if formulation is not None:
                grouped_conv._formulation = lambda dtype, formulation=formulation: formulation
            seconds[name] = statistics.median(
                _timed(lambda layer=layer: outputs_and_gradients(layer, given)) for _ in range(2 if tiny else 5)
            )
        finally:
            grouped_conv._formulation = own
    backend = keras.backend.backend()
    chosen = "PyTorch's own" if backend == "torch" else getattr(own("float32"), "__name__", "?")
    times = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in seconds.items())
    return f"{chosen}; as slices to {worst:.1e}; forward and backward, eager: {times}"


def golden(variant):
    """torchvision's outputs for the fixtures' weights."""
    import golden_networks
    import golden_weights
    import numpy as np

    fixture = golden_weights.load("torchvision", variant)
    model = golden_networks.golden_model(fixture, variant)
    outputs = model.predict(golden_weights.images(fixture["images"]), verbose=0)
    worst = within(outputs, np.array(fixture["outputs"]["logits"], "float32"), 1e-3, "an output")
    return f"as torchvision's to {worst:.1e}"


def speed(name, policy, tiny):
    """Milliseconds of a training step and of an inference, and the device's memory of training; ours, and theirs."""
    import keras
    from contestants import contestants
    from timing import interleaved

    size, batch = (64, 2) if tiny else (224, 64)
    _tensor_floats(True)
    keras.config.set_dtype_policy(policy)
    try:
        made, found = contestants(name, size, batch, theirs=policy == "float32"), []
        peaks, ready = {}, {}
        for who, make in made.items():
            ready[who] = make()
            _forget_peak()
            ready[who].train()
            ready[who].train()
            peaks[who] = _peak()
        images = _images(batch, size)
        rounds = 1 if tiny else 5
        steps = {who: one.train for who, one in ready.items()}
        calls = {who: (lambda one=one: one.predict(images)) for who, one in ready.items()}
        for what, functions in (("training", steps), ("inference", calls)):
            times = interleaved(functions, rounds)
            found.append(f"{what} " + ", ".join(f"{who} {1000 * value:.1f} ms" for who, value in times.items()))
        if any(peaks.values()):
            found.append("peak " + ", ".join(f"{who} {peak:.0f} MB" for who, peak in peaks.items()))
        return f"{batch} of {size}: " + "; ".join(found)
    finally:
        keras.config.set_dtype_policy("float32")
        _tensor_floats(False)


def recomputed(tiny):
    """The device's memory of a training step of DenseNet-121 with and without `remat`."""
    import keras
    import numpy as np

    import keras_blocks

    size, batch, peaks = 64 if tiny else 224, 2 if tiny else 32, {}
    for remat in (False, True):
        model = keras_blocks.create_model("densenet121", input_shape=(size, size, 3), classes=10, remat=remat)
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False if not _is("jax") else "auto")
        _forget_peak()
        for _ in range(2):
            assert np.isfinite(model.train_on_batch(_images(batch, size), np.zeros(batch, "int32")))
        peaks[remat] = _peak()
        del model
        keras.utils.clear_session()
    if not all(peaks.values()):
        return "skipped: no peak is known of this device"
    return f"{peaks[False]:.0f} MB, with remat {peaks[True]:.0f} MB"


def search_by_two(seconds):
    """A search whose two workers share the device."""
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        command = [sys.executable, "-m", "keras_blocks.tuning.cli", "search", "--data", "digits", "--trials", "4"]
        command += ["--workers", "2", "--epochs", "1", "--final-epochs", "1", "--run", run]
        environment = {**os.environ, "TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except BaseException:  # gpu.py's limit, too
            os.killpg(process.pid, signal.SIGTERM)
            raise
        lines = [line for line in output.splitlines() if line.strip()]
        assert process.returncode == 0, f"status {process.returncode}: {' / '.join(lines[-3:])}"
        return lines[-1]


def block(row, cpu):
    """Forward and backward in each policy and format: finite, and near what float32 and channels_last give."""
    import keras
    import numpy as np
    from calling import as_array
    from gradients import outputs_and_gradients

    images = np.random.default_rng(0).uniform(0, 1, (2, *row.input_shape)).astype("float32")
    own = {name: value for name, value in row.arguments.items() if name not in RANDOM}
    reference = weights = None
    found = []
    for policy, tolerance in POLICIES.items():
        for data_format in FORMATS:
            if on_tensorflow_cpu(data_format, cpu):
                continue
            layer = row.cls(**own, dtype=policy, data_format=data_format)
            given = np.moveaxis(images, -1, 1) if data_format == "channels_first" else images
            layer.build(given.shape)
            weights = layer.get_weights() if weights is None else weights
            layer.set_weights(weights)
            outputs, gradients = outputs_and_gradients(layer, keras.ops.convert_to_tensor(given))
            assert all(np.isfinite(one.astype("float32")).all() for one in gradients if one is not None), (
                f"a gradient is no number: {policy}, {data_format}"
            )
            outputs = as_array(keras.tree.map_structure(lambda one: keras.ops.cast(one, "float32"), outputs))
            outputs = np.moveaxis(outputs, 1, -1) if data_format == "channels_first" and outputs.ndim == 4 else outputs
            reference = outputs if reference is None else reference
            assert np.isfinite(outputs).all(), f"an output is no number: {policy}, {data_format}"
            if row.name not in DRAWS:
                found.append(within(outputs, reference, tolerance, f"{policy}, {data_format}"))
    return f"{len(found)} kinds, at most {max(found, default=0):.1e} from float32, channels_last"


# -- what they share ------------------------------------------------------------------------------------------------


def _is(backend):
    return os.environ["KERAS_BACKEND"] == backend


def _array(tensor):
    import keras

    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def _images(batch, size):
    import numpy as np

    return np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype("float32")


def _timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def _tensor_floats(allowed):
    if _is("torch"):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    elif _is("tensorflow"):
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(allowed)
    else:
        import jax

        jax.config.update("jax_default_matmul_precision", "default" if allowed else "highest")


def _forget_peak():
    """JAX forgets none: its peak is that of all before."""
    if _is("torch"):
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
    elif _is("tensorflow"):
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            tf.config.experimental.reset_memory_stats("GPU:0")


def _peak():
    """MB of the device; 0 where it does not tell."""
    if _is("torch"):
        import torch

        return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0
    if _is("tensorflow"):
        import tensorflow as tf

        known = tf.config.list_physical_devices("GPU")
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20 if known else 0
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / 2**20
