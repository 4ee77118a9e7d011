"""Every variant in every format that its backend writes: run in its runtime, and its outputs compared with the model's.

    KERAS_BACKEND=tensorflow python benchmarks/export_matrix.py --shortened            # two blocks in a group
    KERAS_BACKEND=tensorflow python benchmarks/export_matrix.py resnet50 --formats onnx openvino
    KERAS_BACKEND=torch python benchmarks/export_matrix.py --table                     # the table alone

What is found is kept in docs/export_matrix.json after each file, and what stands there is not done again but for
`--again`; the table goes to docs/deploying.md. With `--shortened` each group of a network has two blocks, or one layer
of a chain, so that variants that differ in depth alone become one, which is exported once; otherwise they are whole.
Images are small, as nothing of a network but a flattened head depends on them.

Weights are random, normalization's statistics those of the images, and the last layer such that the outputs differ from
each other: equal outputs of a dead network would show nothing. Of some deep networks with random weights float32 is no
nearer to float64 than 1e-4 itself, which deploy_rounding.py measures: their files may differ by a few times as much,
and have a table of their own. Exporting needs the extra `export`. TensorFlow's traces stay in memory: for many whole
variants give each a process of its own.
"""

import argparse
import gc
import json
import os
import pathlib
import re
import tempfile
import time
from typing import get_args

import keras
import numpy as np

import keras_blocks
from keras_blocks.deploy.exported import Format
from keras_blocks.deploy.runtimes import RUNTIMES, WRITTEN_BY
from keras_blocks.models.registry import architecture_of

DOCS = pathlib.Path(__file__).parents[1] / "docs"
FOUND, PAGE, ROUNDING = DOCS / "export_matrix.json", DOCS / "deploying.md", DOCS / "deploy_rounding.json"
BEGIN, END = "<!-- export matrix -->\n", "<!-- /export matrix -->\n"
BACKENDS = ("tensorflow", "torch", "jax")
USUAL, TIMES = 1e-4, 8
"""The largest difference; and of a network that is no nearer in float32, in what float32 changes of its outputs."""

ALIVE = 0.05
"""Of the outputs: how far the largest and the smallest must be apart."""

SIZES = {"InceptionV4": 139, "Inception": 139, "AutoEncoder": None, "Siamese": None}
"""Class -> height and width of images that its networks can take; `None` for their own."""

CLASSES = 10


def options_of(variant, shortened):
    """What is changed in a variant: small images, few classes; in a detector, small canvases and fewer regions."""
    cls = architecture_of(variant).__name__
    made = {"kernel_initializer": "he_normal"} if cls not in ("AutoEncoder", "Siamese") else {}
    if cls in ("FasterRCNN", "FastRCNN", "RCNN"):
        made |= {"input_shape": (72, 96, 3), "classes": CLASSES, "max_detections": 12, "score_threshold": 0.02}
        if cls != "RCNN":
            made["image_size"] = (96, 128)
        if cls == "FasterRCNN":
            made |= {"pre_nms_top_n": 200, "post_nms_top_n": 40}
        if "vgg16" in variant:
            made["hidden"] = (64, 64)  # as every pixel of a region is an input of the first
    elif cls != "AutoEncoder":
        size = SIZES.get(cls, 32 if "cifar" in variant else 64)
        made |= {"classes": CLASSES} if cls != "Siamese" else {}
        made |= {"input_shape": (size, size, 3)} if size else {}
        if cls == "VGG":
            made["hidden"] = (64, 64)
    return {**made, **(fewer_blocks(variant) if shortened else {})}


def fewer_blocks(variant):
    """Metaparameters that leave two blocks of a group, whose first is of its own kind, and a layer of a chain."""
    own = architecture_of(variant).variants[variant]
    if isinstance(own.get("backbone"), str) and own["backbone"] != "koch2015":
        return fewer_blocks(own["backbone"])
    cls = architecture_of(variant).__name__
    groups = own.get("groups")
    if cls in ("ResNet", "ResNeXt", "SENet"):
        return {"groups": [{**group, "blocks": min(2, group["blocks"])} for group in groups]}
    if cls == "DenseNet":
        return {"groups": [{**group, "layers": min(2, group["layers"])} for group in groups]}
    if cls == "RegNet":
        return {"depth": min(8, own["depth"])}
    if cls == "VGG":
        return {"groups": [{**group, "layers": 1} for group in groups]}
    if cls == "InceptionV4":
        return {"groups": [[{**entry, **_once(entry)} for entry in group] for group in groups]}
    return {}


def _once(entry):
    return {"repeats": 1} if entry.get("repeats", 1) > 1 else {}


def identity(variant, shortened):
    """What is the same for variants that `--shortened` makes the same network."""
    own = {**architecture_of(variant).variants[variant], **options_of(variant, shortened)}
    return repr((architecture_of(variant).__name__, sorted(own.items(), key=str))) if shortened else variant


def inputs_of(model):
    """Two inputs, as the model takes them: images of 0 to 1, with four regions each where it is told where to look."""
    rng = np.random.default_rng(0)

    def one(tensor):
        return _patched(rng, (2, *tensor.shape[1:])).astype(tensor.dtype)

    if isinstance(model.input, dict) and "proposals" in model.input:
        left = rng.uniform(0, 40, (2, 4, 2))
        regions = np.concatenate([left, left + rng.uniform(16, 30, (2, 4, 2))], axis=-1).astype("float32")
        return {"image": one(model.input["image"]), "proposals": regions}
    return keras.tree.map_structure(one, model.input)


def _patched(rng, shape):
    """Random patches of a quarter of an image's side: mere noise is alike everywhere, and what little differs would be
    amplified by each normalization, rounding too."""
    height, width = (-(-size // 4) for size in shape[1:3])
    patches = np.kron(rng.uniform(0, 1, (shape[0], 4, 4, shape[3])), np.ones((1, height, width, 1)))
    noise = rng.uniform(0, 1, shape)
    return (0.7 * patches[:, : shape[1], : shape[2]] + 0.3 * noise).astype("float32")


def made(variant, shortened):
    """The model and its inputs: after a forward pass in training each normalization has the images' statistics."""
    keras.utils.set_random_seed(1)
    model = keras_blocks.create_model(variant, **options_of(variant, shortened))
    inputs = inputs_of(model)
    norms = [layer for layer in _all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.gamma is not None:  # branches that add as much as they get amplify rounding, block by block
            norm.gamma.assign(norm.gamma / 2)
    if norms:
        backbone = getattr(model, "backbone", model)
        images = _patched(np.random.default_rng(0), (8, *backbone.input_shape[1:]))
        backbone(keras.ops.convert_to_tensor(images), training=True)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    _enliven(model, inputs)
    return model, inputs


def _all_layers(layer):
    found = [layer]
    for inner in getattr(layer, "_layers", []):
        found += _all_layers(inner)
    return found


def _enliven(model, inputs):
    """Makes the last layer's kernels larger, until outputs differ."""
    last = [weight for weight in model.trainable_weights if weight.path.endswith("kernel")][-1:]
    if isinstance(model, (keras_blocks.FastRCNN, keras_blocks.FasterRCNN, keras_blocks.RCNN)):
        head = model.get_layer("head")
        for layer in [layer.objectness for layer in model.layers if layer.name == "rpn"]:
            layer.kernel.assign(layer.kernel * 100)
        last = [head.scores.kernel]
    for _ in range(12):
        if _spread(model.predict(inputs, verbose=0)) >= ALIVE:
            return
        for weight in last:
            weight.assign(weight * 3)
    raise RuntimeError(f"the outputs of '{model.name}' are all alike")


def _spread(outputs):
    found = [np.asarray(array) for array in keras.tree.flatten(outputs)]
    assert all(np.isfinite(array).all() for array in found)
    if isinstance(outputs, dict) and "scores" in outputs:
        return float(np.ptp(np.asarray(outputs["scores"])))
    return float(np.ptp(found[0]))


def tolerance_of(variant, shortened):
    known = {} if shortened or not ROUNDING.exists() else json.loads(ROUNDING.read_text())
    return max(USUAL, TIMES * known.get(variant, {}).get("model", 0.0))


def exported(model, inputs, format, tolerance):
    """What is known of a format: the difference, or why not."""
    begin = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"model{RUNTIMES[format].suffix}")
        try:
            done = keras_blocks.export(model, path, format, inputs=inputs, tolerance=tolerance)
            found = {"difference": float(f"{done.difference:.2g}"), "runtime": done.runtime}
        except (ImportError, TypeError, ValueError) as error:
            found = {"reason": str(error)}
        except Exception as error:  # a fault: it must say what is wrong by itself
            found = {"reason": str(error)[:300], "fault": type(error).__name__}
    return {**found, "cpu_seconds": round(time.process_time() - begin, 1)}


def filled(variants, formats, arguments):
    """Exports what the file lacks."""
    backend, kind = keras.backend.backend(), "shortened" if arguments.shortened else "whole"
    found = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    begin, first = time.monotonic(), {}
    for variant in variants:
        if time.monotonic() - begin > arguments.seconds:
            print(f"the time is over: '{variant}' and what comes behind it are left")
            return
        place = found.setdefault(variant, {}).setdefault(kind, {})
        alike = first.setdefault(identity(variant, arguments.shortened), variant)
        if alike != variant:
            place["as"] = alike
            _kept(found)
            continue
        there = place.setdefault(backend, {})
        lacking = [format for format in formats if arguments.again or format not in there]
        if not lacking:
            continue
        try:
            model, inputs = made(variant, arguments.shortened)
        except Exception as error:
            print(f"{variant}: cannot be made here: {type(error).__name__}: {error}", flush=True)
            continue
        for format in lacking:
            there[format] = exported(model, inputs, format, tolerance_of(variant, arguments.shortened))
            _kept(found)
            print(f"{variant:26} {backend:10} {format:12} {there[format]}", flush=True)
        del model, inputs
        keras.utils.clear_session()
        gc.collect()


def _kept(found):
    part = FOUND.with_suffix(".part")
    part.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    os.replace(part, FOUND)


def table(found):
    """A line for each architecture: how many variants were exported whole and shortened, and the worst difference."""
    columns = [(format, backend) for format in get_args(Format) for backend in WRITTEN_BY[format]]
    lines = ["| architecture | variants: whole, shortened | " + " | ".join(f"{f}, {b}" for f, b in columns) + " |"]
    lines.append("|" + "---|" * (len(columns) + 2))
    reasons: dict[str, str] = {}
    families: dict[str, list[str]] = {}
    for variant in keras_blocks.list_models():
        families.setdefault(architecture_of(variant).__name__, []).append(variant)
    for cls, variants in families.items():
        whole = sum(
            any(backend in found.get(variant, {}).get("whole", {}) for backend in BACKENDS) for variant in variants
        )
        shortened = sum("shortened" in found.get(variant, {}) for variant in variants)
        cells = [_cell(found, variants, *column, reasons) for column in columns]
        lines.append(f"| `{cls}` | {len(variants)}: {whole}, {shortened} | " + " | ".join(cells) + " |")
    notes = [f"- {mark} {reason}" for reason, mark in reasons.items()]
    return "\n".join([*lines, *([""] if notes else []), *notes, *_deep(found)]) + "\n"


def _deep(found):
    """A line for each network that float32 itself changes by much."""
    rounding = json.loads(ROUNDING.read_text()) if ROUNDING.exists() else {}
    formats = [format for format in get_args(Format) if "tensorflow" in WRITTEN_BY[format]]
    lines = []
    for variant, places in found.items():
        results = places.get("whole", {}).get("tensorflow", {})
        if any(result.get("difference", 0) > USUAL for result in results.values()):
            differences = [results.get(format, {}).get("difference") for format in formats]
            cells = [f"{each:.0e}" if each is not None else "" for each in (rounding[variant]["model"], *differences)]
            lines.append(f"| `{variant}` | " + " | ".join(cells) + " |")
    head = f"| whole, from TensorFlow | float32 to float64 | {' | '.join(formats)} |"
    return ["", head, "|" + "---|" * (len(formats) + 2), *lines] if lines else []


def _cell(found, variants, format, backend, reasons):
    results = {
        variant: result
        for variant in variants
        for kind in found.get(variant, {}).values()
        if (result := kind.get(backend, {}).get(format)) is not None
    }
    if not results:
        return ""
    differences = [result["difference"] for result in results.values() if result.get("difference", 1) <= USUAL]
    deep = any(result.get("difference", 0) > USUAL for result in results.values())
    cell = f"{max(differences):.0e}".replace("0e+00", "0") if differences else "below" if deep else "no"
    refused = {variant: result["reason"] for variant, result in results.items() if "reason" in result}
    for variant, reason in refused.items():
        reason = reason.replace(f"'{variant}'", "it").replace("|", "\\|")
        reason = re.sub(r"^`format='\w+'`", "the format", reason)  # the same in each column
        reason = re.sub(r"; this is '\w+'\. A saved .*", "", reason)
        mark = reasons.setdefault(reason, f"({len(reasons) + 1})")
        if mark not in cell:
            cell += f" {mark}" if not differences else f"; not {variant} {mark}"
    return cell


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help="all of `keras_blocks.list_models()` by default")
    parser.add_argument("--formats", nargs="+", help="those that the backend writes by default")
    parser.add_argument("--shortened", action="store_true", help="two blocks in a group")
    parser.add_argument("--again", action="store_true", help="what is in the file, too")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no variant is begun later")
    parser.add_argument("--table", action="store_true", help="nothing is exported")
    arguments = parser.parse_args()
    backend = keras.backend.backend()
    formats = arguments.formats or [format for format in get_args(Format) if backend in WRITTEN_BY[format]]
    if not arguments.table:
        filled(arguments.variants or keras_blocks.list_models(), formats, arguments)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table(json.loads(FOUND.read_text())) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
