"""What `freeze` and `unfreeze` leave to be trained, after anything that was set before."""

import keras
import numpy as np
import pytest
from catalog import ARCHITECTURES, MODELS, of_each_kind, small_model
from thorough import run_alike

import keras_blocks

TINY = {"groups": [{"filters": 4, "blocks": 1}] * 2, "block": "basic", "stem": "cifar", "input_shape": (8, 8, 3)}


@keras.saving.register_keras_serializable(package="test_freezing")
class Bare(keras_blocks.Architecture):
    """A user's, which notes no feature map."""

    def __init__(self, **kwargs):
        super().__init__({}, **kwargs)

    def stem(self, x):
        return self.layer("conv", keras_blocks.ConvBlock, filters=2)(x)

    def learner(self, x):
        return x

    def classifier(self, x):
        return self.global_pool("pool", "avg")(x)


ROWS = ARCHITECTURES + MODELS
MAKERS = {row.name: lambda row=row: small_model(row) for row in (ROWS if run_alike() else of_each_kind(ROWS))}
MAKERS["Koch"] = lambda: keras_blocks.Siamese(
    "koch2015", groups=[{"filters": 2, "kernel_size": 3}] * 2, classes=3, input_shape=(12, 12, 1)
)
MAKERS["Siamese"] = lambda: keras_blocks.Siamese(keras_blocks.ResNet, embedding=3, **TINY)


def tiny(**options):
    return keras_blocks.ResNet(**{**TINY, "classes": 3, **options})


def frozen_ones(model):
    """Ids of the weights that would be trained, were nothing frozen, and are not."""
    trained = {id(weight) for weight in model.trainable_weights}
    statistics = ("moving_mean", "moving_variance", "seed_generator_state")
    return {id(weight) for weight in model.weights if weight.name not in statistics} - trained


def normalizations(model):
    """All BatchNormalizations inside, and whether each works as in training."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    return {layer.trainable for layer in layers}


def up_to(model):
    """Name of each feature map -> ids of the weights before it, by the graph alone."""
    network = model.backbone if isinstance(model, keras_blocks.Siamese) else model
    found = {name: keras.Model(network.inputs, tensor) for name, tensor in network.features.items()}
    found |= {"backbone": network} if network is not model else {}
    return {name: frozen_ones(model) & {id(w) for w in graph.weights} for name, graph in found.items()}


@pytest.mark.twice
@pytest.mark.parametrize("name", MAKERS)
def test_each_call_tells_the_whole_truth(name):
    """From the last feature map back to the first, then on again: what came before leaves no trace."""
    model = MAKERS[name]()
    model.trainable = False
    before = up_to(model)
    model.trainable = True
    assert frozen_ones(model) == set() and len(before) > 1
    names = [*before]
    for feature in [*reversed(names), *names]:
        model.freeze(up_to=feature)
        assert frozen_ones(model) == before[feature], feature
    model.freeze()
    assert frozen_ones(model) == before[names[-1]]
    for feature, last in zip(names[1:], names):
        model.unfreeze(from_=feature)
        assert frozen_ones(model) == before[last], feature
    model.unfreeze(from_=names[0])
    assert frozen_ones(model) == set()
    model.trainable = False
    model.freeze(names[0])
    assert frozen_ones(model) == before[names[0]] and model.trainable
    model.unfreeze()
    assert frozen_ones(model) == set()


THAWED = {
    "freeze": lambda model: model.freeze(),
    "freeze in part": lambda model: model.freeze(up_to="group1"),
    "a layer": lambda model: setattr(model.get_layer("group1_block1"), "trainable", False),
    "inside of a block": lambda model: setattr(model.get_layer("group1_block1").conv1, "trainable", False),
}


@pytest.mark.parametrize("name", THAWED)
def test_trainable_set_for_a_model_reaches_all_that_is_inside(name):
    """Keras sets it no second time on TensorFlow."""
    model = tiny()
    THAWED[name](model)
    assert frozen_ones(model)
    model.trainable = True
    assert frozen_ones(model) == set() and normalizations(model) == {True}
    model.trainable = False
    model.get_layer("group1_block1").conv1_bn.trainable = True
    model.trainable = False
    assert normalizations(model) == {False}


@pytest.mark.parametrize("of_blocks", [False, True])
def test_trainable_set_for_a_block_reaches_all_that_is_inside(of_blocks):
    block = keras_blocks.VGGGroup(2, depth=2) if of_blocks else keras_blocks.ResidualBlock(4, "basic", batch_norm=True)
    block.build((None, 8, 8, 3))
    inner = [layer for layer in block._flatten_layers(include_self=False) if layer.weights]
    whole = len(block.trainable_weights)
    for layer in inner[:2]:
        layer.trainable = False
    assert len(block.trainable_weights) < whole
    block.trainable = True
    assert len(block.trainable_weights) == whole and all(layer.trainable for layer in inner)
    block.trainable = False
    inner[-1].trainable = True
    block.trainable = False
    assert not any(layer.trainable for layer in inner) and not block.trainable_weights


def test_the_two_sides_of_a_siamese_thaw_through_their_embedding():
    model = MAKERS["Siamese"]()
    model.freeze()
    assert {w.path.split("/")[0] for w in model.trainable_weights} == {"projection", "scores"}
    model.embedding.trainable = True
    assert frozen_ones(model) == set()


def test_a_model_frozen_as_a_whole_keeps_its_statistics_from_the_beginning_and_from_a_file(tmp_path):
    """As a part of a larger model that is trained: only a layer's own flag tells BatchNormalization."""
    made = tiny(trainable=False)
    made.save(tmp_path / "model.keras")
    for model in (made, keras.saving.load_model(tmp_path / "model.keras")):
        assert normalizations(model) == {False}
        before = [weight.numpy() for weight in model.non_trainable_weights]
        model(np.ones((2, 8, 8, 3), "float32"), training=True)
        for weight, value in zip(model.non_trainable_weights, before, strict=True):
            np.testing.assert_array_equal(weight.numpy(), value)
        model.trainable = True
        assert frozen_ones(model) == set()


def test_what_is_frozen_comes_back_from_the_file(tmp_path):
    model = tiny(preprocess=keras.layers.Rescaling(0.5))
    model.freeze()
    model.freeze(up_to="group1")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [w.path for w in again.trainable_weights] == [w.path for w in model.trainable_weights]
    bare, _ = again.detach_preprocessing()
    assert [w.path for w in bare.trainable_weights] == [w.path for w in model.trainable_weights]
    again.unfreeze()
    assert frozen_ones(again) == set() == frozen_ones(bare)


def plain_siamese():
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="conv")(inputs)
    return keras_blocks.Siamese(keras.Model(inputs, x, name="theirs"), embedding=2)


def test_trainable_set_for_a_model_reaches_what_is_inside_of_a_model_of_keras():
    """Which does not hand on what it is told, where it was told so before."""
    model = plain_siamese()
    model.backbone.get_layer("conv").trainable = False
    model.trainable = True
    assert frozen_ones(model) == set()


def test_a_backbone_of_another_library_is_frozen_as_a_whole():
    model = plain_siamese()
    model.freeze()
    assert {w.path.split("/")[0] for w in model.trainable_weights} == {"projection", "scores"}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: tiny().freeze("group3"), r"`up_to` must be one of \['stem', 'group1', 'group2'\]; received 'group3'"),
        (lambda: tiny().unfreeze("group0"), r"`from_` must be one of .*'group0'. Did you mean"),
        (lambda: tiny().unfreeze(True), r"`from_` must be one of .*True"),
        (lambda: plain_siamese().freeze("stem"), r"`up_to` must be one of \['backbone'\]; received 'stem'"),
        (lambda: Bare(input_shape=(4, 4, 1)).freeze(), r"`up_to`.*'bare' has none.*self\.feature\(name, x\)"),
        (lambda: Bare(input_shape=(4, 4, 1)).unfreeze("stem"), r"`from_`.*has none.*get_layer\(name\)"),
        (lambda: keras_blocks.ResNet.outline(**TINY).freeze(), r"`up_to`.*'outline' has none"),
    ],
)
def test_names_that_are_no_feature_maps_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
