"""No arrow of a figure goes through a box: where one is in its way, it goes beside it."""

import keras
import numpy as np
import pytest

import keras_blocks

pytestmark = pytest.mark.once

MAPS = {"P2": (32, 32, 8), "P3": (16, 16, 16), "P4": (8, 8, 32)}


def crossing():
    """A model of a user's, in which two sums take what three layers lie between."""
    x = keras.Input((8, 8, 4))
    a = keras.layers.Conv2D(4, 1)(x)
    b = keras.layers.Conv2D(4, 1)(x)
    c = keras.layers.Conv2D(4, 1)(keras.layers.Add()([a, b]))
    d = keras.layers.Conv2D(4, 1)(keras.layers.Concatenate()([c, b]))
    return keras.Model(x, [keras.layers.Add()([d, a]), keras.layers.Add()([d, b])])


FIGURES = {
    "FeaturePyramid": lambda: keras_blocks.draw(keras_blocks.FeaturePyramid(8), MAPS),
    "RegionProposalNetwork": lambda: keras_blocks.draw(
        keras_blocks.RegionProposalNetwork(sizes=((32,), (64,)), strides=((4, 4), (8, 8))),
        {"P2": (16, 16, 8), "P3": (8, 8, 8), "image_size": (2,)},
    ),
    "a user's model": lambda: keras_blocks.draw(crossing()),
    "faster_rcnn_resnet18_fpn": lambda: keras_blocks.draw("faster_rcnn_resnet18_fpn"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_arrows_go_through_no_box(name):
    items = FIGURES[name]().items
    boxes = [item.points for item in items if item.kind == "rect" and item.style != "frame"]
    arrows = [item for item in items if item.kind in ("arrow", "line") and item.style == "edge"]
    assert len(boxes) > 3 and len(arrows) > 3
    for arrow in arrows:
        for start, end in zip(arrow.points, arrow.points[1:]):
            for share in np.linspace(0, 1, 9):
                x, y = (a + share * (b - a) for a, b in zip(start, end))
                inside = [
                    box for box in boxes if box[0][0] + 1 < x < box[1][0] - 1 and box[0][1] + 1 < y < box[1][1] - 1
                ]
                assert not inside, (arrow.points[0], arrow.points[-1], inside)
