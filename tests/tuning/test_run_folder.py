"""Run folders: what may be their path, and that nothing but a run is ever removed."""

import json
import os

import pytest

from keras_blocks.tuning.atomic import PART, replacing, write_json
from keras_blocks.tuning.run_folder import RunFolder


def listing(path):
    return sorted(str(item.relative_to(path)) for item in path.rglob("*"))


@pytest.mark.parametrize(
    "path", ["../x", "runs/../../x", "runs/a b", "runs/.hidden", "", ".", "..", "/", "runs/ü", "a/-x"]
)
def test_paths_that_are_refused(path):
    with pytest.raises(ValueError, match="`run` must be a folder such as"):
        RunFolder(path)


@pytest.mark.parametrize("path", ["demo", "runs/demo", "/tmp/runs/a-b_c.1"])
def test_paths_that_are_taken(path):
    assert str(RunFolder(path)) == path


def test_a_run_is_known_by_its_mark(tmp_path):
    folder = RunFolder(tmp_path / "one")
    assert not folder.is_run()
    folder.create({"kind": "search"})
    assert folder.is_run()
    assert folder.describe()["kind"] == "search"
    write_json(tmp_path / "one" / "run.json", {"mark": "another program's"})
    assert not folder.is_run()
    with pytest.raises(ValueError, match="must be the folder of a run"):
        folder.describe()


def test_a_run_is_replaced_only_where_asked(tmp_path):
    folder = RunFolder(tmp_path / "one")
    folder.create({"number": 1})
    write_json(folder.trials_json, [])
    folder.project.mkdir()
    (folder.project / "oracle.json").write_text("{}")
    (folder.path / f"{PART}best.keras").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"holds a run already.*--resume.*--fresh"):
        folder.create({"number": 2})
    assert folder.describe()["number"] == 1
    folder.create({"number": 2}, replace=True)
    assert folder.describe()["number"] == 2
    assert listing(folder.path) == ["run.json"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / f"{PART}run.json").write_text("{")  # killed while it began
    RunFolder(tmp_path / "one").create({})
    assert listing(tmp_path / "one") == ["run.json"]


def make_strange(path, kind):
    """A folder, or something else, that is not wholly a run."""
    if kind == "file":
        path.write_text("mine")
        return
    if kind == "link":
        RunFolder(path.with_name("target")).create({})
        path.symlink_to(path.with_name("target"))
        return
    if kind == "no run":
        path.mkdir()
        (path / "thesis.tex").write_text("mine")
        return
    if kind == "names only":
        path.mkdir()
        (path / "best.keras").write_text("mine")
        return
    RunFolder(path).create({})
    if kind == "more in it":
        (path / "notes").mkdir()
        (path / "notes" / "mine.txt").write_text("mine")
    elif kind == "link in it":
        (path.with_name("elsewhere")).mkdir()
        (path.with_name("elsewhere") / "mine.txt").write_text("mine")
        (path / "keras_tuner").symlink_to(path.with_name("elsewhere"))
    elif kind == "broken run.json":
        (path / "run.json").write_text("{")


@pytest.mark.parametrize(
    "kind", ["file", "link", "no run", "names only", "more in it", "link in it", "broken run.json"]
)
@pytest.mark.parametrize("replace", [False, True])
def test_nothing_but_a_run_is_removed(tmp_path, kind, replace):
    make_strange(tmp_path / "one", kind)
    before = listing(tmp_path)
    with pytest.raises(ValueError, match="`run`: "):
        RunFolder(tmp_path / "one").create({}, replace=replace)
    assert listing(tmp_path) == before


def test_wiping_the_project_does_not_follow_a_link(tmp_path):
    folder = RunFolder(tmp_path / "one")
    folder.create({})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine")
    folder.project.symlink_to(tmp_path / "elsewhere")
    folder.wipe_project()
    assert (tmp_path / "elsewhere" / "mine.txt").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "data.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"new": float("nan")})
    with pytest.raises(OSError, match="disk full"), replacing(path) as part:
        part.write_text("half")
        raise OSError("disk full")
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["data.json"]


def test_a_model_is_saved_beside_the_old_one(tmp_path):
    folder = RunFolder(tmp_path / "one")
    folder.create({})
    folder.best.write_bytes(b"old")

    class Dying:
        def save(self, path):
            assert folder.best.read_bytes() == b"old"
            assert path.suffix == ".keras"
            path.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.save_model(Dying())
    assert folder.best.read_bytes() == b"old"
