"""What is set on the layers inside of a block or a model after they were made, and would not come back with a file.

A block's layers follow from its arguments, a model's from its metaparameters, and so a config holds those alone. What
differs from what the layers were made with is kept beside them: dtype policies, quantization, LoRA, and plain values.
"""

from collections.abc import Mapping
from typing import Any

import keras

from keras_blocks.core.layers import LayerFactory

POLICY = ("dtype", "quantization_config")
LORA = ("lora_rank", "lora_alpha")


class Untracked:
    """A config that a layer holds, such as the one it was made with: Keras would wrap a dict, and look into it."""

    __slots__ = ("config",)

    def __init__(self, config: Mapping[str, Any]):
        self.config = config


def remember(layer: Any) -> Any:
    """Keeps what a layer, and those of a model, were made with, unless that is known. Returns the layer."""
    if getattr(layer, "_declared", None) is None:
        layer._declared = Untracked(_config(layer))
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            remember(inner)
    return layer


def changes(layer: Any) -> dict[str, Any]:
    """Key of the layer's config -> its value, where it differs from what the layer was made with."""
    declared = getattr(layer, "_declared", None)
    if declared is None:
        return {}
    before, now = declared.config, _config(layer)
    keys = [key for key in now if key in (*POLICY, *LORA) or (_plain(before.get(key)) and _plain(now[key]))]
    return {key: now[key] for key in keys if now[key] != before.get(key)}


def quantized(layer: Any, kept: Mapping[str, Any]) -> Any:
    """The layer, not built yet, or one in its place that will be built with quantized weights."""
    policy = {key: kept[key] for key in POLICY if key in kept}
    if keras.dtype_policies.get(policy.get("dtype", "float32")).quantization_mode in (None, "float8"):
        return layer  # float8 only adds weights, which `restore` does: behind the others, as it was
    other = type(layer).from_config({**layer.get_config(), **policy})
    other._declared = layer._declared
    return other


def restore(layer: Any, kept: Mapping[str, Any]) -> None:
    """Sets on a built layer what `changes` gave."""
    if "dtype" in kept:
        policy = keras.dtype_policies.get(kept["dtype"])
        if policy.quantization_mode is None:
            layer.dtype_policy = policy
        elif layer.quantization_mode is None:
            config = keras.saving.deserialize_keras_object(kept.get("quantization_config"))
            layer.quantize(policy.quantization_mode, **({} if config is None else {"config": config}))
    if kept.get("lora_rank") and not layer.lora_enabled:
        layer.enable_lora(kept["lora_rank"], lora_alpha=kept.get("lora_alpha"))
    if rest := {key: value for key, value in kept.items() if key not in (*POLICY, *LORA)}:
        twin = type(layer).from_config({**layer.get_config(), **rest})
        for key in rest:
            setattr(layer, key, getattr(twin, key))


def _config(layer: Any) -> dict[str, Any]:
    """The layer's config, but for what is kept otherwise; of blocks and models, the dtype policy alone."""
    if isinstance(layer, LayerFactory | keras.Model):
        return {"dtype": _apart(keras.dtype_policies.serialize(layer.dtype_policy))}
    try:
        config = layer.get_config()
    except (AttributeError, NotImplementedError, TypeError, ValueError):  # of a layer that cannot be saved
        return {}
    return {key: _apart(value) for key, value in config.items() if key not in ("name", "trainable")}


def _apart(value: Any) -> Any:
    """The value without the numbers by which Keras, while it saves or loads, tells which objects are one."""
    if isinstance(value, dict):
        return {key: _apart(item) for key, item in value.items() if key != "shared_object_id"}
    return value


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
