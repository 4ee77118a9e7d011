"""KerasTuner's guide "Getting started with KerasTuner" (keras.io/keras_tuner/getting_started), as published.

Shrunk by its constants alone: units of 4 to 16 in place of 32 to 512, and 48 of MNIST's 28x28 images, drawn at random.
Nothing here knows of keras_blocks.
"""

import keras
import keras_tuner
import numpy as np
from keras import layers

LEAST, MOST, STEP = 4, 16, 4


def build_model(hp):
    model = keras.Sequential()
    model.add(layers.Flatten())
    # Tune the number of layers.
    for i in range(hp.Int("num_layers", 1, 3)):
        model.add(
            layers.Dense(
                # Tune number of units separately.
                units=hp.Int(f"units_{i}", min_value=LEAST, max_value=MOST, step=STEP),
                activation=hp.Choice("activation", ["relu", "tanh"]),
            )
        )
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(10, activation="softmax"))
    learning_rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


class MyHyperModel(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential()
        model.add(layers.Flatten())
        model.add(
            layers.Dense(
                units=hp.Int("units", min_value=LEAST, max_value=MOST, step=STEP),
                activation="relu",
            )
        )
        model.add(layers.Dense(10, activation="softmax"))
        model.compile(
            optimizer="adam",
            loss="categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    def fit(self, hp, model, x, y, validation_data=None, **kwargs):
        if hp.Boolean("normalize"):
            x = layers.Normalization()(x)
        return model.fit(
            x,
            y,
            validation_data=validation_data,
            # Tune whether to shuffle the data in each epoch.
            shuffle=hp.Boolean("shuffle"),
            **kwargs,
        )


class HyperRegressor(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential()
        model.add(layers.Flatten())
        model.add(layers.Dense(units=hp.Int("units", LEAST, MOST, STEP), activation="relu"))
        model.add(layers.Dense(units=1))
        model.compile(optimizer="adam", loss="mean_squared_error")
        return model

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        model.fit(x, y, **kwargs)
        x_val, y_val = validation_data
        y_pred = model.predict(x_val, verbose=0)
        # Return a single float to minimize.
        return np.mean(np.abs(y_pred - y_val))


class HyperRegressorOfMetrics(HyperRegressor):
    def fit(self, hp, model, x, y, validation_data, **kwargs):
        model.fit(x, y, **kwargs)
        x_val, y_val = validation_data
        y_pred = model.predict(x_val, verbose=0)
        # Return a dictionary of metrics for KerasTuner to track.
        return {
            "metric_a": -np.mean(np.abs(y_pred - y_val)),
            "metric_b": np.mean(np.square(y_pred - y_val)),
        }


def digits():
    """What the guide calls x_train, y_train, x_val, y_val, x_test and y_test."""
    rng = np.random.default_rng(0)
    x, labels = rng.random((48, 28, 28, 1), "float32"), rng.integers(0, 10, 48)
    y = keras.utils.to_categorical(labels, 10)
    return (x[:32], y[:32]), (x[32:40], y[32:40]), (x[40:], y[40:])


def numbers():
    """What the guide's regression takes: x_train of 100 rows, 10 features, and y_train."""
    rng = np.random.default_rng(0)
    x = rng.random((100, 10), "float32")
    y = rng.random((100, 1), "float32")
    return (x[:70], y[:70]), (x[70:], y[70:])
