"""Vectors scaled to length 1."""

import keras

from keras_blocks.core.registration import register
from keras_blocks.ops.casting import wide
from keras_blocks.ops.distances import direction
from keras_blocks.typing import Tensor


@register
class UnitLength(keras.layers.UnitNormalization):
    """As Keras' layer, but that the gradient of a zero vector, which features of a ReLU can be, is 0."""

    def call(self, inputs: Tensor) -> Tensor:
        return keras.ops.cast(direction(keras.ops.cast(inputs, wide(self.compute_dtype))), self.compute_dtype)
