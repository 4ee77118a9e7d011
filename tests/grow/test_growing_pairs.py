"""Random pairs of metaparameters: what is grown has its parent's outputs, or says why it has not.

Parents are draws of the search spaces, and children a step or a few from them, as searches that breed have them; of
architectures without a space, the catalog's rows with some of their numbers changed.
"""

import random
import warnings

import catalog
import keras
import pytest
from checks import as_trained
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pairs import PAIRS, Tally, judged, numbers_in, replaced
from thorough import run_alike, run_all

import keras_blocks
from keras_blocks.grow.growing import grown
from keras_blocks.tuning.spaces.families import FAMILIES
from keras_blocks.tuning.spaces.table import GivenSource
from keras_blocks.tuning.study.breeding import MOST_CHANGES, stepped
from keras_blocks.tuning.study.sources import RandomSource, Scale

WITH_SPACES = sorted(FAMILIES)
OTHERS = [row for row in catalog.ARCHITECTURES + catalog.MODELS if row.name.lower() not in FAMILIES]
MOST_PARAMS = 300_000


class Stepped(RandomSource):
    """The values of a parent, some a step away; what it has not is drawn."""

    def __init__(self, params, rng):
        super().__init__(rng)
        self._parents = params
        self._names = rng.sample(sorted(params), min(len(params), rng.randint(1, MOST_CHANGES)))

    def _of(self, name, distribution, otherwise):
        value = self._parents.get(name)
        if value is None:
            return otherwise()
        if name not in self._names or distribution.single():
            return value
        return stepped(distribution, value, self._rng)

    def choice(self, name, labels):
        return self._of(name, CategoricalDistribution(list(labels)), lambda: super(Stepped, self).choice(name, labels))

    def _number(self, name, low, high, step, log):
        whole = Scale(low, high).whole
        made = IntDistribution(low, high, log, step or 1) if whole else FloatDistribution(low, high, log, step)
        return self._of(name, made, lambda: super(Stepped, self)._number(name, low, high, step, log))


def pairs_of(family, seed):
    """A model's class, the metaparameters of a parent, and those of a child."""
    space = FAMILIES[family]((16, 16, 3), classes=5)
    rng = random.Random(f"{family} {seed}")
    while True:
        parent = RandomSource(rng)
        mine = space.candidate(GivenSource(space.draw(parent)))
        child = space.candidate(GivenSource(space.draw(Stepped(parent.params, rng))))
        small = max(one.cost().params for one in (mine, child)) < MOST_PARAMS
        if small and mine.metaparameters != child.metaparameters:
            return mine.architecture_class, mine.metaparameters, child.metaparameters


def mutated(arguments, rng):
    """Arguments with one to three of their numbers larger."""
    kept = ("input_shape", "classes", "output_stride")
    places = [path for path in numbers_in(arguments) if path[0] not in kept]
    for path in rng.sample(places, min(len(places), rng.randint(1, MOST_CHANGES))):
        more = rng.choice((1, 2))
        arguments = replaced(arguments, path, lambda value, more=more: 2 * value if more == 2 else value + 1)
    return arguments


def check(cls, mine, theirs):
    """The child of one; asserts that it has its outputs, or says why it has not."""
    keras.utils.set_random_seed(0)
    parent = as_trained(cls(**mine))
    case = (cls.__name__, mine, theirs)
    found = judged(case, parent, {name: value for name, value in theirs.items() if mine.get(name) != value})
    assert not found.exact or found.difference is not None, case
    return found


SMALL = {"stem": "cifar", "input_shape": (8, 8, 3), "classes": 5}
WIDE = [{"filters": 8, "blocks": 1}]


@pytest.mark.once
@pytest.mark.parametrize(
    ("model", "changed", "name"),
    [
        ("ResNet", {"activation": "gelu"}, "stem_conv_activation"),
        ("ResNet", {"activation": "gelu", "groups": WIDE}, "stem_conv_activation"),  # and wider
        ("ResNet", {"activation": "gelu", "version": "v2"}, "group1_block1_pre_activation"),
        ("ResNet", {"classifier_activation": "sigmoid"}, "predictions"),
        ("VGG", {"activation": "gelu"}, "group1_conv1_activation"),
    ],
)
def test_another_activation_is_what_is_told(model, changed, name):
    sizes = {"ResNet": {"groups": [{"filters": 4, "blocks": 1}], "block": "basic", "version": changed.get("version")}}
    sizes["VGG"] = {"groups": [{"filters": 4, "layers": 1}], "hidden": ()}
    options = {key: value for key, value in {**SMALL, **sizes[model]}.items() if value is not None}
    if model == "VGG":
        options.pop("stem")
    found = grown(getattr(keras_blocks, model)(**options, activation="relu"), changed)
    before = "softmax" if "classifier_activation" in changed else "relu"
    after = changed.get("classifier_activation", "gelu")
    assert found.notes[name] == f"applies {after} in place of {before}"


@pytest.mark.skipif(not run_alike(), reason="once; make test-all")
@pytest.mark.parametrize("family", WITH_SPACES if run_all() else ["resnet"])
def test_a_child_of_a_space_is_its_parent_or_says_why_not(family):
    tally = Tally(family)
    for seed in range(PAIRS):
        tally.add(check(*pairs_of(family, seed)))
        keras.utils.clear_session(free_memory=False)
    tally.tell()


@pytest.mark.skipif(not run_all(), reason="make test-all")
@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)
def test_a_child_of_any_other_architecture_is_its_parent_or_says_why_not(row):
    rng, tally = random.Random(row.name), Tally(row.name)
    base = {**row.arguments, "input_shape": row.arguments.get("input_shape") or (16, 16, 3)}
    for _ in range(20 * PAIRS):
        theirs = mutated(base, rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                keras_blocks.cost(row.cls, **theirs)
        except (TypeError, ValueError):
            continue  # numbers that do not go together
        tally.add(check(row.cls, base, theirs))
        keras.utils.clear_session(free_memory=False)
        if tally.count == PAIRS:
            break
    assert tally.count
    tally.tell()
