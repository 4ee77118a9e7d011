"""What models around a backbone have in common: it is a metaparameter, frozen by name, and keeps what is set on it."""

from collections.abc import Mapping
from typing import Any, Self

import keras

from keras_blocks.core.inner import changes
from keras_blocks.models.backbones import feature_names_of, layers_up_to
from keras_blocks.models.levels import named_levels, set_levels
from keras_blocks.models.network import Network
from keras_blocks.typing import Config

LEVELS = "backbone_levels"
"""In a config, names of the layers that give the feature maps of a backbone which does not say so itself."""


class AroundBackbone(Network):
    """The base of models whose metaparameter `backbone` is a model. The shared settings are the backbone's.

    Args:
        own, **kwargs: see `Network`.
    """

    @property
    def backbone(self) -> keras.Model:
        """The backbone, for instance to freeze a part of it."""
        return self.metaparameters.backbone

    @classmethod
    def from_config(cls, config: Config, custom_objects: Mapping[str, Any] | None = None) -> Self:
        with keras.saving.CustomObjectScope(custom_objects or {}):
            backbone = keras.saving.deserialize_keras_object(config["backbone"])
        set_levels(backbone, config.get(LEVELS, {}))
        own = {name: value for name, value in config.items() if name != LEVELS}
        return super().from_config({**own, "backbone": backbone}, custom_objects)

    def get_config(self) -> Config:
        config = super().get_config()
        if names := named_levels(self.backbone):
            config[LEVELS] = names
        return config

    def _own_layers(self) -> dict[str, keras.layers.Layer]:
        """Name -> layer beside the backbone and the preprocessing, which keep what is frozen themselves."""
        raise NotImplementedError

    def _arguments(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy, **self.metaparameters}

    def _feature_names(self) -> tuple[str, ...]:
        return feature_names_of(self.backbone)

    def _layers_up_to(self, feature: str) -> list[keras.layers.Layer]:
        return [*self.metaparameters.preprocess, *layers_up_to(self.backbone, feature)]

    def _frozen(self) -> list[str]:
        return [name for name, layer in self._own_layers().items() if not layer.trainable]

    def _freeze(self, path: str) -> None:
        self._own_layers()[path].trainable = False

    def _changed(self) -> dict[str, Any]:
        return {name: found for name, layer in self._own_layers().items() if (found := changes(layer))}

    def _part_at(self, path: str) -> Any:
        return self._own_layers()[path]
