"""A test for each mistake of the slides in Inception and its squeeze-excitation, as ../shared/references.md lists them.

Five rows: the 5x5 branch, the pool branch, the auxiliary classifiers, and for SE-Inception the excitation's numbers and
the shared metaparameters.
"""

import copy

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks import Inception, InceptionBlock

pytestmark = pytest.mark.once

ROW = (2, 2, 3, 2, 3, 2)
GROUPS = [
    {"block": "v1", "filters": [ROW, ROW], "auxiliary": [1]},
    {"block": "v1", "filters": [ROW], "reduction": {"kind": "max_pool", "pool_size": 2}},
]
TINY = {
    "stem": [{"layer": "conv", "filters": 4}],
    "input_shape": (16, 16, 3),
    "auxiliary_classifier": {"pooling": "adaptive"},
}


def built(block, *shape):
    block.build((None, *shape))
    return block


def test_the_5x5_branch_has_a_5x5_kernel_and_its_own_filters():
    """The slides have a 3x3 convolution there, with the 3x3 branch's filters."""
    block = built(InceptionBlock((64, 96, 128, 16, 32, 32)), 28, 28, 192)
    assert block.conv_5x5.kernel.shape == (5, 5, 16, 32)
    assert block.conv_3x3.kernel.shape == (3, 3, 96, 128)
    assert block.count_params() == 163_696
    same_mistake = built(InceptionBlock((64, 96, 128, 16, 32, 32), kernel_size=3), 28, 28, 192)
    assert same_mistake.conv_5x5.kernel.shape == (3, 3, 16, 32)  # as torchvision and TF-Slim have it


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("size", [7, 8])
def test_the_pool_branch_keeps_the_size(pooling, size, rng):
    """Unpadded, or with a step of more than one pixel, it could not be concatenated with the others."""
    block = InceptionBlock(ROW, pooling=pooling)
    x = rng.normal(size=(1, size, size + 1, 3)).astype("float32")
    assert block(x).shape == (1, size, size + 1, 10)
    assert (block.pool.strides, block.pool.padding) == ((1, 1), "same")
    pool = keras.ops.max_pool if pooling == "max" else keras.ops.average_pool
    pooled = keras.ops.convert_to_numpy(pool(x, 3, 1, "same"))
    expected = np.maximum(pooled @ keras.ops.convert_to_numpy(block.pool_proj.kernel)[0, 0], 0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(block(x))[..., -2:], expected, atol=1e-5)


def test_auxiliaries_have_as_many_classes_as_the_network_and_none_is_no_output():
    """In the slides they have `n_classes`, which is not defined; and `aux` is unbound where a group has none."""
    model = Inception(GROUPS, auxiliary=True, classes=7, **TINY)
    assert {name: output.shape for name, output in model.output.items()} == {
        "predictions": (None, 7),
        "aux_1": (None, 7),
    }
    assert Inception(GROUPS, classes=7, **TINY).output_shape == (None, 7)
    without = [{key: value for key, value in group.items() if key != "auxiliary"} for group in GROUPS]
    assert Inception(without, classes=7, **TINY).output_shape == (None, 7)
    with pytest.raises(ValueError, match="auxiliary"):
        Inception(without, auxiliary=True, classes=7, **TINY)


def test_excitation_squeezes_by_the_ratio_and_restores_the_channels():
    """The slides mix up the filters and the ratio; hujie-frank's inception_3a squeezes its 256 channels to 16."""
    block = built(InceptionBlock((64, 64, 64, 64, 96, 32), "v2", se_ratio=16, batch_norm=True), 28, 28, 192)
    assert block.se.reduce.kernel.shape == (1, 1, 256, 16)
    assert block.se.restore.kernel.shape == (1, 1, 16, 256)


def test_a_group_begins_with_its_reduction_and_no_metaparameters_change():
    """The slides' groups take blocks off a list that all calls share: the second network then has fewer."""
    before = copy.deepcopy(GROUPS)
    first, second = (Inception(GROUPS, classes=3, se_ratio=2, **TINY) for _ in range(2))
    assert before == GROUPS
    blocks = [layer.name for layer in first.layers if isinstance(layer, InceptionBlock)]
    assert blocks == ["group1_block1", "group1_block2", "group2_block1"]
    assert [layer.name for layer in first.layers[1:]] == [layer.name for layer in second.layers[1:]]
    assert first.count_params() == second.count_params()
    variants = repr(Inception.variants)
    keras_blocks.create_model("googlenet_cifar")
    assert repr(Inception.variants) == variants
