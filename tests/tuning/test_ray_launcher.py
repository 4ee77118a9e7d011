"""Workers on a Ray cluster, here one of this machine. Ray is an extra that `make install` leaves out for its size."""

import concurrent.futures
import sys
import time

import pytest
import thorough

from keras_blocks.tuning import HyperArchitecture, Search, SearchSettings
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.ray import run_workers, share_of_device
from keras_blocks.tuning.search.session import Session
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


OWN = """
from keras_blocks.tuning import HyperSqueezeNet
class Own(HyperSqueezeNet): ...
def build(hp):
    import keras
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(hp.Int("n", 4, 9))])
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.SGD(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


@pytest.fixture(params=["a space", "a function"])
def own(request, few_digits, tmp_path, monkeypatch):
    """A search over what stands in a user's module, which no other process has imported."""
    (tmp_path / "rays_own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    import rays_own

    space = rays_own.Own((8, 8, 1), 10, groups=1) if request.param == "a space" else "rays_own:build"
    settings = SearchSettings(data=str(few_digits), trials=2, epochs=1)
    made = Search(settings, tmp_path / "run", space=space, storage=sqlite_url(tmp_path / "study.db"))
    yield made
    made.close()
    sys.modules.pop("rays_own", None)


def test_another_process_works_on_the_users_own_space(own):
    from pickle import dumps, loads  # as Ray sends it

    told = dumps(own.session.copy())
    del sys.modules["rays_own"]
    session = Session.copied(loads(told), RunFolder(own.folder.path))
    assert "rays_own" in sys.modules and session.settings.workers == 1
    assert session.space.get_config() == own.space.get_config()
    session.study.close()


def test_a_worker_elsewhere_joins_once_it_has_imported_the_space(own):
    own.session.publish()
    place = own.session.place
    session = Session.joined(place.study, place.url, RunFolder(own.folder.path.with_name("elsewhere")))
    assert session.study.next("elsewhere").number == 0
    session.study.close()
    if isinstance(own.space, HyperArchitecture):
        return  # is known by its registered name as long as this process lives
    del sys.modules["rays_own"]
    with pytest.raises(ValueError, match="import it first: --import rays_own"):
        Session.joined(place.study, place.url, RunFolder(own.folder.path.with_name("elsewhere")))


@pytest.mark.skipif(not thorough.run_all(), reason="starts a cluster: KERAS_BLOCKS_ALL=1, with Ray installed")
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_runs_trials_of_the_users_own_space(own):
    pytest.importorskip("ray", reason="needs Ray: pip install keras-blocks[ray]")
    assert run_workers(own, "local") == ["all 2 trials are done"]
    assert [trial.status for trial in own.trials if trial.counted] == ["completed"] * 2


def running(search):
    return [trial for trial in search.trials if trial.status == "running"]


@pytest.mark.skipif(not thorough.run_all(), reason="starts a cluster: KERAS_BLOCKS_ALL=1, with Ray installed")
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_is_killed_in_mid_trial_is_replaced(few_digits, tmp_path):
    """Two nodes with a worker each: the one whose trial trains is killed, and all trials are completed."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install keras-blocks[ray]")
    from ray.cluster_utils import Cluster

    settings = SearchSettings(data=str(few_digits), trials=4, epochs=100, workers=2, parts={"groups": {"fixed": 1}})
    search = Search(settings, tmp_path / "run", storage=sqlite_url(tmp_path / "study.db"))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            ended = pool.submit(run_workers, search, "auto")
            while sum(search.folder.checkpoint(trial.number).exists() for trial in running(search)) < 2:
                assert not ended.done()
                time.sleep(0.2)
            cluster.remove_node(nodes[0], allow_graceful=False)
            cluster.add_node(num_cpus=1)
            assert ended.result(timeout=300) == ["all 4 trials are done"] * 2
        counted = [trial for trial in search.trials if trial.counted]
        assert [trial.status for trial in counted] == ["completed"] * 4
        assert sorted(trial.attempt for trial in counted) == [1, 1, 1, 2]
    finally:
        ray.shutdown()
        cluster.shutdown()
        search.close()


@pytest.mark.parametrize(("devices", "workers", "share"), [(0, 4, 0), (4, 4, 1), (8, 2, 1), (2, 4, 0.5), (3, 4, 0.5)])
def test_devices_are_shared_so_that_all_workers_find_a_place(devices, workers, share):
    assert share_of_device(devices, workers) == share


def test_without_ray_it_says_what_to_install(search, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ValueError, match=r"`ray` needs Ray: install keras-blocks\[ray\]"):
        run_workers(search, "local")
