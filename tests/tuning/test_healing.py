"""What was lost or torn of a finished run comes back by the same command."""

import contextlib
import functools
import json
import os
import shutil

import pytest

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.files import PART_PREFIX, is_left, is_whole_archive, replacing, whole_name
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.progress import NoProgress
from keras_blocks.tuning.search.session import Session

pytestmark = pytest.mark.once


class Notes(NoProgress):
    def __init__(self):
        self.notes, self.trained = [], False

    def note(self, text):
        self.notes.append(text)

    def training(self, epochs):
        self.trained = True


def torn(path):
    path.write_bytes(path.read_bytes()[:-40])


def flipped(path):
    """One bit of what is in the archive; its directory is whole."""
    data = bytearray(path.read_bytes())
    data[data.index(b"no weight") if b"no weight" in data else 300] ^= 1
    path.write_bytes(data)


def lost(path):
    path.unlink()


def other(path):
    path.write_text(json.dumps({"trial": 0}))


@pytest.fixture(scope="module")
def ran(few_digits, tmp_path_factory):
    import fake_child

    run = tmp_path_factory.mktemp("ran") / "one"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_blocks.tuning.trials.supervisor.COMMAND", fake_child.COMMAND)
        return run, searched(few_digits, run)[0]


def searched(data, run):
    progress = Notes()
    settings = SearchSettings(data=str(data), trials=1, sampler="random")
    search = Search(settings, run, session=functools.partial(Session, look_seconds=0.05))
    with contextlib.closing(search):
        return search.run(progress), progress


@pytest.mark.parametrize("harm", [lost, torn, flipped, other], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("name", ["best.keras", "test.npz", "result.json", "trials.csv", "report.html"])
def test_what_is_lost_or_torn_comes_back(name, harm, ran, few_digits, untrained, tmp_path):
    if name.endswith(("json", "csv", "html")) and harm is flipped:
        return  # as torn
    whole, result = ran
    noted = name == "result.json" and harm is torn
    run = tmp_path / "one"
    shutil.copytree(whole, run)
    harm(run / name)
    again, progress = searched(few_digits, run)
    assert again == result
    assert is_whole_archive(run / "best.keras") and is_whole_archive(run / "test.npz")
    assert json.loads((run / "result.json").read_text()) == result
    assert "trial" in (run / "report.html").read_text() and (run / "trials.csv").read_text().startswith("number")
    assert progress.trained == (name in ("best.keras", "result.json"))
    assert any(name in note for note in progress.notes) == (name.endswith(("keras", "npz")) or noted)
    _, progress = searched(few_digits, run)
    assert (progress.trained, progress.notes) == (False, [])


# -- files half written --------------------------------------------------------------------------------------------


def test_what_a_dead_process_was_writing_is_swept_at_once(tmp_path):
    folder = RunFolder(tmp_path / "one")
    folder.create({})
    (folder.path / "models").mkdir()
    with replacing(folder.best) as mine, replacing(folder.model(3)) as in_it:
        gone = [part.with_name(part.name.replace(f"{os.getpid()}.", "4194305.")) for part in (mine, in_it)]
        theirs = mine.with_name(f"{PART_PREFIX}4194305.00000000-0123abcd-best.keras")  # of another machine
        for path in (mine, in_it, *gone, theirs):
            path.write_text("half")
        assert [is_left(path) for path in (mine, in_it, *gone, theirs)] == [False, False, True, True, False]
        folder.sweep([])
        assert set(folder.path.glob(f"**/{PART_PREFIX}*")) == {mine, in_it, theirs}
    folder.create({}, replace=True)


@pytest.mark.parametrize("beginning", ["", "0123abcd-", "12.0123abcd-0123abcd-"])
def test_whose_name_it_is(beginning):
    assert whole_name(f"{PART_PREFIX}{beginning}best.keras") == "best.keras"
    assert whole_name(f"x{PART_PREFIX}{beginning}best.keras") != "best.keras"
