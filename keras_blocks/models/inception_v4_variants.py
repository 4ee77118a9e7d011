"""Inception v4 and Inception-ResNet v2 as data, with timm's names beside each convolution's."""

from typing import Any

from keras_blocks.typing import Padding, Pair

Step = dict[str, Any]


def conv(filters: int, kernel_size: Pair = 1, strides: int = 1, padding: Padding = "same") -> Step:
    return {"filters": filters, "kernel_size": kernel_size, "strides": strides, "padding": padding}


def half(filters: int) -> Step:
    """A 3x3 convolution of stride 2, unpadded, as all reductions are."""
    return conv(filters, 3, 2, "valid")


POOL: Step = {"pool": "max", "strides": 2, "padding": "valid"}
AVERAGE: Step = {"pool": "avg"}


def module(*branches: list[Step], repeats: int = 1, scale: float | None = None, activated: bool = True) -> Step:
    return {"branches": list(branches), "repeats": repeats, "scale": scale, "activated": activated}


def split(filters: int) -> Step:
    return {"branches": [[conv(filters, (1, 3))], [conv(filters, (3, 1))]]}


V4_STEM = [
    half(32),
    conv(32, 3, padding="valid"),
    conv(64, 3),
    module([POOL], [half(96)]),
    module(
        [conv(64), conv(96, 3, padding="valid")],
        [conv(64), conv(64, (1, 7)), conv(64, (7, 1)), conv(96, 3, padding="valid")],
    ),
    module([half(192)], [POOL]),
]
V4_GROUPS = [
    [
        module(
            [conv(96)],
            [conv(64), conv(96, 3)],
            [conv(64), conv(96, 3), conv(96, 3)],
            [AVERAGE, conv(96)],
            repeats=4,
        )
    ],
    [
        module([half(384)], [conv(192), conv(224, 3), half(256)], [POOL]),
        module(
            [conv(384)],
            [conv(192), conv(224, (1, 7)), conv(256, (7, 1))],
            [conv(192), conv(192, (7, 1)), conv(224, (1, 7)), conv(224, (7, 1)), conv(256, (1, 7))],
            [AVERAGE, conv(128)],
            repeats=7,
        ),
    ],
    [
        module([conv(192), half(192)], [conv(256), conv(256, (1, 7)), conv(320, (7, 1)), half(320)], [POOL]),
        module(
            [conv(256)],
            [conv(384), split(256)],
            [conv(384), conv(448, (3, 1)), conv(512, (1, 3)), split(256)],
            [AVERAGE, conv(256)],
            repeats=3,
        ),
    ],
]

RESNET_STEM = [half(32), conv(32, 3, padding="valid"), conv(64, 3), POOL, conv(80), conv(192, 3, padding="valid"), POOL]
RESNET_STEM += [module([conv(96)], [conv(48), conv(64, 5)], [conv(64), conv(96, 3), conv(96, 3)], [AVERAGE, conv(64)])]
BLOCK8 = ([conv(192)], [conv(192), conv(224, (1, 3)), conv(256, (3, 1))])
RESNET_GROUPS = [
    [module([conv(32)], [conv(32), conv(32, 3)], [conv(32), conv(48, 3), conv(64, 3)], repeats=10, scale=0.17)],
    [
        module([half(384)], [conv(256), conv(256, 3), half(384)], [POOL]),
        module([conv(192)], [conv(128), conv(160, (1, 7)), conv(192, (7, 1))], repeats=20, scale=0.1),
    ],
    [
        module([conv(256), half(384)], [conv(256), half(288)], [conv(256), conv(288, 3), half(320)], [POOL]),
        module(*BLOCK8, repeats=9, scale=0.2),
        module(*BLOCK8, scale=1.0, activated=False),
        conv(1536),
    ],
]

SETTINGS: dict[str, Any] = {"batch_norm": {"epsilon": 1e-3}, "dropout": 0.2, "input_shape": (299, 299, 3)}

VARIANTS: dict[str, dict[str, Any]] = {
    "inception_v4": {"stem": V4_STEM, "groups": V4_GROUPS, **SETTINGS},
    "inception_resnet_v2": {"stem": RESNET_STEM, "groups": RESNET_GROUPS, **SETTINGS},
}

SOURCES = {
    "inception_v4": "Szegedy et al. 2016, figures 3 to 9; timm's inception_v4",
    "inception_resnet_v2": "Szegedy et al. 2016, section 3.2; timm's inception_resnet_v2",
}


RESNET_LAYERS = [
    *("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "maxpool_5a", "mixed_5b"),
    *(f"repeat.{i}" for i in range(10)),
    "mixed_6a",
    *(f"repeat_1.{i}" for i in range(20)),
    "mixed_7a",
    *(f"repeat_2.{i}" for i in range(9)),
    *("block8", "conv2d_7b"),
]
"""timm's names of Inception-ResNet v2's modules, in their order; Inception v4's are numbered."""


def timm_names(modules: dict[str, Step]) -> dict[str, str]:
    """Path of each layer with weights -> timm's name, of modules by our names, in their order."""
    residual = any(step.get("scale") is not None for step in modules.values())
    theirs = RESNET_LAYERS if residual else [f"features.{n}" for n in range(len(modules))]
    names: dict[str, str] = {}
    for (ours, step), prefix in zip(modules.items(), theirs):
        if "filters" in step:
            names |= {f"{ours}/conv{bn}": f"{prefix}.{bn[1:] or 'conv'}" for bn in ("", "_bn")}
        elif "branches" in step:
            found = [name for i, branch in enumerate(step["branches"]) for name in _of_branch(f"branch{i}", branch)]
            for k, name in enumerate(found if len(found) > 1 else ["conv"], start=1):
                names |= {f"{ours}/conv{k}{bn}": f"{prefix}.{name}.{bn[1:] or 'conv'}" for bn in ("", "_bn")}
            names |= {f"{ours}/project": f"{prefix}.conv2d"} if step["scale"] is not None else {}
    return {**names, "head/scores": "classif" if residual else "last_linear"}


def _of_branch(name: str, branch: Any) -> list[str]:
    if len(branch) == 1:
        return [name] if "filters" in branch[0] else []
    if not any("branches" in step for step in branch):
        return [f"{name}.{j}" for j, step in enumerate(branch) if "filters" in step]
    ends = [
        [f"{name}_{j}a", f"{name}_{j}b"] if "branches" in step else [f"{name}_{j}"] for j, step in enumerate(branch)
    ]
    return [end for pair in ends for end in pair]
