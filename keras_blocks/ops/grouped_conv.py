"""Grouped convolution by the formulation that trains fastest on the backend.

Keras sends a grouped convolution through XLA on TensorFlow and JAX, whose gradient for the CPU is two orders of
magnitude slower than that of a dense convolution. The rule, measured by benchmarks/grouped_conv.py:

| backend | where | formulation |
|---|---|---|
| PyTorch | everywhere | its own |
| TensorFlow | accelerators | its own |
| TensorFlow | CPU, outside of XLA, in a dtype whose gradient its kernels have (float32, bfloat16) | its own |
| TensorFlow | CPU, `jit_compile=True`, or another dtype, or oneDNN turned off | block-diagonal |
| JAX | accelerators | its own |
| JAX | CPU | block-diagonal |

The choice is made when a function is traced: one that was traced outside of XLA, and is then called within a function
for it, keeps TensorFlow's own form, which XLA compiles to the slow gradient.
"""

import functools
from typing import Any

import keras

from keras_blocks.ops import torch_images
from keras_blocks.typing import DataFormat, Ints, KerasPadding, Tensor

DENSE_WIDTH = 32
"""Channels of a dense convolution that narrow groups are put together for. 16 to 32 were fastest at every size of a
ResNeXt; fewer make more operations, and more of them multiply by zero."""


def grouped_conv2d(
    inputs: Tensor,
    kernel: Tensor,
    groups: int,
    strides: Ints = (1, 1),
    padding: KerasPadding = "valid",
    dilation_rate: Ints = (1, 1),
    data_format: DataFormat | None = None,
) -> Tensor:
    """What `keras.ops.conv` gives for a kernel of `groups` groups: group i of the outputs sees group i of the inputs.

    Args:
        inputs: images, (batch, height, width, channels) or (batch, channels, height, width).
        kernel: (kernel_height, kernel_width, channels / groups, filters).
        groups: number of groups; must divide the channels and the filters.
        strides, dilation_rate: two integers, in pixels.
        padding: "same" or "valid".
        data_format: "channels_last" or "channels_first"; `None` is `keras.config.image_data_format()`.
    """
    data_format = data_format or keras.config.image_data_format()
    options = {"strides": tuple(strides), "padding": padding, "dilation_rate": tuple(dilation_rate)}
    if groups == 1 or isinstance(inputs, keras.KerasTensor):
        return keras.ops.conv(inputs, kernel, data_format=data_format, **options)
    inputs, kernel = keras.ops.convert_to_tensor(inputs), keras.ops.convert_to_tensor(kernel)
    if torch_images.takes(inputs):
        return torch_images.conv2d(inputs, kernel, None, strides, padding, dilation_rate, data_format)
    formulation = _formulation(keras.backend.standardize_dtype(kernel.dtype))
    if formulation is keras.ops.conv:
        return keras.ops.conv(inputs, kernel, data_format=data_format, **options)
    if data_format == "channels_first":  # for which TensorFlow's CPU has no convolution
        inputs = keras.ops.transpose(inputs, (0, 2, 3, 1))
    outputs = formulation(inputs, kernel, groups=groups, **options)
    return keras.ops.transpose(outputs, (0, 3, 1, 2)) if data_format == "channels_first" else outputs


def block_diagonal(inputs: Tensor, kernel: Tensor, groups: int, width: int = DENSE_WIDTH, **options: Any) -> Tensor:
    """Some groups at a time as one dense convolution, whose kernel is zero from one group to another.

    `inputs` are channels_last. Groups are put together up to `width` channels; wider groups are a convolution each, as
    in the definition of the grouped convolution. A value that is not finite spreads to the groups put together with
    its own.
    """
    *sizes, channels, filters = kernel.shape
    together = _most_together(groups, max(channels, filters // groups), width)
    # (..., channels, filters) -> for each convolution (..., group of the input, channels, group of the output, filters)
    mask = keras.ops.reshape(keras.ops.eye(together, dtype=kernel.dtype), (1, 1, together, 1, together, 1))
    outputs = []
    for images, part in zip(
        keras.ops.split(inputs, groups // together, axis=-1), keras.ops.split(kernel, groups // together, axis=-1)
    ):
        if together > 1:
            part = keras.ops.reshape(part, (*sizes, 1, channels, together, filters // groups)) * mask
            part = keras.ops.reshape(part, (*sizes, channels * together, filters // groups * together))
        outputs.append(keras.ops.conv(images, part, data_format="channels_last", **options))
    return keras.ops.concatenate(outputs, axis=-1) if len(outputs) > 1 else outputs[0]


def _most_together(groups: int, group_width: int, width: int) -> int:
    """The largest divisor of `groups` so many of which have at most `width` channels; 1 for wider groups."""
    return max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * group_width <= width))


def _formulation(dtype: str) -> Any:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        if on_accelerator() or (not in_xla() and _tensorflow_trains(dtype)):
            return _tensorflow_native
        return block_diagonal
    if backend == "jax" and not on_accelerator():
        return block_diagonal
    return keras.ops.conv


def _tensorflow_native(
    inputs: Tensor, kernel: Tensor, groups: int, strides: Ints, padding: str, dilation_rate: Ints
) -> Tensor:
    """TensorFlow's own kernel, which Keras reaches by XLA alone. It reads the groups off the shapes."""
    import tensorflow as tf

    if inputs.dtype == tf.bfloat16 and padding == "same" and max(strides) > 1:
        # There its gradient of a tap that sees nothing but the border is uninitialized memory.
        inputs, padding = tf.pad(inputs, _border_of_same(tf.shape(inputs), kernel.shape, strides)), "valid"
    return tf.nn.convolution(inputs, kernel, strides, padding.upper(), dilations=dilation_rate)


def _border_of_same(shape: Tensor, kernel_shape: Ints, strides: Ints) -> list[tuple[Any, Any]]:
    """Pixels that the padding "same" adds before and after each axis of images; strides exclude dilation."""
    border = [(0, 0)]
    for size, kernel, step in zip((shape[1], shape[2]), kernel_shape, strides):
        missing = keras.ops.maximum(((size + step - 1) // step - 1) * step + kernel - size, 0)
        border.append((missing // 2, missing - missing // 2))
    return [*border, (0, 0)]


@functools.cache
def on_accelerator() -> bool:
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return any(device.device_type not in ("CPU", "XLA_CPU") for device in tf.config.list_logical_devices())


def in_xla() -> bool:
    """Whether TensorFlow traces a function that XLA will compile, as its own control flow finds it out."""
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False


def _tensorflow_trains(dtype: str) -> bool:
    """Whether the CPU's kernels have the gradient of a grouped convolution."""
    import tensorflow as tf

    with tf.init_scope():  # outside of a function that is being traced
        return tf.executing_eagerly() and _gradient_runs(dtype)


@functools.cache
def _gradient_runs(dtype: str) -> bool:
    """Tried, once for each dtype: it is there in oneDNN's kernels, and not in others."""
    import tensorflow as tf

    options = {"strides": [1, 1, 1, 1], "padding": "VALID"}
    with tf.device("CPU:0"):
        images, kernel = tf.zeros((1, 1, 1, 2), dtype), tf.zeros((1, 1, 1, 2), dtype)
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=(1, 1, 1, 2), filter=kernel, out_backprop=images, **options)
            tf.raw_ops.Conv2DBackpropFilter(input=images, filter_sizes=(1, 1, 1, 2), out_backprop=images, **options)
        except tf.errors.OpError:
            return False
    return True
