"""Keras' BatchNormalization with `synchronized=True` on every backend."""

from typing import Any

import keras

from keras_blocks.ops.across_devices import moments_across_devices
from keras_blocks.typing import Tensor


class AcrossDevices(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, of which `synchronized=True` works on JAX and PyTorch, too.

    Keras 3.15 refuses it there at construction. With a mask or `renorm` it is refused when it trains.
    """

    # Those by which a layer is counted are told by name, see `signature.arguments`.
    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        *,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, momentum, epsilon, center, scale, **kwargs)
        self.synchronized = synchronized

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        plain = mask is None and not getattr(self, "renorm", False)
        if not (training and self.trainable and self.synchronized and plain):
            return super().call(inputs, training=training, mask=mask)
        wide = keras.backend.result_type(inputs.dtype, "float32")
        inputs = keras.ops.cast(inputs, wide)
        axis = self.axis % len(inputs.shape)
        mean, variance = moments_across_devices(inputs, [i for i in range(len(inputs.shape)) if i != axis])
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(keras.ops.cast(moving, wide) * self.momentum + new * (1 - self.momentum))
        outputs = keras.ops.batch_normalization(
            inputs,
            mean,
            variance,
            axis=axis,
            offset=keras.ops.cast(self.beta, wide) if self.center else None,
            scale=keras.ops.cast(self.gamma, wide) if self.scale else None,
            epsilon=self.epsilon,
        )
        return keras.ops.cast(outputs, self.compute_dtype)
