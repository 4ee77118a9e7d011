"""A block makes each of its layers once, those inside of its blocks, too: making them is most of a model's building."""

import collections
import unittest.mock

import pytest

import keras_blocks
from keras_blocks.core.block import inner_parts
from keras_blocks.core.chain import LayerSpec

pytestmark = pytest.mark.once


def counted(block):
    """How many layers a block consists of, with those of its blocks."""
    parts = [part for _, part in inner_parts(block)] if isinstance(block, keras_blocks.Block) else []
    return len(parts) + sum(map(counted, parts))


@pytest.mark.parametrize(
    "block",
    [
        keras_blocks.DenseBlock(4, layers=3),  # blocks inside of a block
        keras_blocks.DenseBlock(4, layers=2, batch_norm=False),
        keras_blocks.ResidualBlock(4),
    ],
    ids=["dense", "not normalized", "residual"],
)
def test_each_layer_is_made_once(block):
    made, make = collections.Counter(), LayerSpec.make

    def counting(spec, *args, **kwargs):
        made[spec.name] += 1
        return make(spec, *args, **kwargs)

    with unittest.mock.patch.object(LayerSpec, "make", counting):
        block.build((None, 8, 8, 4))
    assert made.total() == counted(block)
