"""Several labels learned together, by plain `compile` with dicts."""

import keras
import numpy as np
from calling import JIT, as_array

import keras_blocks

LABELS = [["red", "green", "blue"], ["dark", "bright"]]


def colours(n=48):
    """Images of one colour and brightness, with their two labels."""
    rng = np.random.default_rng(0)
    hue, bright = np.arange(n) % 3, np.arange(n) // 3 % 2
    images = (
        rng.uniform(0, 0.05, (n, 8, 8, 3)) + (0.4 + 0.5 * bright)[:, None, None, None] * np.eye(3)[hue][:, None, None]
    )
    return images.astype("float32"), {"hue": hue, "light": bright}


def backbone():
    return keras_blocks.ResNet(
        groups=[{"filters": 4, "blocks": 1}], stem="cifar", input_shape=(8, 8, 3), include_top=False
    )


def test_learns_all_labels_of_a_dict(tmp_path):
    body, head = backbone(), keras_blocks.MultiLabelHead([3, 2], names=["hue", "light"], labels=LABELS, name="head")
    model = keras.Model(body.input, head(body.output))
    images, labels = colours()
    model.compile(
        keras.optimizers.Adam(0.02),
        dict.fromkeys(head.names, "sparse_categorical_crossentropy"),
        loss_weights={"hue": 1.0, "light": 0.5},
        metrics=dict.fromkeys(head.names, "accuracy"),
        jit_compile=JIT,
    )
    history = model.fit(images, labels, epochs=12, batch_size=16, verbose=0).history
    assert set(history) == {"loss", "hue_loss", "light_loss", "hue_accuracy", "light_accuracy"}
    weighted = history["hue_loss"][-1] + 0.5 * history["light_loss"][-1]
    np.testing.assert_allclose(history["loss"][-1], weighted, rtol=1e-4)
    assert min(history["hue_accuracy"][-1], history["light_accuracy"][-1]) >= 0.9
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    outputs = again(images[:4])
    np.testing.assert_array_equal(as_array(outputs), as_array(model(images[:4])))
    for output in outputs.values():
        np.testing.assert_allclose(as_array(output).sum(axis=1), 1.0, rtol=1e-5)
    best = again.get_layer("head").decode_predictions(outputs, top=1)
    assert set(best[0]) == {"hue", "light"} and best[0]["hue"][0][1] in LABELS[0]


def test_each_output_is_a_softmax_of_its_own_weights():
    head = keras_blocks.MultiLabelHead([3, 2])
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 5)).astype("float32")
    outputs = head(images)
    assert list(outputs) == ["label1", "label2"]
    pooled = images.mean(axis=(1, 2))
    for name, dense in (("label1", head.label1_scores), ("label2", head.label2_scores)):
        scores = np.exp(pooled @ as_array(dense.kernel) + as_array(dense.bias))
        np.testing.assert_allclose(as_array(outputs[name]), scores / scores.sum(axis=1, keepdims=True), rtol=1e-5)


def test_sigmoids_are_independent_of_each_other():
    head = keras_blocks.MultiLabelHead(3, labels=LABELS[0])
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 5)).astype("float32")
    outputs = as_array(head(images))
    scores = images.mean(axis=(1, 2)) @ as_array(head.scores.kernel)
    np.testing.assert_allclose(outputs, 1 / (1 + np.exp(-scores)), rtol=1e-5)
    decided = head.decode_predictions(outputs, top=None, threshold=0.5)
    assert [{i for i, _, _ in image} for image in decided] == [set(np.flatnonzero(row >= 0.5)) for row in outputs]
