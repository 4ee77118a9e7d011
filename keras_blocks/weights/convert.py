"""Moves weights into an architecture: from files, from mappings of arrays, from another model. Never from a pickle."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import keras
import numpy as np

from keras_blocks.core.block import Block
from keras_blocks.core.chain import Chain, LayerSpec, branches, specs
from keras_blocks.core.copies import finalized
from keras_blocks.core.graphs import counted_name, sublayers
from keras_blocks.weights.adapting import Adapting
from keras_blocks.weights.files import read_arrays
from keras_blocks.weights.forms import joined_scales, layers_of, named_by_paths

Arrays: TypeAlias = Mapping[str, Any]
Names: TypeAlias = Mapping[str, str]
M = TypeVar("M", bound=keras.Model)


def convert_weights(source: Arrays | str | os.PathLike[str] | keras.Model, model: M) -> M:
    """Copies weights from elsewhere into a model, all or none.

    A convolution's bias that the source has and the model lacks, as a BatchNormalization follows, is folded into the
    moving mean, exactly; one that the model has and the source lacks becomes zero where a BatchNormalization follows.

    Args:
        source: a Keras model of the same architecture, of ours or of keras.applications; a mapping of name -> array,
            such as a PyTorch `state_dict` as numpy; or the path of an `.npz` or `.safetensors` file of such (the
            second needs the extra `keras-blocks[safetensors]`). Names are our own `layer/sublayer/variable`
            (`named_weights(model)`), Keras' `variable.path`, or those of one of the conventions in
            `model.weight_names()`, such as those of keras.applications, torchvision and timm. Kernels are (height,
            width, in, out), or PyTorch's (out, in, height, width) under PyTorch's names.
        model: a built model, which is changed in place.

    Returns:
        `model`.

    Raises:
        ImportError: for a `.safetensors` file without the library.
        TypeError: for a source of another kind, and for what is no model.
        ValueError: for a file of another kind, such as a pickle, a damaged one, or one far larger than the model;
            where a weight is missing, left over, of another shape, no number or not finite; where the shapes fit, but
            the network that has these names is another (see `misfit`): it names both sides, and the model is unchanged.

    Example:

    >>> import keras, keras_blocks
    >>> theirs = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3))
    >>> ours = keras_blocks.create_model("resnet50_v1", include_top=False, input_shape=(64, 64, 3))
    >>> ours = keras_blocks.convert_weights(theirs, ours)
    """
    return adapted_weights(source, model, Adapting())


def adapted_weights(source: Arrays | str | os.PathLike[str] | keras.Model, model: M, adapting: Adapting) -> M:
    """`convert_weights`, for a model that may have other classes or channels; `adapting` then has notes of it."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model, such as `create_model` gives; received {model!r}.")
    targets = named_weights(model)
    arrays = named_by_paths(_arrays(source, model), targets)
    alike = isinstance(source, keras.Model) and _in_order(source) == _in_order(model)
    counted = _counted_from_zero(model) if alike else {}
    convention, names = _best_convention(arrays, targets, model, counted)
    arrays = _best_order(arrays, names, targets, model)
    found, problems, advice = _matched(arrays, names, targets, model, adapting)
    if not problems:
        found, problems = _assignable(found, names, targets)
    if not problems and convention is not None:
        problems = _other_network(convention, model)
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise ValueError(f"the weights do not fit '{model.name}', which is unchanged: {shown}.{advice}")
    for name, value in found.items():
        targets[name].assign(value)
    finalized(model)
    return model


def _matched(
    arrays: Arrays, names: Names, targets: Arrays, model: Any, adapting: Adapting
) -> tuple[dict[str, Any], list[str], str]:
    """The array for each of the model's weights, what is missing, left over or of another shape, and what to do."""
    normalizations = _normalizations(model)
    found: dict[str, Any] = {}
    problems = {}
    for name, variable in targets.items():
        key = _renamed(name, names)
        shape = tuple(variable.shape)
        if key in arrays:
            theirs = tuple(np.shape(arrays[key]))
            if theirs != shape:
                problems[name] = f"the model's {name} has the shape {shape}, the source's {key} {theirs}"
            found[name] = arrays[key]
        elif name.removesuffix("/bias") in normalizations:
            found[name] = np.zeros(shape, "float32")
        else:
            problems[name] = f"the model's {name}, of the shape {shape}, has no counterpart: the source has no '{key}'"
    if problems:
        adapting.apply(found, problems, targets, lambda name: _all_in_top([name], model))
    left_over = _fold_or_report(arrays, names, targets, found, normalizations, _known_layers(model))
    advice = top_advice(model) if problems and not left_over and _all_in_top(problems, model) else ""
    return found, [*problems.values(), *left_over], advice


def _other_network(convention: str, model: Any) -> list[str]:
    """Why the network that has these names is another than this one, of the same shapes."""
    reason = model.misfit(convention)
    if reason is None:
        return []
    return [
        f"its shapes are those of the names called '{convention}', but {reason}. Weights of a network that is this one "
        f"fit under its own names, which are the keys of `model.weight_names()['{convention}']`"
    ]


def top_advice(model: Any) -> str:
    """What to do where all but the classifier fits; "" for a model that has none."""
    metaparameters = getattr(model, "metaparameters", {})
    if not metaparameters.get("include_top") or "classes" not in metaparameters:
        return ""
    return (
        f" All but the classifier fits, which has classes={metaparameters['classes']} here: `include_top=False` takes "
        "the weights without it; `create_model(..., weights=..., classes=...)` all but it; or give `classes` as the "
        "source has them."
    )


def _all_in_top(names: Iterable[str], model: Any) -> bool:
    """Whether these weights are all of layers behind the last feature map."""
    if not getattr(model, "features", None):
        return False
    *_, last = model.features.values()
    before = {layer.name for layer in keras.Model(model.inputs, last).layers}
    return before.isdisjoint(name.partition("/")[0] for name in names)


def _assignable(found: Arrays, names: Names, targets: Arrays) -> tuple[dict[str, Any], list[str]]:
    """The arrays as the variables hold them, and what is wrong with those that these cannot hold."""
    values, problems = {}, []
    for name, array in found.items():
        key, dtype = _renamed(name, names), np.dtype(keras.backend.standardize_dtype(targets[name].dtype))
        with np.errstate(over="ignore", invalid="ignore"):
            values[name] = array.astype(dtype)
        bad = array.size - np.count_nonzero(np.isfinite(values[name].astype("float32")))
        if bad:
            problems.append(f"the source's {key} has {bad} of {array.size} values that are not finite as {dtype}")
    return values, problems


def _arrays(source: Any, model: Any) -> Arrays:
    """The source as name -> array, PyTorch's variables renamed as Keras'."""
    if isinstance(source, (str, os.PathLike)):
        source = read_arrays(source, most_bytes=16 * model.count_params() + 2**20)
    elif isinstance(source, keras.Model):
        names = _counted_from_zero(source)
        return {
            f"{names.get(layer, layer)}/{rest}": value.numpy()
            for (layer, _, rest), value in ((name.partition("/"), v) for name, v in _flat_weights(source).items())
        }
    elif not isinstance(source, Mapping):
        raise TypeError(f"`source` must be a mapping, the path of a file or a model; received {source!r}.")
    source = numbers = {name: _numbers(name, value) for name, value in source.items()}
    if not any(name.endswith(".weight") for name in source):
        return joined_scales(numbers)
    arrays = {}
    for name, value in source.items():
        layer, _, variable = name.removeprefix("module.").rpartition(".")
        normalizes = f"{name.rpartition('.')[0]}.running_mean" in source
        if variable != "num_batches_tracked":
            arrays[f"{layer}/{_TORCH_VARIABLES[normalizes].get(variable, variable)}"] = value
    return arrays


def _numbers(name: Any, value: Any) -> Any:
    """One array of the source, as numpy has it: integers or floats, and nothing else."""
    if not isinstance(name, str):
        raise TypeError(f"`source` must be a mapping with names as keys; received the key {name!r}.")
    try:
        array = np.asarray(value)
    except Exception as error:  # what a tensor of another library raises, or lists of several lengths
        raise ValueError(f"`source` must have arrays; '{name}' cannot become one: {error}") from error
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise ValueError(f"`source` must have arrays of floats or integers; received '{name}' as {array.dtype.name}.")
    return array


def _counted_from_zero(model: Any) -> Arrays:
    """Names of layers that Keras counted -> as if it had begun to count in this model: `conv2d`, `conv2d_1`, ...

    It goes on counting through a whole process, and so a network's layers without names have others the second time.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for layer in layers_of(model):
        if (kind := counted_name(layer)) is not None:
            number = layer.name.removeprefix(kind).removeprefix("_")
            found.setdefault(kind, []).append((int(number or 0), layer.name))
    return {
        name: kind if rank == 0 else f"{kind}_{rank}"
        for kind, counted in found.items()
        for rank, (_, name) in enumerate(sorted(counted))
    }


def _in_order(model: Any) -> list[str]:
    """The counted names of a model's layers, in its own order: layers of one kind may have been made in another."""
    names = _counted_from_zero(model)
    return [names[layer.name] for layer in layers_of(model) if layer.name in names]


_TORCH_VARIABLES = {
    True: {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"},
    False: {"weight": "kernel"},
}


def _best_convention(
    arrays: Arrays, targets: Arrays, model: Any, counted: Names | None = None
) -> tuple[str | None, Names]:
    """Of the architecture's naming conventions, the one by which most weights are found: its name, our layer -> theirs.

    Where two find as many, the one that knows more of the source's layers: they may differ in the top alone, which the
    model may lack. `counted` has names of layers that Keras has counted, see `_counted_from_zero`.
    """
    conventions: list[tuple[str | None, Names]] = [(None, {}), (None, counted or {})]
    conventions += model.weight_names().items() if hasattr(model, "weight_names") else []
    layers = {key.rpartition("/")[0] for key in arrays}

    def fit(convention: tuple[str | None, Names]) -> tuple[int, int]:
        names = convention[1]
        return sum(_renamed(name, names) in arrays for name in targets), len(layers.intersection(names.values()))

    return max(conventions, key=fit)


def _renamed(name: str, names: Names) -> str:
    layer, _, variable = name.rpartition("/")
    return f"{names.get(layer, layer)}/{variable}"


def _best_order(arrays: Arrays, names: Names, targets: Arrays, model: Any) -> Arrays:
    """The arrays in Keras' order of axes or turned from PyTorch's to it, by which more of their shapes fit.

    Names do not tell: files exist that have PyTorch's names and Keras' order.
    """
    back = {_renamed(name, names): name for name in targets}
    turned = {key: _turned(value, targets.get(back.get(key, ""))) for key, value in arrays.items()}
    if hasattr(model, "from_torch"):
        turned = {key: model.from_torch(back.get(key, key), value) for key, value in turned.items()}

    # A convolution over the whole map is a dense layer: timm's heads have such.
    dense = {key for key, name in back.items() if len(targets[name].shape) == 2}
    turned = {k: v.reshape(-1, v.shape[-1]) if k in dense and np.ndim(v) == 4 else v for k, v in turned.items()}

    def fitting(candidate: Any) -> int:
        keys = {name: _renamed(name, names) for name in targets}
        return sum(np.shape(candidate.get(keys[name])) == tuple(weight.shape) for name, weight in targets.items())

    return turned if fitting(turned) > fitting(arrays) else arrays


_TORCH_AXES = {4: (2, 3, 1, 0), 3: (2, 1, 0), 2: (1, 0)}


def _turned(value: Any, target: Any) -> Any:
    """PyTorch's array with Keras' order of axes. A depthwise kernel has there as many groups as channels."""
    turned = np.transpose(value, _TORCH_AXES.get(np.ndim(value)))
    if np.ndim(value) == 4 and value.shape[1] == 1 and target is not None and len(target.shape) == 4:
        height, width, channels, multiplier = target.shape
        if (height, width, 1, channels * multiplier) == turned.shape:
            return turned.reshape(target.shape)
    return turned


def _known_layers(model: Any) -> set[str]:
    """Paths of all layers that the architecture may have, in this model or left out of it, as its top."""
    conventions = model.weight_names().values() if hasattr(model, "weight_names") else ()
    return {layer for names in conventions for layer in names}


def _fold_or_report(
    arrays: Arrays, names: Names, targets: Arrays, found: Any, normalizations: Names, known: set[str]
) -> list[str]:
    """Folds what the source has beyond the model's weights into them where that is exact; reports the rest."""
    used = {_renamed(name, names) for name in found}
    ours = {theirs: layer for layer, theirs in names.items()}
    built = {name.rpartition("/")[0] for name in targets}
    problems = []
    for key in arrays:
        layer, _, variable = key.rpartition("/")
        mine = ours.get(layer, layer)
        mean = f"{normalizations.get(mine)}/moving_mean"
        if key in used or (mine in known and mine not in built):
            continue  # the second: a part that this model was made without, as its top
        if variable == "bias" and np.shape(found.get(mean)) == np.shape(arrays[key]):
            found[mean] = found[mean] - arrays[key]
        else:
            problems.append(f"the source's {key}, of the shape {tuple(np.shape(arrays[key]))}, fits no weight")
    return problems


def named_weights(model: Any) -> Arrays:
    """`layer/sublayer/variable` -> variable, for all weights of a model, in their order."""
    return _named(model, model.layers)


def _flat_weights(source: Any) -> Arrays:
    """The weights of a model of others, whose nested models are no layers, unless two layers are then called alike."""
    try:
        return _named(source, layers_of(source))
    except ValueError:
        return named_weights(source)


def _named(model: Any, layers: Iterable[Any]) -> Arrays:
    named = [
        (f"{path}/{variable.name}", variable)
        for layer in layers
        for path, weights in _parts(layer.name, layer)
        for variable in weights
    ]
    if len(dict(named)) != len(named):
        double = sorted({name for name, _ in named if [other for other, _ in named].count(name) > 1})
        raise ValueError(f"several weights of '{model.name}' have the same name: {double[:5]}.")
    return dict(named)


def _parts(path: str, layer: Any) -> Iterator[tuple[str, list[Any]]]:
    """(path, weights) of a layer and all layers inside of it."""
    if isinstance(layer, Block):
        inner = [(spec.name, getattr(layer, spec.name)) for spec in specs(layer.chain_for(None))]
    else:
        inner = [(part.name, part) for part in sublayers(layer)]
    theirs = {id(weight) for _, part in inner for weight in part.weights}
    yield path, [weight for weight in layer.weights if id(weight) not in theirs]
    for name, part in inner:
        yield from _parts(f"{path}/{name}", part)


def _normalizations(model: Any) -> Arrays:
    """Path of each convolution that a BatchNormalization directly follows in its chain -> that one's path."""
    return dict(
        pair
        for layer in model.layers
        if isinstance(layer, Block)
        for pair in _followed(layer.name, layer, layer.chain_for(None))
    )


def _followed(path: str, block: Block, chain: Chain) -> Iterator[tuple[str, str]]:
    for step, after in zip(chain, [*chain[1:], None]):
        for branch in branches(step):
            yield from _followed(path, block, branch)
        if not isinstance(step, LayerSpec):
            continue
        if issubclass(step.cls, Block):
            inner = getattr(block, step.name)
            yield from _followed(f"{path}/{step.name}", inner, inner.chain_for(None))
        elif isinstance(after, LayerSpec) and issubclass(after.cls, keras.layers.BatchNormalization):
            yield f"{path}/{step.name}", f"{path}/{after.name}"
