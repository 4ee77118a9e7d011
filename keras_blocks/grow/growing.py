"""A model with other metaparameters that begins with what a model has learned."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_blocks.core import validation
from keras_blocks.core.arrays import as_float64
from keras_blocks.grow.carrying import Child
from keras_blocks.grow.children import child_of
from keras_blocks.grow.evaluating import Parent
from keras_blocks.grow.flat import flat_of
from keras_blocks.grow.moments import compile_alike
from keras_blocks.grow.values import Numbers
from keras_blocks.models.detector import Detector

UNKNOWN_SIZE = 64
"""Height and width of the images that a model of any size is tried with."""


@dataclasses.dataclass(frozen=True)
class Grown:
    """A child, and how near it is to its parent.

    Attributes:
        model: the child.
        exact: whether it is proved that it computes what the parent does.
        notes: name of a layer -> why it does not make what the parent's of this name makes.
        removed: names of the parent's layers that the child has none of.
        difference: the largest one of both models' outputs for random images; `None` where they cannot be compared.
    """

    model: keras.Model
    exact: bool
    notes: Mapping[str, str]
    removed: tuple[str, ...]
    difference: float | None


def grow(
    model: keras.Model,
    blocks: Mapping[str, Mapping[str, Any]] | None = None,
    /,
    *,
    break_ties: float = 0.0,
    **metaparameters: Any,
) -> keras.Model:
    """A model of other metaparameters that begins with what a model has learned.

    The child is the same architecture with the metaparameters replaced that are given: more or wider groups, a larger
    `expand_ratio`, `cardinality` or growth rate, an attention, larger kernels. In inference its outputs are the
    model's, to rounding, where the change allows it: wider layers have copies of the model's channels, which share
    their outgoing weights; a new residual block ends in a scale of zero, a new layer of a plain network passes on what
    it is given; the gates of a new attention are the same for each channel, and undone by the layer before them or
    behind. Otherwise the child has the nearest start, and a warning names the layers and says why. Either is found by
    following each channel through both models, not by trying.

    The statistics of normalizations go along; a model that is compiled gives a child that is, with the optimizer's
    state: copied weights have the moments of the weights they are copies of, new ones what the optimizer begins
    with. Layers that are frozen stay so. The model itself is left as it is.

    Args:
        model: an architecture of the library, or one of your own, a subclass of `Architecture`; with `blocks`, a
            `Sequential` or functional model.
        blocks: for a model that is no architecture: name of a layer -> those of its arguments that become others, as
            in `{"fire": {"filters": 32}}`. Layers are not added.
        break_ties: standard deviation of the noise on copied channels, over that of the kernel. Copies that are alike
            get gradients that are alike, and would stay so but for dropout; with noise, such as 0.01, they part from
            the beginning, and the outputs are the model's only nearly.
        **metaparameters: arguments of the architecture's constructor that become others.

    Returns:
        A new model of the model's class.

    Raises:
        TypeError: for what is no such model; for an argument that it does not take.
        ValueError: as the constructor does; for `blocks` that the model has not, or that an architecture is given.

    Reference:
        Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", 2016, section 2 (wider and
        deeper networks); Elsken, Metzen and Hutter, "Efficient Multi-objective Neural Architecture Search via
        Lamarckian Evolution", 2019, section 3.1.

    Example:

    >>> import keras_blocks
    >>> small = keras_blocks.ResNet(
    ...     groups=[{"filters": 4, "blocks": 1}, {"filters": 8, "blocks": 1}],
    ...     block="basic", stem="cifar", input_shape=(16, 16, 3), classes=10,
    ... )
    >>> large = keras_blocks.grow(small, groups=[{"filters": 8, "blocks": 2}, {"filters": 12, "blocks": 3}])
    >>> small.count_params(), large.count_params()
    (1526, 10586)
    """
    found = grown(model, metaparameters, blocks, break_ties)
    if message := told(found, break_ties):
        warnings.warn(message, stacklevel=2)
    return found.model


def grown(
    model: keras.Model,
    metaparameters: Mapping[str, Any],
    blocks: Mapping[str, Mapping[str, Any]] | None = None,
    break_ties: float = 0.0,
) -> Grown:
    """`grow`, with what there is to say of it."""
    break_ties = validation.number("break_ties", break_ties, least=0, most=10)
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model; received {type(model).__name__}.")
    child = child_of(model, metaparameters, blocks)
    carried = carry(model, child, break_ties)
    _freeze_alike(carried)
    compile_alike(child, model, carried.transfers)
    removed = () if carried.exact else tuple(carried.removed())
    return Grown(child, carried.exact, carried.notes, removed, difference(model, child))


def carry(model: keras.Model, child: keras.Model, break_ties: float = 0.0) -> Child:
    """Gives a model that is there the weights with which it makes what another one does, or the nearest.

    Args:
        model: the parent, which is left as it is.
        child: that gets the weights.
        break_ties: see `grow`.

    Returns:
        What became of them: whether it is `exact`, and the `notes`.

    Raises:
        ValueError: where a model cannot be gone through. The child may have some of the weights then.
    """
    return Child(flat_of(child), Parent(flat_of(model), Numbers()), break_ties)


def told(found: Grown, break_ties: float = 0.0) -> str | None:
    """What a user must know of a child; `None` where it is the parent."""
    by = "" if found.difference is None else f" (by up to {found.difference:.2g} for random images)"
    if found.exact:
        far = found.difference is not None and found.difference > 1e-4 and not break_ties
        return f"the grown model should have its parent's outputs, and differs{by}." if far else None
    reasons = [f"'{name}' {reason}" for name, reason in found.notes.items()]
    more = f"; and {len(reasons) - 4} more" if len(reasons) > 4 else ""
    gone = f" It has no {', '.join(map(repr, found.removed[:4]))}, which the parent has." if found.removed else ""
    why = "; ".join(reasons[:4]) + more if reasons else "its outputs are not as many"
    return f"the grown model begins near its parent, and does not have its outputs{by}: {why}.{gone}"


def difference(model: keras.Model, child: keras.Model) -> float | None:
    """The largest difference of two models' outputs for random images, over the largest output where that is over 1.

    Detections are not compared: which of two boxes comes first, or suppresses the other, may be decided by rounding.
    """
    if isinstance(model, Detector) or isinstance(getattr(model, "input", None), dict):
        return None
    inputs = [_random(tensor) for tensor in model.inputs]
    mine = [tuple(tensor.shape) for tensor in child.inputs]
    if any(one is None for one in inputs) or mine != [tuple(tensor.shape) for tensor in model.inputs]:
        return None
    given = inputs[0] if len(inputs) == 1 else inputs
    outputs = [keras.tree.flatten(one(given, training=False)) for one in (model, child)]
    arrays = [[as_float64(x) for x in one] for one in outputs]
    if [array.shape for array in arrays[0]] != [array.shape for array in arrays[1]]:
        return None
    found = [np.abs(a - b).max() / max(1.0, np.abs(a).max()) for a, b in zip(*arrays) if a.size]
    return float(max(found)) if found else None


def _random(tensor: Any) -> Any:
    """Random images for an input, from -1 to 1; `None` where it takes something else."""
    if "float" not in tensor.dtype or len(tensor.shape) not in (2, 4):
        return None
    shape = (2, *(size or UNKNOWN_SIZE for size in tensor.shape[1:]))
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def _freeze_alike(carried: Child) -> None:
    for inner in carried.within:
        _freeze_alike(inner)
    for call in carried.flat.calls:
        twin = carried.twin(call)
        if twin is not None and isinstance(twin.layer, keras.layers.Layer) and not twin.layer.trainable:
            call.layer.trainable = False
