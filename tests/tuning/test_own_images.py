"""A user's own model on a folder of their own images: what is kept of it, and how it is evaluated again."""

import types

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_blocks.tuning import Dataset
from keras_blocks.tuning.cli import app
from keras_blocks.tuning.data.load import load_dataset
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.training import final_training
from keras_blocks.tuning.training.evaluation import evaluate_file
from keras_blocks.tuning.training.moving_statistics import trained_normalizations
from keras_blocks.tuning.user_spaces import given_training
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace

pytestmark = pytest.mark.once

GREYS = {"ash": 40, "coal": 130, "snow": 230}


def nearest(hp):
    """Gives an image of pixels from 0 to 1 to the class with the nearest grey; SGD with a rate of 0 leaves it so."""
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)])
    greys = np.array(list(GREYS.values())) / 255
    model.layers[-1].set_weights([40 * greys[None], -20 * greys**2])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], run_eagerly=True)
    return model


def normalized(hp=None):
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.BatchNormalization(name="bn"), keras.layers.Flatten()]
    )
    model.add(keras.layers.Dense(3, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Larger than the model takes."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    for name, grey in GREYS.items():
        (folder / name).mkdir(parents=True)
        for i in range(20):
            Image.new("L", (6, 8), grey + i % 5).save(folder / name / f"{i}.png")
    return folder


def kept(folder, build, data):
    run = RunFolder(folder)
    settings = {"data": "photos", "image_size": [4, 4], "model": "squeezenet"}
    run.create({"kind": "search", "settings": settings, "backend": keras.backend.backend(), "versions": {}})
    space = HyperModelSpace.of(build)
    space.data = data
    result = given_training.train_and_keep(
        run, data, space.candidate({}), about={}, monitor="val_accuracy", epochs=1, seed=0
    )
    return run, result


def test_a_kept_model_is_evaluated_on_the_folder_as_it_was_trained(photos, tmp_path):
    """Brought to the size of the run, with pixels up to 1, and with the classes by their names."""
    run, result = kept(tmp_path / "run", nearest, GivenData.from_dataset(load_dataset(photos, image_size=4)))
    assert result["test_metrics"]["accuracy"] == 1 and result["class_names"] == ["ash", "coal", "snow"]
    found = evaluate_file(run.path, photos)
    assert (found["test_accuracy"], found["test_images"], found["notes"]) == (1, 12, ())
    told = CliRunner().invoke(app, ["evaluate", str(run.path), "--data", str(photos)])
    assert told.exit_code == 0 and "100.00 % (12 of 12 images)" in " ".join(told.output.split())


def test_a_part_of_the_classes_is_matched_by_name(photos, tmp_path):
    run, _ = kept(tmp_path / "run", nearest, GivenData.from_dataset(load_dataset(photos, image_size=4)))
    for name in ("coal", "snow"):
        (tmp_path / "part").mkdir(exist_ok=True)
        (tmp_path / "part" / name).symlink_to(photos / name)
    assert evaluate_file(run.path, tmp_path / "part")["test_accuracy"] == 1


@pytest.mark.parametrize("said", ['{"scale": "1"}', '{"scale": 0.1}', '{"scale": 0.1, "class_names": [1]}'])
def test_a_run_that_says_no_scale_is_refused(photos, tmp_path, said):
    run, _ = kept(tmp_path / "run", nearest, GivenData.from_dataset(load_dataset(photos, image_size=4)))
    run.result.write_text(said)
    with pytest.raises((TypeError, ValueError), match=r"result.json"):
        evaluate_file(run.path, photos)


def data_set():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(100, 200, (24, 4, 4, 1)).astype("uint8"), np.arange(24) % 3
    return Dataset.from_arrays("few", images, labels, images, labels)


def test_what_is_kept_of_a_user_s_model_has_the_statistics_of_its_data(tmp_path):
    """Moving averages would be at some 1 % of them after so few steps."""
    data = GivenData.from_dataset(data_set())
    run, _ = kept(tmp_path / "run", normalized, data)
    (layer,) = trained_normalizations(keras.saving.load_model(run.best))
    assert float(layer.moving_mean[0]) == pytest.approx(data.train[0].mean(), rel=0.01)


@pytest.mark.parametrize("patience", [None, 1])
def test_what_is_kept_of_ours_has_the_statistics_of_its_data(patience, tmp_path):
    candidate = types.SimpleNamespace(
        hyperparameters={"learning_rate": 0.01, "batch_size": 8},
        compiled=lambda **about: normalized(),
        signature=lambda: "one",
        architecture="own",
        metaparameters={},
    )
    run, data = RunFolder(tmp_path / "run"), data_set()
    run.path.mkdir()
    final_training.train_and_keep(run, data, candidate, epochs=1, seed=0, patience=patience)
    (layer,) = trained_normalizations(keras.saving.load_model(run.best))
    assert float(layer.moving_mean[0]) == pytest.approx(data.x_train.mean(), rel=0.01)


def test_a_kept_model_is_exported_on_images_as_it_was_trained_on(photos, tmp_path, monkeypatch):
    """Pixels up to 1, for what is compared, for the ranges of int8 and for the accuracy that must hold."""
    run, _ = kept(tmp_path / "run", nearest, GivenData.from_dataset(load_dataset(photos, image_size=4)))
    call = {}
    monkeypatch.setattr("keras_blocks.export", lambda model, path, format, **about: call.update(about) or stopped())
    command = ["export", str(run.path), "--out", str(tmp_path / "x.onnx"), "--precision", "int8"]
    for option in ("--images", "--calibration", "--data"):
        command += [option, str(photos)]
    told = CliRunner().invoke(app, [*command, "--image-size", "4x4"])
    assert "enough" in told.output, told.output
    tested, labels = call["validation_data"]
    for images in (call["inputs"], call["calibration"], tested):
        assert images.dtype == "float32" and 40 <= 255 * images.min() < 45 and images.max() <= 1
    assert sorted({*labels.tolist()}) == [0, 1, 2]


def stopped():
    raise ValueError("enough")
