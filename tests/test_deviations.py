"""The page on deviations has every variant, and what it says in figures is so."""

import math
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_blocks

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "deviations.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## Each variant")[2].splitlines()
    if line.startswith("| `")
]


def row_of(variant):
    (row,) = [row for row in ROWS if f"`{variant}`" in row[0]]
    return row


def test_every_variant_has_one_row_with_its_source():
    named = [name for row in ROWS for name in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(named) == keras_blocks.list_models()
    assert all(len(row) == 3 and all(row) for row in ROWS)


def test_the_page_is_linked():
    assert "docs/deviations.md" in (ROOT / "README.md").read_text()


def test_arguments_that_bring_back_the_source_are_there():
    """What is in backticks with an equals sign is an argument of the row's class."""
    for row in ROWS:
        variant = re.findall(r"`([^`]+)`", row[0])[0]
        cls = keras_blocks.models.registry.architecture_of(variant)
        for argument in re.findall(r"`(\w+=[^`]+)`", row[2]):
            cls.outline(**{**cls.variants[variant], **eval(f"dict({argument})")})


def test_figures():
    cost = keras_blocks.cost(
        keras_blocks.SqueezeNet, **keras_blocks.SqueezeNet.variants["squeezenet_1.0_complex_bypass"]
    )
    assert (
        f"{cost.params:,} parameters are {4 * cost.params / 2**20:.1f} MiB"
        in row_of("squeezenet_1.0_complex_bypass")[2]
    )
    (_, second, _) = keras_blocks.Inception.variants["inception_v2"]["groups"]
    widths = [f[0] + f[2] + f[4] + f[5] for f in second["filters"]]
    assert widths == [576, 576, 608, 608] and "4c and 4d" in row_of("inception_v2")[2]
    stem = keras_blocks.Inception.outline(**keras_blocks.Inception.variants["inception_v3"])._stem_layers()
    assert [(s["layer"], s.get("filters"), s.get("kernel_size")) for s in stem][-3:] == [
        ("conv", 80, 1),
        ("conv", 192, 3),
        ("pool", None, None),
    ]


def test_moving_variances_are_of_n_values():
    """With a momentum of 0, what is stored is the last batch's."""
    layer = keras_blocks.ConvBlock(1, 1, batch_norm={"momentum": 0.0}, activation=None)
    x = np.array([1.0, 3.0], "float32").reshape(2, 1, 1, 1)
    layer.build(x.shape)
    layer.conv.kernel.assign(np.ones((1, 1, 1, 1)))
    layer(x, training=True)
    assert math.isclose(float(keras.ops.convert_to_numpy(layer.conv_bn.moving_variance)[0]), 1.0, rel_tol=1e-5)
