"""A training step and a prediction on PyTorch: ours, keras.applications' and torchvision's, in turn in one process.

The target: at most 1.05 times torchvision's time, and in training at least 1.4 times as fast as keras.applications.

It needs an environment with Keras, torch and torchvision; this checkout is found by PYTHONPATH:

    PYTHONPATH=. python benchmarks/torch_speed.py --json docs/torch_speed.json

On a machine that others use, too: `--cpu-time --threads 1` counts the processor's seconds. Networks of torchvision have
convolutions where keras.applications has others (ResNet-50 v1.5 and v1): ours are torchvision's, and for the ratio to
keras.applications, which stands beside it, its own.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import argparse
import gc
import json
import time

import keras
import numpy as np
import torch
import torchvision
from timing import interleaved

import keras_blocks

NETWORKS = {
    "resnet50": ("resnet50", None),
    "resnet50_v1": (None, "ResNet50"),
    "resnext50_32x4d": ("resnext50_32x4d", None),
    "densenet121": ("densenet121", "DenseNet121"),
    "inception_v3": (None, "InceptionV3"),
    "inception_v3_torchvision": ("inception_v3", None),
    "vgg16": ("vgg16", "VGG16"),
    "squeezenet_1.1": ("squeezenet1_1", None),
}
"""Our name -> torchvision's and keras.applications'."""


def of_torchvision(name, images, labels):
    """A training step and a prediction."""
    auxiliary = {"aux_logits": True, "init_weights": False} if name == "inception_v3" else {}
    network = torchvision.models.get_model(name, weights=None, **auxiliary).to(memory_format=torch.channels_last)
    optimizer, loss_of = torch.optim.SGD(network.parameters(), 0.01), torch.nn.CrossEntropyLoss()
    images, labels = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)
    assert images.is_contiguous(memory_format=torch.channels_last)

    def train():
        network.train()
        optimizer.zero_grad(set_to_none=True)
        outputs = network(images)
        together = [outputs.logits, outputs.aux_logits] if auxiliary else [outputs]
        sum(loss_of(one, labels) for one in together).backward()
        optimizer.step()

    def predict():
        network.eval()
        with torch.inference_mode():
            network(images)

    return train, predict


def of_keras(model, images, labels):
    outputs = len(model.outputs)
    model.compile(keras.optimizers.SGD(0.01), ["sparse_categorical_crossentropy"] * outputs)
    return lambda: model.train_on_batch(images, [labels] * outputs), lambda: predict(model, images)


def predict(model, images):
    with torch.inference_mode():
        model(torch.from_numpy(images), training=False)


def measured(name, arguments):
    theirs, keras_own = NETWORKS[name]
    size = arguments.size or (299 if name.startswith("inception") else 224)
    rng, shape = np.random.default_rng(0), (size, size, 3)
    images = rng.normal(size=(arguments.batch, *shape)).astype("float32")
    labels = rng.integers(0, 1000, arguments.batch)
    network = keras_blocks.create_model(name, input_shape=shape, classes=1000)
    made = {"ours": of_keras(network, images, labels)}
    if theirs:
        made["torchvision"] = of_torchvision(theirs, images, labels)
    if keras_own:
        own = getattr(keras.applications, keras_own)(weights=None, input_shape=shape, classes=1000)
        made["keras.applications"] = of_keras(own, images, labels)
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    found = {"size": size}
    for i, what in enumerate(("training", "inference")):
        functions = {who: steps[i] for who, steps in made.items()}
        seconds = interleaved(functions, arguments.rounds, clock)
        found[what] = {who: round(1000 * value, 1) for who, value in seconds.items()}
        ratios = {who: f"{found[what]['ours'] / value:.2f}" for who, value in found[what].items() if who != "ours"}
        print(f"{name:26} {size:4} {what:10} {found[what]}  ours over theirs: {ratios}", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, help="of the images; by default the networks' own")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cpu-time", action="store_true", help="the processor's seconds, not the clock's")
    parser.add_argument("--json", help="file for the figures, in milliseconds")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = {}
    for name in arguments.networks:
        found[name] = measured(name, arguments)
        keras.utils.clear_session()
        gc.collect()
    if arguments.json:
        how = {key: value for key, value in vars(arguments).items() if key not in ("networks", "json")}
        versions = {"keras": keras.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__}
        with open(arguments.json, "w") as file:
            json.dump({"how": how, "versions": versions, "milliseconds": found}, file, indent=1)


if __name__ == "__main__":
    main()
