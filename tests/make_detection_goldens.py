"""Stores what torchvision's detection operations give, inputs and outputs, in tests/fixtures/torchvision/detection.npz.

Run by hand where torchvision is installed, in an environment of its own (torch==2.14.1 torchvision==0.29.1):

    python tests/make_detection_goldens.py

A golden is a function of `GOLDENS`, which gives a dict of arrays; they are stored under "function/name". Feature maps
are stored as channels_last. The file is written anew as a whole, from seeds: what has not changed stays equal to the
bit.
"""

import pathlib

import numpy as np
import torch
import torchvision
from torchvision.models.detection._utils import BoxCoder

FILE = pathlib.Path(__file__).parent / "fixtures" / "torchvision" / "detection.npz"
GOLDENS = {}


def golden(function):
    GOLDENS[function.__name__] = function
    return function


def random_boxes(rng, count, height, width, least=1.0):
    """Boxes within an image, (count, 4), float32."""
    x, y = rng.uniform(0, width - least, count), rng.uniform(0, height - least, count)
    w, h = rng.uniform(least, width / 2, count), rng.uniform(least, height / 2, count)
    return np.stack([x, y, np.minimum(x + w, width), np.minimum(y + h, height)], axis=1).astype("float32")


EDGES = [
    [0.0, 0.0, 15.9, 15.9],
    [8.0, 8.0, 24.0, 40.0],  # halves of a pixel at a scale of 1/16
    [24.0, 40.0, 56.0, 72.0],
    [-8.0, -24.0, 8.0, 8.0],  # halves below zero
    [-100.0, -100.0, -60.0, -60.0],  # outside
    [500.0, 500.0, 900.0, 700.0],
    [-300.0, -300.0, 700.0, 700.0],  # larger than the map
    [30.0, 30.0, 30.5, 30.5],  # a point
    [50.0, 50.0, 40.0, 40.0],  # inverted
    [170.0, 138.0, 200.0, 170.0],  # over the lower right border by less than a pixel of the map, and by more
    [-16.0, -16.0, 176.0, 144.0],  # exactly a pixel over the border
    [0.0, 0.0, 111.0, 111.0],
    [-1.0, -1.0, -1.0, -1.0],
    [0.0, 0.0, 175.0, 143.0],
    [16.0, 16.0, 239.0, 127.0],
]
"""Boxes for a map of 9x11 pixels, each of 16 pixels of the image."""


def roi_inputs(seed=0):
    """Feature maps, (2, 9, 11, 3), and boxes, (2, n, 4); torch's forms of both."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2, 9, 11, 3)).astype("float32")
    boxes = np.stack([np.concatenate([EDGES, random_boxes(rng, 15, 144, 176)]) for _ in range(2)]).astype("float32")
    return features, boxes


def as_maps(features):
    return torch.from_numpy(features.transpose(0, 3, 1, 2).copy())


def as_rois(boxes):
    number = np.repeat(np.arange(len(boxes)), boxes.shape[1])[:, None]
    return torch.from_numpy(np.concatenate([number, boxes.reshape(-1, 4)], axis=1).astype(boxes.dtype))


def from_rois(outputs, boxes):
    """(batch * n, channels, height, width) -> (batch, n, height, width, channels)."""
    outputs = outputs.detach().numpy().transpose(0, 2, 3, 1)
    return outputs.reshape(*boxes.shape[:2], *outputs.shape[1:])


def gradient(operation, features, boxes):
    """Of the sum of the outputs, each times its seeded weight, in float64, with respect to the features."""
    maps = as_maps(features).double().requires_grad_()
    outputs = operation(maps, as_rois(boxes).double())
    weights = torch.from_numpy(np.random.default_rng(7).normal(size=outputs.shape))
    (outputs * weights).sum().backward()
    weights = from_rois(weights, boxes).astype("float32")
    # Stored as float32, which is what they are then compared with.
    return maps.grad.numpy().transpose(0, 2, 3, 1).astype("float32"), weights


@golden
def roi_align():
    features, boxes = roi_inputs()
    found = {"features": features, "boxes": boxes}
    for ratio in (1, 2, 3):
        for aligned in (False, True):
            options = {"spatial_scale": 1 / 16, "sampling_ratio": ratio, "aligned": aligned}
            outputs = torchvision.ops.roi_align(as_maps(features), as_rois(boxes), (3, 2), **options)
            found[f"outputs_{ratio}_{aligned}"] = from_rois(outputs, boxes)
    return found


@golden
def roi_align_gradient():
    features, boxes = roi_inputs(1)
    boxes = boxes[:, ::2].copy()
    found, weights = gradient(
        lambda maps, rois: torchvision.ops.roi_align(maps, rois, (2, 3), 1 / 16, sampling_ratio=2), features, boxes
    )
    return {"features": features, "boxes": boxes, "gradient": found, "weights": weights}


@golden
def roi_pool():
    features, boxes = roi_inputs(2)
    found = {"features": features, "boxes": boxes}
    for size in ((1, 1), (2, 3), (7, 7)):
        outputs = torchvision.ops.roi_pool(as_maps(features), as_rois(boxes), size, 1 / 16)
        found["outputs_{}_{}".format(*size)] = from_rois(outputs, boxes)
    return found


@golden
def roi_pool_gradient():
    features, boxes = roi_inputs(3)
    boxes = boxes[:, ::2].copy()
    found, weights = gradient(lambda maps, rois: torchvision.ops.roi_pool(maps, rois, (2, 3), 1 / 16), features, boxes)
    return {"features": features, "boxes": boxes, "gradient": found, "weights": weights}


@golden
def roi_pool_bins():
    """Bin edges: for each length of a box in pixels, the first and the last pixel of each of 7 bins."""
    length = 120
    ramp = np.arange(length, dtype="float32")
    features = np.stack([ramp, -ramp], axis=-1)[None, None]
    boxes = np.stack([np.array([0, 0, end, 0], "float32") for end in range(length)])[None]
    outputs = torchvision.ops.roi_pool(as_maps(features), as_rois(boxes), (1, 7), 1.0)
    return {"features": features, "boxes": boxes, "outputs": from_rois(outputs, boxes)}


@golden
def multi_scale_roi_align():
    """Levels P2 to P5 of an image of 256x320 pixels; boxes of 112 and 224 pixels lie where the level changes."""
    rng = np.random.default_rng(4)
    levels = {f"P{i}": rng.normal(size=(1, 256 >> i, 320 >> i, 1)).astype("float32") for i in (2, 3, 4, 5)}
    sides = [1, 10, 55.9, 56, 56.1, 111.99, 112, 112.01, 223.9, 224, 224.1, 300]
    boxes = [[3, 5, 3 + side, 5 + side] for side in sides] + [[0, 0, 2 * side, side / 2] for side in sides]
    boxes = np.concatenate([np.array(boxes, "float32"), random_boxes(rng, 16, 256, 320)])
    pooler = torchvision.ops.MultiScaleRoIAlign(list(levels), output_size=2, sampling_ratio=2)
    outputs = pooler({name: as_maps(x) for name, x in levels.items()}, [torch.from_numpy(boxes)], [(256, 320)])
    return {**levels, "boxes": boxes[None], "outputs": from_rois(outputs, boxes[None])}


@golden
def nms():
    """Crowded boxes; the second half of the scores are ties."""
    rng = np.random.default_rng(5)
    boxes = random_boxes(rng, 300, 100, 120)
    boxes[:20] = boxes[20:40]  # equal boxes
    boxes[40:44, 2:] = boxes[40:44, :2]  # without area
    boxes[44:46] = boxes[44:46, [2, 3, 0, 1]]  # inverted
    scores = rng.uniform(0, 1, 300).astype("float32")
    scores[150:] = np.round(scores[150:] * 8) / 8
    found = {"boxes": boxes, "scores": scores}
    for threshold in (0.0, 0.3, 0.5, 0.7, 1.0):
        kept = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
        found[f"kept_{threshold}"] = kept.numpy().astype("int32")
    return found


@golden
def nms_at_threshold():
    """Pairs whose IoU is exactly the threshold, in float32 or as near as that gets."""
    boxes, pairs = [], [(1, 2), (3, 10), (7, 10), (1, 3), (2, 5), (1, 10), (9, 10), (3, 5)]
    for i, (part, whole) in enumerate(pairs):
        boxes += [[0, 30 * i, whole, 30 * i + 10], [0, 30 * i, part, 30 * i + 10]]
    boxes = np.array(boxes, "float32")
    scores = np.linspace(1, 0.1, len(boxes)).astype("float32")
    found = {"boxes": boxes, "scores": scores}
    for part, whole in pairs:
        kept = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), part / whole)
        found[f"kept_{part / whole}"] = kept.numpy().astype("int32")
    return found


@golden
def batched_nms():
    """Up to 1,000 boxes torchvision moves the classes apart; of more, it takes each class for itself."""
    found = {}
    for name, count in (("few", 400), ("many", 1100)):
        rng = np.random.default_rng(count)
        boxes = np.round(random_boxes(rng, count, 100, 120) * 4) / 4  # offsets do not round them
        scores = np.round(rng.uniform(0, 1, count).astype("float32") * 128) / 128
        classes = rng.integers(0, 5, count)
        kept = torchvision.ops.batched_nms(
            torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(classes), 0.5
        )
        arrays = {"boxes": boxes, "scores": scores, "classes": classes.astype("int32"), "kept": kept.numpy()}
        found |= {f"{name}_{key}": value for key, value in arrays.items()}
    return found


@golden
def boxes():
    """Coding, clipping and overlaps."""
    rng = np.random.default_rng(6)
    a, b = random_boxes(rng, 20, 100, 120), random_boxes(rng, 12, 100, 120)
    references = random_boxes(rng, 20, 100, 120)
    deltas = rng.normal(0, 2, (20, 4)).astype("float32")
    deltas[:4, 2:] = 50.0  # above the bound
    found = {"a": a, "b": b, "references": references, "deltas": deltas}
    torch_a, torch_b = torch.from_numpy(a), torch.from_numpy(b)
    found["iou"] = torchvision.ops.box_iou(torch_a, torch_b).numpy()
    found["giou"] = torchvision.ops.generalized_box_iou(torch_a, torch_b).numpy()
    found["clipped"] = torchvision.ops.clip_boxes_to_image(torch_a - 30, (40, 60)).numpy()
    for name, weights in (("1", (1.0, 1.0, 1.0, 1.0)), ("10", (10.0, 10.0, 5.0, 5.0))):
        coder = BoxCoder(weights)
        torch_references = torch.from_numpy(references)
        found[f"encoded_{name}"] = coder.encode_single(torch_a, torch_references).numpy()
        found[f"decoded_{name}"] = coder.decode_single(torch.from_numpy(deltas), torch_references).numpy()
    return found


if __name__ == "__main__":
    arrays = {"source": np.array(f"torchvision {torchvision.__version__}, torch {torch.__version__}")}
    for name, function in GOLDENS.items():
        arrays |= {f"{name}/{key}": value for key, value in function().items()}
    np.savez_compressed(FILE, **arrays)
    print(FILE, FILE.stat().st_size, "bytes", len(arrays), "arrays")
