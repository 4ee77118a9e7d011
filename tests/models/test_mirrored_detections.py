"""A mirrored image gives mirrored detections: of Faster R-CNN with its own proposals, and its losses.

This is exact where all that the network looks at lies symmetrically. Anchors, and the pixels of a map, lie at 0, s, 2s,
..., (n - 1)s, so about the middle of an image of (n - 1)s pixels on a canvas of ns, of a map of n pixels: of a single
level, as the next one's middle lies elsewhere. Each pixel of the map looks at as many pixels before its place as behind
it, and kernels are their own mirror images: mirrored along the axis, with their channels in reverse order. No region is
narrower than a pixel of the map, which RoIAlign, as torchvision's, widens to the right alone.
"""

import keras
import numpy as np
import pytest

import keras_blocks

STRIDE, CANVAS = 4, (32, 40)
HEIGHT, WIDTH = CANVAS[0], CANVAS[1] - STRIDE
"""Of the image: its longer side leaves a stride of the canvas free, the other one none, so that it isn't scaled."""


def symmetrized(shape, axes, rng, sign=1.0):
    """Weights that a reversal of these axes multiplies by `sign`."""
    weights = rng.normal(size=shape)
    return (weights + sign * np.flip(weights, axes)) / np.sqrt(2 * np.prod(shape[:-1]))


def mirroring_detector(axis, rng):
    """A small detector that finds the same in an image mirrored along an axis: 0 for its height, 1 for its width."""
    canvas, image = (CANVAS, (HEIGHT, WIDTH)) if axis else (CANVAS[::-1], (WIDTH, HEIGHT))
    inputs = keras.Input((*canvas, 3))
    before = [(0, 0), (0, 0)]
    before[axis] = (STRIDE, 0)
    kernel_size = [2 * STRIDE if along == axis else STRIDE for along in range(2)]
    conv = keras.layers.Conv2D(6, kernel_size, strides=STRIDE, activation="relu")
    features = conv(keras.layers.ZeroPadding2D(before)(inputs))
    backbone = keras.Model(inputs, features)
    backbone.pyramid_outputs = {"P2": features}
    model = keras_blocks.FasterRCNN(
        backbone,
        classes=2,
        image_size=canvas,
        input_shape=(*image, 3),
        pyramid_filters=None,
        anchor_sizes=[[16, 22]],
        hidden=[10],
        region_size=3,
        pre_nms_top_n=100,
        post_nms_top_n=30,
        rpn_samples=10**6,
        head_samples=10**6,
        score_threshold=0.2,
        max_detections=12,
    )
    rpn, head = model.get_layer("rpn"), model.get_layer("head")
    conv.kernel.assign(2 * symmetrized(conv.kernel.shape, (axis, 3), rng))
    rpn.conv.kernel.assign(2 * symmetrized(rpn.conv.kernel.shape, (axis, 2, 3), rng))
    rpn.objectness.kernel.assign(4 * symmetrized(rpn.objectness.kernel.shape, 2, rng))
    head.dense1.kernel.assign(2 * symmetrized((3, 3, 6, 10), (axis, 2, 3), rng).reshape(-1, 10))
    head.scores.kernel.assign(4 * symmetrized(head.scores.kernel.shape, 0, rng))
    head.scores.bias.assign([-1, 0, 0])
    for layer, inputs_axis in ((rpn.deltas, 2), (head.deltas, 0)):
        kernel = symmetrized(layer.kernel.shape, inputs_axis, rng)
        along = slice(1 - axis, None, 4)  # a move to the right is one to the left
        kernel[..., along] = symmetrized(layer.kernel.shape, inputs_axis, rng, sign=-1)[..., along]
        layer.kernel.assign(0.4 * kernel)
    model.compile(run_eagerly=True)
    return model


def mirrored_boxes(boxes, axis):
    """Boxes in the image that is mirrored along an axis; padding stays."""
    first, last = (0, 2) if axis else (1, 3)
    mirrored = boxes.copy()
    mirrored[..., first], mirrored[..., last] = WIDTH - boxes[..., last], WIDTH - boxes[..., first]
    return np.where(boxes == -1, -1, mirrored)


@pytest.mark.once
@pytest.mark.parametrize(("axis", "seed"), [(1, 3), (0, 2)], ids=["left and right", "top and bottom"])
def test_a_mirrored_image_gives_mirrored_detections(axis, seed):
    rng = np.random.default_rng(seed)
    model = mirroring_detector(axis, rng)
    both = keras.Model(model.input, {"proposals": model.assembly.training["proposals"], **model.output})
    image = rng.uniform(0, 1, (1, *model.input_shape[1:])).astype("float32")
    mirrored = np.flip(image, axis + 1).copy()
    expected, found = (both.predict_on_batch(one) for one in (image, mirrored))
    proposals = expected["proposals"]
    np.testing.assert_allclose(found["proposals"], mirrored_boxes(proposals, axis), atol=1e-3)
    sides = (proposals[..., 2:] - proposals[..., :2])[proposals[..., 0] >= 0]
    assert len(sides) > 5 and sides[:, 1 - axis].min() >= STRIDE
    count = expected["num_detections"][0]
    assert count == found["num_detections"][0] > 3
    assert len({*expected["labels"][0, :count].tolist()}) == 2
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-4)
    np.testing.assert_array_equal(found["labels"], expected["labels"])
    np.testing.assert_allclose(found["boxes"], mirrored_boxes(expected["boxes"], axis), atol=1e-3)
    moved = np.abs(found["boxes"] - expected["boxes"]).max()
    assert moved > 1, "the image is its own mirror image: the test says nothing"

    boxes, labels = np.array([[[3.0, 4, 20, 21], [9, 10, 30, 26], [-1] * 4]], "float32"), np.array([[0, 1, -1]])
    truth = {"boxes": boxes, "labels": labels}
    losses = model.test_on_batch(image, truth, return_dict=True)
    again = model.test_on_batch(mirrored, {**truth, "boxes": mirrored_boxes(boxes, axis)}, return_dict=True)
    assert all(losses[name] > 0 for name in model.loss_names), losses
    assert again == pytest.approx(losses, rel=1e-4)
