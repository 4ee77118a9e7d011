"""A digest of what an architecture is: equal for equal layers, whatever the arguments that led to them."""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_blocks.core.block import Block
from keras_blocks.core.chain import Assign, Fork, LayerSpec, ShapeTensor, Split, walk
from keras_blocks.core.layers import SETTINGS, serialized
from keras_blocks.core.registration import registered_name
from keras_blocks.costs.cost import WEIGHTLESS_TYPES, block_chain, block_key, shape_after
from keras_blocks.models.architecture import Architecture

IGNORED_KEYS = ("name", "trainable", "labels", "remat")
"""Arguments that say nothing of what the layers are: who is trained, and what is kept in memory for it, among them."""


def architecture_digest(cls: type[Architecture], metaparameters: dict[str, Any]) -> str:
    """SHA-256, in hexadecimal, of the layers of an architecture: their classes, names, settings, shapes and order.

    Arguments that a block does not use, and defaults that are given or not, make no difference. No layer is built.

    Args:
        cls: an architecture's class.
        metaparameters: its constructor's arguments.

    Raises:
        TypeError, ValueError: for arguments that the constructor refuses.

    Example: the version of a ResNet's basic block without a stride in its 1x1 convolution is one.

    >>> groups = [{"filters": 8, "blocks": 1}]
    >>> one, other = ({"groups": groups, "block": "basic", "version": version} for version in ("v1", "v1.5"))
    >>> architecture_digest(keras_blocks.ResNet, one) == architecture_digest(keras_blocks.ResNet, other)
    True
    """
    outline = cls.outline(**metaparameters)
    shape = (None, *outline.metaparameters.input_shape)
    found: list[Any] = []

    def visit(step: Any, shape: Any) -> Any:
        found.append([_layer(step, shape) if isinstance(step, LayerSpec) else serialized(step), shape])
        return shape_after(step, shape)

    try:
        outline.assemble(ShapeTensor(shape, visit))
    except (AttributeError, TypeError, ValueError):  # a part that uses Keras' own layers takes no shape alone
        settings = {name: getattr(outline, name) for name in SETTINGS}
        config = serialized({**settings, **outline.metaparameters})
        config = {key: value for key, value in config.items() if key not in IGNORED_KEYS}
        return digest([registered_name(cls), config])
    return digest([shape, outline.metaparameters.include_top, outline.assembly.loss_weights, found])


def digest(value: Any) -> str:
    """SHA-256 of plain data."""
    text = json.dumps(_unplaced(value), sort_keys=True, separators=(",", ":"), default=_text)
    return hashlib.sha256(text.encode()).hexdigest()


def _unplaced(value: Any) -> Any:
    """Keras' configs of objects without the modules that the objects lie in, which may move."""
    if isinstance(value, (list, tuple)):
        return [_unplaced(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    value = {key: _unplaced(item) for key, item in value.items()}
    if not {"module", "class_name", "registered_name", "config"} <= set(value):
        return value
    name = value["registered_name"] or ""
    kept = {key: item for key, item in value.items() if key not in ("module", "class_name")}
    return {**kept, "registered_name": name if ">" in name else f"{value['module']}>{value['class_name']}"}


def _layer(spec: LayerSpec, shape: Any) -> list[Any]:
    """A layer's class, name, dtype and options; in place of a block's options, its layers."""
    name = registered_name(spec.cls)
    dtype = keras.dtype_policies.get(spec.dtype).name
    if not issubclass(spec.cls, Block):
        return [name, spec.name, dtype, serialized(spec.options)]
    weightless = {key: serialized(value) for key, value in spec.options.items() if isinstance(value, WEIGHTLESS_TYPES)}
    return [name, spec.name, dtype, _block(*block_key(spec, shape)), weightless]


@functools.lru_cache(maxsize=2**16)
def _block(*key: Any) -> str:
    """The digest of a block's layers, remembered."""
    (chain, _), shape, found = block_chain(*key), key[2], []

    def visit(spec: Any, shape: Any) -> Any:
        found.append([_layer(spec, shape), shape])
        return shape_after(spec, shape)

    walk(chain, shape, visit)
    return digest([_structure(chain), found])


def _structure(chain: Iterable[Any]) -> list[Any]:
    """The names of a chain's layers, nested as its branches are."""
    found: list[Any] = []
    for step in chain:
        if isinstance(step, Split):
            found.append([[_structure(branch) for branch in step.branches], step.merge.name])
        elif isinstance(step, Fork):
            found.append({name: _structure(branch) for name, branch in step.branches.items()})
        elif isinstance(step, Assign):
            found.append({step.name: _structure(step.chain)})
        else:
            found.append(step.name)
    return found


def _text(value: Any) -> Any:
    return serialized(value) if not isinstance(value, (set, bytes)) else repr(value)
