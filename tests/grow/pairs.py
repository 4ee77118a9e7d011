"""What tests of random pairs of metaparameters share: changes of numbers, and what must hold of a child."""

import re
from collections import Counter

import keras
import numpy as np
from checks import as_trained
from thorough import ONCE, run_all

from keras_blocks.grow.growing import grown, told

PAIRS = (200 if ONCE else 20) if run_all() else 1
MOST_CHANGES = 3


def numbers_in(value, path=()):
    """The places of the whole numbers in plain data, but of what is no size."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers_in(item, (*path, key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from numbers_in(item, (*path, i))
    elif type(value) is int:
        yield path


def replaced(value, path, change):
    """Plain data with another value in a place."""
    if not path:
        return change(value)
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: replaced(value[key], rest, change)}
    return [replaced(item, rest, change) if i == key else item for i, item in enumerate(value)]


def as_trained_long(model, seed=0):
    """`as_trained`, and some of the normalizations' scales are negative."""
    rng = np.random.default_rng(seed)
    for weight in as_trained(model).weights:
        if weight.name == "gamma":
            weight.assign(keras.ops.convert_to_numpy(weight) * np.where(rng.random(weight.shape) < 0.2, -1, 1))
    return model


def judged(case, parent, changes, blocks=None):
    """A parent's child; asserts that it has the parent's outputs, or tells why it has not. The case is told, too."""
    before = [np.array(value) for value in parent.get_weights()]
    found = grown(parent, changes, blocks)
    assert found.difference is None or np.isfinite(found.difference), case
    if found.exact:
        assert found.notes == {} and told(found) is None, case
        assert found.difference is None or found.difference <= 1e-5, (found.difference, case)
    else:
        assert "does not have its outputs" in told(found), case
        other_outputs = parent.output_shape != found.model.output_shape  # that is what is told then
        assert found.notes or found.removed or other_outputs, case
    for value, kept in zip(parent.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, kept, err_msg=str(case))
    return found


class Tally:
    """How many children are exact, and the first reasons of the others."""

    def __init__(self, name):
        self.name, self.exact, self.reasons = name, 0, Counter()

    def add(self, found):
        self.exact += found.exact
        if not found.exact:
            first = next(iter(found.notes.values()), "has layers no more" if found.removed else "has other outputs")
            self.reasons[re.sub(r" '[^']*'|\(\d[\d, ]*\)|\b\d+\b", "", first)] += 1

    @property
    def count(self):
        return self.exact + sum(self.reasons.values())

    def tell(self):
        """A line of how many are exact, and one for each reason."""
        print(f"{self.name}: {self.exact} of {self.count} are exact")
        for reason, count in self.reasons.most_common():
            print(f"    {count} {reason}")
