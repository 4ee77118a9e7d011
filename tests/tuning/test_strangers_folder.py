"""A run folder from a stranger: whatever is in it, nothing outside of it is changed, no host is asked, nothing is run.

Each case spoils a sound run, and then `report`, `evaluate`, `search --resume` and `worker` are told to use it.
"""

import contextlib
import io
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import struct
import zipfile

import keras
import numpy as np
import optuna
import pytest
from typer.testing import CliRunner

from keras_blocks.tuning import Search, SearchSettings, cli
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.storage.sqlite_file import JOURNAL_MAGIC
from keras_blocks.tuning.storage.store import sqlite_url

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("untrained")]

ROOMS = ("checkpoints", "models", "weights", "logs")
FILES = ("run.json", "study.db", "study.db.lock", "result.json", "report.html", "best.keras", "test.npz", "trials.csv")


class Place:
    """What a case may spoil: the run's `folder`, which is its own, and all of `home`, which is the user's."""

    def __init__(self, home):
        self.home, self.folder, self.notes = home, home / "run", home / "notes.txt"

    def says(self, **said):
        path = self.folder / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **said}))

    def settings(self, **changed):
        self.says(settings={**json.loads((self.folder / "run.json").read_text())["settings"], **changed})

    def sql(self, *statements):
        with contextlib.closing(sqlite3.connect(self.folder / "study.db")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def study(self):
        """Optuna's, to write what our own code never does."""
        return optuna.load_study(study_name="run", storage=sqlite_url(self.folder / "study.db"))

    def model(self, layer):
        """A sound .keras file, one of whose layers is this one."""
        path = self.folder / "best.keras"
        keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Flatten(name="spoiled")]).save(path)
        with zipfile.ZipFile(path) as file:
            parts = {name: file.read(name) for name in file.namelist()}
        config = json.loads(parts["config.json"])
        (place,) = [i for i, item in enumerate(config["config"]["layers"]) if item["config"]["name"] == "spoiled"]
        config["config"]["layers"][place] = layer
        with zipfile.ZipFile(path, "w") as file:
            for name, data in {**parts, "config.json": json.dumps(config)}.items():
                file.writestr(name, data)


class Evil:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return pathlib.Path.touch, (self.trace,)


def pickled(place):
    """As a pickle, without the module's name, which the tests' text must not have."""
    from pickle import dumps

    return dumps(Evil(place.home / "trace"))


def linked(name):
    def spoil(place):
        target = place.home / "theirs" / ("0.keras" if name in ROOMS else "mine")
        target.parent.mkdir()
        target.write_text("mine")
        (target.with_name("7.npz")).write_text("mine")
        path = place.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target.parent if name in ROOMS else target)

    return spoil


def link_within(place):
    (place.folder / "models").mkdir(exist_ok=True)
    (place.folder / "models" / "9.keras").symlink_to(place.notes)


def link_within_logs(place):
    (place.folder / "tracker" / "trial-0").mkdir(parents=True)
    (place.folder / "tracker" / "trial-0" / "train").symlink_to(place.home)


def pipe(name):
    def spoil(place):
        (place.folder / name).unlink(missing_ok=True)
        os.mkfifo(place.folder / name)

    return spoil


def known(values, place):
    return {name: value(place) if callable(value) else value for name, value in values.items()}


def said(**about):
    return lambda place: place.says(**known(about, place))


def settled(**changed):
    return lambda place: place.settings(**known(changed, place))


def text(content):
    return lambda place: (place.folder / "run.json").write_text(content)


def another_database(place):
    (place.folder / "study.db").unlink()
    place.sql("CREATE TABLE bookmarks (url TEXT)")


def journal(place):
    """SQLite removes the file that a journal names as another database's."""
    name, page = str(place.notes).encode(), 4096
    head = JOURNAL_MAGIC + struct.pack(">IIIII", 0, 1, (place.folder / "study.db").stat().st_size // page, 512, page)
    tail = struct.pack(">I", 2**30 // page + 1) + name + struct.pack(">II", len(name), sum(name)) + JOURNAL_MAGIC
    with contextlib.closing(sqlite3.connect(place.folder / "study.db")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    (place.folder / "study.db-journal").write_bytes(head.ljust(512, b"\0") + tail)


def cmaes(place):
    """Optuna's sampler keeps pickles in its trials."""
    place.settings(sampler="cmaes", trials=9)
    study = place.study()
    identity = study.user_attrs["identity"]
    study.set_user_attr("identity", {**identity, "settings": {**identity["settings"], "sampler": "cmaes"}})
    for trial in study.get_trials():
        place.sql(
            "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES "
            f"({trial.number + 1}, 'cma:optimizer:0', '\"{pickled(place).hex()}\"')"
        )


def waiting(**candidate):
    """A trial that waits, of a candidate that nobody drew."""

    def spoil(place):
        place.settings(trials=9)
        study = place.study()
        (trial, *_) = study.get_trials()
        attributes = {**trial.user_attrs, "owner": {"attempt": 1}}
        attributes["candidate"] = {**attributes["candidate"], **known(candidate, place)}
        attributes.pop("result", None)
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=attributes,
            )
        )

    return spoil


def kept_weights(place):
    """Its shared weights would be written outside."""
    waiting(architecture_signature=lambda place: f"../../{place.notes.stem}")(place)
    place.settings(keep_weights=True)
    study = place.study()
    identity = study.user_attrs["identity"]
    study.set_user_attr("identity", {**identity, "settings": {**identity["settings"], "keep_weights": True}})


def attribute(name, value):
    return lambda place: place.study().set_user_attr(name, value)


def arrays(**spoiled):
    def spoil(place):
        sound = {"x_test": np.zeros((2, 8, 8, 1)), "y_test": np.zeros(2, int)}
        np.savez(place.folder / "test.npz", **{**sound, **known(spoiled, place)})

    return spoil


def raw_pickle(place):
    """An archive whose array is a pickle from its first byte on."""
    with zipfile.ZipFile(place.folder / "test.npz", "w") as file:
        for name in ("x_test.npy", "y_test.npy"):
            file.writestr(name, pickled(place))


def layer(module, class_name, registered=None, **config):
    def spoil(place):
        about = {"module": module, "class_name": class_name, "registered_name": registered}
        place.model({**about, "config": known(config, place)})

    return spoil


def in_the_way(place):
    """Modules beside which the user stands, named as what is imported."""
    for name in ("keras.py", "keras_tuner.py", "evil.py", "sitecustomize.py"):
        (place.folder / name).write_text(f"open({str(place.home / 'trace')!r}, 'w')")
    layer("evil", "Evil")(place)


def paths(place):
    with zipfile.ZipFile(place.folder / "test.npz", "w") as file:
        file.writestr("../notes.txt", "x")


SYSTEM = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
FETCH = {"module": "keras.utils", "class_name": "function", "config": "get_file"}
SPACE = {"settings": {}, "space": {"space": "os>system"}, "backend": "x", "data_sha256": ""}
JOIN = ["worker", "--study", "x", "--storage", "sqlite:///x.db", "--run"]
CODE = keras.layers.Lambda(lambda x: x).get_config()["function"]
HOSTILE = {
    **{f"a link: {name}": linked(name) for name in (*ROOMS, *FILES)},
    "a link among the models": link_within,
    "a link among the logs": link_within_logs,
    **{f"a pipe: {name}": pipe(name) for name in ("run.json", "result.json", "test.npz", "study.db")},
    "storage: a host": said(storage=lambda place: place.host),
    "storage: a host, with a password": said(storage=lambda place: place.host.replace("me@", "me:secret@")),
    "storage: the user's file": said(storage=lambda place: f"sqlite:///{place.notes}"),
    "storage: another database": said(storage=lambda place: f"sqlite:///{place.home / 'other.db'}"),
    "storage: a new file": said(storage=lambda place: f"sqlite:///{place.home / 'new.db'}"),
    "storage: no text": said(storage=["sqlite:///x"]),
    "storage: no URL": said(storage="://"),
    "study: a path": said(study="../../x"),
    "study: no text": said(study={"a": 1}),
    "run: no text": said(run=5),
    "settings: none": said(settings=None),
    "settings: a list": said(settings=[1]),
    "settings: of a newer version": settled(quantum=True),
    "settings: data on a host": settled(data="http://127.0.0.1:9/x.npz"),
    "settings: data that are a device": settled(data="/dev/zero"),
    "settings: data that are a pickle": settled(data=lambda place: str(place.pickle)),
    "settings: logs elsewhere": settled(tracker="tensorboard", tracker_at=lambda place: str(place.home / "logs")),
    "settings: a model of no family": settled(model="os.system"),
    "settings: a part that is code": settled(parts={"activation": SYSTEM}),
    "settings: a part that nobody has": settled(parts={"__class__": {"fixed": 1}}),
    "run.json: empty": text(""),
    "run.json: a list": text("[1]"),
    "run.json: deep": text("[" * 100_000),
    "run.json: the mark alone": text('{"mark": "keras_blocks run, version 1", "kind": "search"}'),
    "run.json: no kind": text('{"mark": "keras_blocks run, version 1"}'),
    "run.json: of a newer version": said(mark="keras_blocks run, version 2"),
    "run.json: of a training": said(kind="train", model="squeezenet_1.1", data="digits"),
    "run.json: of a worker": said(kind="worker"),
    "study.db: text": lambda place: (place.folder / "study.db").write_text("no database"),
    "study.db: another program's": another_database,
    "study.db: a journal of another file": journal,
    "study.db: a trigger": lambda place: place.sql(
        "CREATE TRIGGER t AFTER INSERT ON study_user_attributes BEGIN DELETE FROM trials; END"
    ),
    "study.db: pickles": cmaes,
    "study.db: what it searched is no dict": attribute("search", 5),
    "study.db: what it searched lacks all": attribute("search", {}),
    "study.db: another space": attribute("search", SPACE),
    "study.db: an identity that is none": attribute("identity", [1]),
    "study.db: weights outside": kept_weights,
    "study.db: a trial of no architecture": waiting(architecture=lambda place: "os>system"),
    "study.db: a trial that is code": waiting(metaparameters=lambda place: {"activation": SYSTEM}),
    "test.npz: objects": arrays(x_test=lambda place: np.array([Evil(place.home / "trace")] * 2, object)),
    "test.npz: objects as labels": arrays(y_test=lambda place: np.array([Evil(place.home / "trace")] * 2, object)),
    "test.npz: a pickle": raw_pickle,
    "test.npz: names that are paths": paths,
    "best.keras: code": layer("keras.layers", "Lambda", function=CODE, name="l"),
    "best.keras: a class that nobody registered": layer("os", "system", command="touch trace"),
    "best.keras: a function": layer("keras.layers", "Activation", activation=SYSTEM),
    "best.keras: a file from a host": layer("keras.layers", "Activation", activation=FETCH),
    "best.keras: words from a file": layer("keras.layers", "StringLookup", vocabulary=lambda place: str(place.notes)),
    "best.keras: another program's model": layer("keras.layers", "TFSMLayer", filepath=lambda place: str(place.home)),
    "best.keras: a pickle": lambda place: (place.folder / "best.keras").write_bytes(pickled(place)),
    "best.keras: modules beside it": in_the_way,
}


@pytest.fixture(scope="module")
def sound(few_digits, tmp_path_factory):
    """A finished run."""
    import fake_child

    folder = tmp_path_factory.mktemp("sound") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_blocks.tuning.trials.supervisor.COMMAND", fake_child.COMMAND)
        search = Search(SearchSettings(data=str(few_digits), trials=2, sampler="random"), folder)
        search.run()
        search.close()
    return folder


@pytest.fixture
def place(sound, tmp_path, monkeypatch):
    """A user's home, with somebody's run in it, and a host that must not be asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "keras_blocks.tuning.training.evaluation.evaluate_in_fresh_process",
        lambda *paths: {"test_accuracy": 0.9, "test_correct": 54, "test_images": 60},
    )
    made = Place(tmp_path)
    shutil.copytree(sound, made.folder)
    made.notes.write_text("my notes")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    made.pickle = tmp_path / "data.npz"
    with zipfile.ZipFile(made.pickle, "w") as file:
        file.writestr("x_train.npy", pickled(made))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        made.host = f"postgresql://me@127.0.0.1:{server.getsockname()[1]}/x"
        made.server = server
        yield made


def outside(place):
    """All that is not in the folder: what it is, and what is in it."""
    entries = (path for path in place.home.rglob("*") if place.folder not in (path, *path.parents))
    return {path: (path.lstat().st_ino, path.read_bytes() if path.is_file() else None) for path in entries}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_outside_of_a_strangers_folder_is_touched(name, place):
    HOSTILE[name](place)
    before = outside(place)
    storage = sqlite_url(place.folder / "study.db")
    for command in (
        ["report", "run"],
        ["evaluate", "run"],
        ["search", "--resume", "--run", "run"],
        ["worker", "--study", "run", "--storage", storage, "--run", "run"],
    ):
        result = CliRunner().invoke(cli.app, command)
        assert result.exception is None or isinstance(result.exception, SystemExit), (command, result.exception)
        assert outside(place) == before, command
        assert "secret" not in result.output
        with pytest.raises(BlockingIOError):
            place.server.accept()


def test_what_they_do_is_refused_and_not_only_failed(place):
    """The cases are what they say: without care, each of these would have done what the test above looks for."""
    path = place.folder / "evil"
    path.write_bytes(pickled(place))
    from pickle import load

    with path.open("rb") as file:
        load(file)
    assert (place.home / "trace").exists()
    journal(place)
    with contextlib.closing(sqlite3.connect(place.folder / "study.db")) as connection:
        connection.execute("SELECT * FROM studies")
    assert not place.notes.exists()


@pytest.mark.parametrize(
    "activation",
    [
        SYSTEM,
        {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "exec"},
        {"module": "keras.layers", "class_name": "Lambda", "config": {"function": CODE, "name": "l"}},
    ],
)
def test_a_candidate_of_a_strangers_study_runs_no_code(activation):
    """In the process that trains, which nothing here starts."""
    metaparameters = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 2}
    candidate = Candidate("SqueezeNet", {**metaparameters, "activation": activation}, {})
    with pytest.raises((ValueError, TypeError)):
        candidate.compiled()
    with pytest.raises((ValueError, TypeError)):
        Candidate("os>system", metaparameters, {}).compiled()


@pytest.mark.parametrize("signature", ["../../notes", "/etc/x", "a" * 63, "", None, 5])
def test_weights_are_shared_within_the_folder_alone(signature, tmp_path):
    """Their file is named by what a study says."""
    with pytest.raises(ValueError, match="`architecture_signature` must be a SHA-256 digest"):
        RunFolder(tmp_path / "run").shared_weights({"architecture_signature": signature})


@pytest.mark.parametrize("path", ["../run", "run/../run", "/", ".", "run/..", "a b"])
@pytest.mark.parametrize(
    "command",
    [["report"], ["search", "--resume", "--run"], JOIN],
)
def test_a_path_that_leads_elsewhere_is_refused(path, command, place):
    before = outside(place)
    result = CliRunner().invoke(cli.app, [*command, path])
    assert (result.exit_code, outside(place)) == (2, before)
    assert io.StringIO(result.stderr).readline().startswith("keras-blocks: `run`")
