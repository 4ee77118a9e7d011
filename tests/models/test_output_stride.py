"""Dilation in place of strides: the same weights give the same values at the pixels that strides would keep."""

import numpy as np
import pytest
from calling import EAGERLY, JIT, outputs_of
from thorough import run_all

import keras_blocks

pytestmark = pytest.mark.once


def resnet(output_stride, **options):
    groups = [{"filters": 4 * 2**i, "blocks": 2} for i in range(4)]
    return keras_blocks.ResNet(
        groups=groups, output_stride=output_stride, include_top=False, input_shape=(64, 64, 3), **options
    )


def densenet(output_stride):
    return keras_blocks.DenseNet(
        groups=[{"layers": 2}] * 4,
        filters=4,
        stem_filters=8,
        output_stride=output_stride,
        include_top=False,
        input_shape=(64, 64, 3),
    )


def compare(strided, dilated, every, rng):
    dilated.set_weights(strided.get_weights())
    x = rng.normal(size=(1, 64, 64, 3)).astype("float32")
    few, many = (outputs_of(model, x) for model in (strided, dilated))
    assert many.shape[1:3] == (2 * every, 2 * every)
    assert np.abs(few).max() > 0
    np.testing.assert_allclose(many[:, ::every, ::every], few, rtol=1e-4, atol=1e-5 * np.abs(few).max())


VERSIONS = {"v1": {"version": "v1"}, "v1.5": {"version": "v1.5"}, "v2": {"version": "v2", "downsample": "last"}}
CASES = [("basic", "v2"), ("bottleneck", "v1"), ("bottleneck", "v1.5")]
"""The versions 1 and 1.5 of basic blocks are one, and all else that is missing runs where KERAS_BLOCKS_ALL is set."""
if run_all():
    CASES += [("basic", "v1"), ("basic", "v1.5"), ("bottleneck", "v2")]


@pytest.mark.parametrize(("block", "version"), CASES)
def test_dilated_resnet_agrees_with_the_strided_one(block, version, rng):
    options = {"block": block, **VERSIONS[version]}
    compare(resnet(None, **options), resnet(8, **options), 4, rng)


def test_pooled_shortcuts_agree_where_their_strides_become_dilation(rng):
    """ResNet-D, whose average pooling has the strides: of a border, too, where the last window hangs over the edge."""
    options = {"block": "basic", "version": "v1", "shortcut": "pooled"}
    compare(resnet(None, **options), resnet(8, **options), 4, rng)


def test_dilated_regnet_agrees_with_the_strided_one(rng):
    def regnet(output_stride):
        rule = {"w0": 8, "wa": 8.0, "wm": 2.0, "depth": 7, "group_width": 4, "stem_filters": 4}
        return keras_blocks.RegNet(**rule, output_stride=output_stride, include_top=False, input_shape=(64, 64, 3))

    compare(regnet(None), regnet(8), 4, rng)


def test_dilated_densenet_agrees_with_the_pooled_one(rng):
    compare(densenet(None), densenet(16), 2, rng)


def test_an_output_stride_that_cannot_be_reached_is_refused():
    with pytest.raises(ValueError, match=r"`output_stride` must be None or one of \[4, 8, 16, 32\].*12"):
        densenet(12)
    with pytest.raises(ValueError, match="`strides` over 1 and `dilation_rate` over 1"):
        keras_blocks.ResidualBlock(4, strides=2, dilation_rate=2)


def test_frozen_layers_keep_weights_and_statistics(rng):
    model = keras_blocks.create_model("resnet18", classes=3, input_shape=(32, 32, 3))
    model.freeze(up_to="group3")
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=JIT, run_eagerly=EAGERLY)
    before = {weight.path: weight.numpy() for weight in model.weights}
    model.fit(rng.normal(size=(4, 32, 32, 3)).astype("float32"), np.array([0, 1, 2, 0]), verbose=0)
    moved = {weight.path.split("/")[0] for weight in model.weights if np.any(weight.numpy() != before[weight.path])}
    assert moved == {"group4_block1", "group4_block2", "head"}
    with pytest.raises(ValueError, match=r"`up_to` must be one of .*'group4'"):
        model.freeze(up_to="group9")
