"""`model.save("model.h5")`, Keras' older format, of every architecture; and the names of inputs."""

import json

import keras
import numpy as np
import pytest
from catalog import ARCHITECTURES, MODELS, inputs_for, small_model
from checks import randomize

import keras_blocks

pytestmark = [pytest.mark.filterwarnings("ignore:.*HDF5"), pytest.mark.usefixtures("eager")]

TINY = {"groups": [{"filters": 2, "blocks": 1}], "block": "basic", "stem": "cifar", "input_shape": (8, 8, 3)}
MAKERS = {
    row.name: lambda row=row: small_model(row)
    for row in ARCHITECTURES + MODELS
    if row.name in ("AutoEncoder", "Inception", "SqueezeNet")  # all save as `Network` does
}
MAKERS["Siamese"] = lambda: keras_blocks.Siamese(keras_blocks.ResNet, embedding=3, **TINY)


def tiny(**options):
    return keras_blocks.ResNet(**{**TINY, "classes": 3, **options})


def same_outputs(one, other):
    inputs = inputs_for(one)
    inputs = inputs[0] if len(inputs) == 1 else inputs
    for mine, its in zip(keras.tree.flatten(one(inputs)), keras.tree.flatten(other(inputs)), strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(its))


@pytest.mark.once
@pytest.mark.parametrize("name", MAKERS)
def test_every_architecture_comes_back(name, tmp_path):
    model = MAKERS[name]()
    randomize(model)
    model.save(tmp_path / "model.h5")
    again = keras.saving.load_model(tmp_path / "model.h5")
    assert type(again) is type(model)
    assert json.dumps(again.get_config(), sort_keys=True) == json.dumps(model.get_config(), sort_keys=True)
    same_outputs(model, again)


@pytest.mark.once
def test_a_trained_and_frozen_model_and_a_part_come_back(tmp_path):
    model = tiny(dtype="mixed_bfloat16", labels=["a", "b", "c"], preprocess=keras.layers.Rescaling(0.5))
    model.freeze("stem")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.ones((2, 8, 8, 3), "float32"), np.array([0, 1]), verbose=0)
    model.save(str(tmp_path / "kept.hdf5"))
    again = keras.saving.load_model(tmp_path / "kept.hdf5")
    assert again.compiled and int(again.optimizer.iterations) == 1
    assert [w.path for w in again.trainable_weights] == [w.path for w in model.trainable_weights]
    same_outputs(model, again)
    embedding = MAKERS["Siamese"]().embedding
    embedding.save(tmp_path / "embedding.h5")
    same_outputs(embedding, keras.saving.load_model(tmp_path / "embedding.h5"))


@pytest.mark.once
def test_what_the_format_would_lose_is_refused_at_once(tmp_path):
    """Keras reads an adapted mean back, and goes on with zero; in its own models, too."""
    adapted = keras.layers.Normalization(name="adapted")
    adapted.adapt(np.random.default_rng(0).normal(3, 2, (4, 8, 8, 3)))
    for model in (tiny(preprocess=adapted), keras_blocks.Siamese(keras_blocks.ResNet, preprocess=adapted, **TINY)):
        with pytest.raises(ValueError, match=r"'\.keras'.*\['adapted'\].*model\.h5"):
            model.save(tmp_path / "model.h5")
        assert not (tmp_path / "model.h5").exists()
    tiny(preprocess=keras.layers.Normalization(mean=1.0, variance=2.0)).save(tmp_path / "model.h5")
    tiny(preprocess=adapted).save(tmp_path / "model.keras")


# -- the names of inputs --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*structure of `inputs`")  # Keras', since 3.15, of a dict for a single input
def test_data_is_given_by_the_inputs_name():
    model, x = tiny(), np.ones((2, 8, 8, 3), "float32")
    assert tuple(model.input_names) == ("image",) and "input_names" not in model.get_config()
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(model.predict({"image": x}, verbose=0), expected)


def test_networks_on_inputs_of_their_own_names_are_joined_and_keep_them(tmp_path):
    """Keras joins no two inputs of one name."""
    nets = []
    for name in ("left", "right"):
        net = tiny(input_tensor=keras.Input((8, 8, 3), name=f"{name}_image"), name=name)
        net.save(tmp_path / "model.keras")
        nets.append(keras.saving.load_model(tmp_path / "model.keras"))
        assert tuple(nets[-1].input_names) == (f"{name}_image",)
    joined = keras.Model([net.input for net in nets], keras.layers.Add()([net(net.input) for net in nets]))
    x, y = inputs_for(joined)
    expected = nets[0].predict(x, verbose=0) + nets[1].predict(y, verbose=0)
    np.testing.assert_allclose(joined.predict({"left_image": x, "right_image": y}, verbose=0), expected, rtol=1e-5)
    behind = nets[0].attach_preprocessing(keras.layers.Rescaling(2.0))
    bare, _ = behind.detach_preprocessing()
    again = keras.saving.load_model(tmp_path / "model.keras").expand()
    assert [m.input.name for m in (behind, bare, again)] == ["left_image", "left_image", "right_image"]


def test_an_input_that_keras_has_counted_has_our_name_in_the_file(tmp_path):
    model = tiny(input_tensor=keras.Input((8, 8, 3)))
    assert tuple(model.input_names) == ("image",) and "input_names" not in model.get_config()
