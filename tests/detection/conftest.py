"""Data of images with boxes: of the tests' own, and the real ones."""

import zipfile

import numpy as np
import pytest
import scenes

from keras_blocks import DetectionDataset


@pytest.fixture(scope="session")
def bccd(shared_data, tmp_path_factory):
    """The folder of the blood cells in VOC's format, out of its archive."""
    archive = shared_data / "bccd" / "bccd_voc.zip"
    if not archive.is_file():
        pytest.skip(f"needs the real data {archive}, which is absent here")
    folder = tmp_path_factory.mktemp("bccd")
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder / "BCCD"


@pytest.fixture
def boxed(tmp_path):
    """A dataset of given boxes: boxed([[box, box], [], ...], names of classes, **options)."""

    def make(boxes_of_image, labels=("cat", "dog"), size=scenes.SIZE, classes=None, **options):
        files, annotations = [], []
        for i, boxes in enumerate(boxes_of_image):
            drawn = [box for box in boxes if np.isfinite(box).all()]
            files.append(scenes.save_image(tmp_path / f"{i}.png", size, drawn))
            names = classes[i] if classes else [labels[j % len(labels)] for j in range(len(boxes))]
            annotations.append({"boxes": boxes, "labels": names})
        return DetectionDataset(files, annotations, labels, **{"image_size": size, **options})

    return make
