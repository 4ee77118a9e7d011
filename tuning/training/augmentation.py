"""Layers that vary the training images: part of the model and of its file, idle outside training."""

import keras

from keras_blocks.core import validation

STRENGTHS = {"none": 0.0, "light": 0.05, "strong": 0.1}
"""Most that an image is shifted and zoomed, as a share of its size."""

TURN = 1 / 4
"""Most that an image is rotated, in full turns over the strength: 4.5 degrees for light, 9 for strong."""


def augmentation_layers(augmentation: str, *, flips: bool = False) -> list[keras.layers.Layer]:
    """New layers that shift, zoom and turn the images a little, and mirror them where that keeps their class.

    Args:
        augmentation: "none", "light" or "strong".
        flips: whether to mirror images left to right, half of them. Not for digits or letters.

    Returns:
        A list of Keras layers, empty for "none".

    Raises:
        ValueError: for another `augmentation`.

    Example:

    >>> [layer.name for layer in augmentation_layers("light")]
    ['augment_shift', 'augment_zoom', 'augment_turn']
    """
    strength = STRENGTHS[validation.choice("augmentation", augmentation, tuple(STRENGTHS))]
    if not strength:
        return []
    options = {"fill_mode": "nearest", "data_format": "channels_last"}
    layers = [
        keras.layers.RandomTranslation(strength, strength, name="augment_shift", **options),
        keras.layers.RandomZoom(strength, name="augment_zoom", **options),
        keras.layers.RandomRotation(strength * TURN, name="augment_turn", **options),
    ]
    if flips:
        layers.append(keras.layers.RandomFlip("horizontal", data_format="channels_last", name="augment_flip"))
    return layers
