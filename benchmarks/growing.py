"""A grown network after one epoch, against the same network from scratch.

A parent is trained, grown, and its child trained for one epoch more. Against it: the child's architecture with random
weights, after one epoch, and after as many epochs as parent and child had together. A ResNet gets wider and deeper, a
DenseNet a larger growth rate and more layers; five seeds each, on digits (scikit-learn), sign digits and 5,000 images
of CIFAR-10, whose images are made smaller by averaging, so that two cores can do it.

`python benchmarks/growing.py` writes docs/growing.json, after each run, and goes on where it was cut off.
"""

import argparse
import io
import json
import pathlib
import statistics
import time
import zipfile

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import keras_blocks

ROOT = pathlib.Path(__file__).parents[1]
DATA = next((one for one in (ROOT.parent / "shared/data", pathlib.Path("/work/shared/data")) if one.is_dir()), ROOT)
RESULT = ROOT / "docs" / "growing.json"
EPOCHS = 6  # of the parent
BATCH = 32
SIZE = 16
"""Height and width to which photographs are averaged."""
CIFAR = ("train_0", "train_1", "train_2", "train_3", "test_0")


def digits():
    found = load_digits()
    return found.images[..., None].astype("float32") / 16, found.target


def smaller(image):
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), "float32") / 255


def sign_digits():
    images, labels = [], []
    with zipfile.ZipFile(DATA / "sign_digits" / "sign_digits.zip") as archive:
        for name in sorted(archive.namelist()):
            if name.lower().endswith((".jpg", ".jpeg", ".png")):
                images.append(smaller(Image.open(io.BytesIO(archive.read(name))).convert("RGB")))
                labels.append(int(pathlib.PurePosixPath(name).parent.name))
    return np.stack(images), np.array(labels)


def cifar():
    sheets = [Image.open(DATA / "cifar10_5k" / f"{name}.png") for name in CIFAR]
    rows = [np.asarray(sheet.convert("RGB")).reshape(-1, 32, 32, 3) for sheet in sheets]
    with np.load(DATA / "cifar10_5k" / "labels.npz") as known:
        labels = np.concatenate([known["train"], known["test"]])
    images = np.stack([smaller(Image.fromarray(image)) for image in np.concatenate(rows)])
    return images, labels[: len(images)]


def resnet(shape, filters=(8, 16), blocks=1):
    groups = [{"filters": width, "blocks": blocks} for width in filters]
    return {"groups": groups, "block": "basic", "stem": "cifar", "input_shape": shape, "classes": 10}


def densenet(shape, filters=6, layers=3):
    groups = [{"layers": layers}] * 2
    common = {"stem": "cifar", "stem_filters": 12, "input_shape": shape, "classes": 10}
    return {"groups": groups, "filters": filters, **common}


NETWORKS = {
    "ResNet": (keras_blocks.ResNet, resnet, {"filters": (12, 24), "blocks": 2}),
    "DenseNet": (keras_blocks.DenseNet, densenet, {"filters": 9, "layers": 4}),
}


def compiled(model):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(model, data, epochs, seed):
    keras.utils.set_random_seed(seed)
    model.fit(*data, batch_size=BATCH, epochs=epochs, verbose=0)


def accuracy(model, data):
    return round(100 * model.evaluate(*data, batch_size=250, verbose=0)[1], 2)


def run(network, images, labels, seed):
    """Accuracies on the test images, in percent."""
    cls, make, changes = NETWORKS[network]
    order = np.random.default_rng(seed).permutation(len(images))
    test, rest = order[: len(order) // 5], order[len(order) // 5 :]
    training, testing = ((images[part], labels[part]) for part in (rest, test))
    shape = images.shape[1:]
    started = time.perf_counter()
    keras.utils.set_random_seed(seed)
    parent = compiled(cls(**make(shape)))
    train(parent, training, EPOCHS, seed)
    found = {"parent": accuracy(parent, testing)}
    larger = make(shape, **changes)
    changed = {name: larger[name] for name in ("groups", "filters") if name in larger}
    child = keras_blocks.grow(parent, break_ties=0.01, **changed)
    found["child at first"] = accuracy(child, testing)
    train(child, training, 1, seed + 1000)
    found["child after 1 epoch"] = accuracy(child, testing)
    scratch = compiled(cls(**larger))
    train(scratch, training, 1, seed)
    found["from scratch, 1 epoch"] = accuracy(scratch, testing)
    train(scratch, training, EPOCHS, seed + 1000)
    found[f"from scratch, {EPOCHS + 1} epochs"] = accuracy(scratch, testing)
    found["weights"] = [parent.count_params(), child.count_params()]
    found["seconds"] = round(time.perf_counter() - started, 1)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    sets = {"digits": digits, "sign digits": sign_digits, "CIFAR-5k": cifar}
    results = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    loaded = {name: load() for name, load in sets.items()}
    for seed in range(arguments.seeds):
        for name, (images, labels) in loaded.items():
            for network in NETWORKS:
                key = f"{name}, {network}"
                if str(seed) not in results.setdefault(key, {}):
                    results[key][str(seed)] = run(network, images, labels, seed)
                    RESULT.write_text(json.dumps(results, indent=1) + "\n")
                    print(key, seed, results[key][str(seed)], flush=True)
    for key, runs in results.items():
        columns = [column for column in next(iter(runs.values())) if column not in ("weights", "seconds")]
        means = {column: round(statistics.mean(one[column] for one in runs.values()), 1) for column in columns}
        print(key, len(runs), means)


if __name__ == "__main__":
    main()
