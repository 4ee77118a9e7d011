"""Detectors on BCCD's blood cells, trained from ImageNet's SqueezeNet: ours, and torchvision's on the same images.

    python benchmarks/bccd.py faster_rcnn --seeds 3 --epochs 8
    python benchmarks/bccd.py torchvision --seeds 3 --epochs 8 --python PATH    # where torchvision is installed
    python benchmarks/bccd.py table                                            # docs/bccd.json as a table

Both are given the same arrays in the same order, mirrored alike, with the same weights, schedule and anchors, and are
judged by pycocotools on the official test images.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).absolute().parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "docs" / "bccd.json"
SIZE, BATCH, RATE, WARM_UP = (240, 320), 2, 0.0025, 100
ANCHORS = (16, 32, 64, 96, 128)


def rate_at(step, steps):
    """Linear warm-up, then the full rate, a tenth of it in the last quarter."""
    return RATE * min(1.0, (step + 1) / WARM_UP) * (0.1 if step >= 0.75 * steps else 1.0)


def datasets(folder):
    import keras_blocks

    with zipfile.ZipFile(DATA / "bccd" / "bccd_voc.zip") as archive:
        archive.extractall(folder)
    options = {"image_size": SIZE, "batch_size": BATCH}
    return [keras_blocks.VOCDetection(folder / "BCCD", split, **options) for split in ("trainval", "test")]


def arrays(dataset):
    import numpy as np

    batches = [dataset[i] for i in range(len(dataset))]
    boxes, labels = (np.concatenate([targets[key] for _, targets in batches]) for key in ("boxes", "labels"))
    return np.concatenate([images for images, _ in batches]).astype("float32"), boxes, labels


def plan(images, epochs, seed):
    """Of each step the images, and whether they are mirrored."""
    import numpy as np

    random = np.random.default_rng(seed)
    orders = [random.permutation(images)[: images // BATCH * BATCH].reshape(-1, BATCH) for _ in range(epochs)]
    order = np.concatenate(orders)
    return order, random.random(order.shape) < 0.5


def batch_of(images, boxes, labels, index, mirrored):
    """Images and boxes of a step."""
    x, b = images[index].copy(), boxes[index].copy()
    for i, flip in enumerate(mirrored):
        if flip:
            there = labels[index[i]] >= 0
            x[i] = x[i, :, ::-1]
            b[i, there] = b[i, there][:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [SIZE[1], 0, SIZE[1], 0]
    return x, {"boxes": b, "labels": labels[index]}


def detector(classes):
    import keras_blocks

    model = keras_blocks.create_model(
        "faster_rcnn_squeezenet",
        classes=len(classes),
        labels=classes,
        image_size=SIZE,
        input_shape=(*SIZE, 3),
        anchor_sizes=[ANCHORS],
        hidden=[256, 256],
        preprocess=keras_blocks.ImageNormalization("caffe"),
    )
    keras_blocks.convert_weights(DATA / "weights" / "squeezenet_v1_1_imagenet.npz", model.backbone)
    return model


def train_ours(train, test, labels, epochs, seed, log):
    import keras

    keras.utils.set_random_seed(seed)
    model = detector(labels)
    order, mirrored = plan(len(train[0]), epochs, seed)
    model.compile(keras.optimizers.SGD(RATE, momentum=0.9, weight_decay=5e-4, clipnorm=10.0))
    begun = time.monotonic()
    for step, (index, flips) in enumerate(zip(order, mirrored)):
        model.optimizer.learning_rate = rate_at(step, len(order))
        found = model.train_on_batch(*batch_of(*train, index, flips), return_dict=True)
        if step % 50 == 0:
            log(f"step {step} of {len(order)}: " + " ".join(f"{name} {value:.3f}" for name, value in found.items()))
    trained = time.monotonic() - begun
    model.predict(test[0][:BATCH], batch_size=BATCH, verbose=0)
    begun = time.monotonic()
    found = model.predict(test[0], batch_size=BATCH, verbose=0)
    return found, trained, (time.monotonic() - begun) / len(test[0]), model


def train_torchvision(python, train, test, labels, epochs, seed, log):
    """The same by benchmarks/bccd_torchvision.py in a process of its own, which gets arrays and gives arrays."""
    import numpy as np

    import keras_blocks

    backbone = keras_blocks.create_model("squeezenet_1.1")
    keras_blocks.convert_weights(DATA / "weights" / "squeezenet_v1_1_imagenet.npz", backbone)
    from keras_blocks.weights.convert import named_weights

    names = backbone.weight_names()["torchvision"]
    weights = {}
    for path, weight in named_weights(backbone).items():
        layer, _, variable = path.rpartition("/")
        value = np.asarray(weight.numpy())
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        if names[layer] == "features.0" and variable == "kernel":
            value = value[:, ::-1]  # from blue, green, red
        weights[f"{names[layer]}.{'weight' if variable == 'kernel' else 'bias'}"] = value.copy()
    order, mirrored = plan(len(train[0]), epochs, seed)
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder) / f"{name}.npz" for name in ("given", "found")]
        rates = [rate_at(step, len(order)) for step in range(len(order))]
        parts = dict(zip(("images", "boxes", "labels"), train))
        np.savez(files[0], test=test[0], order=order, mirrored=mirrored, rates=rates, anchors=ANCHORS, **parts)
        np.savez(pathlib.Path(folder) / "weights.npz", **weights)
        script = pathlib.Path(__file__).with_name("bccd_torchvision.py")
        command = [python, str(script), folder, str(len(labels)), str(seed)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run(command, check=True, env=environment, stdout=log.file, stderr=subprocess.STDOUT)
        found = dict(np.load(files[1]))
    return found, float(found.pop("trained")), float(found.pop("seconds")), None


class Log:
    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w")

    def __call__(self, text):
        print(text, file=self.file, flush=True)


def run(method, seed, epochs, python):
    import keras_blocks

    with tempfile.TemporaryDirectory() as folder:
        training, testing = datasets(pathlib.Path(folder))
        train, test = arrays(training), arrays(testing.in_order())
        log = Log(ROOT / "docs" / "bccd" / f"{method}_{seed}.log")
        start = train_ours if method == "faster_rcnn" else lambda *rest: train_torchvision(python, *rest)
        found, trained, seconds, model = start(train, test, training.labels, epochs, seed, log)
        figures = keras_blocks.evaluate_detections(found, testing.in_order())
        log(json.dumps(figures))
        if model is not None and seed == 0:
            for i in (0, 1, 2):
                one = {key: value[i] for key, value in found.items()}
                picture = keras_blocks.draw_detections(test[0][i], one, training.labels)
                picture.save(ROOT / "docs" / "bccd" / f"detections_{i}.png")
    return {
        "method": method,
        "seed": seed,
        "epochs": epochs,
        "training minutes": round(trained / 60, 1),
        "seconds an image": round(seconds, 3),
        **{name: figures[name] for name in ("mAP", "mAP@0.5")},
        "AP": figures["AP"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=["faster_rcnn", "torchvision", "table"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if options.method == "table":
        for row in known:
            print(row)
    else:
        for seed in range(options.first, options.first + options.seeds):
            row = run(options.method, seed, options.epochs, options.python)
            print(row, flush=True)
            known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
            same = [other for other in known if (other["method"], other["seed"]) == (row["method"], row["seed"])]
            known = [other for other in known if other not in same] + [row]
            RESULTS.write_text(json.dumps(known, indent=1) + "\n")
