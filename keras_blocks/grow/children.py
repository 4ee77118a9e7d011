"""A model of other metaparameters, before it has anything of what its parent learned."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_blocks.core import validation
from keras_blocks.core.copies import config_of, like
from keras_blocks.core.keywords import accepted, refuse_unknown
from keras_blocks.models.around_backbone import AroundBackbone
from keras_blocks.models.network import Network
from keras_blocks.models.preprocessing import shape_after
from keras_blocks.models.rcnn import RCNN
from keras_blocks.typing import Shape

Changes = Mapping[str, Any]

SIZES = ("image_size", "input_shape", "preprocess", "region_size")
"""What a model around a backbone may be given that changes the images which the backbone sees."""


def child_of(model: keras.Model, metaparameters: Changes, blocks: Mapping[str, Changes] | None) -> keras.Model:
    """A model of the model's class, with weights as initialized.

    Args:
        model, blocks: see `grow`.
        metaparameters: arguments of an architecture's constructor that become others.

    Raises:
        TypeError, ValueError: see `grow`.
    """
    if not isinstance(model, Network):
        return _clone(model, metaparameters, blocks)
    if blocks is not None:
        raise ValueError(
            f"`blocks` must be None for an architecture, whose layers follow from its metaparameters: give those of "
            f"{type(model).__name__} by name; received {blocks!r}."
        )
    return (_around if isinstance(model, AroundBackbone) else _architecture)(model, metaparameters)


def _architecture(model: Network, metaparameters: Changes) -> keras.Model:
    """An architecture of other metaparameters."""
    config = {key: value for key, value in model.get_config().items() if key != "frozen"}
    changed = dict(metaparameters)
    if "preprocess" in changed:
        changed["preprocess"] = [keras.saving.serialize_keras_object(layer) for layer in _list(changed)]
    if "dtype" in changed:
        changed["dtype"] = keras.dtype_policies.serialize(keras.dtype_policies.get(changed["dtype"]))
    child: keras.Model = type(model).from_config({**config, **changed})
    return child


def _around(model: AroundBackbone, metaparameters: Changes) -> keras.Model:
    """A model around a backbone: what is no argument of its own is one of the backbone's, as at its construction."""
    own = model.get_config()
    if "backbone" in metaparameters:
        raise ValueError(
            "`backbone` of a model that is grown keeps its class: give those of its arguments that become others, as "
            f"in grow(model, groups=...); received backbone={metaparameters['backbone']!r}."
        )
    mine = {name: value for name, value in metaparameters.items() if name in own}
    inner = {name: value for name, value in metaparameters.items() if name not in own}
    backbone = model.backbone
    if inner and not isinstance(backbone, Network):
        raise ValueError(
            f"{type(model).__name__} takes no {', '.join(map(repr, inner))}, and its backbone '{backbone.name}' is a "
            f"{type(backbone).__name__} without metaparameters: begin with a backbone that is an architecture of "
            "keras_blocks, given by name, by class, or as a model."
        )
    refuse_unknown(type(model), inner, accepted(type(backbone)), (*own, *accepted(type(backbone))))
    if not isinstance(backbone, Network):
        return _architecture(model, mine)
    if any(name in mine for name in SIZES):
        inner["input_shape"] = _seen_by_backbone(model, {**own, **mine})
    if "dtype" in mine:
        inner["dtype"] = mine["dtype"]
    grown = _architecture(backbone, inner)
    return _architecture(model, {**mine, "backbone": keras.saving.serialize_keras_object(grown)})


def _seen_by_backbone(model: AroundBackbone, own: Changes) -> Shape:
    """The shape of the images that the backbone of a model of these arguments is given."""
    layers = [keras.saving.deserialize_keras_object(one) if isinstance(one, dict) else one for one in _list(own)]
    given = tuple(own["input_shape"])
    shape: Shape = shape_after(layers, given) or given
    name = "region_size" if isinstance(model, RCNN) else "image_size"
    size = validation.optional(validation.pair, name, own.get(name))
    if size is None:
        return shape
    return (shape[0], *size) if model.data_format == "channels_first" else (*size, shape[-1])


def _list(own: Changes) -> list[Any]:
    layers = own["preprocess"]
    return [layers] if isinstance(layers, keras.layers.Layer) else list(layers or ())


def _clone(model: keras.Model, metaparameters: Changes, blocks: Mapping[str, Changes] | None) -> keras.Model:
    """A model of layers some of which have other arguments."""
    if not isinstance(model, keras.Sequential | keras.Function):
        raise TypeError(
            f"`model` must be an architecture, a Sequential or a functional model; '{model.name}' is a "
            f"{type(model).__name__}, of which only its `call` knows how its layers follow."
        )
    if metaparameters:
        raise TypeError(
            f"`grow` takes metaparameters for architectures; of '{model.name}', name the layers whose arguments become "
            f"others, as in {{'fire': {dict(metaparameters)!r}}}; received {', '.join(metaparameters)}."
        )
    if blocks is None:
        raise TypeError(
            f"`grow` takes the layers of '{model.name}' whose arguments become others, as it is no architecture: "
            "grow(model, {'fire': {'filters': 32}}); received none."
        )
    changes = validation.mapping("blocks", blocks)
    names = [layer.name for layer in model.layers]
    for name, arguments in changes.items():
        validation.choice("blocks", name, names, where=f"the layers of '{model.name}'")
        validation.mapping(f"blocks[{name!r}]", arguments)

    def changed(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = config_of(layer)
        new = changes.get(layer.name, {})
        if unknown := [key for key in new if key not in config]:
            raise TypeError(
                f"{type(layer).__name__} '{layer.name}' has no {', '.join(map(repr, unknown))}; it has "
                f"{', '.join(sorted(config))}."
            )
        made: keras.layers.Layer = like(layer, **new)
        return made

    compiled, model.compiled = model.compiled, False  # or Keras compiles the clone from names alone
    try:
        child: keras.Model = keras.models.clone_model(model, clone_function=changed)
    finally:
        model.compiled = compiled
    if type(child) is not type(model):  # as Keras' clones of what is derived of `keras.Model` are
        raise TypeError(
            f"`model` must be an architecture, a Sequential or a functional model; '{model.name}' is a "
            f"{type(model).__name__}, derived of one, of which a child would have the graph alone: grow "
            f"`keras.Model(model.inputs, model.outputs)`, or make it an architecture of your own."
        )
    return child
