"""Detectors on BCCD's blood cells, trained from ImageNet's SqueezeNet: ours, and torchvision's on the same images.

    python benchmarks/bccd.py faster_rcnn --seeds 3 --epochs 8
    python benchmarks/bccd.py torchvision --seeds 3 --epochs 8 --python PATH  # where torchvision is installed
    python benchmarks/bccd.py fast_rcnn --seeds 1 --epochs 8
    python benchmarks/bccd.py rcnn --seeds 1 --epochs 2
    python benchmarks/bccd.py seconds                                          # of an image, on a quiet machine
    python benchmarks/bccd.py table                                            # docs/bccd.json as a table

All are given the same arrays in the same order, mirrored alike, with the same weights and schedule, Faster R-CNN and
torchvision's also the same anchors and numbers of regions (128 of an image in training, 300 proposals else, as in the
paper), and are judged by pycocotools on the official test images. Fast R-CNN and R-CNN get the regions of selective
search, computed once and kept in runs/bccd; what a search takes is counted in their seconds an image.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).absolute().parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "docs" / "bccd.json"
SECONDS = ROOT / "docs" / "bccd_seconds.json"
SIZE, BATCH, RATE, WARM_UP = (240, 320), 2, 0.0025, 100
ANCHORS = (16, 32, 64, 96, 128)
REGIONS = 200
KEPT = ROOT / "runs" / "bccd"
BOX_REGRESSION = 100
"""Images that R-CNN's boxes are learned of."""


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
    return np.concatenate([images for images, _ in batches]).astype("float32"), boxes, labels, None


def searched(*parts):
    """The regions of each part, and the seconds that an image takes, measured on eight."""
    import keras_blocks

    KEPT.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    for i in range(8):
        keras_blocks.selective_search(parts[-1].image(i), "single", REGIONS)
    seconds = (time.monotonic() - begun) / 8
    options = {"mode": "single", "max_regions": REGIONS, "verbose": True}
    return *(keras_blocks.region_proposals(part, KEPT / "regions.npz", **options) for part in parts), seconds


def plan(images, epochs, seed):
    """Of each step the images, and whether they are mirrored."""
    import numpy as np

    random = np.random.default_rng(seed)
    orders = [random.permutation(images)[: images // BATCH * BATCH].reshape(-1, BATCH) for _ in range(epochs)]
    order = np.concatenate(orders)
    return order, random.random(order.shape) < 0.5


def mirror(boxes):
    """In place, those that are not padding."""
    there = boxes[:, 2] > boxes[:, 0]
    boxes[there] = boxes[there][:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [SIZE[1], 0, SIZE[1], 0]


def batch_of(part, index, mirrored):
    """Inputs and objects of a step."""
    images, boxes, labels, regions = part
    x, b = images[index].copy(), boxes[index].copy()
    r = None if regions is None else regions[index].copy()
    for i in mirrored.nonzero()[0]:
        x[i] = x[i, :, ::-1]
        mirror(b[i])
        if r is not None:
            mirror(r[i])
    return x if r is None else {"image": x, "proposals": r}, {"boxes": b, "labels": labels[index]}


def detector(method, classes):
    import keras_blocks

    own = {
        "faster_rcnn": {"anchor_sizes": [ANCHORS], "post_nms_top_n": (1000, 300), "head_samples": 128},
        "fast_rcnn": {"head_samples": 128, "region_pooling": "align", "iou_threshold": 0.5},
        "rcnn": {"region_size": 96, "context": 8, "head_samples": 64, "iou_threshold": 0.5},
    }[method]
    options = {"image_size": SIZE, "input_shape": (*SIZE, 3), "hidden": [256, 256], **own}
    options |= {"classes": len(classes), "labels": classes, "preprocess": keras_blocks.ImageNormalization("caffe")}
    if method == "rcnn":
        model = keras_blocks.RCNN("squeezenet_1.1", **options)
    else:
        model = keras_blocks.create_model(f"{method}_squeezenet", **options)
    keras_blocks.convert_weights(DATA / "weights" / "squeezenet_v1_1_imagenet.npz", model.backbone)
    return model


def train_ours(method, train, test, labels, epochs, seed, log):
    import keras
    import numpy as np

    keras.utils.set_random_seed(seed)
    model = detector(method, labels)
    order, mirrored = plan(len(train[0]), epochs, seed)
    # Keras' decay is outside of the momentum, which makes PyTorch's ten times as large.
    model.compile(keras.optimizers.SGD(RATE, momentum=0.9, weight_decay=5e-3, global_clipnorm=10.0))
    begun = time.monotonic()
    for step, (index, flips) in enumerate(zip(order, mirrored)):
        model.optimizer.learning_rate = rate_at(step, len(order))
        found = model.train_on_batch(*batch_of(train, index, flips), return_dict=True)
        if step % 50 == 0:
            log(f"step {step} of {len(order)}: " + " ".join(f"{name} {value:.3f}" for name, value in found.items()))
    if method == "rcnn":
        moved = model.fit_box_regression(
            *batch_of(train, np.arange(BOX_REGRESSION), np.zeros(BOX_REGRESSION)), batch_size=BATCH
        )
        log(f"box regression learned of {moved} regions")
    trained = time.monotonic() - begun
    images, regions = test[0], test[3]
    inputs = images if regions is None else {"image": images, "proposals": regions}
    model.predict(batch_of(test, np.arange(BATCH), np.zeros(BATCH))[0], batch_size=BATCH, verbose=0)
    begun = time.monotonic()
    found = model.predict(inputs, batch_size=BATCH, verbose=0)
    return found, trained, (time.monotonic() - begun) / len(images)


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
        parts = dict(zip(("images", "boxes", "labels"), train[:3]))
        np.savez(files[0], test=test[0], order=order, mirrored=mirrored, rates=rates, anchors=ANCHORS, **parts)
        np.savez(pathlib.Path(folder) / "weights.npz", **weights)
        script = pathlib.Path(__file__).with_name("bccd_torchvision.py")
        command = [python, str(script), folder, str(len(labels)), str(seed)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run(command, check=True, env=environment, stdout=log.file, stderr=subprocess.STDOUT)
        found = dict(np.load(files[1]))
    return found, float(found.pop("trained")), float(found.pop("seconds"))


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
        start = functools.partial(train_torchvision, python)
        if method != "torchvision":
            start = functools.partial(train_ours, method)
        searching = 0.0
        if method in ("fast_rcnn", "rcnn"):
            *regions, searching = searched(training, testing.in_order())
            train, test = ((*part[:3], found) for part, found in zip((train, test), regions))
        found, trained, seconds = start(train, test, training.labels, epochs, seed, log)
        figures = keras_blocks.evaluate_detections(found, testing.in_order())
        log(json.dumps(figures))
        if method == "faster_rcnn" and seed == 0:
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
        "seconds of selective search": round(searching, 3),
        **{name: figures[name] for name in ("mAP", "mAP@0.5")},
        "AP": figures["AP"],
    }


def seconds_of_an_image(rounds=3):
    """Of the three in turn, two images at a time, and of selective search: medians. Weights make no difference."""
    import keras_blocks

    with tempfile.TemporaryDirectory() as folder:
        testing = datasets(pathlib.Path(folder))[1].in_order()
        images, _, _, _ = arrays(testing)
        begun = time.monotonic()
        regions = keras_blocks.region_proposals(testing, mode="single", max_regions=REGIONS)
    found = {"selective search, single": [(time.monotonic() - begun) / len(images)], "selective search, fast": []}
    for i in range(8):
        begun = time.monotonic()
        keras_blocks.selective_search(images[i], "fast")
        found["selective search, fast"].append(time.monotonic() - begun)
    models = {method: detector(method, testing.labels) for method in ("rcnn", "fast_rcnn", "faster_rcnn")}
    for round_number in range(rounds + 1):
        for method, model in models.items():
            inputs = images if method == "faster_rcnn" else {"image": images, "proposals": regions}
            begun = time.monotonic()
            model.predict(inputs, batch_size=BATCH, verbose=0)
            if round_number:  # the first compiles
                found.setdefault(method, []).append((time.monotonic() - begun) / len(images))
    return {name: round(statistics.median(values), 3) for name, values in found.items()}


def table(known):
    """A line for each method: means over the seeds, with the half width of a 95 % interval (Student's t)."""
    from scipy import stats

    def mean(values):
        if len(values) == 1:
            return f"{values[0]:.3g}"
        half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
        return f"{statistics.mean(values):.3g} ± {half:.2g}"

    print("| method | seeds | epochs | mAP | mAP@0.5 | AP by class | training, minutes | seconds an image | search |")
    print("|---|---|---|---|---|---|---|---|---|")
    for method in dict.fromkeys(row["method"] for row in known):
        rows = [row for row in known if row["method"] == method]
        cells = [method, len(rows), rows[0]["epochs"]]
        cells += [mean([100 * row[name] for row in rows]) for name in ("mAP", "mAP@0.5")]
        cells.append(", ".join(f"{name} {mean([100 * row['AP'][name] for row in rows])}" for name in rows[0]["AP"]))
        timings = ("training minutes", "seconds an image", "seconds of selective search")
        cells += [mean([row[name] for row in rows]) for name in timings]
        print("|", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=["faster_rcnn", "torchvision", "fast_rcnn", "rcnn", "seconds", "table"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if options.method == "table":
        table(known)
    elif options.method == "seconds":
        measured = seconds_of_an_image()
        print(measured)
        SECONDS.write_text(json.dumps(measured, indent=1) + "\n")
    else:
        for seed in range(options.first, options.first + options.seeds):
            row = run(options.method, seed, options.epochs, options.python)
            print(row, flush=True)
            known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
            same = [other for other in known if (other["method"], other["seed"]) == (row["method"], row["seed"])]
            known = [other for other in known if other not in same] + [row]
            RESULTS.write_text(json.dumps(known, indent=1) + "\n")
