"""Forms in which others keep what is one layer or one model of ours."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras


def joined_scales(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Caffe's normalization is two layers, one for the statistics, one that scales and shifts: the names as of one.

    Example:

    >>> sorted(joined_scales({"bn2a_branch1/moving_mean": 0.0, "scale2a_branch1/gamma": 1.0}))
    ['bn2a_branch1/gamma', 'bn2a_branch1/moving_mean']
    """
    return {_of_statistics(name, arrays): value for name, value in arrays.items()}


def _of_statistics(name: str, arrays: Mapping[str, Any]) -> str:
    for pattern, layer in ((r"(.+)/scale/(gamma|beta)", r"\1"), (r"scale(.+)/(gamma|beta)", r"bn\1")):
        if (found := re.fullmatch(pattern, name)) and f"{found.expand(layer)}/moving_mean" in arrays:
            return f"{found.expand(layer)}/{found[2]}"
    return name


def named_by_paths(arrays: Mapping[str, Any], targets: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arrays under our names, where they have those by which Keras calls a model's variables, its `path`s.

    Args:
        arrays: name -> array.
        targets: our name -> the model's variable.

    Raises:
        ValueError: for two paths of one variable.
    """
    ours = {variable.path: name for name, variable in targets.items()}
    if len(arrays.keys() & ours.keys()) <= len(arrays.keys() & targets.keys()):
        return arrays
    found: dict[str, str] = {}
    for path in arrays:
        name = ours.get(path) or _without_outer_names(path)
        if name in found and name in targets:
            raise ValueError(f"Both {found[name]!r} and {path!r} are the variable {name!r}: leave one of them out.")
        found[path if name in found else name] = path
    return {name: arrays[path] for name, path in found.items()}


def _without_outer_names(path: str) -> str:
    """Of a part that the model may lack: a block's layers have its name before their own in a path."""
    parts = path.split("/")
    return "/".join([parts[0], *(part.removeprefix(f"{outer}_") for outer, part in itertools.pairwise(parts))])


def layers_of(model: Any) -> Iterator[Any]:
    """The layers of a model and of the models nested in it, as KerasHub's classifiers have their backbone."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer
