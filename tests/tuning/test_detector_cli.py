"""Detectors on the command line: trained on a folder of images with boxes, evaluated, and let loose on images."""

import json
import re
import types
from html import escape

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import keras_blocks
from keras_blocks.tuning import cli
from keras_blocks.tuning.boxed_data import divided, read_boxed, taken, usual_size
from keras_blocks.tuning.detectors.training import DetectorSettings, DetectorTraining

TINY = {
    "backbone": keras_blocks.ResNet,
    "groups": [{"filters": 16, "blocks": 1}],
    "stem": "cifar",
    "block": "basic",
    "levels": ("P0",),
    "pyramid_filters": None,
    "anchor_sizes": ((8, 16, 32),),
    "image_size": (64, 64),
    "hidden": (8,),
    "pre_nms_top_n": 40,
    "post_nms_top_n": 10,
    "max_detections": 8,
    "region_size": 3,
    "rpn_samples": 16,
    "head_samples": 8,
    "score_threshold": 0.0,
}
NAMES = ("cell", "[b]plate[/b]")  # which is no markup
BOX = (12, 16, 44, 48)


def save_image(path, size=(64, 64), box=BOX):
    pixels = np.full((*size, 3), 40, "uint8")
    pixels[box[1] : box[3], box[0] : box[2]] = 220
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_voc(folder, splits, sizes=(), empty=()):
    """A folder of Pascal VOC's layout: an object in each image, but in those that are to be empty."""
    names = sorted({name for text in splits.values() for name in text.split()})
    (folder / "Annotations").mkdir(parents=True)
    for i, name in enumerate(names):
        save_image(folder / "JPEGImages" / f"{name}.png", dict(sizes).get(name, (64, 64)))
        sides = "".join(f"<{key}>{side}</{key}>" for key, side in zip(("xmin", "ymin", "xmax", "ymax"), BOX))
        found = "" if name in empty else f"<object><name>{NAMES[i % 2]}</name><bndbox>{sides}</bndbox></object>"
        (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{found}</annotation>")
    for split, text in splits.items():
        file = folder / "ImageSets" / "Main" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(text.split()))
    return folder


def write_coco(folder, parts, images="images", names=NAMES):
    """A folder of COCO's layout: part -> names of its images, each with an object."""
    (folder / "annotations").mkdir(parents=True)
    categories = [{"id": 3 + i, "name": name} for i, name in enumerate(names)]
    for part, text in parts.items():
        rows = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(text.split())]
        box = [BOX[0], BOX[1], BOX[2] - BOX[0], BOX[3] - BOX[1]]
        found = [{"id": 1 + i, "image_id": i, "category_id": 3 + i % 2, "bbox": box} for i in range(len(rows))]
        for row in rows:
            save_image(folder / images.format(part=part) / row["file_name"])
        whole = {"images": rows, "annotations": found, "categories": categories}
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(whole))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, and `run`, which runs a command in it; the tiny detector is one of the models there."""
    folder = tmp_path_factory.mktemp("cells")
    write_voc(folder / "voc", {"train": "a b c", "val": "d", "test": "e f"}, empty=("c",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(keras_blocks.FasterRCNN.variants, "faster_rcnn_tiny", TINY)
        # What runs three steps is not worth being traced.
        eagerly = property(lambda self: True, lambda self, value: None)
        patch.setattr(keras_blocks.FasterRCNN, "run_eagerly", eagerly, raising=False)
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")

        def run(*arguments):
            return CliRunner().invoke(cli.app, [str(item) for item in arguments])

        yield types.SimpleNamespace(folder=folder, run=run)


@pytest.fixture(scope="module")
def trained(place):
    """A detector that was trained by the command: what that said, and the folder of the run."""
    result = place.run("train", "faster_rcnn_tiny", "--data", "voc", "--epochs", 1, "--run", "runs/tiny")
    assert result.exit_code == 0, result.output
    return types.SimpleNamespace(said=result.stdout, folder=place.folder / "runs" / "tiny")


def one_line(result, *parts):
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    for part in parts:
        assert part in result.stderr


def test_a_detector_is_trained_and_kept(place, trained):
    assert "3 images to train, 1 to validate, 2 held out, brought to 64x64, 2 classes" in trained.said
    assert "begins with random weights" in trained.said and "on the test images" in trained.said
    assert NAMES[1] in trained.said
    found = sorted(path.relative_to(trained.folder).as_posix() for path in trained.folder.rglob("*.*"))
    assert found == [
        *("best.keras", "final.npz.lock", "pictures/0.png", "pictures/1.png", "report.html", "result.json"),
        "run.json",
    ]
    kept = json.loads((trained.folder / "result.json").read_text())
    assert kept["class_names"] == sorted(NAMES) and kept["kept_epoch"] == kept["epochs"] == 1
    assert {"loss", "class_loss", "rpn_box_loss", "val_mAP", "val_mAP@0.5", "learning_rate"} <= kept["history"].keys()
    assert 0 <= kept["test"]["mAP"] <= 1 and set(kept["test"]["AP"]) == set(NAMES)
    assert kept["val"]["mAP"] == kept["history"]["val_mAP"][0]
    assert None in kept["val"]["AP"].values()  # one image has one class
    assert kept["pictures"] == ["e.png", "f.png"]
    one_line(place.run("train", "faster_rcnn_tiny", "--data", "voc", "--run", "runs/tiny"), "holds a run already")


def test_its_report_is_written_anew(place, trained):
    written = trained.folder / "report.html"
    text = written.read_text()
    assert all(escape(name) in text for name in NAMES) and text.count("data:image/webp") == 2
    written.unlink()
    result = place.run("report", "runs/tiny")
    assert result.exit_code == 0 and written.exists(), result.output
    picture = trained.folder / "pictures" / "0.png"
    kept = picture.read_bytes()
    picture.write_bytes(b"torn")
    one_line(place.run("report", "runs/tiny"), "0.png is not an image that can be read")
    picture.write_bytes(kept)


def test_a_detector_is_evaluated_by_the_names_of_its_classes(place, trained):
    kept = json.loads((trained.folder / "result.json").read_text())["test"]
    result = place.run("evaluate", "runs/tiny", "--data", "voc")
    assert result.exit_code == 0, result.output
    assert "on the 2 images (test) of voc" in result.stdout
    figures = {row[0]: row[1:] for line in result.stdout.splitlines() if len(row := line.split()) > 1}
    assert figures["mAP"] == [f"{kept['mAP']:.3f}"]
    assert figures[NAMES[0]] == [f"{kept[name][NAMES[0]]:.3f}" for name in ("AP", "AP@0.5")]
    write_coco(place.folder / "turned", {"val2017": "a b"}, names=NAMES)  # the names in another order
    turned = place.run("evaluate", "runs/tiny/best.keras", "--data", "turned")
    assert turned.exit_code == 0 and "(val) of turned" in turned.stdout, turned.output
    write_coco(place.folder / "others", {"test": "a b"}, names=("cell", "zebra"))
    one_line(place.run("evaluate", "runs/tiny", "--data", "others"), "['zebra']", str(sorted(NAMES)))
    one_line(place.run("evaluate", "runs/tiny"), "`data` must be given")
    one_line(place.run("evaluate", "runs/tiny", "--data", "voc", "--image-size", 32), "`image_size`", "(32, 32)")


def test_objects_are_found_in_images(place, trained):
    save_image(place.folder / "photos" / "wide.png", (40, 90))
    save_image(place.folder / "photos" / "inner" / "wide.jpg", (40, 90))
    (place.folder / "photos" / "torn.png").write_bytes(b"no image")
    result = place.run("detect", "runs/tiny", "photos", "nowhere.png", "--out", "found", "--threshold", 0)
    assert result.exit_code == 1, result.output
    said = result.stderr.strip().splitlines()
    assert len(said) == 2 and "torn.png" in said[0] and "nowhere.png" in said[1]
    assert "objects in 2 images; pictures and detections.json are in found" in result.stdout
    assert re.search(r"photos/wide\.png +\S+ +0\.\d\d +\d+ \d+ \d+ \d+", result.stdout)
    assert sorted(path.name for path in (place.folder / "found").iterdir()) == [
        "detections.json",
        "wide-2.png",
        "wide.png",
    ]
    told = json.loads((place.folder / "found" / "detections.json").read_text())
    assert [one["image"] for one in told] == ["photos/inner/wide.jpg", "photos/wide.png"]
    for one in told:
        assert (one["height"], one["width"]) == (40, 90) and one["detections"]
        boxes = np.array([item["box"] for item in one["detections"]])
        assert (
            (boxes >= 0).all()
            and (boxes <= [90, 40, 90, 40]).all()
            and {*NAMES} >= {item["name"] for item in one["detections"]}
        )
        scores = [item["score"] for item in one["detections"]]
        assert scores == sorted(scores, reverse=True)
    # What the model itself finds in the image as it is.
    model = keras.saving.load_model(trained.folder / "best.keras")
    pixels = np.asarray(Image.open("photos/wide.png"), "float32")
    own = model.predict(pixels[None], verbose=0)
    np.testing.assert_allclose(own["scores"][0, 0], told[1]["detections"][0]["score"], atol=0.05)
    quiet = place.run("detect", "runs/tiny", "photos/wide.png", "--threshold", 1)
    assert quiet.exit_code == 0 and quiet.stdout == "0 objects in 1 images\n"
    (place.folder / "bare").mkdir()
    assert "bare holds no image" in place.run("detect", "runs/tiny", "bare").stderr
    one_line(place.run("detect", "runs/tiny", "photos", "--out", "photos"), "`out`", "nothing is replaced")
    one_line(place.run("detect", "runs/tiny", "photos", "--threshold", 2), "`threshold`")


def test_what_finds_no_regions_by_itself_is_no_detector(place, tmp_path):
    keras_blocks.SqueezeNet(groups=[{"filters": [8]}], stem="tiny", input_shape=(8, 8, 3), classes=2).save(
        "plain.keras"
    )
    one_line(place.run("detect", "plain.keras", "voc"), "`model` must be a detector", "plain.keras is a SqueezeNet")
    one_line(place.run("detect", "nothing.keras", "voc"), "`model` must be a .keras file")
    for name in ("fast_rcnn_squeezenet", "rcnn_vgg16"):
        one_line(place.run("train", name, "--data", "voc"), name, "proposals", "region_proposals")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--data", "nowhere"], ["`data` must be a folder; nowhere is none", "JPEGImages", "instances_train.json"]),
        ([], ["`data` must be given", "JPEGImages"]),
        (["--data", "voc", "--epochs", "0"], ["`epochs`"]),
        (["--data", "voc", "--batch-size", "0"], ["`batch_size`"]),
        (["--data", "voc", "--image-size", "64,"], ["--image-size"]),
        (["--data", "voc", "--augmentation", "strong"], ["`augmentation`", "'light'"]),
        (["--data", "voc", "--no-batch-norm"], ["--batch-norm is for classifiers"]),
        (["--data", "voc", "--weights", "none.npz"], ["`weights`", "none.npz"]),
        (["--data", "voc", "--weights", "none.pkl"], ["none.pkl is a pickle"]),
        (["--data", "voc", "--normalization", "rgb"], ["`normalization`", "'caffe'"]),
        (["--data", "voc", "--run", "../away"], ["`run`", "'../away'"]),
    ],
)
def test_wrong_options_end_with_one_line(place, options, parts):
    before = sorted(place.folder.iterdir())
    one_line(place.run("train", "faster_rcnn_tiny", *options), *parts)
    assert sorted(place.folder.iterdir()) == before


def bad_folders():
    voc, coco = {"train": "a b", "val": "c"}, {"train": "a b"}

    def emptied(folder, name):
        for file in sorted((folder / name).iterdir()):
            file.unlink()

    def rewritten(file, text):
        file.write_text(text)

    return {
        "nothing in it": (lambda f: f.mkdir(), ["Pascal VOC's layout", "COCO's", "is neither"]),
        "one folder too far out": (lambda f: write_voc(f / "VOC2007", voc), ["is neither", "Did you mean", "VOC2007"]),
        "images by class": (lambda f: save_image(f / "cat" / "a.png"), ["is neither"]),
        "no annotations": (lambda f: save_image(f / "JPEGImages" / "a.png"), ["`folder`", "Annotations"]),
        "no images": (lambda f: emptied(write_voc(f, voc), "JPEGImages"), ["2 are missing"]),
        "texts of one class alone": (lambda f: write_voc(f, {"cat_train": "a b"}), ["train.txt", "['cat_train']"]),
        "no images to train": (lambda f: write_voc(f, {"test": "a b"}), ["must have images to train on", "['test']"]),
        "one image": (lambda f: write_voc(f, {"train": "a"}), ["two images with objects", "received 1"]),
        "no objects": (lambda f: write_voc(f, voc, empty="abc"), ["where no image has an object"]),
        "no object to validate": (lambda f: write_voc(f, voc, empty="c"), ["to validate one at least"]),
        "an image in two parts": (
            lambda f: write_voc(f, {"train": "a b", "test": "b c"}),
            ["in one part", "1 are in train and in test", "b.png"],
        ),
        "a torn text": (
            lambda f: rewritten(write_voc(f, voc) / "Annotations" / "a.xml", "<annotation>"),
            ["a.xml is no XML"],
        ),
        "JSON of other names": (
            lambda f: write_coco(f, {"left": "a b"}),
            ["instances_train.json", "['instances_left.json']"],
        ),
        "two files of a part": (
            lambda f: write_coco(f, {"train2014": "a b", "train2017": "a b"}),
            ["one file for each part", "instances_train2014.json"],
        ),
        "images elsewhere": (
            lambda f: write_coco(f, coco, images="pictures"),
            ["must be in", "images/train", "there is none"],
        ),
        "no JSON": (
            lambda f: rewritten(write_coco(f, coco) / "annotations" / "instances_train.json", "{"),
            ["is no JSON"],
        ),
        "categories that differ": (
            lambda f: (
                write_coco(f, coco),
                write_coco(f / "x", {"val": "c d"}, names=("dog", "cat")),
                (f / "x" / "annotations" / "instances_val.json").rename(f / "annotations" / "instances_val.json"),
            ),
            ["`labels`", "dog"],
        ),
    }


@pytest.mark.parametrize("name", bad_folders())
def test_folders_that_are_no_data_end_with_one_line(place, tmp_path, name):
    make, parts = bad_folders()[name]
    make(tmp_path / "data")
    one_line(place.run("train", "faster_rcnn_tiny", "--data", tmp_path / "data", "--run", tmp_path / "run"), *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("write", "parts"),
    [
        (lambda f: write_voc(f, {"trainval": "a b c", "val": "c", "test": "d"}), {"train": 3, "test": 1}),
        (lambda f: write_voc(f, {"train": "a b", "valid": "c", "cat_train": "a"}), {"train": 2, "val": 1}),
        (lambda f: (write_voc(f, {"x": "a b"}) / "ImageSets" / "Main" / "x.txt").unlink(), {"train": 2}),
        (lambda f: write_coco(f, {"train2017": "a b", "val2017": "c"}, "{part}"), {"train": 2, "val": 1}),
        (lambda f: write_coco(f, {"train": "a b", "test": "c"}, "images/{part}"), {"train": 2, "test": 1}),
        (lambda f: write_coco(f, {"default": "a b"}), {"train": 2}),
    ],
)
def test_parts_are_those_that_the_data_have(tmp_path, write, parts):
    write(tmp_path / "data")
    read = read_boxed(tmp_path / "data")
    assert {part: len(dataset.files) for part, dataset in read.parts.items()} == parts
    assert sorted(read.labels) == sorted(NAMES)
    alone = read_boxed(tmp_path / "data", first_of=("test", "val", "train"))
    assert list(alone.parts) == [next(part for part in ("test", "val", "train") if part in parts)]


def test_images_to_validate_are_drawn_where_there_is_no_part_for_them(tmp_path):
    sizes = {"a": (48, 60), "b": (48, 60), "c": (60, 48)}
    read = read_boxed(write_voc(tmp_path / "data", {"train": "a b c d e"}, sizes=sizes, empty=("d",)))
    dataset = read.parts["train"]
    assert usual_size(dataset) == (64, 64)  # the larger of two that are there twice
    for seed in range(4):
        rest, drawn = divided(dataset, seed)
        assert sorted(rest + drawn) == [0, 1, 2, 3, 4] and len(drawn) == 1 and drawn != [3]
    assert divided(dataset, 1) == divided(dataset, 1)
    few = taken(dataset, [1, 3], sorted(NAMES), image_size=(96, 120))
    assert few.image_ids == ["b", "d"] and few[0][1]["labels"][:, 0].tolist() == [sorted(NAMES).index(NAMES[1]), -1]
    np.testing.assert_allclose(few[0][1]["boxes"][0, 0], np.array(BOX) * 2)


def test_sizes_and_weights_of_a_training(place, tmp_path):
    """Smaller images have smaller anchors; weights go into the backbone, whose normalization is frozen."""
    classifier = keras_blocks.ResNet(
        **{name: TINY[name] for name in ("groups", "stem", "block")}, input_shape=(32, 32, 3), classes=5
    )
    classifier.save(tmp_path / "classifier.keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(keras_blocks.FasterRCNN.variants, "faster_rcnn_large", {**TINY, "image_size": (128, 256)})
        settings = DetectorSettings(data="voc", weights=str(tmp_path / "classifier.keras"), normalization="caffe")
        training = DetectorTraining("faster_rcnn_large", settings, tmp_path / "run")
        assert training.image_size == training.model.metaparameters.image_size == (64, 64)
        assert training.metaparameters == {"anchor_sizes": [[4, 8, 16]]}
        assert any("anchor_sizes is [[4, 8, 16]]" in note for note in training.notes)
        larger = DetectorTraining(
            "faster_rcnn_large", DetectorSettings(data="voc", image_size=(256, 256)), tmp_path / "b"
        )
        assert larger.image_size == (256, 256) and larger.metaparameters == {}
    theirs = {weight.path.partition("/")[2]: weight for weight in classifier.weights}
    ours = {weight.path.partition("/")[2]: weight for weight in training.model.backbone.weights}
    assert len(ours) > 5 and ours.keys() <= theirs.keys()
    for path, weight in ours.items():
        np.testing.assert_array_equal(weight.numpy(), theirs[path].numpy())
    frozen = [w for w in training.model.backbone.trainable_weights if "norm" in w.path]
    assert frozen == []


def test_a_missing_extra_is_named(place, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pycocotools", None)
    one_line(place.run("train", "faster_rcnn_tiny", "--data", "voc"), "pycocotools", "keras-blocks[detection]")


def test_detectors_are_counted_on_their_canvas(place):
    result = place.run("models", "faster_rcnn_*net")
    assert result.exit_code == 0, result.output
    expected = keras_blocks.cost("faster_rcnn_squeezenet", (600, 800, 3))
    assert f"{expected.params:,}" in result.stdout and f"{expected.macs:,}" in result.stdout
    result = place.run("cost", "faster_rcnn_tiny", "--classes", 2, "--input-shape", "32,48,3")
    assert result.exit_code == 0, result.output
    options = {**TINY, "classes": 2, "input_shape": (32, 48, 3)}
    assert f"{keras_blocks.cost(keras_blocks.FasterRCNN, **options).params:,}" in result.stdout
    assert place.run("cost", "fast_rcnn_squeezenet").exit_code == 0
