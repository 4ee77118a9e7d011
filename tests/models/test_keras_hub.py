"""KerasHub's models on backbones of ours: they ask for `pyramid_outputs`, as its own backbones have them."""

import keras
import numpy as np
import pytest
from calling import EAGERLY, outputs_of
from thorough import run_all

import keras_blocks

pytestmark = pytest.mark.once

keras_hub = pytest.importorskip(
    "keras_hub", reason="needs KerasHub, which brings a TensorFlow of its own: pip install keras-hub"
)

SHAPE = (64, 64, 3)
BACKBONES = {
    "resnet": lambda **options: keras_blocks.ResNet(
        [{"filters": 4 * 2**i, "blocks": 1} for i in range(4)], include_top=False, **options
    ),
    "resnet, of any size": lambda **options: keras_blocks.ResNeXt(
        [{"filters": 8, "blocks": 1}] * 4,
        cardinality=2,
        base_width=32,
        include_top=False,
        **{**options, "input_shape": (None, None, 3)},
    ),
    "densenet": lambda **options: keras_blocks.DenseNet(
        [{"layers": 1}] * 4, filters=4, stem_filters=8, include_top=False, **options
    ),
    "vgg": lambda **options: keras_blocks.VGG([{"filters": 4, "layers": 1}] * 5, include_top=False, **options),
}
NAMES = list(BACKBONES) if run_all() else ["resnet, of any size"]
IMAGES = np.random.default_rng(0).uniform(size=(2, *SHAPE)).astype("float32")


@pytest.mark.filterwarnings("ignore")  # KerasHub's own
@pytest.mark.parametrize("name", NAMES)
def test_a_retinanet_takes_our_backbones(name, tmp_path):
    """Its outputs are of the three levels that it is told, it is saved and loaded, and it trains the backbone."""
    net = BACKBONES[name](input_shape=SHAPE)
    pyramid = keras_hub.models.RetinaNetBackbone(net, min_level=3, max_level=5, use_p5=False, image_shape=SHAPE)
    assert {level: tensor.shape[1:3] for level, tensor in pyramid.pyramid_outputs.items()} == {
        "P3": (8, 8),
        "P4": (4, 4),
        "P5": (2, 2),
    }
    model = keras_hub.models.RetinaNetObjectDetector(
        pyramid, num_classes=3, bounding_box_format="xyxy", pre_logits_num_conv_layers=1
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    before, expected = net.get_weights(), model(IMAGES)
    for key, value in loaded(IMAGES).items():
        assert value.shape[1] == 9 * (64 + 16 + 4)
        np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (value, expected[key])), atol=1e-5)
    model.compile("sgd", box_loss="auto", classification_loss="auto", run_eagerly=EAGERLY)
    truth = {"boxes": np.array([[[4, 4, 40, 40]]] * 2, "float32"), "labels": np.ones((2, 1))}
    assert np.isfinite(model.fit(IMAGES, truth, verbose=0).history["loss"]).all()
    assert any((one != other).any() for one, other in zip(before, net.get_weights()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_an_image_classifier_takes_our_backbones(name, tmp_path):
    net = BACKBONES[name](input_shape=SHAPE)
    model = keras_hub.models.ImageClassifier(net, num_classes=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs_of(loaded, IMAGES), outputs_of(model, IMAGES), atol=1e-5)
    model.compile("sgd", run_eagerly=EAGERLY)
    assert np.isfinite(model.fit(IMAGES, np.zeros(2), verbose=0).history["loss"]).all()


def test_our_detector_takes_their_backbones():
    backbone = keras_hub.models.ResNetBackbone([64], [7], [64, 64], [1, 1], [1, 2], "basic_block")
    model = keras_blocks.FasterRCNN(backbone, classes=2, input_shape=SHAPE, image_size=(64, 64), pyramid_filters=None)
    assert model.predict(IMAGES, verbose=0)["boxes"].shape[0] == 2
