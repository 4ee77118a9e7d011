"""Classes are known by the names under which Keras registers them: never by the bare one, never by where they lie."""

import importlib
import json
import sys

import keras
import keras_tuner
import numpy as np
import pytest

import keras_blocks
from keras_blocks.core.registration import class_named, registered_name
from keras_blocks.models.architecture import Architecture
from keras_blocks.tuning import Candidate, HyperAny, HyperResNet, Search, SearchSettings, space_from_config
from keras_blocks.tuning.digest import architecture_digest

NET = """
import keras, keras_blocks
from keras_blocks.tuning import HyperSqueezeNet

@keras.saving.register_keras_serializable(package="{package}")
class Net(keras_blocks.SqueezeNet):
    pass

class HyperNet(HyperSqueezeNet):
    architecture = Net
    widths = {widths}

    def table(self):
        return {{**super().table(), "filters": list(self.widths)}}
"""

MOVES = """
import keras, keras_blocks

@keras.saving.register_keras_serializable(package="moves")
def doubled(x):
    return 2 * x

@keras.saving.register_keras_serializable(package="moves")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

    def compute_output_shape(self, shape):
        return shape

@keras.saving.register_keras_serializable(package="moves")
class Pair(keras_blocks.Block):
    def chain(self, channels):
        return [*self.conv_unit("one", 4, 1), self.layer("two", Twice)]

@keras.saving.register_keras_serializable(package="moves")
class Opaque(keras_blocks.SqueezeNet):
    def stem(self, x):
        return self.layer("pair", Pair, activation=doubled)(x)
"""


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """Writes modules that can be imported, and forgets them."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield lambda name, text: (tmp_path / name).write_text(text)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


def test_a_users_class_of_the_same_name_takes_no_place():
    space = HyperResNet((8, 8, 1), 10, groups=1, filters=16, blocks=1, block="basic", width=1, activation="relu")
    before = space.candidate(keras_tuner.HyperParameters())
    cost = before.cost()

    class ResNet(keras_blocks.ResNet):
        def learner(self, x):
            return self.layer("more", keras_blocks.ConvBlock, filters=512)(super().learner(x))

    after = space.candidate(keras_tuner.HyperParameters())
    assert after.architecture == "keras_blocks>ResNet" and after.architecture_class is keras_blocks.ResNet
    assert after.cost() == cost == Candidate("ResNet", before.metaparameters, {}).cost()
    assert registered_name(ResNet).endswith(">test_a_users_class_of_the_same_name_takes_no_place.<locals>.ResNet")
    assert class_named("architecture", registered_name(ResNet), Architecture) is ResNet
    with pytest.raises(ValueError, match="keras_blocks>ResNet"):
        class_named("architecture", "ResNett", Architecture)


def test_two_spaces_with_classes_of_one_name_search_side_by_side(importable, tmp_path, few_digits):
    importable("one_package.py", NET.format(package="one", widths=(8,)))
    importable("other_package.py", NET.format(package="other", widths=(12,)))
    import one_package
    import other_package

    fixed = {"groups": 1, "blocks": 1, "bypass": None, "expand_ratio": 2, "dropout": 0.0, "activation": "relu"}
    given = ((one_package, "one"), (other_package, "other"))
    data = np.load(few_digits)
    shape = (*data["x_train"].shape[1:3], 1)
    spaces = [module.HyperNet(shape, 10, name=name, scale=1 / 16, **fixed) for module, name in given]
    how = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.0, "batch_size": 32, "augmentation": "none"}
    both = HyperAny(spaces, **how)
    again = space_from_config(json.loads(json.dumps(both.get_config())))
    assert [space.architecture for space in again.spaces.values()] == [one_package.Net, other_package.Net]
    assert both.get_config()["spaces"][0]["space"] == "one_package>HyperNet"
    search = Search(
        SearchSettings(data=str(few_digits), trials=2, epochs=1, final_epochs=1, sampler="grid"),
        tmp_path / "run",
        space=both,
    )
    search.run()
    params = {trial.architecture: trial.params for trial in search.trials if trial.completed}
    search.close()
    assert set(params) == {"one>Net", "other>Net"}
    assert params["one>Net"] < params["other>Net"]


def test_moving_a_module_changes_no_digest(importable):
    importable("here.py", MOVES)
    importable("deeper.py", MOVES)
    metaparameters = {"groups": [{"filters": [8]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 10}
    found = []
    for name in ("here", "deeper"):
        net = importlib.import_module(name).Opaque  # the later one is registered in place of the earlier
        assert net.__module__ == name and keras.saving.get_registered_object("moves>Opaque") is net
        found.append(architecture_digest(net, metaparameters))
    assert found[0] == found[1] and len(found[0]) == 64
