"""The training of named models: what of the published network is changed, and said."""

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks.tuning.run_folder import RunIsHeld
from keras_blocks.tuning.search.progress import NoProgress
from keras_blocks.tuning.search.settings import TrainingSettings
from keras_blocks.tuning.single_training import SingleTraining

pytestmark = pytest.mark.usefixtures("eager")


@pytest.mark.parametrize(
    ("name", "options", "normalizes", "changes"),
    [
        ("squeezenet_1.1", {}, {"momentum": 0.9}, ["stem is 'tiny'", "with batch normalization"]),
        ("squeezenet_1.1", {"batch_norm": False}, None, ["stem is 'tiny'"]),
        ("resnet20_cifar", {}, None, []),
    ],
)
def test_what_differs_from_the_published_model_is_told(name, options, normalizes, changes, tmp_path):
    training = SingleTraining(name, TrainingSettings(data="digits", **options), tmp_path / "run")
    published = training.architecture.variants[name].get("batch_norm")
    assert training.metaparameters.get("batch_norm") == (normalizes or published)
    assert len(training.changes) == len(changes)
    for told, change in zip(training.changes, changes):
        assert told.startswith(change)
    assert training.folder.describe()["kind"] == "train"
    assert training.folder.describe()["model"] == name


def test_a_training_that_runs_is_not_replaced(tmp_path):
    settings = TrainingSettings(data="digits")
    training = SingleTraining("squeezenet_1.1", settings, tmp_path / "run")
    with training.folder.held():
        with pytest.raises(RunIsHeld, match="another process works in"):
            SingleTraining("squeezenet_1.1", settings, tmp_path / "run", replace=True)
        with pytest.raises(RunIsHeld, match="another process works in"):
            training.run()
    assert SingleTraining("squeezenet_1.1", settings, tmp_path / "run", replace=True).folder.is_run()


def test_images_that_are_too_small_leave_no_folder(tmp_path):
    with pytest.raises(ValueError, match="do not fit 'vgg16'"):
        SingleTraining("vgg16", TrainingSettings(data="digits"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def in_colours(digits, tmp_path_factory):
    """The path of an .npz file with some of the digits, in three equal colours."""
    path = tmp_path_factory.mktemp("data") / "in_colours.npz"
    parts = {"x_train": digits.x_train[:64], "x_test": digits.x_test[:8]}
    labels = {"y_train": digits.y_train[:64], "y_test": digits.y_test[:8]}
    np.savez(path, **{name: np.repeat(images, 3, axis=-1) for name, images in parts.items()}, **labels)
    return str(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A classifier of 7 classes, and the file of its weights."""
    model = keras_blocks.create_model("resnet20_cifar", classes=7, input_shape=(8, 8, 3))
    path = str(tmp_path_factory.mktemp("weights") / "source.weights.h5")
    model.save_weights(path)
    return model, path


def test_a_training_begins_with_the_weights_of_others(in_colours, source, tmp_path, eager):
    """All but those of the last layer, and with the pixels that they want: a rate of nothing changes neither."""
    model, path = source
    how = {
        "weights": path,
        "normalization": "caffe",
        "learning_rate": 1e-8,
        "weight_decay": 0.0,
        "augmentation": "none",
        "epochs": 1,
    }
    training = SingleTraining("resnet20_cifar", TrainingSettings(data=in_colours, **how), tmp_path / "run")
    assert ["classes=10 here and 7" in note for note in training.notes] == [True]
    training.run()
    kept = keras.saving.load_model(training.folder.best)
    assert kept.output_shape == (None, 10)
    body, preparing = kept.detach_preprocessing()
    pairs = list(zip(body.trainable_weights, model.trainable_weights, strict=True))[:-2]
    assert len(pairs) > 50
    for after, before in pairs:
        np.testing.assert_allclose(after, before, atol=1e-6, err_msg=before.path)
    images = np.load(in_colours)["x_test"]
    pixels = images * training.dataset.scale * 255
    assert pixels.max() == 255
    expected = keras.applications.imagenet_utils.preprocess_input(pixels.astype("float32"), mode="caffe")
    np.testing.assert_allclose(preparing(images), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("resnet20_cifar", {"weights": "SOURCE"}, "`normalization` must be given.*'caffe'"),
        ("resnet20_cifar", {"weights": "imagenet"}, "`weights='imagenet'` is published for"),
        ("resnet20_cifar", {"weights": "weights.pth"}, "is a pickle"),
        ("resnet20_cifar", {"weights": "none.npz"}, "there is no file 'none.npz'"),
        ("resnet20_cifar", {"normalization": "tf"}, "`normalization` goes with `weights`"),
        ("resnet32_cifar", {"weights": "SOURCE", "normalization": "tf"}, "does not fit"),
        ("resnet20_cifar", {"weights": "SOURCE", "normalization": "caffe", "data": "digits"}, "3 channels"),
    ],
)
def test_weights_that_cannot_be_begun_with_leave_no_folder(name, given, message, in_colours, source, tmp_path):
    given = {"data": in_colours, **given}
    given = {key: source[1] if value == "SOURCE" else value for key, value in given.items()}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        SingleTraining(name, TrainingSettings(**given), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_torn_checkpoint_is_set_aside_and_reported(few_digits, tmp_path):
    class Notes(NoProgress):
        def note(self, text):
            notes.append(text)

    notes = []
    settings = TrainingSettings(data=str(few_digits), epochs=1, batch_norm=False, augmentation="none")
    training = SingleTraining("squeezenet_1.1", settings, tmp_path / "run")
    training.folder.final.write_bytes(b"torn")
    assert training.run(Notes())["epochs"] == 1
    (note,) = notes
    assert "final.npz cannot be read" in note
    assert (tmp_path / "run" / "final.npz.damaged-1").read_bytes() == b"torn"
