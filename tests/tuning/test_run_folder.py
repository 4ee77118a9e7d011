"""Run folders: what may be their path, and that nothing but a run is ever removed."""

import json
import os

import pytest

from keras_blocks.tuning.files import PART_PREFIX, replacing, write_json
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
    for name in (
        "study.db",
        "study.db-wal",
        "study.db.lock",
        "study.db.damaged-1",
        "report.html",
        "trials.png",  # of version 0.1.0
        "curves.png",
        "final.npz.damaged-2",
    ):
        (folder.path / name).write_text("x")
    for name in ("models/3.keras", "checkpoints/4.npz", "checkpoints/4.npz.damaged-1", "logs/worker0.log"):
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text("x")
    (folder.path / "weights").mkdir()
    (folder.path / "weights" / f"{'ab' * 32}.npz").write_text("x")
    (folder.path / f"{PART_PREFIX}best.keras").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"holds a run already.*--fresh"):
        folder.create({"number": 2})
    assert folder.describe()["number"] == 1
    folder.create({"number": 2}, replace=True)
    assert folder.describe()["number"] == 2
    assert listing(folder.path) == ["run.json"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / f"{PART_PREFIX}run.json").write_text("{")  # killed while it began
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


def test_what_is_no_longer_among_the_best_is_removed_and_nothing_else(tmp_path):
    folder = RunFolder(tmp_path / "one")
    folder.create({})
    for name in ("models/1.keras", "models/2.keras", "models/mine.keras", "checkpoints/1.npz", "checkpoints/2.npz"):
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text("x")
    folder.keep_models([2])
    folder.remove_checkpoint(1)
    folder.remove_checkpoint(9)
    left = ["checkpoints", "checkpoints/2.npz", "models", "models/2.keras", "models/mine.keras", "run.json"]
    assert listing(folder.path) == left
    with pytest.raises(ValueError, match="Nothing was changed"):
        folder.create({}, replace=True)  # of mine.keras
    assert listing(folder.path) == left


def test_what_killed_processes_left_is_swept(tmp_path):
    folder = RunFolder(tmp_path / "one")
    folder.create({})
    parts = [
        f"models/{PART_PREFIX}0123abcd-3.keras",
        f"{PART_PREFIX}0123abcd-best.keras",
        f"checkpoints/{PART_PREFIX}2.npz",
    ]
    for name in ("checkpoints/1.npz", "checkpoints/2.npz", "checkpoints/2.npz.damaged-1", "models/2.keras", *parts):
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text("x")
    for name in parts[:2]:
        os.utime(folder.path / name, (0, 0))  # the third may still be written
    folder.sweep([2])
    left = ["checkpoints", f"checkpoints/{PART_PREFIX}2.npz", "checkpoints/2.npz", "checkpoints/2.npz.damaged-1"]
    assert listing(folder.path) == sorted([*left, "models", "models/2.keras", "run.json"])
    folder.create({}, replace=True)  # all of it is a run's


def test_two_that_write_one_file_do_not_take_it_from_each_other(tmp_path):
    path = tmp_path / "1.npz"
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["1.npz"]


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
