"""Random pairs of Siamese networks and detectors: what is grown has its parent's outputs, or says why it has not."""

import random
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from around_backbones import detector, fast, groups, inputs_of, outputs, rcnn, siamese, single
from pairs import MOST_CHANGES, PAIRS, Tally, as_trained_long, judged, numbers_in, replaced
from thorough import run_all

from keras_blocks.grow.growing import told


class Kind(NamedTuple):
    """A model around a backbone.

    `levels` are the groups of its backbone; `own` draws arguments of its own that may become larger; `others` are what
    makes it another function.
    """

    make: Any
    levels: int
    own: Any
    others: dict[str, Any]


def of_siamese(rng):
    return {
        "distance": rng.choice(("l1", "l1", "l2", "cosine")),
        "embedding": rng.choice((None, 3, 5)),
        "pooling": rng.choice(("avg", "max", "flatten")),
        "normalize": rng.random() < 0.3,
        "include_top": rng.random() < 0.7,
    }


def hidden(rng):
    return {"hidden": [rng.randint(3, 6) for _ in range(rng.randint(1, 2))]}


def of_detector(rng):
    return {**hidden(rng), "pyramid_filters": rng.choice((3, 4)), "rpn_filters": rng.choice((4, 5))}


def of_single(rng):
    return {**hidden(rng), "rpn_filters": rng.choice((4, 5))}


LABELS = {"labels": None}
KINDS = {
    "Siamese": Kind(siamese, 1, of_siamese, {"distance": "l2", "input_shape": (10, 10, 1)}),
    "FasterRCNN": Kind(detector, 2, of_detector, {"classes": 3, "image_size": (32, 48)}),
    "FasterRCNN of one map": Kind(single, 2, of_single, {"classes": 3, "region_size": (3, 3)}),
    "FastRCNN": Kind(fast, 1, hidden, {"classes": 3, "region_size": (3, 3)}),
    "RCNN": Kind(rcnn, 1, hidden, {"classes": 3, "region_size": 8}),
}


def parent_of(kind, rng):
    """Arguments of a model, those that are its backbone's included."""
    width = [rng.randint(3, 5) for _ in range(kind.levels)]
    return {
        **kind.own(rng),
        "groups": groups(*width, blocks=rng.randint(1, 2)),
        "block": rng.choice(("basic", "bottleneck")),
        "version": rng.choice(("v1.5", "v2")),
        "se_ratio": rng.choice((None, 1)),
    }


def changed(kind, given, rng):
    """The arguments that become others, and whether all of that is growing."""
    theirs, larger = dict(given), True
    places = [path for path in numbers_in(given) if path[0] != "se_ratio"]
    for _ in range(rng.randint(1, MOST_CHANGES)):
        drawn = rng.random()
        if drawn < 0.7:
            path, less = rng.choice(places), rng.random() < 0.1
            more = -1 if less else rng.randint(1, 3)
            theirs = replaced(theirs, path, lambda value, more=more: max(value + more, 1))
        elif drawn < 0.8 and theirs.get("hidden"):
            theirs["hidden"] = [*theirs["hidden"], theirs["hidden"][-1]]
        elif drawn < 0.9:
            theirs["se_ratio"] = 1
        else:
            name = rng.choice(list(kind.others))
            theirs[name] = kind.others[name]
            larger = larger and theirs[name] == given.get(name)
    new = {name: value for name, value in theirs.items() if name not in given or given[name] != value}
    for path in numbers_in(given):
        larger = larger and _at(theirs, path) >= _at(given, path)
    return {**new, **(LABELS if "classes" in new else {})}, larger


def _at(value, path):
    for key in path:
        value = value[key]
    return value


def is_promised(given, new):
    """Whether docs/growing.md promises a larger child its parent's outputs."""
    if "distance" not in given:
        return True
    weighed = given["distance"] == "l1" and given["include_top"] and not given["normalize"]
    wider = [one["filters"] for one in new.get("groups", given["groups"])] != [g["filters"] for g in given["groups"]]
    return weighed or not ("embedding" in new or (given["embedding"] is None and wider))


@pytest.mark.skipif(not run_all(), reason="make test-all")
@pytest.mark.parametrize("name", KINDS)
def test_a_child_around_a_backbone_is_its_parent_or_says_why_not(name):
    kind, tally, promised = KINDS[name], Tally(name), 0
    for seed in range(5 * PAIRS):
        rng = random.Random(f"{name} {seed}")
        given = parent_of(kind, rng)
        new, larger = changed(kind, given, rng)
        if not new:
            continue
        parent = as_trained_long(kind.make(**given), seed)
        case = f"{name} {seed}: {given} becomes {new}"
        found = judged(case, parent, new)
        if larger and is_promised(given, new):
            promised += 1
            assert found.exact, f"{case}: {told(found)}"
        tally.add(found)
        if found.exact:
            same(found.model, parent, case)
        keras.utils.clear_session(free_memory=False)
        if tally.count == PAIRS:
            break
    assert tally.count == PAIRS
    tally.tell()
    print(f"    {promised} are promised")


def same(child, parent, case):
    """Of detections, which are not compared by `grow`, too."""
    inputs = inputs_of(parent)
    for mine, theirs in zip(outputs(child, inputs), outputs(parent, inputs), strict=True):
        most = 1e-5 * max(1.0, np.abs(theirs).max())
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=most, err_msg=case)
