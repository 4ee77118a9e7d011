"""A training step and inference of ResNeXt-50 (32x4d) at 224x224, batch 8, against the same model with Keras' groups.

The other model is ours with each GroupedConv2D made a keras.layers.Conv2D(groups=...), with the same weights. Target: a
step at least 25 times faster. Keras' step takes minutes, so it is measured once, after one that compiles.

    KERAS_BACKEND=tensorflow python benchmarks/resnext_training.py
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from timing import interleaved

import keras_blocks

BATCH = 8


def with_keras_groups(model):
    """The flat graph of the model, with Keras' own grouped convolutions, and the model's weights."""

    def clone(layer):
        cls = keras.layers.Conv2D if isinstance(layer, keras_blocks.GroupedConv2D) else type(layer)
        return cls.from_config(layer.get_config())

    flat = model.expand()
    other = keras.models.clone_model(flat, clone_function=clone)
    other.set_weights(flat.get_weights())
    return other


def main():
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(BATCH, 224, 224, 3)).astype("float32"), rng.integers(0, 1000, BATCH)
    ours = keras_blocks.create_model("resnext50_32x4d")
    models = {"ours": ours, "Keras": with_keras_groups(ours)}
    grouped = [layer for layer in models["Keras"].layers if getattr(layer, "groups", 1) > 1]
    assert len(grouped) == 16 and not any(isinstance(layer, keras_blocks.GroupedConv2D) for layer in grouped)
    difference = np.abs(models["ours"].predict_on_batch(images) - models["Keras"].predict_on_batch(images)).max()
    for model in models.values():
        model.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
    predict = {name: lambda model=model: model.predict_on_batch(images) for name, model in models.items()}
    train = {name: lambda model=model: model.train_on_batch(images, labels) for name, model in models.items()}
    backend = keras.backend.backend()
    print(
        f"backend {backend}, Keras {keras.__version__}, batch {BATCH}, largest difference of outputs {difference:.1e}"
    )
    for title, functions, rounds in (("inference", predict, 5), ("training step", train, 1)):
        seconds = interleaved(functions, rounds)
        print(
            f"{title}: ours {seconds['ours']:.2f} s, Keras' groups {seconds['Keras']:.2f} s, "
            f"{seconds['Keras'] / seconds['ours']:.1f} times ours",
            flush=True,
        )


if __name__ == "__main__":
    main()
