"""Moves weights into an architecture: from files, from mappings of arrays, from another model. Never from a pickle."""

import os
import zipfile
from collections.abc import Mapping

import keras
import numpy as np

from keras_blocks.block import Block
from keras_blocks.chain import specs

SUFFIXES = (".npz", ".weights.h5", ".keras")


def convert_weights(source, model):
    """Copies weights from elsewhere into a model, all or none.

    Args:
        source: a mapping of name -> array; the path of an `.npz` file of such; or a model of the same architecture.
            Names are `layer/sublayer/variable` as in `named_weights(model)`, or those that the architecture's
            published weights have (`model.published_names()`), for SqueezeNet `fire2/squeeze1x1/kernel`. Kernels are
            (height, width, in, out).
        model: a built model, which is changed in place.

    Returns:
        `model`.

    Raises:
        TypeError: for a source of another kind.
        ValueError: where a weight is missing, left over or of another shape; it names both sides, and the model is
            unchanged.

    Example:

    >>> import keras_blocks
    >>> options = dict(groups=[{"filters": [4]}], stem="tiny", input_shape=(8, 8, 1), classes=10)
    >>> one, other = keras_blocks.SqueezeNet(**options), keras_blocks.SqueezeNet(**options)
    >>> other = keras_blocks.convert_weights(one, other)
    >>> bool((other.get_weights()[0] == one.get_weights()[0]).all())
    True
    """
    targets = named_weights(model)
    if isinstance(source, (str, os.PathLike)):
        source = _read_npz(source, most_bytes=16 * model.count_params() + 2**20)
    elif isinstance(source, keras.Model):
        source = {name: value.numpy() for name, value in named_weights(source).items()}
    elif not isinstance(source, Mapping):
        raise TypeError(f"`source` must be a mapping, the path of an .npz file or a model; received {source!r}.")
    published = _published(model)
    found, problems = {}, []
    for name in targets:
        alias = _alias(name, published)
        key = name if name in source else alias
        if key not in source:
            problems.append(f"the model's {name} has no counterpart: the source has neither '{name}' nor '{alias}'")
        elif tuple(np.shape(source[key])) != tuple(targets[name].shape):
            problems.append(
                f"the model's {name} has the shape {tuple(targets[name].shape)}, the source's {key} "
                f"{tuple(np.shape(source[key]))}"
            )
        else:
            found[name] = key
    absent = {alias for layer, alias in published.items() if not any(name.startswith(f"{layer}/") for name in targets)}
    for key in source:
        if key not in found.values() and key.rsplit("/", 1)[0] not in absent:
            problems.append(f"the source's {key}, of the shape {tuple(np.shape(source[key]))}, fits no weight")
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise ValueError(f"the weights do not fit '{model.name}', which is unchanged: {shown}.")
    for name, key in found.items():
        targets[name].assign(source[key])
    return model


def load_weights(model, path):
    """Loads a file's weights into a model: `.npz` by `convert_weights`, `.weights.h5`, or a whole `.keras` model's."""
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    if not name.endswith(SUFFIXES):
        raise ValueError(f"`weights` must be None or a path that ends with one of {list(SUFFIXES)}; received {path!r}.")
    if name.endswith(".weights.h5"):
        model.load_weights(name)
    elif name.endswith(".keras"):
        convert_weights(keras.saving.load_model(name, compile=False), model)
    else:
        convert_weights(name, model)


def named_weights(model) -> dict:
    """`layer/sublayer/variable` -> variable, for all weights of a model, in their order."""
    return {
        f"{path}/{variable.name}": variable
        for layer in model.layers
        for path, part in _parts(layer.name, layer)
        for variable in part.weights
    }


def _parts(path, layer):
    """The layer itself, or for a block its sublayers with their paths, nested blocks' too."""
    if not isinstance(layer, Block):
        yield path, layer
        return
    for spec in specs(layer.steps(None)):
        yield from _parts(f"{path}/{spec.name}", getattr(layer, spec.name))


def _published(model) -> dict:
    return model.published_names() if hasattr(model, "published_names") else {}


def _alias(name, published) -> str:
    layer, _, variable = name.rpartition("/")
    return f"{published.get(layer, layer)}/{variable}"


def _read_npz(path, most_bytes) -> dict:
    """The arrays of an .npz file, refused before it is unpacked where that would take far more than the model does."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > most_bytes:
        raise ValueError(f"{path} unpacks to {size} bytes; weights of this model take {most_bytes} at most.")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
