"""The published CIFAR-10 weights of PyTorch load into ours and score what they score there."""

import keras
import numpy as np
import pytest
from thorough import run_all

import keras_blocks

# NOTICE: measured with PyTorch on the first 1,000 test images.
PUBLISHED = {"resnet20_cifar": 91.5, "resnet32_cifar": 92.8, "resnet56_cifar": 92.6}


@pytest.fixture(scope="module")
def test_images(shared_data):
    from PIL import Image

    folder = shared_data / "cifar10_5k"
    images = np.asarray(Image.open(folder / "test_0.png").convert("RGB")).reshape(-1, 32, 32, 3)
    with np.load(folder / "labels.npz") as labels:
        return images, labels["test"][: len(images)]


CHOSEN = list(PUBLISHED) if run_all() else ["resnet20_cifar"]
"""The others differ in the number of layers."""


@pytest.mark.parametrize("variant", CHOSEN)
def test_scores_what_was_published(variant, shared_data, test_images):
    images, labels = test_images
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalize = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Normalization(mean=mean, variance=std**2),
    ]
    file = shared_data / "weights" / f"{variant.replace('_cifar', '')}_cifar10.npz"
    model = keras_blocks.create_model(variant, weights=file, preprocess=normalize)
    right = model.predict(images, batch_size=100, verbose=0).argmax(1) == labels
    assert round(100 * right.mean(), 1) == PUBLISHED[variant]
