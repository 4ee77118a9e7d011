"""Inference of `deploy(model)` and of the model, in turn: TensorFlow's graph, JAX's compiled function, PyTorch's calls.

The target: ResNet-50 on TensorFlow at least 1.2 times as fast at batch 1 and 1.15 at batch 8, and nothing slower.

    KERAS_BACKEND=tensorflow python benchmarks/deploy.py --json docs/deploy_tensorflow.json

On a machine that others use, too, `--cpu-time` counts the processor's seconds, of one thread if the backend is told so
(TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1; OMP_NUM_THREADS=1; for JAX `taskset -c 0`).
"""

import argparse
import gc
import json
import time

import keras
import numpy as np
from timing import interleaved

import keras_blocks

NETWORKS = (
    "resnet50",
    "resnet50_v2",
    "resnext50_32x4d",
    "seresnet50",
    "densenet121",
    "inception_v3",
    "googlenet",
    "vgg16",
    "squeezenet_1.1",
    "xception",
    "mobilenet_v2",
)


def compiled(model):
    """A function of images that runs the model as a program that serves it would."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        run = tf.function(lambda x: model(x, training=False))
        return lambda x: keras.tree.map_structure(lambda y: y.numpy(), run(x))
    if backend == "jax":
        import jax

        state = [variable.value for variable in model.variables]
        run = jax.jit(lambda values, x: model.stateless_call(*_parts(model, values), x, training=False)[0])
        return lambda x: jax.block_until_ready(run(state, x))
    import torch

    def call(x):
        with torch.inference_mode():
            return model(x, training=False)

    return call


def _parts(model, values):
    by_id = dict(zip((id(variable) for variable in model.variables), values, strict=True))
    return [
        [by_id[id(variable)] for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]


def measured(name, arguments):
    shape = (arguments.size or (299 if "inception" in name or name == "xception" else 224),) * 2 + (3,)
    model = keras_blocks.create_model(name, input_shape=shape, classes=1000)
    functions = {"model": compiled(model), "deploy": compiled(keras_blocks.deploy(model))}
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    found = {}
    for batch in arguments.batch:
        images = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(batch, *shape)), "float32")
        runs = {who: (lambda run=run, images=images: run(images)) for who, run in functions.items()}
        seconds = interleaved(runs, arguments.rounds, clock)
        found[batch] = {who: round(1000 * value, 1) for who, value in seconds.items()}
        ratio = found[batch]["model"] / found[batch]["deploy"]
        print(f"{name:18} batch {batch}: {found[batch]}, {ratio:.2f} times as fast", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--size", type=int, help="of the images; by default the networks' own")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cpu-time", action="store_true", help="the processor's seconds, not the clock's")
    parser.add_argument("--json", help="file for the figures, in milliseconds")
    arguments = parser.parse_args()
    found = {}
    for name in arguments.networks:
        found[name] = measured(name, arguments)
        keras.utils.clear_session()
        gc.collect()
    if arguments.json:
        how = {key: value for key, value in vars(arguments).items() if key not in ("networks", "json")}
        how["backend"] = keras.backend.backend()
        with open(arguments.json, "w") as file:
            json.dump({"how": how, "keras": keras.__version__, "milliseconds": found}, file, indent=1)


if __name__ == "__main__":
    main()
