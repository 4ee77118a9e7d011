"""Our networks with the golden weights of another library's, and its outputs for them."""

import golden_weights
import keras
import numpy as np

import keras_blocks


def golden_model(golden, variant, beta=0.0, **options):
    """The variant as the golden file's network is: ten classes, its logits, its seeded weights."""
    model = keras_blocks.create_model(
        variant,
        input_shape=golden["images"][1:],
        classes=10,
        classifier_activation=None,
        kernel_initializer="zeros",
        **options,
    )
    return keras_blocks.convert_weights(golden_weights.weights(golden["shapes"], beta=beta), model)


def assert_golden_outputs(model, golden, record_property, differ=0.01):
    """The model's outputs for the golden images are the golden ones, to 1e-4 of the largest, by much less than those of
    the two images `differ`."""
    expected = np.array(golden["outputs"]["logits"], "float32")
    assert np.abs(expected[0] - expected[1]).max() > differ * np.abs(expected).max(), (
        "a dead network gives these outputs, too"
    )
    images = golden_weights.images(golden["images"])
    # JAX compiles each operation of an eager call, which takes far longer than one graph.
    jax = keras.backend.backend() == "jax"
    outputs = model.predict(images, verbose=0) if jax else keras.ops.convert_to_numpy(model(images))
    assert_close(outputs, expected, record_property)


def assert_close(outputs, expected, record_property):
    """Equal to 1e-4 of the largest value; the worst difference goes to the report (pytest's --junitxml)."""
    worst = np.abs(outputs - expected).max() / np.abs(expected).max()
    record_property("worst relative difference", f"{worst:.1e}")
    assert worst <= 1e-4
