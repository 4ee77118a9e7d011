"""Random valid configurations of every block, for property tests."""

import keras
from hypothesis import strategies as st

import keras_blocks

backend = keras.backend.backend()

ACTIVATIONS = st.sampled_from(["relu", "elu", "silu", "tanh", None])
BATCH_NORM = st.one_of(
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "momentum": st.floats(0.1, 0.999),
            "epsilon": st.floats(1e-5, 1e-2),
            "center": st.booleans(),
            "scale": st.booleans(),
        },
    ),
)
SHARED = {
    "activation": ACTIVATIONS,
    "batch_norm": BATCH_NORM,
    "use_bias": st.sampled_from([None, True, False]),
    "kernel_initializer": st.sampled_from(["he_normal", "glorot_uniform", "lecun_uniform"]),
    "kernel_regularizer": st.sampled_from([None, "l2"]),
}


def size(least, most):
    """An integer or a pair of them."""
    return st.one_of(st.integers(least, most), st.tuples(st.integers(least, most), st.integers(least, most)))


@st.composite
def conv_blocks(draw, groups=True, dilation=True):
    count = draw(st.sampled_from([1, 2, 3])) if groups else 1
    dilation = draw(st.sampled_from([1, 2])) if dilation else 1
    arguments = {
        "filters": count * draw(st.integers(1, 3)),
        "kernel_size": draw(size(1, 4)),
        "strides": 1 if dilation > 1 else draw(size(1, 3)),
        "padding": draw(st.sampled_from(["same", "valid"])),
        "groups": count,
        "dilation_rate": dilation,
        "pre_activation": draw(st.booleans()),
    }
    return keras_blocks.ConvBlock, arguments, count * draw(st.integers(1, 3))


@st.composite
def fire_blocks(draw):
    filters, ratio = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    bypass = draw(st.sampled_from([None, "simple", "complex"]))
    channels = 2 * filters * ratio if bypass == "simple" else draw(st.integers(1, 8))
    return keras_blocks.FireBlock, {"filters": filters, "expand_ratio": ratio, "bypass": bypass}, channels


BLOCKS = {"ConvBlock": conv_blocks(), "FireBlock": fire_blocks()}


@st.composite
def configurations(draw, name=None, strategy=None):
    """(class, all arguments, image shape) of a random valid block."""
    cls, arguments, channels = draw(BLOCKS[name] if strategy is None else strategy)
    shared = {key: draw(value) for key, value in SHARED.items()}
    image = (draw(st.sampled_from([8, 13])), draw(st.sampled_from([8, 11])), channels)
    return cls, {**arguments, **shared}, image
