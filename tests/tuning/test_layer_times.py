"""Latencies from layers that were timed once: the file they are kept in, the model fitted to them, what is refused."""

import json

import keras
import pytest

import keras_blocks
from keras_blocks.look.operations import operations_of
from keras_blocks.look.plan import plan_of_model
from keras_blocks.tuning import Budget, Candidate, Search, SearchSettings, latency, layer_times, measuring
from keras_blocks.tuning.latency_model import LatencyModel, LayerFeatures, features
from keras_blocks.tuning.spaces.budget import inspected
from keras_blocks.tuning.storage.trial import Trial

GROUPS = [{"filters": 16, "blocks": 1}, {"filters": 32, "blocks": 1}]
SMALL = {"groups": GROUPS, "stem": "cifar", "input_shape": [16, 16, 3], "classes": 4, "batch_norm": True}
LARGE = {**SMALL, "groups": [{"filters": 64, "blocks": 3}, {"filters": 128, "blocks": 3}]}
HOW = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0, "batch_size": 32, "augmentation": "none"}
TRUTH = {"call": 3e-4, "layer": 2e-5, "macs": 1e-5, "size": 5e-5}


def took(layers):
    """Seconds of a machine that is as simple as can be."""
    counted = [one for one in layers if one.kind not in ("Dropout", "Flatten", "Reshape", "Rescaling")]
    each = (TRUTH["layer"] + TRUTH["macs"] * one.macs + TRUTH["size"] * one.size for one in counted)
    return TRUTH["call"] + sum(each)


@pytest.fixture
def times(tmp_path, monkeypatch):
    """The file of this machine's times; what is remembered of it is forgotten before and after."""
    monkeypatch.setenv("KERAS_BLOCKS_TIMES", str(tmp_path))
    layer_times.known.cache_clear()
    yield layer_times.file()
    layer_times.known.cache_clear()


@pytest.fixture(scope="module")
def seconds():
    names = (*layer_times.NETWORKS, *layer_times.WHOLE)
    return {name: took(features(layer_times.operations(name))) for name in names}


def kept(seconds):
    return {"fingerprint": layer_times.fingerprint(), "seconds": seconds}


def test_times_are_read_back(times, seconds):
    assert layer_times.known() is None
    times.write_text(json.dumps(kept(seconds)))
    layer_times.known.cache_clear()
    assert layer_times.known() == seconds


@pytest.mark.parametrize("spoilt", ["", "[]", "{", "negative", "missing", "text", "another"])
def test_a_file_that_is_none_of_ours_counts_for_none(times, seconds, spoilt):
    name = next(iter(seconds))
    contents = {
        "negative": kept({**seconds, name: -1.0}),
        "missing": kept({key: value for key, value in seconds.items() if key != name}),
        "text": kept({**seconds, name: "soon"}),
        "another": {**kept(seconds), "fingerprint": {"machine": "another"}},
    }
    times.write_text(json.dumps(contents[spoilt]) if spoilt in contents else spoilt)
    assert layer_times.known() is None


def test_where_nothing_can_be_timed_latencies_are_measured_alone(times, monkeypatch):
    monkeypatch.setattr(layer_times.sys, "executable", "/no/such/python")
    said = []
    assert layer_times.make_known(said.append) is None
    assert "once on this machine" in said[0] and "measured alone" in said[1]


def test_times_that_cannot_be_kept_are_told(times, monkeypatch):
    """What times ends well, but there is no file of it."""
    monkeypatch.setattr(layer_times.subprocess, "run", lambda *args, **kwargs: None)
    model = keras_blocks.create_model("resnet20_cifar", input_shape=(16, 16, 3))
    said = []
    with pytest.raises(RuntimeError, match="times of the networks could not be kept in"):
        latency.predict_latency(model, note=said.append)
    assert len(said) == 2 and str(times) in said[1]


def test_a_short_search_does_not_time(times, monkeypatch):
    monkeypatch.setattr(layer_times.subprocess, "run", lambda *args, **kwargs: pytest.fail("is timed"))
    said = []
    assert layer_times.make_known(said.append, 60.0) is None
    assert "an hour" in said[0]


def unit(kind, macs=0.0, size=0.1):
    return LayerFeatures(kind, macs, size, 0.0, 0)


def test_sums_over_the_layers_are_found_again():
    networks = [[], *([unit("Conv2D 2", macs, 0.1)] * count for macs in (1.0, 4.0, 16.0) for count in (1, 3))]
    networks += [[unit("Add", size=size)] * count for size in (0.1, 0.4, 1.6) for count in (1, 3)]
    model = LatencyModel(networks, [took(each) for each in networks])
    mixed = [unit("Conv2D 2", 2.0), unit("Add", size=0.2), unit("Conv2D 2", 8.0), unit("Add", size=0.8)]
    assert model.predicted(mixed) == pytest.approx(took(mixed), rel=0.05)


def test_what_is_quicker_among_few_layers_than_among_many_is_weighed():
    """Short networks say one time, whole ones half as much again: between them, and none below zero."""
    short = [[unit("Conv2D 2", macs)] * 2 for macs in (1.0, 2.0, 4.0)]
    whole = [[unit("Conv2D 2", macs), unit("Add")] * 6 for macs in (1.0, 2.0, 4.0)]
    taken = [took(each) for each in short] + [1.5 * took(each) for each in whole]
    model = LatencyModel(short + whole, taken)
    between = [unit("Conv2D 2", 3.0), unit("Add")] * 6
    assert took(between) < model.predicted(between) < 1.6 * took(between)
    assert model.predicted([]) >= 0


@pytest.fixture
def machine(monkeypatch, seconds):
    monkeypatch.setattr(layer_times, "known", lambda: seconds)


def test_candidates_are_predicted_from_timed_layers(machine):
    for metaparameters in (SMALL, LARGE):
        candidate = Candidate("ResNet", metaparameters, HOW)
        model = candidate.architecture_class(**metaparameters)
        truth = took(features(operations_of(plan_of_model(model))))
        assert latency.by_layers(candidate.architecture, metaparameters) == pytest.approx(truth, rel=0.1)


def test_a_slow_candidate_is_refused_unbuilt_and_a_near_one_is_left_to_measuring(machine):
    candidate = Candidate("ResNet", LARGE, HOW)
    seconds = latency.by_layers(candidate.architecture, LARGE)
    refused = inspected(candidate, Budget(max_latency=seconds / 2))["refused"]
    assert refused.startswith(
        f"{seconds:.4f} seconds for an image, predicted from layers timed on this machine, are more"
    )
    assert "refused" not in inspected(candidate, Budget(max_latency=seconds / 1.1))


def test_measured_trials_of_the_search_refine_it(machine):
    seconds = latency.by_layers("keras_blocks>ResNet", SMALL)
    trials = [
        Trial(i, "completed", {}, "keras_blocks>ResNet", SMALL, HOW, latency=3 * seconds)
        for i in range(latency.LEAST_MEASURED)
    ]
    assert latency.by_layers("keras_blocks>ResNet", SMALL, trials[1:]) == seconds  # too few
    assert latency.by_layers("keras_blocks>ResNet", SMALL, trials) == pytest.approx(3 * seconds)


def test_the_networks_are_timed_in_turns():
    runs = layer_times.timed([layer_times.network(name) for name in ("nothing", "dense (512, 512)")], rounds=2)
    assert [len(each) for each in runs] == [2, 2]
    assert all(1e-7 < one < 10 for each in runs for one in each)


def test_the_quickest_run_counts(monkeypatch):
    """0.2 s, but for one run that was disturbed and one that was not: 0.3 s are enough, after the least runs."""
    took = [0.2, 0.9, 0.1, 0.2, 0.2, 0.2, 0.2]
    clock = iter([at for one in took for at in (0.0, one)])
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    assert measuring.measure(layer_times.network("nothing"), (8, 8, 8)) == 0.1
    assert next(clock, None) is None


def test_without_a_home_or_a_folder_nothing_is_timed(times, tmp_path, monkeypatch):
    monkeypatch.setattr(layer_times.subprocess, "run", lambda *args, **kwargs: pytest.fail("is timed"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_BLOCKS_TIMES", str(tmp_path / "file" / "times"))
    notes = []
    assert layer_times.make_known(notes.append) is None and "could not be timed" in notes[-1]
    monkeypatch.delenv("KERAS_BLOCKS_TIMES")
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where there is no home
    assert layer_times.file().name.endswith(".json")


def test_trials_on_another_backend_are_not_predicted(few_digits, tmp_path, monkeypatch):
    """They run on the study's; a process that joins it may have another, on which it would time."""
    search = Search(SearchSettings(data=str(few_digits), max_latency=1.0), tmp_path / "run")
    assert search.session._predicts_latency()
    monkeypatch.setattr("keras.backend.backend", lambda: "another")
    assert not search.session._predicts_latency()
    search.close()


def test_the_latency_of_any_model_is_predicted(machine):
    inputs = keras.Input((16, 16, 3))
    x = keras_blocks.ConvBlock(16, batch_norm=True, name="first")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras_blocks.FireBlock(8, name="fire")(x))
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    truth = took(features(operations_of(plan_of_model(model))))
    assert latency.predict_latency(model) == pytest.approx(truth, rel=0.1)
    flat = keras_blocks.expand(model)
    assert latency.predict_latency(flat) == latency.predict_latency(model)
    assert latency.predict_latency(keras_blocks.prune(model)) < latency.predict_latency(model)


def test_what_cannot_be_predicted_is_told(machine, monkeypatch):
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.UnitNormalization()(inputs))
    with pytest.warns(UserWarning, match=r"were not timed; the prediction may be too low: \['UnitNormalization'\]"):
        latency.predict_latency(model)
    with pytest.raises(TypeError, match="must be a Keras model"):
        latency.predict_latency("resnet50")
    with pytest.raises(ValueError, match="of images of any size"):
        latency.predict_latency(keras_blocks.create_model("resnet20_cifar", input_shape=(None, None, 3)))
    monkeypatch.setattr(layer_times, "make_known", lambda note: note("no disk"))
    with pytest.raises(RuntimeError, match="cannot be predicted: no disk"):
        latency.predict_latency(model, note=lambda text: None)
