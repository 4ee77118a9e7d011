"""Whose classes are whose: a model is evaluated on images whose classes are found by name, not by their place."""

import json
import types

import keras
import keras_tuner
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_blocks.tuning import Candidate, Dataset, HyperAny, HyperVGG, cli
from keras_blocks.tuning.data.arrays import check_expected, check_same_scale
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.training.class_names import Labelled, labels_of, matched
from keras_blocks.tuning.training.evaluation import evaluate_file

SHADES = {"ash": 40, "coal": 130, "snow": 230}
"""Name of a class -> the grey of its images."""

NET = {"groups": [{"filters": 1, "layers": 1}], "hidden": [], "dropout": 0, "input_shape": (4, 4, 1), "classes": 3}
HOW = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0, "batch_size": 8, "augmentation": "none"}


def always_right(**options):
    """A model that gives every image of one of `SHADES` to the nearest of them."""
    model = Candidate("VGG", NET, HOW).compiled(**options)
    greys = np.array(list(SHADES.values())) / 255
    kernel, *_, dense, bias = model.weights
    middle = np.zeros((3, 3, 1, 1))
    middle[1, 1] = 1
    kernel.assign(middle)
    dense.assign(np.tile(40 * greys, (4, 1)) / 2)
    bias.assign(-40 * greys**2)
    return model


def grey(names, count=5):
    """Images of classes, and their labels."""
    images = np.concatenate([np.full((count, 4, 4, 1), SHADES[name], "uint8") for name in names])
    return images, np.repeat(np.arange(len(names)), count)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Paths of the model: with `labels` and without, alone and as that of a run, and of a trial of it."""
    root = tmp_path_factory.mktemp("models")
    images, labels = grey(SHADES)
    data = Dataset.from_arrays("shades", images, labels, images, labels, class_names=list(SHADES))
    made = {"named": always_right(scale=1 / 255, class_names=data.class_names), "nameless": always_right(scale=1 / 255)}
    for name, model in made.items():
        model.save(root / f"{name}.keras")
    run = RunFolder(root / "run")
    run.create({"kind": "train"})
    run.save_model(made["nameless"])
    run.save_test(data)
    run.model(3).parent.mkdir()
    made["nameless"].save(run.model(3))
    paths = {name: root / f"{name}.keras" for name in made}
    return types.SimpleNamespace(**paths, run=run.path, trial=run.model(3))


def folder_of(root, names, called=None):
    for name, folder in zip(names, called or names):
        (root / folder).mkdir(parents=True)
        for i in range(5):
            Image.new("L", (4, 4), SHADES[name]).save(root / folder / f"{i}.png")
    return root


def file_of(path, names, labels=None, **arrays):
    images, places = grey(names)
    labels = places if labels is None else np.array(labels)[places]
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels, **arrays)
    return path


@pytest.mark.once
@pytest.mark.parametrize("which", ["named", "run", "trial"])
def test_a_folder_of_a_part_of_the_classes_is_matched_by_name(models, which, tmp_path):
    found = evaluate_file(getattr(models, which), folder_of(tmp_path / "part", ["coal", "snow"]))
    assert (found["test_accuracy"], found["notes"]) == (1, ())


@pytest.mark.once
def test_names_that_the_model_does_not_know_are_refused_with_both_lists(models, tmp_path):
    renamed = folder_of(tmp_path / "renamed", SHADES, ["ash", "slate", "snow"])
    for which in (models.named, models.run):
        with pytest.raises(ValueError, match=r"classes are \['ash', 'coal', 'snow'\]; .*\['slate'\] cannot be matched"):
            evaluate_file(which, renamed)


@pytest.mark.once
def test_arrays_are_matched_by_name_or_by_numbers(models, tmp_path):
    turned = file_of(tmp_path / "turned.npz", ["snow", "ash"], class_names=np.array(["snow", "ash"]))
    texts = file_of(tmp_path / "texts.npz", ["snow", "coal"], labels=["snow", "coal"])
    for data in (turned, texts):
        found = evaluate_file(models.named, data)
        assert (found["test_accuracy"], found["notes"]) == (1, ())
    found = evaluate_file(models.named, file_of(tmp_path / "later.npz", ["coal", "snow"], labels=[1, 2]))
    assert found["test_accuracy"] == 1
    assert "labels are places among the model's ['ash', 'coal', 'snow']" in found["notes"][0]
    with pytest.raises(ValueError, match=r"\['1', '2', '3'\] cannot be matched"):
        evaluate_file(models.named, file_of(tmp_path / "beyond.npz", SHADES, labels=[1, 2, 3]))


def test_a_model_without_names_says_that_it_is_matched_by_place(models, tmp_path):
    folder = folder_of(tmp_path / "all", SHADES)
    (folder / "ash" / "0.txt").write_text("x")
    said = CliRunner().invoke(cli.app, ["evaluate", str(models.nameless), "--data", str(folder)])
    assert "(3 of 3 images)" in said.stdout
    assert "1 not read as images (ash/0.txt)" in said.stdout
    assert "the model has no names for its classes: the data's, ['ash', 'coal', 'snow'], are matched" in said.stdout
    with pytest.raises(ValueError, match=r"it has 3 outputs without names; received \['coal', 'snow'\]"):
        evaluate_file(models.nameless, folder_of(tmp_path / "part", ["coal", "snow"]))


@pytest.mark.once
@pytest.mark.parametrize("factor", [1 / 255, 257])  # 0..1 and 16 bits, for a model of 0..255
def test_images_on_another_scale_are_refused(models, tmp_path, factor):
    images, labels = grey(SHADES)
    images = images * np.float32(factor)
    np.savez(tmp_path / "x.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    for which in (models.named, models.run):
        with pytest.raises(ValueError, match=r"`data` must be on the scale of the images that the model was"):
            evaluate_file(which, tmp_path / "x.npz")


@pytest.mark.once
@pytest.mark.parametrize("change", [np.float32, lambda images: images // 8])  # other numbers, and a night's
def test_images_on_the_models_scale_are_taken(change):
    images, _ = grey(SHADES)
    check_same_scale("data", change(images), "its own", images)
    check_expected("data", change(images), 255)


@pytest.mark.once
@pytest.mark.parametrize(
    ("names", "of_model", "outputs", "expected"),
    [
        (("a", "b"), ("a", "b"), 2, [0, 1]),
        (("a", "b"), ("c", "b", "a"), 3, [2, 1]),
        (("crane", "crane"), ("crane", "crane"), 2, [0, 1]),  # as ImageNet has them
        (("crane", "dog"), ("crane", "dog", "crane"), 3, "there twice"),
        (("3", "5"), ("1", "3", "5"), 3, [1, 2]),
        (("0", "2"), ("a", "b", "c"), 3, [0, 2]),
        (("0", "3"), ("a", "b", "c"), 3, r"\['0', '3'\] cannot be matched"),
        (("0", "1"), ("1", "2"), 2, r"\['0'\] cannot be matched"),
        (("0", "2"), None, 3, [0, 2]),
        (("a", "b"), None, 2, [0, 1]),
        (("a", "b"), None, 1000, "1000 outputs without names"),
    ],
)
def test_what_is_matched(names, of_model, outputs, expected):
    given = Labelled(np.zeros((2, 4, 4, 1)), np.array([0, 1]), names, "x", numbered=True)
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            matched(given, of_model, outputs)
    else:
        assert matched(given, of_model, outputs)[0].tolist() == expected


@pytest.mark.once
def test_numbers_that_folders_are_called_are_names():
    given = Labelled(np.zeros((2, 4, 4, 1)), np.array([0, 1]), ("0", "1"), "x", numbered=False)
    with pytest.raises(ValueError, match="cannot be matched"):
        matched(given, ("a", "b"), 2)


@pytest.mark.once
def test_names_are_no_part_of_a_candidate():
    candidate = Candidate("VGG", NET, HOW)
    model = candidate.compiled(class_names=["x", "y", "z"])
    assert labels_of(model) == ("x", "y", "z")
    assert "labels" not in candidate.metaparameters
    assert labels_of(candidate.compiled(class_names=["x", "y"])) is None  # a space of three classes for data of two
    own = Candidate("VGG", {**NET, "labels": ["p", "q", "r"]}, HOW)
    assert labels_of(own.compiled(class_names=["x", "y", "z"])) == ("p", "q", "r")
    assert own.signature() == candidate.signature()


def test_models_that_a_search_keeps_have_the_names(finished):
    for path in (finished.folder.best, finished.folder.model(finished.search.best.number)):
        assert labels_of(keras.saving.load_model(path)) == tuple("0123456789")
    kept = json.loads(finished.folder.result.read_text())
    assert "labels" not in kept["metaparameters"]


@pytest.mark.once
def test_only_one_score_for_each_class_is_evaluated(tmp_path):
    Candidate("VGG", {**NET, "include_top": False}, HOW).compiled().save(tmp_path / "map.keras")
    with pytest.raises(ValueError, match=r"`model` must give one score for each class.*\(None, 2, 2, 1\)"):
        evaluate_file(tmp_path / "map.keras", file_of(tmp_path / "x.npz", SHADES))


@pytest.mark.once
def test_models_that_a_tuner_builds_have_the_names_that_the_data_had():
    images, labels = grey(SHADES)
    data = Dataset.from_arrays("shades", images, labels, images, labels, class_names=list(SHADES))
    small = {"groups": 1, "filters": [2], "layers": 1, "hidden": ()}
    space = HyperVGG.from_dataset(data, **small)
    assert labels_of(space.build(keras_tuner.HyperParameters())) == tuple(SHADES)
    both = HyperAny([space])
    assert labels_of(both.build(keras_tuner.HyperParameters())) == tuple(SHADES)
    assert HyperAny.from_dataset(data, ["vgg"]).class_names == tuple(SHADES)
    nameless = HyperVGG((4, 4, 1), 3, **small)
    assert labels_of(nameless.build(keras_tuner.HyperParameters())) is None
    assert nameless.identity() == space.identity()


@pytest.mark.once
def test_what_lies_beside_a_model_is_its_test_part_in_a_run_alone(models, tmp_path):
    """Else a file of that name is anybody's: it neither stands for the data nor says what the model's classes are."""
    other = file_of(tmp_path / "test.npz", ["snow", "ash", "coal"], class_names=["snow", "ash", "coal"])
    for model in (tmp_path / "model.keras", tmp_path / "models" / "0.keras"):
        model.parent.mkdir(exist_ok=True)
        model.write_bytes(models.nameless.read_bytes())
        with pytest.raises(ValueError, match="`data` must be given, as the model is in no run's folder"):
            evaluate_file(model)
        found = evaluate_file(model, file_of(tmp_path / "data.npz", SHADES))
        assert (found["test_accuracy"], len(found["notes"])) == (1, 1)
    assert evaluate_file(models.run / "best.keras")["test_accuracy"] == 1
    with pytest.raises(ValueError, match=r"on the scale of"):
        np.savez(other, **{key: value / 255.0 if key[0] == "x" else value for key, value in np.load(other).items()})
        evaluate_file(models.run / "best.keras", other)
