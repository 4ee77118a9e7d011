"""One row for each public layer and architecture. A meta-test holds this list to `keras_blocks.__all__`."""

import dataclasses

import keras

import keras_blocks

# Not the default of any block, so that a setting lost in a config or not handed down is seen.
SHARED = {
    "activation": "elu",
    "batch_norm": {"momentum": 0.9, "epsilon": 1e-5, "scale": True},
    "use_bias": True,
    "kernel_initializer": keras.initializers.HeUniform(seed=3),
    "kernel_regularizer": keras.regularizers.L2(1e-4),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A class with arguments that all differ from their defaults, and one published or hand-countable use of it.

    `counted` are the arguments for which, on images of `input_shape`, `output_shape` and the numbers of trainable and
    other weights are known from `source`.
    """

    cls: type
    arguments: dict
    input_shape: tuple
    counted: dict
    output_shape: tuple
    trainable: int
    other: int
    source: str

    @property
    def name(self):
        return self.cls.__name__


LAYERS = [
    Row(
        keras_blocks.ConvBlock,
        {
            "filters": 6,
            "kernel_size": (3, 5),
            "strides": (2, 1),
            "padding": "valid",
            "groups": 2,
            "dilation_rate": 1,
            "pre_activation": True,
            **SHARED,
        },
        (18, 18, 4),
        {"filters": 6, "kernel_size": 3, "strides": 2},
        (9, 9, 6),
        3 * 3 * 4 * 6 + 2 * 6,
        2 * 6,
        "counted by hand: bias-free convolution, gamma and beta, moving mean and variance",
    ),
    Row(
        keras_blocks.FireBlock,
        {"filters": 4, "expand_ratio": 2, "bypass": "complex", **SHARED},
        (12, 12, 96),
        {"filters": 16},
        (12, 12, 128),
        11_920,
        0,
        "Iandola et al. 2016, table 1: fire2 has 11,920 parameters",
    ),
    Row(
        keras_blocks.CeilMaxPooling2D,
        {"pool_size": 3, "strides": 2},
        (13, 16, 4),
        {"pool_size": 3, "strides": 2},
        (6, 8, 4),
        0,
        0,
        "torch.nn.MaxPool2d(3, 2, ceil_mode=True): ceil((16 - 3) / 2) + 1 = 8",
    ),
]

SMALL = {
    "groups": [{"filters": [4, 4]}, {"filters": [6]}],
    "stem": {"filters": 16, "kernel_size": 3, "strides": 1, "padding": "same", "pool": True},
    "input_shape": (18, 18, 3),
    "classes": 5,
}

ARCHITECTURES = [
    Row(
        keras_blocks.SqueezeNet,
        {
            **SMALL,
            "expand_ratio": 2,
            "bypass": "complex",
            "dropout": 0.25,
            "include_top": False,
            "pooling": "max",
            "classifier_activation": None,
            "preprocess": [keras.layers.Rescaling(1 / 255)],
            **SHARED,
        },
        (224, 224, 3),
        {},
        (1000,),
        1_248_424,
        0,
        "torchvision squeezenet1_0",
    ),
]

ROWS = LAYERS + ARCHITECTURES

NOT_LAYERS = {
    "Architecture": "base class; its subclasses have rows",
    "Block": "base class; its subclasses have rows",
    "Cost": "result of cost; tests/test_costs.py",
    "convert_weights": "function; tests/test_weights.py",
    "cost": "function; tests/test_costs.py",
    "create_model": "function; tests/models/test_registry.py",
    "list_models": "function; tests/models/test_registry.py",
}


def small_model(row: Row):
    """The row's layer or architecture as a functional model, with arguments that are not the defaults."""
    if issubclass(row.cls, keras_blocks.Architecture):
        return row.cls(**row.arguments)
    inputs = keras.Input(row.input_shape)
    return keras.Model(inputs, row.cls(**row.arguments)(inputs))


def image_shape(row: Row):
    """Shape of an image that `small_model` takes."""
    return row.arguments.get("input_shape", row.input_shape)
