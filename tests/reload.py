"""Run in a fresh process: `python reload.py TOLERANCE FOLDER...` loads every saved model and compares its outputs.

Imports nothing of ours but `keras_blocks`, as a user's serving script would.
"""

import pathlib
import sys

import keras
import numpy as np
from calling import call

import keras_blocks  # noqa: F401  (registers the classes)


@keras.saving.register_keras_serializable(package="reload")
class Subclassed(keras.Model):
    """A user's own model with a layer of ours in it."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, inputs):
        return self.layer(inputs)

    def get_config(self):
        return {"layer": keras.saving.serialize_keras_object(self.layer), "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["layer"]), name=config["name"])


def called(model, inputs):
    """The outputs for a list of inputs, of which a model may have one; several outputs image by image."""
    if isinstance(model, keras.Function) and isinstance(model.input, dict):
        inputs = [keras.tree.pack_sequence_as(model.input, inputs)]
    outputs = call(model, inputs if len(inputs) > 1 else inputs[0])
    arrays = [np.asarray(keras.ops.convert_to_numpy(output)) for output in keras.tree.flatten(outputs)]
    if len(arrays) == 1:
        return arrays[0]
    if len({len(array) for array in arrays}) > 1:  # anchors are the same for all images
        return np.concatenate([array.ravel() for array in arrays])
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=-1)


def save(model, folder, name, inputs):
    """Writes the model, and beside it its inputs and outputs."""
    model.save(folder / f"{name}.keras")
    others = {f"images{i}": value for i, value in enumerate(inputs[1:], start=2)}
    np.savez(folder / f"{name}.npz", images=inputs[0], **others, outputs=called(model, inputs))


def compare(tolerance, *folders):
    files = [file for folder in folders for file in sorted(pathlib.Path(folder).glob("*.keras"))]
    for file in files:
        model = keras.saving.load_model(file)
        with np.load(file.with_suffix(".npz"), allow_pickle=False) as saved:
            outputs = called(model, [saved[key] for key in saved.files if key != "outputs"])
            worst = float(np.abs(outputs - saved["outputs"]).max() / max(1, np.abs(saved["outputs"]).max()))
        assert worst <= tolerance, f"{file.name}: outputs differ by {worst} on {keras.backend.backend()}"
    print(f"{len(files)} files loaded on {keras.backend.backend()}")


if __name__ == "__main__":
    compare(float(sys.argv[1]), *sys.argv[2:])
