"""How models are saved: Keras' older format, one HDF5 file, `model.save("model.h5")`; and to the hub."""

import json
import os
from typing import Any, TypeVar

import h5py  # type: ignore[import-untyped, unused-ignore]
import keras

from keras_blocks.core.graphs import sublayers
from keras_blocks.core.registration import registered_name
from keras_blocks.models.hub_saving import save_to_hub
from keras_blocks.weights.hub import is_on_hub

SUFFIXES = (".h5", ".hdf5")

M = TypeVar("M", bound=type)


def saved_readably(cls: M) -> M:
    """Decorates a class of models: what its `save` writes in the older format can be loaded, or is refused.

    It is no base: few classes stand between an architecture and Keras.
    """
    owner: Any = cls

    def save(self: keras.Model, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any) -> None:
        """As in every Keras model: a `.keras` file; a `.h5` file, Keras' older format, is one that can be loaded.

        Args:
            filepath: as in Keras; "hf://user/name" is a repository of the Hugging Face hub, which gets a card with
                the model's metaparameters, counts and labels, and the lines that load it. This needs the extra `hub`.
            overwrite, **kwargs: as in Keras.

        Raises:
            ImportError: for the hub, without its library.
            OSError: where the hub cannot be reached, or refuses it.
            ValueError: for `.h5`, which would lose what an adapted `Normalization` has learned.
        """
        if is_on_hub(filepath):
            save_to_hub(self, str(filepath), lambda folder: super(owner, self).save(folder, zipped=False))
            return
        check_legacy(self, filepath)
        super(owner, self).save(filepath, overwrite=overwrite, **kwargs)
        name_class(self, filepath)

    owner.save = save
    return cls


def check_legacy(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Refuses what the format would lose without a word.

    Raises:
        ValueError: for a model that holds an adapted `Normalization`, whose mean Keras does not read back.
    """
    if not os.fspath(path).endswith(SUFFIXES):
        return
    lost = [layer.name for layer in _all_layers(model) if getattr(layer, "input_mean", 0) is None]
    if lost:
        raise ValueError(
            f"`filepath` must end with '.keras' for the model '{model.name}': Keras' older format, '.h5', loses what "
            f"the layers {lost} were adapted to; received {os.fspath(path)!r}."
        )


def name_class(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Writes the class' registered name into a file that was just saved, for the bare one, by which none is found."""
    if not os.fspath(path).endswith(SUFFIXES):
        return
    with h5py.File(path, "r+") as file:
        config: dict[str, Any] = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps({**config, "class_name": registered_name(type(model))}).encode()


def _all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [layer, *(inner for part in sublayers(layer) for inner in _all_layers(part))]
