"""Keras' BatchNormalization, faster in training."""

import keras

from keras_blocks.core.across_devices import AcrossDevices
from keras_blocks.core.registration import register
from keras_blocks.ops.batch_norm import fused_batch_norm, is_fused
from keras_blocks.typing import Tensor


@register
class BatchNormalization(AcrossDevices):
    """`keras.layers.BatchNormalization`, whose training step is one operation where the backend has it.

    It has Keras' arguments, weights and results, and its name, by which files of weights find it. What the fused
    operation does not do goes Keras' way: other axes than the last, `renorm`, `synchronized`, masks, float64. Unlike
    Keras', it has `synchronized` on every backend.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        special = mask is not None or self.synchronized or getattr(self, "renorm", False)
        if not (training and self.trainable) or special or not is_fused(inputs, self.axis):
            return super().call(inputs, training=training, mask=mask)
        shape = self.moving_mean.shape
        gamma = keras.ops.cast(self.gamma, "float32") if self.scale else keras.ops.ones(shape, "float32")
        beta = keras.ops.cast(self.beta, "float32") if self.center else keras.ops.zeros(shape, "float32")
        outputs, mean, variance = fused_batch_norm(inputs, gamma, beta, self.epsilon)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + new * (1 - self.momentum))
        return keras.ops.cast(outputs, self.compute_dtype)
