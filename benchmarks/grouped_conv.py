"""GroupedConv2D against Keras' Conv2D(groups=...), a dense convolution of as many multiply-adds, and torch's.

Forward alone, and forward and backward, compiled as `fit` compiles them (tf.function, jax.jit, PyTorch as it is), batch
8, 3x3, interleaved. Targets, forward and backward: on TensorFlow 150 times faster than Keras' at 56x56 and 28x28 with
32 groups, on JAX 50 times, on neither slower at any shape; on TensorFlow at most 1.3 times torch's time.

    KERAS_BACKEND=tensorflow python benchmarks/grouped_conv.py [--stages] [--without-keras] [--pixels 28]
"""

import argparse
import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from timing import interleaved

import keras_blocks

BATCH = 8
STAGES = {56: 128, 28: 256, 14: 512, 7: 1024}
"""Pixels -> channels of ResNeXt-50's grouped convolutions, of 32 groups."""
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
BACKEND = keras.backend.backend()


def runner(layer, images, backward):
    """A function that runs the layer, and its backward pass, for the backend's fastest usual way."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        images = tf.constant(images)

        @tf.function(jit_compile=False)
        def run(images):
            if not backward:
                return layer(images)
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = layer(images)
            # The outputs' own values as their gradients, as if the loss were half the sum of squares.
            return outputs, tape.gradient(outputs, [images, *layer.trainable_weights], outputs)

        return lambda: run(images)
    if BACKEND == "jax":
        import jax

        def forward(weights, images):
            return layer.stateless_call(weights, [], images)[0]

        def both(weights, images):
            outputs, pull = jax.vjp(forward, weights, images)
            return outputs, pull(outputs)

        weights, images = [weight.value for weight in layer.trainable_weights], jax.numpy.asarray(images)
        compiled = jax.jit(both if backward else forward)
        return lambda: jax.block_until_ready(compiled(weights, images))
    return torch_runner(layer, images, list(layer.trainable_weights), backward)


def torch_runner(module, images, weights, backward):
    import torch

    weights = [getattr(weight, "value", weight) for weight in weights]
    images = torch.as_tensor(images).requires_grad_(backward)

    def run():
        if not backward:
            with torch.no_grad():
                return module(images)
        outputs = module(images)
        return outputs, torch.autograd.grad(outputs, [images, *weights], outputs.detach())

    return run


def torch_peer(images, width):
    """torch.nn.Conv2d in its channels_last memory format, on as many threads."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    channels = images.shape[-1]
    conv = torch.nn.Conv2d(channels, channels, 3, padding=1, groups=channels // width, bias=False)
    conv = conv.to(memory_format=torch.channels_last)
    images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).contiguous(memory_format=torch.channels_last)
    return lambda backward: torch_runner(conv, images, [conv.weight], backward)


def measure(pixels, channels, width, with_keras, with_torch):
    """Name -> milliseconds, forward and backward or forward alone."""
    images = np.random.default_rng(0).normal(size=(BATCH, pixels, pixels, channels)).astype("float32")
    groups = channels // width
    options = {"padding": "same", "use_bias": False}
    layers = {"ours": keras_blocks.GroupedConv2D(channels, 3, groups=groups, **options)}
    if with_keras:
        layers["Keras"] = keras.layers.Conv2D(channels, 3, groups=groups, **options)
    # channels * sqrt(1 / groups) in and out: as many multiply-adds.
    dense = max(1, round(channels / math.sqrt(groups)))
    layers["dense"] = keras.layers.Conv2D(dense, 3, **options)
    found = {}
    for backward in (False, True):
        functions = {}
        for name, layer in layers.items():
            part = images[..., :dense] if name == "dense" else images
            if not layer.built:
                layer.build(part.shape)
            functions[name] = runner(layer, part, backward)
        if with_torch and BACKEND != "torch":
            functions["torch"] = torch_peer(images, width)(backward)
        slow = with_keras and BACKEND != "torch" and backward
        seconds = interleaved(functions, rounds=1 if slow else 9)
        if slow:  # the others again, without seconds of Keras' between two of their runs
            seconds.update(interleaved({name: run for name, run in functions.items() if name != "Keras"}, rounds=9))
        found[backward] = {name: value * 1e3 for name, value in seconds.items()}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", action="store_true", help="ResNeXt-50's four stages only, not all widths")
    parser.add_argument("--without-keras", action="store_true", help="leaves out Keras', which takes seconds a step")
    parser.add_argument("--pixels", type=int, nargs="+", choices=STAGES, default=[*STAGES], help="sizes to measure")
    arguments = parser.parse_args()
    try:
        import torch  # noqa: F401

        with_torch = True
    except ImportError:
        with_torch = False
    print(f"backend {BACKEND}, Keras {keras.__version__}, batch {BATCH}, medians; forward / forward and backward, ms")
    for pixels in arguments.pixels:
        channels = STAGES[pixels]
        for width in (channels // 32,) if arguments.stages else WIDTHS:
            found = measure(pixels, channels, width, not arguments.without_keras, with_torch)
            ours = [found[backward]["ours"] for backward in (False, True)]
            line = f"{pixels}x{pixels}x{channels}, groups of {width:2d}: ours {ours[0]:.1f} / {ours[1]:.1f}"
            for name in found[True]:
                if name != "ours":
                    times = [found[backward][name] for backward in (False, True)]
                    ratios = [time / own for time, own in zip(times, ours)]
                    line += f"; {name} {times[0]:.1f} / {times[1]:.1f} ({ratios[0]:.2f} / {ratios[1]:.2f} times ours)"
            print(line, flush=True)


if __name__ == "__main__":
    main()
