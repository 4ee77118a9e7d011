"""Real data, small, and a finished run, shared by the tests of tuning."""

import pathlib
import types
import zipfile

import numpy as np
import pytest

KERAS_TUNER_WARNINGS = ("ignore:currentThread:DeprecationWarning", "ignore:getName:DeprecationWarning")
"""KerasTuner 1.4.8 calls what Python has renamed, each time that it creates a trial."""


def pytest_collection_modifyitems(items):
    here = pathlib.Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for warning in KERAS_TUNER_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def digits():
    from keras_blocks.tuning import load_dataset

    return load_dataset("digits", seed=0)


@pytest.fixture(scope="session")
def few_digits(digits, tmp_path_factory):
    """The path of an .npz file with 200 of the digits to train, and 60 to test."""
    path = tmp_path_factory.mktemp("data") / "few_digits.npz"
    np.savez(
        path,
        x_train=digits.x_train[:200],
        y_train=digits.y_train[:200],
        x_test=digits.x_test[:60],
        y_test=digits.y_test[:60],
    )
    return path


@pytest.fixture(scope="session")
def sign_digits(shared_data, tmp_path_factory):
    """A folder with 20 photos of each of 10 signs, in a folder each."""
    folder = tmp_path_factory.mktemp("photos") / "signs"
    with zipfile.ZipFile(shared_data / "sign_digits" / "sign_digits.zip") as file:
        names = [name for name in file.namelist() if name.endswith(".jpg")]
        for label in "0123456789":
            for name in sorted(name for name in names if name.startswith(f"{label}/"))[:20]:
                file.extract(name, folder)
    return folder


@pytest.fixture(scope="session")
def finished(few_digits, tmp_path_factory):
    """A search of two trials and one epoch, really trained: with `search`, `folder` and `result`."""
    from keras_blocks.tuning import Search, SearchSettings

    # What is narrowed is the quickest to trace.
    parts = {"groups": 1, "augmentation": "none", "optimizer": "sgd", "bypass": None}
    fixed = {name: {"fixed": value} for name, value in parts.items()}
    settings = SearchSettings(
        parts=fixed, data=str(few_digits), trials=2, epochs=1, final_epochs=2, max_params=12_000, seed=1
    )
    search = Search(settings, tmp_path_factory.mktemp("runs") / "finished")
    return types.SimpleNamespace(search=search, result=search.run(), folder=search.folder, settings=settings)


@pytest.fixture
def unreported(monkeypatch):
    """Searches write no report, which is most of what they do where trials take no time."""
    monkeypatch.setattr("keras_blocks.tuning.report.run_report.write_run_report", lambda folder, *, storage=None: None)


@pytest.fixture
def untrained(monkeypatch):
    """Trials take no time: what trains is `fake_child`, where a trial's accuracy follows from its candidate alone."""
    import fake_child

    monkeypatch.setattr("keras_blocks.tuning.trials.supervisor.COMMAND", fake_child.COMMAND)
