"""benchmarks/run.py: it measures every architecture, and shows what became worse."""

import importlib
import json
import pathlib

import keras
import numpy as np
import pytest
from thorough import run_all

from keras_blocks.models.registry import ARCHITECTURES, architecture_of

ROOT = pathlib.Path(__file__).parents[1]
SIZES = {
    "autoencoder_cifar": 32,
    "siamese_koch2015": 105,
    "fast_rcnn_squeezenet": 64,
    "faster_rcnn_resnet50_fpn": 64,
    "rcnn_vgg16": 64,
}
"""A network of each architecture that is no classifier -> the size of its images here."""


@pytest.fixture
def benchmark(monkeypatch):
    """Gives a script of that folder by its name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_there_is_a_network_of_every_architecture(benchmark):
    networks = benchmark("contestants").NETWORKS
    assert {architecture_of(name) for name in networks} == set(ARCHITECTURES)
    assert SIZES.keys() < networks.keys()


def test_images_are_as_large_as_published(benchmark):
    size_of = benchmark("network_inputs").size_of
    published = {"resnet50": 224, "inception_v2": 224, "inception_v3": 299, "inception_v4": 299, "beta_vae": 64}
    assert {name: size_of(name) for name in published} == published


@pytest.mark.parametrize("name", SIZES if run_all() else ["autoencoder_cifar"])
def test_networks_that_are_no_classifiers_are_trained_and_run_on_what_they_take(benchmark, name):
    made = benchmark("contestants").contestants(name, SIZES[name], 2, theirs=False)
    assert list(made) == ["ours"]
    one = made["ours"]()
    assert np.isfinite(one.train()).all()
    outputs = keras.tree.flatten(one.predict(benchmark("network_inputs").inputs_of(name, 1, SIZES[name])))
    assert all(len(output) == 1 and np.isfinite(np.asarray(output)).all() for output in outputs)


def test_a_ratio_that_became_worse_by_more_than_a_tenth_is_shown(benchmark, capsys):
    run = benchmark("run")
    how = {"machine": {"processor": "one"}, "threads": 1, "cpu_time": True}
    kept = {"saving": {"ms": {"ours": 10}, "ratios": {"x": 1.0}, "how": how}}
    for ratio, count in ((1.09, 0), (1.11, 1)):
        assert run.worse("net", "saving", {"ms": {}, "ratios": {"x": ratio}, "how": how}, kept) == count
    assert capsys.readouterr().out.count("WORSE: net, saving over x: 1.11, and 1.00 is kept") == 1


def test_what_nobody_else_has_is_compared_with_itself_on_the_same_machine(benchmark, capsys):
    run = benchmark("run")
    how = {"machine": {"processor": "one"}, "threads": 1, "cpu_time": True}
    kept = {"saving": {"ms": {"ours": 10}, "ratios": {}, "how": how}}
    for found, machine in ((10.9, how), (11.1, how), (11.1, {**how, "threads": 2})):
        assert run.worse("net", "saving", {"ms": {"ours": found}, "ratios": {}, "how": machine}, kept) == 0
    assert capsys.readouterr().out.count("perhaps worse: net, saving: 11.1 ms, and 10 is kept") == 1


@pytest.mark.once
def test_the_table_in_docs_is_of_what_is_kept(benchmark):
    pytest.importorskip("matplotlib")
    run, kept = benchmark("run"), json.loads((ROOT / "docs" / "speed.json").read_text())
    shown = (ROOT / "docs" / "benchmarks.md").read_text().partition(run.BEGIN)[2].partition(run.END)[0]
    assert shown == benchmark("speed_picture").table(kept)
