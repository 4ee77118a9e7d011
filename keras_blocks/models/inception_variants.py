"""The published Inception networks, and forms of them for small images, as data."""

POOL = {"layer": "ceil_pool", "pool_size": 3, "strides": 2}
VALID_POOL = {"layer": "pool", "pool_size": 3, "strides": 2, "padding": "valid"}
LRN = {"layer": "lrn"}


def _conv(filters, kernel_size=1, strides=1, padding="same"):
    return {
        "layer": "conv",
        "filters": filters,
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": padding,
    }


_FIRST = _conv(64, 7, 2, "symmetric")
_V3 = (_conv(80), _conv(192, 3, padding="valid"))

INCEPTION_STEMS = {
    "v1": (_FIRST, POOL, LRN, _conv(64), _conv(192, 3), LRN, POOL),
    "v2": (_FIRST, POOL, _conv(64), _conv(192, 3), POOL),
    "v3": (_conv(32, 3, 2, "valid"), _conv(32, 3, padding="valid"), _conv(64, 3), VALID_POOL, *_V3, VALID_POOL),
    "small": (_conv(64, 3), POOL, _conv(64), _conv(192, 3), POOL),
    "tiny": (_conv(64, 3), _conv(64), _conv(192, 3), POOL),
    "v3_tiny": (_conv(32, 3), _conv(32, 3), _conv(64, 3), POOL, _conv(80), _conv(192, 3)),
}
"""Name -> layers before the first group. "small" is for images of about 64 pixels, "tiny" for about 32."""

MAX_POOL = {"kind": "max_pool", "pool_size": 3}

GOOGLENET_GROUPS = (
    {"block": "v1", "filters": ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64))},
    {
        "block": "v1",
        "filters": (
            (192, 96, 208, 16, 48, 64),
            (160, 112, 224, 24, 64, 64),
            (128, 128, 256, 24, 64, 64),
            (112, 144, 288, 32, 64, 64),
            (256, 160, 320, 32, 128, 128),
        ),
        "reduction": MAX_POOL,
        "auxiliary": (1, 4),
    },
    {
        "block": "v1",
        "filters": ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
        "reduction": MAX_POOL,
    },
)

# torchvision's last pooling is 2x2.
GOOGLENET_TORCHVISION = tuple(
    {**group, "kernel_size": 3, **({"reduction": {"kind": "max_pool", "pool_size": 3 - (i == 2)}} if i else {})}
    for i, group in enumerate(GOOGLENET_GROUPS)
)

BN_INCEPTION = (
    {"block": "v2", "filters": ((64, 64, 64, 64, 96, 32), (64, 64, 96, 64, 96, 64)), "pooling": "avg"},
    {
        "block": "v2",
        "filters": (
            (224, 64, 96, 96, 128, 128),
            (192, 96, 128, 96, 128, 128),
            (160, 128, 160, 128, 160, 128),
            (96, 128, 192, 160, 192, 128),
        ),
        "pooling": "avg",
        "reduction": {"kind": "pass_through", "filters": (128, 160, 64, 96)},
    },
    {
        "block": "v2",
        "filters": ((352, 192, 320, 160, 224, 128), (352, 192, 320, 192, 224, 128)),
        "pooling": ("avg", "max"),
        "reduction": {"kind": "pass_through", "filters": (128, 192, 192, 256)},
    },
)


def _v3(padding="valid"):
    return (
        {"block": "a", "filters": tuple((64, 48, 64, 64, 96, pool) for pool in (32, 64, 64))},
        {
            "block": "b",
            "filters": tuple((192, inner, 192, inner, 192, 192) for inner in (128, 160, 160, 192)),
            "reduction": {"kind": "a", "filters": (384, 64, 96), "padding": padding},
            "auxiliary": (4,),
        },
        {
            "block": "c",
            "filters": ((320, 384, 384, 448, 384, 192),) * 2,
            "reduction": {"kind": "b", "filters": (192, 320, 192, 192), "padding": padding},
        },
    )


def _quarter(steps):
    """The same with a quarter of the filters."""
    return tuple(
        {key: _quartered(value) if key == "filters" else value for key, value in step.items()} for step in steps
    )


def _quartered(filters):
    return tuple(map(_quartered, filters)) if isinstance(filters, tuple) else max(filters // 4, 1)


TORCH_BATCH_NORM = {"epsilon": 1e-3, "momentum": 0.9}
CAFFE_BATCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}
V2 = {"groups": BN_INCEPTION, "stem": "v2", "batch_norm": CAFFE_BATCH_NORM, "count_include_pad": True, "dropout": 0.0}
V3 = {
    "groups": _v3(),
    "stem": "v3",
    "dropout": 0.2,
    "auxiliary_classifier": {"version": "v3"},
    "auxiliary_weight": 0.4,
    "input_shape": (299, 299, 3),
}
CIFAR = {"input_shape": (32, 32, 3), "classes": 10, "batch_norm": TORCH_BATCH_NORM}
ADAPTIVE = {"version": "v1", "pooling": "adaptive"}

VARIANTS = {
    "googlenet": {"groups": GOOGLENET_GROUPS, "stem": "v1", "dropout": 0.4},
    "googlenet_torchvision": {
        "groups": GOOGLENET_TORCHVISION,
        "stem": "v2",
        "dropout": 0.2,
        "batch_norm": TORCH_BATCH_NORM,
        "auxiliary_classifier": ADAPTIVE,
    },
    "googlenet_cifar": {
        "groups": _quarter(GOOGLENET_GROUPS),
        "stem": _quarter(INCEPTION_STEMS["tiny"]),
        "dropout": 0.4,
        "auxiliary_classifier": {**ADAPTIVE, "width": 32, "hidden": 256},
        **CIFAR,
    },
    "inception_v2": V2,
    "se_bn_inception": {**V2, "se_ratio": 16},
    "inception_v3": {**V3, "batch_norm": {"scale": False}},
    "inception_v3_torchvision": {**V3, "batch_norm": TORCH_BATCH_NORM, "count_include_pad": True, "dropout": 0.5},
    "inception_v3_cifar": {
        **V3,
        "groups": _v3("same"),
        "stem": "v3_tiny",
        "auxiliary_classifier": {"version": "v3", "pooling": "adaptive"},
        **CIFAR,
    },
}

SOURCES = {
    "googlenet": "Szegedy et al. 2014, table 1; BVLC's bvlc_googlenet",
    "googlenet_torchvision": "torchvision's googlenet",
    "googlenet_cifar": "GoogLeNet with a quarter of its filters and BatchNormalization, for 32 pixels: our own form",
    "inception_v2": "Ioffe and Szegedy 2015, figure 5; Cadene's bninception, without its biases",
    "se_bn_inception": "Hu et al. 2017, table 4; hujie-frank's SE-BN-Inception",
    "inception_v3": "Szegedy et al. 2015, table 1; keras.applications' InceptionV3",
    "inception_v3_torchvision": "torchvision's inception_v3",
    "inception_v3_cifar": "Inception v3 with other strides and paddings, for 32 pixels: our own form",
}
