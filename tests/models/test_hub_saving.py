"""`model.save("hf://user/name")`: what is then on the hub, by its own library against a server on this machine."""

import json
import sys

import hub_server
import keras
import numpy as np
import pytest
from calling import outputs_of
from thorough import run_all

import keras_blocks
from keras_blocks.models.hub_saving import model_card

pytestmark = pytest.mark.once

SMALL = {"groups": [{"filters": 4, "blocks": 1}], "block": "basic", "input_shape": (16, 16, 3), "classes": 3}
LABELS = ["cat", "dog | wolf", "<b>none</b>"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub", reason="needs the extra: pip install keras-blocks[hub]")
    with hub_server.serve() as server:
        hub_server.use(server, tmp_path / "cache", monkeypatch)
        yield server


@pytest.fixture
def model():
    return keras_blocks.ResNet(**SMALL, labels=LABELS, name="pets", preprocess=[keras.layers.Rescaling(1 / 255)])


def test_what_is_saved_is_loaded_again(hub, model):
    model.save("hf://someone/pets")
    files = hub.repositories["someone/pets"]
    assert set(files) == {"README.md", "config.json", "metadata.json", "model.weights.h5"}
    assert json.loads(files["config.json"])["registered_name"] == "keras_blocks>ResNet"
    loaded = keras.saving.load_model("hf://someone/pets")
    assert isinstance(loaded, keras_blocks.ResNet) and loaded.metaparameters.labels == tuple(LABELS)
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    np.testing.assert_array_equal(outputs_of(loaded, images), outputs_of(model, images))


def test_it_is_saved_again_to_the_same_repository(hub, model):
    model.save("hf://someone/pets")
    before = hub.repositories["someone/pets"]["model.weights.h5"]
    model.set_weights([value + 1 for value in model.get_weights()])
    model.save("hf://someone/pets")
    assert hub.repositories["someone/pets"]["model.weights.h5"] != before


def test_the_card_says_what_the_model_is(model):
    card = model_card(model, "someone/pets")
    assert card.startswith("---\nlibrary_name: keras\npipeline_tag: image-classification\ntags:\n- keras-blocks\n---\n")
    for text in (
        'import keras\nimport keras_blocks\n\nmodel = keras.saving.load_model("hf://someone/pets")',
        f"| parameters | {model.count_params():,} |",
        f"| multiply-adds for an image | {keras_blocks.cost(model).macs:,} |",
        "| groups | `[{'filters': 4, 'blocks': 1}]` |",
        "| preprocess | `['Rescaling']` |",
        "| 0 | cat |\n| 1 | dog \\| wolf |\n| 2 | &lt;b>none&lt;/b> |",
    ):
        assert text in card


KINDS = ["siamese_koch2015", *(["autoencoder_cifar", "resnet18", "faster_rcnn_squeezenet"] if run_all() else [])]


@pytest.mark.parametrize("name", KINDS)
def test_models_of_all_kinds_have_a_card(name):
    """Without labels, without a number of classes, with several inputs, for images of any size."""
    options = {"include_top": False, "input_shape": (None, None, 3)} if name == "resnet18" else {}
    outline = keras_blocks.create_model(name, **options)
    card = model_card(outline, f"someone/{name}")
    assert f"| parameters | {outline.count_params():,} |" in card
    assert "## Labels" not in card and ("multiply-adds" in card) == (name != "resnet18")


@pytest.mark.parametrize("path", ["hf://pets", "hf://someone/pets/model.keras", "hf://someone/pets@v1"])
def test_a_path_of_another_form_is_refused(path, model):
    with pytest.raises(ValueError, match="must be hf://user/name; received"):
        model.save(path)


def test_what_the_hub_refuses_is_told(hub, model, monkeypatch):
    monkeypatch.setattr(hub_server.Handler, "do_POST", lambda self: self.answer(403, {"error": "no"}))
    with pytest.raises(OSError, match=r"hf://someone/pets could not be saved: .*403"):
        model.save("hf://someone/pets")


def test_without_the_library_the_error_names_the_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"keras-blocks\[hub\]"):
        model.save("hf://someone/pets")
