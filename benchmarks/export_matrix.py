"""Which network leaves which backend in which format with equal outputs: each file is run in its runtime.

    KERAS_BACKEND=tensorflow python benchmarks/export_matrix.py [--only vgg fast_rcnn] [--formats onnx litert]
    KERAS_BACKEND=torch python benchmarks/export_matrix.py

Networks are small ones of each architecture, with all kinds of their layers: formats fail by operations, not by sizes.
What was found is kept in docs/export_matrix.json, what other backends gave stays there, and the table is written into
docs/deploying.md (`--table` does that alone).
"""

import argparse
import json
import os
import pathlib
import re
import tempfile
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_blocks
from keras_blocks.deploy.runtimes import RUNTIMES

DOCS = pathlib.Path(__file__).parents[1] / "docs"
KEPT = DOCS / "export_matrix.json"
BACKEND = keras.backend.backend()
WRITTEN_FROM = {
    "saved_model": ("tensorflow", "jax"),
    "onnx": ("tensorflow", "torch"),
    "litert": ("tensorflow",),
    "openvino": ("tensorflow", "torch"),
    "torch": ("torch",),
}
"""Format -> backends from which Keras 3.15 writes it with what the extra `export` brings."""

SMALL = {"input_shape": (32, 32, 3), "classes": 5}
GROUPS = [{"filters": 8, "blocks": 1}, {"filters": 16, "blocks": 1}]
DETECTOR = {"classes": 3, "hidden": [12], "score_threshold": 0.2, "max_detections": 6, "input_shape": (32, 40, 3)}


def classifier(variant, **options):
    return lambda: keras_blocks.create_model(variant, **{**SMALL, **options})


NETWORKS = {
    "autoencoder": lambda: keras_blocks.AutoEncoder(
        GROUPS, code={"units": 5}, kind="residual", variational=True, input_shape=(16, 16, 3)
    ),
    "densenet": classifier("densenet121", groups=[{"layers": 2}, {"layers": 1}], filters=4, stem="cifar"),
    "inception_v4": lambda: keras_blocks.InceptionV4(
        [{"filters": 6, "kernel_size": 3, "strides": 2}, {"pool": "max", "strides": 2}],
        [[{"branches": [[{"filters": 4}], [{"pool": "avg"}]], "repeats": 2}], [{"filters": 5}]],
        **SMALL,
    ),
    "googlenet": classifier("googlenet_cifar"),
    "regnet": lambda: keras_blocks.RegNet(8, 8.0, 2.0, 2, group_width=4, stem="cifar", se_ratio=2, **SMALL),
    "resnet": classifier("resnet20_cifar", groups=GROUPS),
    "resnet_v2": classifier("resnet50_v2", groups=GROUPS),
    "resnext (grouped)": lambda: keras_blocks.ResNeXt(GROUPS, cardinality=2, base_width=32, stem="cifar", **SMALL),
    "senet (grouped)": lambda: keras_blocks.SENet(GROUPS, cardinality=2, base_width=32, stem="cifar", **SMALL),
    "siamese": lambda: keras_blocks.Siamese("resnet20_cifar", input_shape=(32, 32, 3)),
    "squeezenet": classifier("squeezenet_1.1", input_shape=(64, 64, 3)),
    "vgg": lambda: keras_blocks.VGG([{"filters": 4, "layers": 1}, {"filters": 6, "layers": 2}], hidden=(8,), **SMALL),
    "faster_rcnn": lambda: keras_blocks.FasterRCNN(
        "resnet20_cifar",
        levels=["P1", "P2"],
        pyramid_filters=8,
        anchor_sizes=[[8], [16], [32]],
        pre_nms_top_n=60,
        post_nms_top_n=20,
        **DETECTOR,
    ),
    "fast_rcnn": lambda: keras_blocks.FastRCNN("resnet20_cifar", levels=["P2"], image_size=(32, 40), **DETECTOR),
    "rcnn": lambda: keras_blocks.RCNN("resnet20_cifar", region_size=16, context=2, **DETECTOR),
}
"""Name -> what makes it."""


def inputs_of(model):
    """Two of what it takes; of a detector that is told where to look, with regions within the image."""
    rng = np.random.default_rng(0)

    def one(tensor):
        return rng.uniform(0, 1, (2, *tensor.shape[1:])).astype(tensor.dtype)

    if not isinstance(model.input, dict) or "proposals" not in model.input:
        return keras.tree.map_structure(one, model.input)
    corners = rng.uniform(0, 20, (2, 9, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 12, (2, 9, 2))], axis=-1).astype("float32")
    return {"image": one(model.input["image"]), "proposals": boxes}


def tried(model, inputs, format, folder):
    """The difference, or what stands in the way."""
    path = os.path.join(folder, f"model{RUNTIMES[format].suffix}")
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = keras_blocks.export(model, path, format, inputs=inputs, overwrite=True)
    except Exception as error:  # what stands in the way is what is asked for
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
    seconds = round(time.perf_counter() - start, 1)
    own = {} if done.in_own_precision is None else {"in_own_precision": done.in_own_precision}
    return {"difference": done.difference, "runtime": done.runtime, "seconds": seconds, **own}


def keep(found):
    KEPT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def cell(found, name, format):
    """The best that any backend gave: its difference, or no."""
    of = {backend: found.get(backend, {}).get(name, {}).get(format) for backend in WRITTEN_FROM[format]}
    good = {backend: one["difference"] for backend, one in of.items() if one and "difference" in one}
    if good:
        return ", ".join(f"{difference:.0e} ({backend})" for backend, difference in good.items())
    return "no" if any(of.values()) else ""


def table(found):
    """Markdown: a row for each network, a column for each format."""
    names = [name for name in NETWORKS if any(name in networks for networks in found.values())]
    lines = [f"| | {' | '.join(f'`{format}`' for format in RUNTIMES)} |", f"|---|{'---|' * len(RUNTIMES)}"]
    lines += [f"| {name} | {' | '.join(cell(found, name, format) for format in RUNTIMES)} |" for name in names]
    return "\n".join(lines)


def write_table(found):
    page = DOCS / "deploying.md"
    marked = re.compile(r"(<!-- export_matrix -->\n).*?(\n<!-- /export_matrix -->)", re.DOTALL)
    page.write_text(marked.sub(lambda match: match[1] + table(found) + match[2], page.read_text()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=[*NETWORKS], help="networks")
    parser.add_argument("--formats", nargs="+", choices=RUNTIMES, default=[*RUNTIMES], help="formats")
    parser.add_argument("--table", action="store_true", help="writes the table of what is kept, and runs nothing")
    arguments = parser.parse_args()
    found = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name in [] if arguments.table else arguments.only:
        keras.utils.set_random_seed(3)
        model = NETWORKS[name]()
        inputs = inputs_of(model)
        for format in arguments.formats:
            if BACKEND not in WRITTEN_FROM[format]:
                continue
            with tempfile.TemporaryDirectory() as folder:
                result = tried(model, inputs, format, folder)
            found.setdefault(BACKEND, {}).setdefault(name, {})[format] = result
            print(name, format, result, flush=True)
            keep(found)
    write_table(found)


if __name__ == "__main__":
    main()
