"""Where exported files go: nothing is lost that is not an exported file."""

import keras
import pytest

import keras_blocks
from keras_blocks.deploy.exporting import _first_line
from keras_blocks.deploy.targets import checked_target, move

pytestmark = pytest.mark.once


@pytest.fixture
def run(tmp_path):
    """The folder of a run, which has the name that a SavedModel would have."""
    folder = tmp_path / "pets"
    folder.mkdir()
    (folder / "model.keras").write_text("weeks of work")
    return folder


def test_a_folder_that_is_no_saved_model_is_never_replaced(run, tmp_path):
    with pytest.raises(FileExistsError, match="pets is there already"):
        checked_target(run, "", "saved_model", False)
    with pytest.raises(FileExistsError, match="pets is a folder, and no SavedModel"):
        checked_target(run, "", "saved_model", True)
    written = tmp_path / "written"
    (written / "pets").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="no SavedModel"):
        move(str(written), tmp_path, True)
    assert (run / "model.keras").read_text() == "weeks of work"


def test_a_saved_model_with_other_things_is_not_replaced(run):
    (run / "saved_model.pb").touch()
    with pytest.raises(FileExistsError, match="no SavedModel alone"):
        checked_target(run, "", "saved_model", True)


def test_an_older_saved_model_is_replaced(run, tmp_path):
    (run / "model.keras").unlink()
    (run / "saved_model.pb").touch()
    (run / "variables").mkdir()
    written = tmp_path / "written"
    (written / "pets").mkdir(parents=True)
    (written / "pets" / "saved_model.pb").write_text("new")
    move(str(written), checked_target(run, "", "saved_model", True).parent, True)
    assert [place.name for place in run.iterdir()] == ["saved_model.pb"]
    assert (run / "saved_model.pb").read_text() == "new"


def test_a_saved_model_replaces_no_file(run):
    with pytest.raises(FileExistsError, match=r"model\.keras is a file, and a SavedModel is a folder"):
        checked_target(run / "model.keras", "", "saved_model", True)


@pytest.mark.parametrize("path", [".", "..", ""])
def test_a_path_without_a_name_is_refused(path):
    with pytest.raises(ValueError, match="must have the name of a new file"):
        checked_target(path, "", "saved_model", True)


@pytest.mark.parametrize("beside", ["net.xml.json", "net.bin"])
def test_what_lies_beside_is_seen_before_anything_is_made(beside, tmp_path):
    (tmp_path / beside).touch()
    with pytest.raises(FileExistsError, match=beside):
        checked_target(tmp_path / "net.xml", ".xml", "openvino", False)


def test_the_whole_command_refuses_first(run):
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(FileExistsError, match="no SavedModel"):
        keras_blocks.export(model, run, "saved_model", overwrite=True)


def test_the_cause_of_a_wrapped_error_is_told():
    error = RuntimeError("Exception encountered when calling Conv1D.call().\n\n\x1b[1mno such axis\x1b[0m\n\nArguments")
    assert _first_line(error) == "RuntimeError: no such axis"
