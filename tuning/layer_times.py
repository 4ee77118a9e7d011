"""Seconds of networks that are timed once on a machine and kept: latencies of others follow from them.

Whole ones are draws of the search spaces. A short one repeats a unit, as a convolution with its normalization and its
activation, a few times: compiled together, they run as in a network, and take longer than the clock is unsure of.
"""

import contextlib
import fcntl
import functools
import gc
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_blocks.blocks.squeeze_excite import SqueezeExciteBlock
from keras_blocks.core.block import Block
from keras_blocks.core.chain import Chain
from keras_blocks.core.graphs import unallocated
from keras_blocks.look.operations import Operation, operations_of
from keras_blocks.look.plan import plan_of, plan_of_model
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.densenet import DenseNet
from keras_blocks.models.inception import Inception
from keras_blocks.models.resnet import ResNet
from keras_blocks.models.resnext import ResNeXt
from keras_blocks.models.senet import SENet
from keras_blocks.models.squeezenet import SqueezeNet
from keras_blocks.models.vgg import VGG
from keras_blocks.tuning.files import write_json
from keras_blocks.tuning.measuring import measure_on

layers = keras.layers

ROUNDS, RUNS = 80, 3
"""Many short visits to each network, in turns: where one is disturbed, another is not."""

LEAST_SECONDS, MOST_SECONDS = 900, 1800
"""That the process which times them may need on a busy machine, and what it is given at most."""

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES")
"""Variables by which the same machine takes other times."""


class _Repeated(Block):
    """A chain that a function of the block declares."""

    def __init__(self, make: Callable[[Block], Chain], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.make = make

    def chain(self, channels: int) -> Chain:
        return self.make(self)


def _convs(widths: Sequence[int | None], kernel_size: Any = 3, **options: Any) -> Callable[[Block], Chain]:
    return lambda block: [
        step for i, width in enumerate(widths) for step in block.conv_unit(f"unit{i}", width, kernel_size, **options)
    ]


def _times(count: int, unit: Callable[[Block, int], Chain]) -> Callable[[Block], Chain]:
    return lambda block: [step for i in range(count) for step in unit(block, i)]


def _of(cls: type, **options: Any) -> Callable[[Block, int], Chain]:
    return lambda block, i: [block.layer(f"layer{i}", cls, **options)]


def _pre_activated(block: Block, i: int) -> Chain:
    pool = block.layer(f"pool{i}", layers.MaxPooling2D, pool_size=3, strides=1, padding="same")
    return [block.norm(f"norm{i}"), block.activate(f"activation{i}"), pool]


def _sum(block: Block, i: int) -> Chain:
    return [block.sum_of(f"add{i}", [block.norm(f"norm{i}")], []), block.activate(f"activation{i}")]


def _concatenation(width: int) -> Callable[[Block, int], Chain]:
    def made(block: Block, i: int) -> Chain:
        together = block.concatenate(f"concat{i}", [block.activate(f"activation{i}")], [])
        return [together, block.conv2d(f"conv{i}", width, 1, use_bias=False)]

    return made


def _dense(*units: int) -> Callable[[Block], Chain]:
    def made(block: Block) -> Chain:
        each = [(block.dense(f"dense{i}", n), block.activate(f"activation{i}")) for i, n in enumerate(units)]
        return [block.layer("flatten", layers.Flatten), *(step for pair in each for step in pair)]

    return made


def _head(block: Block) -> Chain:
    top = block.layer("top_softmax", layers.Activation, activation="softmax")
    return [block.layer("top_pool", layers.GlobalAveragePooling2D), block.dense("top_dense", 10), top]


SQUARES = {32: (8, 16, 32, 64), 16: (8, 16, 32, 64, 128), 8: (16, 32, 64, 128), 4: (32, 64, 128, 256), 2: (64, 256)}
"""Side -> channels of the 3x3 convolutions that are timed; those that most time goes to."""

POINTS: dict[int, tuple[tuple[int, int], ...]] = {
    32: ((16, 64), (64, 16), (8, 8)),
    16: ((16, 64), (96, 24), (128, 128)),
    8: ((32, 128), (256, 64), (16, 16)),
    4: ((64, 256), (128, 128)),
    2: ((256, 256),),
}
"""Side -> pairs of channels between which 1x1 convolutions go there and back."""


def _networks() -> dict[str, tuple[int, int, Callable[[Block], Chain], dict[str, Any]]]:
    """Name -> side and channels of the input, the chain, the block's settings."""
    unit: dict[str, Any] = {"batch_norm": True, "activation": "relu"}
    found: dict[str, Any] = {"nothing": (8, 8, _times(1, _of(layers.Flatten)), {})}
    for side, widths in SQUARES.items():
        found |= {f"3x3 {side} {width}": (side, width, _convs([width] * 4), unit) for width in widths}
    for side, pairs in POINTS.items():
        found |= {f"1x1 {side} {a} {b}": (side, a, _convs([b, a, b, a], 1), unit) for a, b in pairs}
    for side, first in ((32, 16), (32, 32), (16, 32), (8, 64)):
        found[f"strided {side} {first}"] = side, first, _convs([first, 2 * first, 4 * first], strides=2), unit
    found["strided 1x1"] = 32, 16, _convs([32, 64, 128], 1, strides=2), unit
    for kernel_size, side, width in (
        (5, 32, 16),
        (5, 16, 8),
        (5, 8, 32),
        (7, 16, 16),
        ((1, 7), 16, 32),
        ((7, 1), 8, 32),
    ):
        found[f"{kernel_size} {side} {width}"] = side, width, _convs([width] * 3, kernel_size), unit
    found["(1, 3)"] = 8, 48, _convs([48] * 3, (1, 3)), unit
    for side, width, groups in ((32, 16, 4), (16, 32, 8), (16, 64, 16), (8, 64, 4), (8, 128, 16), (4, 128, 8)):
        found[f"grouped {side} {width} {groups}"] = side, width, _convs([width] * 3, groups=groups), unit
    found["grouped strided"] = 32, 32, _convs([64, 128], groups=8, strides=2), unit
    for side, width in ((32, 16), (8, 128)):
        found[f"depthwise {side} {width}"] = side, width, _convs([None] * 3, depthwise=True), unit
    for name in ("elu", "gelu", "silu"):
        for side, width in ((32, 32), (8, 64)):
            found[f"{name} {side}"] = side, width, _convs([width] * 3, 1), {**unit, "activation": name}
    for side, width in ((32, 16), (8, 64)):
        found[f"bare {side} {width}"] = side, width, _convs([width] * 4), {**unit, "batch_norm": False}
    for side, width in ((32, 32), (16, 128), (8, 256), (4, 64)):
        found[f"norm {side} {width}"] = side, width, _times(3, _pre_activated), unit
    for side, width in ((32, 32), (8, 128)):
        found[f"add {side} {width}"] = side, width, _times(3, _sum), unit
    for side, width in ((32, 16), (16, 64), (8, 64)):
        found[f"concat {side} {width}"] = side, width, _times(3, _concatenation(width)), unit
    for side, width in ((32, 32), (16, 64), (8, 128)):
        found[f"halved {side} {width}"] = side, width, _times(2, _of(layers.MaxPooling2D, pool_size=2)), {}
    same = {"pool_size": 3, "strides": 1, "padding": "same"}
    for side, width in ((32, 16), (8, 64)):
        found[f"maxima {side} {width}"] = side, width, _times(3, _of(layers.MaxPooling2D, **same)), {}
        found[f"means {side} {width}"] = side, width, _times(3, _of(layers.AveragePooling2D, **same)), {}
    found["halved means"] = 32, 32, _times(2, _of(layers.AveragePooling2D, pool_size=2)), {}
    found["padded"] = 16, 32, _times(3, _of(layers.ZeroPadding2D, padding=1)), {}
    for side, width, filters in ((32, 32, 8), (16, 64, 16), (8, 128, 8)):
        found[f"gates {side} {width}"] = side, width, _times(3, _of(SqueezeExciteBlock, filters=filters)), {}
    for units in ((128, 128, 128), (512, 512), (1024, 256)):
        found[f"dense {units}"] = 4, 32, _dense(*units), unit
    for side, width in ((8, 64), (4, 256)):
        found[f"head {side} {width}"] = side, width, _head, {}
    return found


NETWORKS = _networks()


def _whole() -> dict[str, tuple[type[Architecture], dict[str, Any]]]:
    """Name -> architecture and metaparameters of a network as it is searched."""
    classes = {cls.__name__: cls for cls in (DenseNet, Inception, ResNet, ResNeXt, SENet, SqueezeNet, VGG)}
    rows = json.loads(Path(__file__).with_name("whole_networks.json").read_text(encoding="utf-8"))
    return {f"{name} {i}": (classes[name], metaparameters) for i, (name, metaparameters) in enumerate(rows)}


WHOLE = _whole()
"""Draws of the search spaces, by `python benchmarks/predicted_costs.py networks`."""


def network(name: str) -> keras.Model:
    """One of `NETWORKS` or `WHOLE`, with pixels that are scaled first, as in a search's models."""
    if name in WHOLE:
        cls, metaparameters = WHOLE[name]
        return cls(**metaparameters, preprocess=[layers.Rescaling(1 / 255)])
    side, channels, make, settings = NETWORKS[name]
    inputs = keras.Input((side, side, channels))
    return keras.Model(inputs, _Repeated(make, name="repeated", **settings)(layers.Rescaling(1 / 255)(inputs)))


@functools.cache
def operations(name: str) -> tuple[Operation, ...]:
    """The layers of one of them; none of its variables has a value."""
    if name in WHOLE:
        cls, metaparameters = WHOLE[name]
        return tuple(operations_of(plan_of(cls, **metaparameters)))
    with unallocated():
        return tuple(operations_of(plan_of_model(network(name))))


def timed(models: Sequence[keras.Model], rounds: int = ROUNDS) -> list[list[float]]:
    """Seconds of each model for one image, in each of some rounds over all."""
    images = [np.zeros((1, *model.input_shape[1:]), "float32") for model in models]
    for model, image in zip(models, images):
        model.predict_on_batch(image)
    gc.collect()
    found = [
        [measure_on(model, image, warm=1, least=RUNS, most=RUNS) for model, image in zip(models, images)]
        for _ in range(rounds)
    ]
    return [list(each) for each in zip(*found)]


def fingerprint() -> dict[str, Any]:
    """What the times depend on: the machine, its threads, and the versions."""
    backend = keras.backend.backend()
    cpu = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    gpus = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": [platform.machine(), cpu[0] if cpu else platform.processor()],
        "cpus": count,
        "gpus": [line for path in gpus for line in _lines(path) if line.startswith("Model")],
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
        "backend": [backend, *_version(backend)],
        "keras": keras.__version__,
        "networks": hashlib.sha256(
            repr(([(name, *each[:2]) for name, each in NETWORKS.items()], WHOLE)).encode()
        ).hexdigest(),
    }


def file() -> Path:
    """Where this machine's times are: in the folder KERAS_BLOCKS_TIMES, or one beside what Keras downloads."""
    folder = os.environ.get("KERAS_BLOCKS_TIMES")
    home = os.path.join(os.environ.get("KERAS_HOME") or "~/.keras", "keras_blocks", "layer_times")
    key = hashlib.sha256(json.dumps(fingerprint(), sort_keys=True).encode()).hexdigest()[:16]
    return Path(os.path.expanduser(folder or home), f"{key}.json")


@functools.cache
def known() -> dict[str, float] | None:
    """Network -> seconds, where this machine's were timed before; a file that is none of ours counts for none."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        kept = json.loads(file().read_text(encoding="utf-8"))
        seconds = {name: float(kept["seconds"][name]) for name in (*NETWORKS, *WHOLE)}
        if kept["fingerprint"] == fingerprint() and all(
            math.isfinite(one) and 0 < one < 1e3 for one in seconds.values()
        ):
            return seconds
    return None


def make_known(
    note: Callable[[str], Any] = lambda text: None, most_seconds: float = MOST_SECONDS
) -> dict[str, float] | None:
    """The same, timed first where it was not yet: in a process of its own, which leaves nothing here.

    Args:
        note: is told what takes its time, and what went wrong; then there is none, and latency is measured alone.
        most_seconds: that it may take; where that may be too few, nothing is timed.
    """
    if (found := known()) is not None:
        return found
    if most_seconds < LEAST_SECONDS:
        note("latencies are measured alone: a search of at least an hour would time networks once, to predict them")
        return None
    try:
        file().parent.mkdir(parents=True, exist_ok=True)
        with file().with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two that time together would both be slow, and are kept
            known.cache_clear()
            if known() is None:
                _time_apart(note, min(most_seconds, MOST_SECONDS))
    except (OSError, subprocess.SubprocessError) as error:
        note(f"the networks could not be timed ({type(error).__name__}); latencies are measured alone")
        known.cache_clear()
        return known()
    known.cache_clear()
    if (found := known()) is None:  # a disk that is full, say
        note(f"the times of the networks could not be kept in '{file()}'; latencies are measured alone")
    return found


def _time_apart(note: Callable[[str], Any], seconds: float) -> None:
    note(f"timing {len(NETWORKS) + len(WHOLE)} networks once on this machine, to predict latencies: some minutes")
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend(), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-P", "-m", "keras_blocks.tuning.layer_times"]
    subprocess.run(command, check=True, capture_output=True, timeout=seconds, env=environment)


def _write() -> None:
    names = [*NETWORKS, *WHOLE]
    found = timed([network(name) for name in names])
    path = file()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"fingerprint": fingerprint(), "seconds": dict(zip(names, map(min, found)))})


def _lines(path: Any) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return []


def _version(backend: str) -> list[str]:
    for package in (backend, f"{backend}-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return [importlib.metadata.version(package)]
    return []


if __name__ == "__main__":
    _write()
