"""Where a run's study lies: a run is known by what it says, not by its folder's name, and has its own study alone."""

import contextlib
import functools
import json
import shutil
import sqlite3
import types

import optuna
import pytest

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.report.run_report import write_run_report
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.session import Session
from keras_blocks.tuning.storage.store import StudyStorage, quiet_optuna, read_url, reason, sqlite_url, without_password

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("untrained", "unreported")]


def begun(data, run, *, trials=None, **options):
    """A search of random draws; where `trials` are asked for, they are run."""
    settings = SearchSettings(data=str(data), sampler="random", trials=trials or 2)
    search = Search(settings, run, session=functools.partial(Session, look_seconds=0.05), **options)
    with contextlib.closing(search):
        if trials:
            search.run()
        return search.trials


def names(path):
    with contextlib.closing(StudyStorage(sqlite_url(path), reads=True)) as storage:
        return storage.names()


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_of_0_1_0(run, storage=None):
    """A run as version 0.1.0 left it: it says neither its study nor which run it is."""
    said = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({key: said[key] for key in said if key not in ("run", "study")}))
    database = optuna.storages.RDBStorage(storage or sqlite_url(run / "study.db"))
    for study in optuna.get_all_study_names(database):
        loaded = optuna.load_study(study_name=study, storage=database)
        identity = loaded.user_attrs["identity"]
        loaded.set_user_attr("identity", {key: identity[key] for key in identity if key != "run"})
    database.remove_session()
    database.engine.dispose()


# -- a folder that was renamed or moved ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(few_digits, tmp_path_factory):
    """A run of two trials, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        import fake_child

        patch.setattr("keras_blocks.tuning.trials.supervisor.COMMAND", fake_child.COMMAND)
        run = tmp_path_factory.mktemp("ran") / "one"
        return types.SimpleNamespace(run=run, trials=begun(few_digits, run, trials=2))


@pytest.mark.parametrize("version", ["0.1.0", "now"])
@pytest.mark.parametrize("path", ["two", "else/where/one", "a/b.c"])
def test_a_folder_of_another_name_goes_on(ran, few_digits, tmp_path, version, path):
    shutil.copytree(ran.run, tmp_path / path)
    if version == "0.1.0":
        as_of_0_1_0(tmp_path / path)
    write_run_report(RunFolder(tmp_path / path))
    assert begun(few_digits, tmp_path / path) == ran.trials
    assert begun(few_digits, tmp_path / path) == ran.trials
    assert names(tmp_path / path / "study.db") == ["one"]
    assert json.loads((tmp_path / path / "run.json").read_text())["study"] == "one"


def test_a_folder_of_0_1_0_that_has_begun_anew_goes_on_as_it_did(ran, few_digits, tmp_path):
    run = tmp_path / "two"
    shutil.copytree(ran.run, run)
    as_of_0_1_0(run)
    with quiet_optuna():
        optuna.create_study(study_name="two", storage=sqlite_url(run / "study.db"))
    assert begun(few_digits, run) == []  # of its own name, as that version went on with it
    run = run.rename(tmp_path / "three")
    as_of_0_1_0(run)
    with pytest.raises(ValueError, match=r"has several studies, \['one', 'two'\]"):
        begun(few_digits, run)


# -- a storage of several searches ---------------------------------------------------------------------------------


@pytest.fixture
def shared(ran, few_digits, tmp_path):
    """A storage with the study of somebody's run `first`, of two trials."""
    url = sqlite_url(tmp_path / "shared.db")
    begun(few_digits, tmp_path / "theirs" / "first", trials=2, storage=url)
    return url


def trials_in(url, name="first"):
    with contextlib.closing(StudyStorage(url, reads=True)) as storage:
        return len(storage.study(name).get_trials())


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("there", ["nothing", "an empty folder", "another run"])
def test_a_study_of_another_run_is_neither_joined_nor_deleted(shared, few_digits, tmp_path, replace, there):
    mine = tmp_path / "mine" / "first"
    if there == "an empty folder":
        mine.mkdir(parents=True)
    if there == "another run":
        begun(few_digits, mine)
    before = bytes_of(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"has (a study 'first' that belongs|no study 'first' of this)"):
        begun(few_digits, mine, storage=shared, replace=replace)
    assert bytes_of(tmp_path / "mine") == before
    assert trials_in(shared) == 2


def test_a_run_that_is_replaced_loses_its_own_study_alone(shared, few_digits, tmp_path):
    begun(few_digits, tmp_path / "mine" / "second", trials=2, storage=shared)
    begun(few_digits, tmp_path / "mine" / "second", storage=shared, replace=True)
    assert (trials_in(shared), trials_in(shared, "second")) == (2, 0)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("path", ["second", "else/first"])
def test_a_copied_folder_does_not_take_the_study_of_the_one_that_is_still_there(
    shared, few_digits, tmp_path, path, replace
):
    """A moved one does, also where the folder that it was is another run's by now, and so does one with its storage."""
    first, copy = tmp_path / "theirs" / "first", tmp_path / path
    shutil.copytree(first, copy)
    link = tmp_path / "linked"
    link.symlink_to(first.parent)
    assert len(begun(few_digits, link / "first", storage=shared)) == 2  # the same folder, by another way
    before = bytes_of(copy)
    if not (replace and path == "second"):  # a new run of that name, and no other's study
        with pytest.raises(ValueError, match=r"`run`: .* is a copy of .*first, which is still there.*move .* away"):
            begun(few_digits, copy, storage=shared, replace=replace)
    assert bytes_of(copy) == before and trials_in(shared) == 2
    if replace:
        return
    elsewhere = tmp_path / "copied.db"
    shutil.copy(tmp_path / "shared.db", elsewhere)
    assert len(begun(few_digits, copy, storage=sqlite_url(elsewhere))) == 2
    shutil.rmtree(first)
    begun(few_digits, first)
    assert len(begun(few_digits, copy, storage=shared)) == 2


def test_of_two_that_begin_at_once_one_gets_the_name(shared, few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(StudyStorage, "make_room", lambda self, name, run: None)  # the other one was not there yet
    with pytest.raises(ValueError, match="'first' that belongs to another run"):
        begun(few_digits, tmp_path / "mine" / "first", storage=shared)
    assert trials_in(shared) == 2


def test_a_run_of_0_1_0_goes_on_with_its_study_and_replaces_no_other(shared, few_digits, tmp_path):
    run = tmp_path / "theirs" / "first"
    as_of_0_1_0(run, shared)
    assert len(begun(few_digits, run, storage=shared)) == 2
    as_of_0_1_0(run, shared)
    with pytest.raises(ValueError, match="belongs to another run"):  # nothing says whose it is
        begun(few_digits, run, storage=shared, replace=True)
    renamed = run.rename(tmp_path / "theirs" / "other")
    with pytest.raises(ValueError, match=r"has no study 'other' of this run; there are .'first'.*its old name"):
        begun(few_digits, renamed, storage=shared)


# -- a storage that a folder names ---------------------------------------------------------------------------------


def test_a_storage_is_given_again(shared, few_digits, tmp_path):
    run, elsewhere = tmp_path / "theirs" / "first", tmp_path / "else.db"
    for asked in (lambda: begun(few_digits, run), lambda: write_run_report(RunFolder(run))):
        with pytest.raises(ValueError, match=r"`storage` must be given again .*shared\.db"):
            asked()
    with pytest.raises(ValueError, match="there is no study in"):
        begun(few_digits, run, storage=sqlite_url(elsewhere))
    assert not elsewhere.exists()
    write_run_report(RunFolder(run), storage=shared)
    shutil.copy(tmp_path / "shared.db", elsewhere)  # the server has moved
    assert len(begun(few_digits, run, storage=sqlite_url(elsewhere))) == 2
    assert json.loads((run / "run.json").read_text())["storage"] == sqlite_url(elsewhere)


def other_file(path, kind):
    if kind == "text":
        path.write_text("my notes")
    elif kind == "torn":
        StudyStorage(sqlite_url(path)).close()
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "folder":
        path.mkdir()
        (path / "mine").write_text("mine")
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE bookmarks (url TEXT)")
            connection.execute("INSERT INTO bookmarks VALUES ('x')")
            connection.commit()


@pytest.mark.parametrize("kind", ["text", "torn", "folder", "another program's"])
def test_a_file_that_is_no_study_is_left_as_it_is(few_digits, ran, tmp_path, kind):
    path, run = tmp_path / "notes.txt", tmp_path / "run"
    other_file(path, kind)
    shutil.copytree(ran.run, run)
    url, before = sqlite_url(path), {**bytes_of(tmp_path), path: kind}
    for asked in (
        lambda: begun(few_digits, tmp_path / "new", storage=url),
        lambda: begun(few_digits, run, storage=url),
        lambda: begun(few_digits, run, storage=url, replace=True),
        lambda: write_run_report(RunFolder(run), storage=url),
        lambda: Session.joined("one", url, RunFolder(tmp_path / "joined")),
    ):
        with pytest.raises(ValueError, match="`storage`: "):
            asked()
        assert {**bytes_of(tmp_path), path: kind} == before


def test_a_torn_study_of_the_folder_is_set_aside_by_its_search_alone(ran, few_digits, tmp_path):
    run = tmp_path / "one"
    shutil.copytree(ran.run, run)
    (run / "study.db").write_bytes((run / "study.db").read_bytes()[:3000])
    before = bytes_of(run)
    with pytest.raises(ValueError, match="cannot be"):
        write_run_report(RunFolder(run))
    assert bytes_of(run) == before
    with pytest.raises(ValueError, match=r"kept as .*study\.db\.damaged-1"):
        begun(few_digits, run)


# -- passwords -----------------------------------------------------------------------------------------------------

KEPT = {
    "postgresql://me:secret@db.example/x": "postgresql://me@db.example/x",
    "postgresql://me:s%40cret@db.example:5433/x": "postgresql://me@db.example:5433/x",
    "postgresql://db.example/x?user=me&password=secret": "postgresql://db.example/x?user=me",
    "postgresql://me@db.example/x?sslpassword=secret": "postgresql://me@db.example/x",
    "sqlite:////data/study.db": "sqlite:////data/study.db",
}


@pytest.mark.parametrize("url", KEPT)
def test_a_password_is_neither_kept_nor_shown(url, few_digits, tmp_path, monkeypatch):
    assert without_password(url) == KEPT[url]
    storage = types.SimpleNamespace(close=lambda: None, folder_of=lambda name: None, make_room=lambda name, run: None)
    monkeypatch.setattr("keras_blocks.tuning.search.search.StudyStorage", lambda url: storage)
    seen = []
    session = types.SimpleNamespace(publish=lambda: None)
    Search(
        SearchSettings(data=str(few_digits)),
        tmp_path / "run",
        storage=url,
        session=lambda *args, place, **kwargs: seen.append(place) or session,
    )
    said = (tmp_path / "run" / "run.json").read_text()
    assert json.loads(said)["storage"] == KEPT[url]
    (place,) = seen
    assert place.url == url
    assert not any("secret" in text or "s%40cret" in text for text in (said, str(place), repr(place)))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:se@cret@host/x", "must be percent-encoded, @ as %40"),
        ("postgresql://me:se@c/ret@host/x", "must be percent-encoded, @ as %40"),
        ("postgresql://me:100%cret@host/x", "must be percent-encoded.*% as %25"),
        ("postgresql://me:secret@host:port/x", "must be a URL such as"),
        ("postgres:me:secret@host", "must be a URL such as"),
    ],
)
def test_what_cannot_be_read_is_refused_without_its_password(url, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_url(url)
    assert "cret" not in str(caught.value)


def test_a_password_that_is_missing_is_said_where_to_give():
    error = ValueError("fe_sendauth: no password supplied")
    assert "PGPASSWORD, the file of PGPASSFILE" in reason(error, read_url("postgresql://me@host/x"))
    assert "PGPASSWORD" not in reason(error, read_url("postgresql://me:secret@host/x"))
