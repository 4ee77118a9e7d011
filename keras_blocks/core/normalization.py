"""Keras' BatchNormalization, faster."""

import keras

from keras_blocks.core.across_devices import AcrossDevices
from keras_blocks.core.native_layers import Direct
from keras_blocks.core.registration import register
from keras_blocks.ops.batch_norm import fused_batch_norm, fused_inference, is_fused, is_fused_in_inference
from keras_blocks.typing import Tensor


@register
class BatchNormalization(Direct, AcrossDevices):
    """`keras.layers.BatchNormalization`, of which a step is one operation where the backend has it.

    It has Keras' arguments, weights and results, and its name, by which files of weights find it. What the fused
    operation does not do goes Keras' way: other axes, `renorm`, `synchronized`, masks, float64. Unlike Keras', it has
    `synchronized` on every backend.
    """

    trains_otherwise = gives_anew = True

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        trains = training and self.trainable
        special = trains and (mask is not None or self.synchronized or getattr(self, "renorm", False))
        special = special or self.epsilon <= 0  # PyTorch's operation refuses it
        if special or not (is_fused if trains else is_fused_in_inference)(inputs, self.axis):
            return super().call(inputs, training=training, mask=mask)
        gamma = _wide(self.gamma) if self.scale else None
        beta = _wide(self.beta) if self.center else None
        moving = _wide(self.moving_mean), _wide(self.moving_variance)
        if trains:
            outputs, *news = fused_batch_norm(inputs, gamma, beta, self.epsilon, self.axis)
            for variable, old, new in zip((self.moving_mean, self.moving_variance), moving, news):
                variable.assign(old * self.momentum + new * (1 - self.momentum))
        else:
            outputs = fused_inference(inputs, *moving, gamma, beta, self.epsilon, self.axis)
        return keras.ops.cast(outputs, self.compute_dtype)


def _wide(variable: keras.Variable) -> Tensor:
    return keras.ops.convert_to_tensor(variable, "float32")
