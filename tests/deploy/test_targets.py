"""Where exported files go: nothing is lost that is not an exported file."""

import keras
import pytest

import keras_blocks
from keras_blocks.deploy.targets import checked_target, move
from keras_blocks.deploy.writing import first_line

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


@pytest.mark.parametrize(
    "own",
    ["assets/photo.png", "variables/notes.txt", "variables", "assets/assets/x", "assets.extra/x", "assets/variables."],
)
def test_names_of_a_saved_model_make_none(own, run):
    """Beside a graph, what lies where weights and vocabularies would, and is none."""
    (run / "model.keras").unlink()
    (run / "saved_model.pb").write_bytes(b"\x0a\x09words.txt\x12")
    (run / own).parent.mkdir(parents=True, exist_ok=True)
    (run / own).write_text("weeks of work")
    with pytest.raises(FileExistsError, match="no SavedModel alone"):
        checked_target(run, "", "saved_model", True)


def test_a_link_is_no_part_of_a_saved_model(run, tmp_path):
    (run / "model.keras").unlink()
    (run / "saved_model.pb").touch()
    (run / "variables").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(FileExistsError, match="no SavedModel alone"):
        checked_target(run, "", "saved_model", True)


def test_what_tensorflow_writes_is_a_saved_model(tmp_path):
    tf = pytest.importorskip("tensorflow")
    (tmp_path / "words.txt").write_text("hen\negg\n")
    module, index = tf.Module(), tf.lookup.TextFileIndex
    module.weight = tf.Variable(1.0)
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(tmp_path / "words.txt"), "string", index.WHOLE_LINE, "int64", index.LINE_NUMBER
        ),
        -1,
    )
    tf.saved_model.save(module, str(tmp_path / "written"))
    assert (tmp_path / "written" / "assets" / "words.txt").is_file()
    assert (tmp_path / "written" / "variables" / "variables.index").is_file()
    assert checked_target(tmp_path / "written", "", "saved_model", True) == tmp_path / "written"
    (tmp_path / "written" / "assets" / "mine.txt").touch()
    with pytest.raises(FileExistsError, match="no SavedModel alone"):
        checked_target(tmp_path / "written", "", "saved_model", True)


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
    assert first_line(error) == "RuntimeError: no such axis"
