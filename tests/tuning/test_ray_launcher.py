"""Workers on a Ray cluster, here one of this machine. Ray is an extra that `make install` leaves out for its size."""

import pytest
import thorough

from keras_blocks.tuning import Search, SearchSettings
from keras_blocks.tuning.search.ray import run_workers
from keras_blocks.tuning.storage.store import sqlite_url


@pytest.fixture
def search(few_digits, tmp_path):
    settings = SearchSettings(data=str(few_digits), trials=2, epochs=1, workers=2, parts={"groups": {"fixed": 1}})
    made = Search(settings, tmp_path / "run", storage=sqlite_url(tmp_path / "study.db"))
    yield made
    made.close()


@pytest.mark.skipif(not thorough.run_all(), reason="starts a cluster: KERAS_BLOCKS_ALL=1, with Ray installed")
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_runs_the_trials(search):
    pytest.importorskip("ray", reason="needs Ray: pip install keras-blocks[ray]")
    assert run_workers(search, "local") == ["all 2 trials are done"] * 2
    assert [trial.status for trial in search.trials if trial.counted] == ["completed"] * 2


def test_without_ray_it_says_what_to_install(search, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ValueError, match=r"`ray` needs Ray: install keras-blocks\[ray\]"):
        run_workers(search, "local")
