"""A detector's training that was interrupted goes on after its last epoch by the same command, as if never stopped."""

import json
import shutil

import keras
import numpy as np
import pytest
from test_detector_cli import one_line, place  # noqa: F401  (a fixture)
from thorough import run_all

from keras_blocks.tuning.detectors.training import DetectorSettings, DetectorTraining
from keras_blocks.tuning.run_folder import RunFolder, RunIsHeld
from keras_blocks.tuning.training import checkpoint

COMMAND = ("train", "faster_rcnn_tiny", "--data", "voc", "--epochs", 2, "--seed", 3, "--run")


@pytest.fixture(scope="module")
def broken(place):  # noqa: F811
    """A run that ended in its second epoch, after the first's checkpoint."""
    saved = checkpoint.save

    def save(*arguments, **options):
        saved(*arguments, **options)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", save)
        result = place.run(*COMMAND, "runs/broken")
    assert result.exit_code == 130 and "The same command again goes on" in result.stderr, result.output
    return shutil.copytree(place.folder / "runs" / "broken", place.folder / "kept")


@pytest.fixture
def interrupted(place, broken):  # noqa: F811
    """The same again for each test."""
    folder = place.folder / "runs" / "broken"
    shutil.rmtree(folder)
    return shutil.copytree(broken, folder)


def ended(place, folder):  # noqa: F811
    """What the command said, the run's result, and the model that it kept."""
    result = place.run(*COMMAND, f"runs/{folder}")
    assert result.exit_code == 0, result.output
    kept = json.loads((place.folder / "runs" / folder / "result.json").read_text())
    return result.stdout, kept, keras.saving.load_model(place.folder / "runs" / folder / "best.keras")


def test_it_ends_as_one_that_was_not(place, interrupted):  # noqa: F811
    assert (interrupted / "final.npz").exists() and not (interrupted / "result.json").exists()
    one_line(place.run(*COMMAND, "runs/broken", "--learning-rate", 0.1), "holds a run already")  # another training
    said, kept, model = ended(place, "broken")
    assert "goes on after epoch 1" in said
    assert [len(values) for values in kept["history"].values()] == [2] * 8
    assert not (interrupted / "final.npz").exists()
    one_line(place.run(*COMMAND, "runs/broken"), "holds a run already")
    if run_all():
        said, whole, other = ended(place, "whole")
        assert "goes on" not in said
        for name in ("loss", "box_loss", "rpn_box_loss", "val_mAP", "learning_rate"):
            assert kept["history"][name] == pytest.approx(whole["history"][name], rel=1e-5), name
        assert (kept["val"], kept["test"], kept["kept_epoch"]) == (whole["val"], whole["test"], whole["kept_epoch"])
        for one, again in zip(other.weights, model.weights, strict=True):
            np.testing.assert_allclose(one.numpy(), again.numpy(), atol=1e-6, err_msg=one.path)


def test_a_torn_checkpoint_is_set_aside_and_the_training_begins_anew(place, interrupted):  # noqa: F811
    (interrupted / "final.npz").write_bytes(b"torn")
    begun = DetectorTraining("faster_rcnn_tiny", DetectorSettings(data="voc", epochs=2, seed=3), interrupted)
    assert begun.epochs.done == 0
    assert any("was kept as final.npz.damaged-1" in note for note in begun.notes)


def test_two_at_once_are_refused(place, interrupted):  # noqa: F811
    def files():
        return {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}

    begun = DetectorTraining("faster_rcnn_tiny", DetectorSettings(data="voc", epochs=2, seed=3), interrupted)
    before = files()  # with the lock, which stays
    with RunFolder(interrupted).held():
        for options in ([], ["--fresh"]):
            one_line(place.run(*COMMAND, "runs/broken", *options), "another process works in", "runs/broken")
        with pytest.raises(RunIsHeld, match="another process works in"):
            begun.run()
    assert files() == before
