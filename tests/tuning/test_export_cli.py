"""`keras-blocks export`: a file of another runtime from the command line, compared on the user's images."""

import json
import types

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import keras_blocks
from keras_blocks.deploy import exporting as exporting_room
from keras_blocks.deploy.runtimes import RUNTIMES
from keras_blocks.tuning import cli
from keras_blocks.tuning.exporting import AT_MOST, SUFFIXES, pictures_for


def tiny(**options):
    keras.utils.set_random_seed(1)
    settings = {"input_shape": (8, 8, 3), "classes": 2, "labels": ["hen", "egg"], "stem": "cifar", **options}
    return keras_blocks.ResNet([{"filters": 4, "blocks": 1}], "basic", name="tiny", **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model's file, and folders of images: of several sizes, and of none."""
    place = tmp_path_factory.mktemp("exported")
    tiny(preprocess=[keras.layers.Rescaling(1 / 255)]).save(place / "tiny.keras")
    (place / "photos" / "more").mkdir(parents=True)
    (place / "empty").mkdir()
    for i, name in enumerate(("b.png", "more/c.jpg", "a.png")):
        Image.fromarray(np.full((12 + i, 20, 3), 40 + 60 * i, "uint8")).save(place / "photos" / name)
    (place / "photos" / "notes.txt").write_text("of no image")
    return place


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, ["export", *map(str, arguments)])


def test_a_file_is_written_and_compared_on_the_users_images(run, folder):
    result = run("tiny.keras", "--format", "saved_model", "--images", "photos", "--out", "new/net")
    assert result.exit_code == 0, result.output
    assert "from the model's outputs in tensorflow" in result.stdout
    assert "compared on 3 images of photos" in result.stdout
    assert "notes.txt" in result.stdout  # what was left out
    card = json.loads((folder / "new" / "net.json").read_text())
    assert card["labels"] == ["hen", "egg"] and card["difference"] < 1e-5
    again = run("tiny.keras", "--format", "saved_model", "--out", "new/net")
    assert again.exit_code == 2 and "--overwrite replaces it" in again.stderr


@pytest.fixture
def asked(monkeypatch):
    """What `export` was asked for, which it does not do."""
    calls = []

    def export(model, path, format, **options):
        calls.append({"model": model, "path": str(path), "format": format, **options})
        precision = options.get("precision")
        return types.SimpleNamespace(precision=precision, table=lambda: "the layers' table")

    monkeypatch.setattr(keras_blocks, "export", export)
    return calls


def test_a_named_model_and_the_defaults(run, asked, monkeypatch):
    monkeypatch.setitem(keras_blocks.ResNet.variants, "tiny_net", {"groups": [{"filters": 2, "blocks": 1}]})
    monkeypatch.setitem(keras_blocks.ResNet.variants["tiny_net"], "block", "basic")
    result = run("tiny_net", "--tolerance", "0.01", "--overwrite")
    assert result.exit_code == 0, result.output
    assert "random weights" in result.stdout and "compared on 2 random images" in result.stdout
    (call,) = asked
    assert call["path"] == "tiny_net.onnx" and call["format"] == "onnx" and call["inputs"] is None
    assert call["tolerance"] == 0.01 and call["overwrite"] is True


def test_a_saved_model_is_not_named_as_the_run(run, asked, folder):
    """A folder without an ending: of the model's own name is what the model was trained in."""
    (folder / "tiny").mkdir()
    result = run("tiny.keras", "--format", "saved_model", "--overwrite")
    assert result.exit_code == 0, result.output
    assert [(call["path"], call["format"]) for call in asked] == [("tiny_saved_model", "saved_model")]
    assert "inputs, outputs and classes: tiny_saved_model.json" in result.stdout
    (folder / "tiny_saved_model").mkdir()
    (folder / "tiny").rmdir()
    again = run("tiny.keras", "--format", "saved_model")
    assert again.exit_code == 2 and "--out: tiny_saved_model is there already" in again.stderr
    (folder / "tiny_saved_model").rmdir()


def test_a_model_of_any_size_is_told_one(run, asked, folder):
    tiny(input_shape=(None, None, 1)).save(folder / "any.keras")
    assert run("any.keras", "--image-size", "8x10").exit_code == 0
    assert run("any.keras", "--image-size", "8x10", "--images", "photos").exit_code == 0
    assert [call["inputs"].shape for call in asked] == [(2, 8, 10, 1), (3, 8, 10, 1)]
    assert asked[1]["inputs"].max() > 100  # pixels from 0 to 255


def test_no_more_images_than_fit(run, asked, folder, tmp_path):
    for i in range(AT_MOST + 1):
        Image.fromarray(np.full((8, 8), i, "uint8")).save(tmp_path / f"{i:02d}.png")
    assert run("tiny.keras", "--images", tmp_path).exit_code == 0
    np.testing.assert_array_equal(asked[0]["inputs"][:, 0, 0, 0], np.arange(AT_MOST))  # in order, in colour


def test_int8_is_calibrated_and_held_to_the_users_data(run, asked, folder, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "pets.npz", x_test=rng.integers(0, 255, (6, 8, 8, 3), "uint8"), y_test=[0, 1] * 3,
             x_train=rng.integers(0, 255, (20, 8, 8, 3), "uint8"), y_train=[0, 1] * 10)  # fmt: skip
    options = ["--precision", "int8", "--calibration", "photos", "--data", tmp_path / "pets.npz", "--max-drop", "0.02"]
    result = run("tiny.keras", *options)
    assert result.exit_code == 0, result.output
    (call,) = asked
    assert call["precision"] == "int8" and call["calibration"].shape == (3, 8, 8, 3) and call["max_drop"] == 0.02
    images, labels = call["validation_data"]
    assert images.shape == (6, 8, 8, 3) and images.dtype == "float32" and labels.tolist() == [0, 1] * 3
    assert "the layers' table" in result.stdout and "compared on calibration images" in result.stdout
    wrong = run("tiny.keras", "--precision", "int8", "--calibration", "empty", "--tolerance", "0.1")
    assert wrong.exit_code == 2 and "--calibration: empty holds no image" in wrong.stderr
    other = run("tiny.keras", "--precision", "int8", "--calibration", "photos", "--data", "digits")
    assert other.exit_code == 2 and "--data must be images of (8, 8, 3)" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["tiny.keras", "--format", "onxx"], ["`format`", "Did you mean 'onnx'"]),
        (["resnet20_cifra"], ["Did you mean 'resnet20_cifar'"]),
        (["nothing.keras"], ["`model` must be a .keras file"]),
        (["runs/nothing"], ["`model` must be a .keras file or the folder of a finished run"]),
        (["tiny.keras", "--images", "empty"], ["--images: empty holds no image"]),
        (["tiny.keras", "--images", "nowhere"], ["--images: nowhere does not exist"]),
        (["tiny.keras", "--images", "photos/notes.txt"], ["notes.txt is not an image"]),
        (["tiny.keras", "--out", "net.pb"], ["must end with '.onnx'"]),
        (["tiny.keras", "--weights", "x.npz"], ["--weights is for models by their names"]),
        (["tiny.keras", "--image-size", "8by8"], ["--image-size must be numbers"]),
        (["tiny.keras", "--format", "torch"], ["`format='torch'` is written by"]),
        (["tiny.keras", "--tolerance", "-1"], ["`tolerance`"]),
        (["tiny.keras", "--precision", "int4"], ["`precision` must be one of"]),
        (["tiny.keras", "--precision", "int8"], ["needs `calibration`"]),
    ],
)
def test_wrong_arguments_end_with_one_line(run, arguments, parts, folder):
    before = sorted(folder.rglob("*"))
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1
    assert all(part in result.stderr for part in parts), result.stderr
    assert sorted(folder.rglob("*")) == before


def test_a_file_that_differs_is_said_and_not_written(run, folder, monkeypatch):
    zeros = RUNTIMES["onnx"]._replace(run=lambda path, inputs: [np.zeros((len(inputs), 2), "float32")])
    monkeypatch.setitem(exporting_room.RUNTIMES, "onnx", zeros)
    monkeypatch.setattr(keras.Model, "export", lambda self, path, **options: open(path, "w").close())
    result = run("tiny.keras", "--images", "photos")
    assert result.exit_code == 2 and "differ by" in result.stderr and "nothing was written" in result.stderr
    assert not (folder / "tiny.onnx").exists()


def test_images_as_models_take_them(folder):
    first = tiny(data_format="channels_first", input_shape=(3, 8, 8))
    assert pictures_for(first, folder / "photos").shape == (3, 3, 8, 8)
    several = keras.Model([keras.Input((8, 8, 3)), other := keras.Input((2,))], other)
    with pytest.raises(ValueError, match="--images is for models that take one image"):
        pictures_for(several, folder / "photos")
    with pytest.raises(ValueError, match="takes 4 channels"):
        pictures_for(tiny(input_shape=(8, 8, 4)), folder / "photos")
    with pytest.raises(ValueError, match="--image-size must be given"):
        pictures_for(tiny(input_shape=(None, None, 3)), folder / "photos")


def test_formats_have_the_runtimes_endings():
    assert {name: runtime.suffix for name, runtime in RUNTIMES.items()} == SUFFIXES
