"""The training of named models: what of the published network is changed, and said."""

import pytest

from keras_blocks.tuning.run_folder import RunIsHeld
from keras_blocks.tuning.search.progress import NoProgress
from keras_blocks.tuning.search.settings import TrainingSettings
from keras_blocks.tuning.single_training import SingleTraining


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
        with pytest.raises(RunIsHeld, match="another process trains in"):
            SingleTraining("squeezenet_1.1", settings, tmp_path / "run", replace=True)
        with pytest.raises(RunIsHeld, match="another process trains in"):
            training.run()
    assert SingleTraining("squeezenet_1.1", settings, tmp_path / "run", replace=True).folder.is_run()


def test_images_that_are_too_small_leave_no_folder(tmp_path):
    with pytest.raises(ValueError, match="do not fit 'vgg16'"):
        SingleTraining("vgg16", TrainingSettings(data="digits"), tmp_path / "run")
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
