"""What a grown child has learned after one epoch, against the same child from scratch.

A parent is trained for five epochs. Its child, wider and deeper, is grown of it, optimizer and all, and trained for
one; the same child with new weights is trained for one, and another one for six, as many as parent and child had
together. Networks are a ResNet of basic blocks and a DenseNet, both small; images are scikit-learn's digits, photos of
signs of digits, and 5,000 of CIFAR-10, both at 16x16. Each training is AdamW's, with a cosine from one rate to zero, in
batches of 64, without augmentation; seeds differ in the weights, the order of the images, and how they are split.
Normalizations forget fast (momentum 0.9), so that their statistics fit after one epoch. Accuracy is that on the test
images. A run is one network with one seed on one of the data; what is done lies in docs/growing.json, and is not done
again:

    KERAS_BACKEND=torch python benchmarks/growing.py [--seeds 5] [--data digits sign_digits cifar]
"""

import argparse
import itertools
import json
import math
import pathlib
import sys
import tempfile
import time

import keras

import keras_blocks

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from search_comparison import ROOT, images, interval

RESULTS = ROOT / "docs" / "growing.json"
DATA = ("digits", "sign_digits", "cifar")
EPOCHS = 5
"""Of a parent."""
RATE, BATCH, TIES = 3e-3, 64, 0.01


def residual(filters, blocks):
    return {"groups": [{"filters": width, "blocks": blocks} for width in filters], "block": "basic"}


def dense(layers, growth):
    return {"groups": [{"layers": layers}] * 2, "filters": growth, "bottleneck": 2}


NETWORKS = {
    "resnet": (keras_blocks.ResNet, residual((8, 16), 1), residual((12, 24), 2)),
    "densenet": (keras_blocks.DenseNet, dense(2, 6), dense(3, 9)),
}
"""Name -> architecture, metaparameters of the parent, those of the child."""

MEASURES = {
    "parent": "parent",
    "born": "child, before it is trained",
    "grown": "child after 1 epoch",
    "scratch": "from scratch after 1",
    "longer": "from scratch after 6",
}


def network(name, which, data):
    cls, *sizes = NETWORKS[name]
    common = {"stem": "cifar", "input_shape": data.image_shape, "classes": data.classes}
    scaling = keras.layers.Rescaling(data.scale)
    return cls(**sizes[which], **common, batch_norm={"momentum": 0.9}, preprocess=scaling)


class Cosine(keras.callbacks.Callback):
    """The rate falls to zero in one training. A schedule would go on where the parent's has ended."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.step = steps, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = RATE * (1 + math.cos(math.pi * self.step / self.steps)) / 2
        self.step += 1


def train(model, data, epochs):
    steps = epochs * math.ceil(len(data.x_train) / BATCH)
    model.fit(data.x_train, data.y_train, BATCH, epochs, callbacks=[Cosine(steps)], verbose=0)


def accuracy(model, data):
    return round(float(model.evaluate(data.x_test, data.y_test, 256, verbose=0, return_dict=True)["accuracy"]), 4)


def compiled(model):
    model.compile(keras.optimizers.AdamW(RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def one(name, data, seed):
    """A parent, its child, and the child from scratch."""
    began = time.time()
    keras.utils.set_random_seed(seed)
    parent = compiled(network(name, 0, data))
    train(parent, data, EPOCHS)
    found = {"parent": accuracy(parent, data)}
    child = keras_blocks.grow(parent, break_ties=TIES, **NETWORKS[name][2])  # compiled, as its parent is
    found["born"] = accuracy(child, data)
    train(child, data, 1)
    found["grown"] = accuracy(child, data)
    for measure, epochs in (("scratch", 1), ("longer", EPOCHS + 1)):
        keras.utils.set_random_seed(seed + 1000)
        scratch = compiled(network(name, 1, data))
        train(scratch, data, epochs)
        found[measure] = accuracy(scratch, data)
    counts = {"parameters": [parent.count_params(), child.count_params()], "seconds": round(time.time() - began)}
    return {**found, **counts}


def table(runs):
    rows = [f"| | {' | '.join(MEASURES.values())} | child to 6 from scratch | seeds |", "|" + "---|" * 8]
    for data, name in itertools.product(DATA, NETWORKS):
        mine = [run for run in runs if (run["data"], run["network"]) == (data, name)]
        if not mine:
            continue
        columns = [[run[measure] for run in mine] for measure in MEASURES]
        columns.append([run["grown"] - run["longer"] for run in mine])
        told = [f"{100 * mean:.1f} ± {100 * half:.1f}" for mean, half in map(interval, columns)]
        rows.append(f"| {data}, {name} | {' | '.join(told)} | {len(mine)} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    options = parser.parse_args()
    runs = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    done = {(run["data"], run["network"], run["seed"]) for run in runs}
    with tempfile.TemporaryDirectory() as folder:
        for seed, name in itertools.product(range(options.seeds), options.data):
            left = [kind for kind in NETWORKS if (name, kind, seed) not in done]
            if not left:
                continue
            data = loaded(name, seed, folder)
            for kind in left:
                runs.append({"data": name, "network": kind, "seed": seed, **one(kind, data, seed)})
                RESULTS.write_text(json.dumps(runs, indent=1) + "\n")
                print(runs[-1], flush=True)
    print(table(runs))


def loaded(name, seed, folder):
    from keras_blocks.tuning import load_dataset

    folder = pathlib.Path(folder, f"{name}_{seed}")
    folder.mkdir()
    return load_dataset(images(name, folder), seed=seed)


if __name__ == "__main__":
    main()
