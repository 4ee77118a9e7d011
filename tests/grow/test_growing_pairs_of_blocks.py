"""Random pairs of each block's arguments: what is grown has its parent's outputs, or says why it has not."""

import itertools
import random
from typing import Any, NamedTuple

import catalog
import drawn_blocks
import keras
import pytest
from pairs import PAIRS, Tally, as_trained_long, judged
from thorough import run_alike

from keras_blocks.core.signature import arguments
from keras_blocks.grow.growing import told

FORMS = ["channels_last"] if keras.backend.backend() == "tensorflow" else ["channels_last"] * 4 + ["channels_first"]
"""TensorFlow's convolutions on CPUs have the first one alone."""


class Pair(NamedTuple):
    """Arguments of a block, those of a child's, and how many channels that is given."""

    row: catalog.Row
    seed: int
    form: str
    given: dict[str, Any]
    theirs: dict[str, Any]
    changes: list[drawn_blocks.Change]
    front: int

    @property
    def blocks(self):
        """What `grow` is told."""
        given = {**arguments(self.row.cls), **self.given}
        new = {name: value for name, value in self.theirs.items() if given[name] != value}
        front = {} if self.front == drawn_blocks.FRONT else {"front": {"filters": self.front}}
        return {**({"block": new} if new else {}), **front}


def drawn(row):
    """Pairs of what fits together."""
    for seed in range(50 * PAIRS):
        rng = random.Random(f"{row.name} {seed}")
        form, given = rng.choice(FORMS), drawn_blocks.parent_of(row, rng)
        theirs, changes = drawn_blocks.changed(row, given, rng)
        front = rng.choice((drawn_blocks.FRONT,) * 3 + drawn_blocks.WIDER)
        if row.name == "ImageNormalization":
            front = drawn_blocks.FRONT
        if front > drawn_blocks.FRONT:
            changes.append(drawn_blocks.Change("front", drawn_blocks.FRONT, front, "more"))
        pair = Pair(row, seed, form, given, theirs, changes, front)
        sides = (({}, drawn_blocks.FRONT), (pair.blocks.get("block", {}), front))
        if pair.blocks and all(drawn_blocks.fits(row, given, new, channels, form) for new, channels in sides):
            yield pair


def check(pair):
    """The child, and whether it is promised that it is exact."""
    parent = as_trained_long(drawn_blocks.model_of(pair.row, pair.given, pair.form), pair.seed)
    case = f"{pair.seed}, {pair.form}: {pair.given} becomes {pair.blocks}"
    found = judged(case, parent, {}, pair.blocks)
    assert found.difference is not None, case
    outputs = [_added(one) for one in (parent, found.model)]
    promised = drawn_blocks.is_promised(pair.row, pair.given, pair.changes, outputs)
    assert found.exact or not promised, f"{case}: {told(found)}"
    return found, promised


@pytest.mark.skipif(not run_alike(), reason="once; make test-all")
@pytest.mark.parametrize("row", catalog.of_each_kind(catalog.LAYERS), ids=lambda row: row.name)
def test_a_child_of_a_block_is_its_parent_or_says_why_not(row):
    tally, promised = Tally(row.name), 0
    for pair in itertools.islice(drawn(row), PAIRS):
        found, one = check(pair)
        tally.add(found)
        promised += one
        keras.utils.clear_session(free_memory=False)
    assert tally.count == PAIRS
    tally.tell()
    print(f"    {promised} are promised")


def _added(model):
    """The channels that a block gives, less those that it takes."""
    block = model.get_layer("block")
    shapes = [keras.tree.flatten(one)[0].shape for one in (block.output, block.input)]
    axis = 1 if getattr(block, "data_format", None) == "channels_first" else -1
    return shapes[0][axis] - shapes[1][axis]
