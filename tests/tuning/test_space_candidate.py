"""Candidates: plain data, equal signatures for equal models, and nothing built for them."""

import dataclasses
import json
import subprocess
import sys

import keras
import pytest
from calling import light_environment
from drawing import draw

import keras_blocks
from keras_blocks.tuning import Candidate, HyperResNet
from keras_blocks.tuning.spaces.families import FAMILIES

GROUPS = [{"filters": 8, "blocks": 1}, {"filters": 16, "blocks": 2}]
IMAGES = {"input_shape": [16, 16, 3], "classes": 5}
BASIC = {"groups": GROUPS, "block": "basic", "stem": "cifar", **IMAGES}
HOW = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.0, "batch_size": 32, "augmentation": "none"}


def signature(architecture="ResNet", /, **metaparameters):
    return Candidate(architecture, metaparameters, {}).architecture_signature()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"version": "v1.5", "shortcut": "auto", "batch_norm": True, "drop_rate": 0.0}),  # defaults
        ({"version": "v1"}, {"version": "v1.5"}),  # a basic block has no 1x1 convolution to stride
        ({"se_use_bias": True}, {"se_use_bias": False}),  # there is no squeeze-excitation
        ({"remat": True}, {"remat": False}),  # the same model, in less memory
        ({"name": "one"}, {"name": "other"}),
        ({"groups": tuple(GROUPS)}, {"groups": GROUPS}),
        ({"kernel_initializer": "he_normal"}, {"kernel_initializer": keras.initializers.HeNormal()}),
        ({"batch_norm": {"momentum": 0.9, "epsilon": 1e-5}}, {"batch_norm": {"epsilon": 1e-5, "momentum": 0.9}}),
        ({"output_stride": None}, {"output_stride": 2}),  # reached by the strides as they are
    ],
)
def test_equal_layers_have_one_signature(one, other):
    assert signature(**{**BASIC, **one}) == signature(**{**BASIC, **other})


@pytest.mark.parametrize(
    "change",
    [
        {"version": "v2"},
        {"block": "bottleneck"},
        {"activation": "gelu"},
        {"batch_norm": {"momentum": 0.9}},
        {"se_ratio": 4},
        {"se_ratio": 4, "se_use_bias": False},
        {"width": 2},
        {"shortcut": "pad"},
        {"shortcut": "projection"},
        {"dropout": 0.1},
        {"drop_rate": 0.1},
        {"stem": "imagenet"},
        {"downsample": "last"},
        {"output_stride": 1},
        {"kernel_initializer": "glorot_uniform"},
        {"kernel_regularizer": "l2"},
        {"use_bias": True},
        {"dtype": "mixed_bfloat16"},
        {"classes": 6},
        {"input_shape": [16, 17, 3]},
        {"groups": GROUPS[:1]},
        {"groups": [{"filters": 8, "blocks": 2}, {"filters": 16, "blocks": 1}]},
    ],
)
def test_other_layers_have_another_signature(change):
    assert signature(**{**BASIC, **change}) != signature(**BASIC)


def test_pairs_that_cost_the_same_are_told_apart():
    filters = [{"filters": [8, 8]}, {"filters": [8]}], [{"filters": [8]}, {"filters": [8, 8]}]
    one, other = (signature("SqueezeNet", groups=groups, stem="tiny", **IMAGES) for groups in filters)
    assert one != other
    v1, v2 = (signature("SqueezeNet", groups=filters[0], stem=stem, **IMAGES) for stem in ("small", {"filters": 64}))
    assert v1 == v2  # what the dict leaves out is as in "small"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_signature_is_the_same_in_another_process(name):
    space = FAMILIES[name]((16, 17, 3), 5)
    candidate = space.candidate(draw(space, 5))
    data = json.dumps(dataclasses.asdict(candidate))
    assert Candidate(**json.loads(data)) == candidate
    assert Candidate(**json.loads(data)).signature() == candidate.signature()
    if name == "resnet":
        code = (
            "import json, sys; from keras_blocks.tuning import Candidate; "
            "print(Candidate(**json.loads(sys.argv[1])).signature())"
        )
        out = subprocess.run(
            [sys.executable, "-c", code, data], capture_output=True, text=True, check=True, env=light_environment()
        ).stdout
        assert out.strip() == candidate.signature()


def test_hyperparameters_count_in_the_signature():
    plain = Candidate("ResNet", BASIC, HOW)
    assert plain.signature() == Candidate("ResNet", BASIC, {**HOW, "warmup": 0.0, "lottery": 1}).signature()
    assert plain.signature() != Candidate("ResNet", BASIC, {**HOW, "warmup": 0.1}).signature()
    assert plain.signature() != Candidate("ResNet", BASIC, {**HOW, "batch_size": 64}).signature()
    assert plain.architecture_signature() == Candidate("ResNet", BASIC, {}).architecture_signature()


def test_nothing_is_built_for_it(monkeypatch):
    space = HyperResNet((32, 32, 3), 10)
    candidate = space.candidate(draw(space, 2))

    def refuse(*args, **kwargs):
        raise AssertionError("a variable was made")

    monkeypatch.setattr(keras.Variable, "__init__", refuse)
    assert candidate.cost().params > 0
    assert len(candidate.signature()) == 64


def test_it_is_built_by_anyone():
    model = Candidate("ResNet", BASIC, HOW).compiled(scale=1 / 255)
    assert isinstance(model, keras_blocks.ResNet)
    assert model.count_params() == Candidate("ResNet", BASIC, HOW).cost().params
    assert model.layers[1].name == "rescale"
    with pytest.raises(ValueError, match=r"`architecture` must be one of .* Did you mean 'keras_blocks>ResNet'"):
        Candidate("ResNett", BASIC, HOW).compiled()


def test_an_architecture_that_uses_keras_layers_has_a_signature_too():
    @keras.saving.register_keras_serializable("tests")
    class PlainNet(keras_blocks.Architecture):
        def __init__(self, filters=4, **kwargs):
            super().__init__({"filters": filters}, **kwargs)

        def stem(self, x):
            return keras.layers.Conv2D(self.metaparameters.filters, 3)(x)

        def learner(self, x):
            return x

        def classifier(self, x):
            return keras.layers.Dense(self.metaparameters.classes)(keras.layers.Flatten()(x))

    assert signature("tests>PlainNet", **IMAGES) == signature("tests>PlainNet", filters=4, **IMAGES)
    assert signature("tests>PlainNet", **IMAGES) != signature("tests>PlainNet", filters=8, **IMAGES)
