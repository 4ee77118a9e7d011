"""The loss of pairs' distances."""

import keras

from keras_blocks.core import validation
from keras_blocks.core.registration import register
from keras_blocks.typing import Config, DType, Tensor


@register
class ContrastiveLoss(keras.losses.Loss):
    """Draws pairs of one class together, and pushes others apart until their distance is the margin.

    The loss of a pair at distance `d` is `d ** 2 / 2` for the label 1, one class, and `max(margin - d, 0) ** 2 / 2` for
    the label 0. The paper's labels are the other way round.

    Args:
        margin: distance from which on pairs of different classes are left alone.
        reduction, name, dtype: as in every Keras loss.

    Input shape:
        Labels and distances, each `(batch, 1)` or `(batch,)`: those of `Siamese(include_top=False)`.

    Output shape:
        `(batch,)`, before the reduction.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; when called, for other shapes.

    Reference:
        Hadsell et al., "Dimensionality Reduction by Learning an Invariant Mapping", 2006, equation 4.

    Example:

    >>> import keras_blocks, numpy as np
    >>> loss = keras_blocks.ContrastiveLoss(margin=1.0)
    >>> float(loss(np.array([1.0, 0.0]), np.array([0.5, 0.5])))
    0.125
    """

    def __init__(
        self,
        margin: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "contrastive_loss",
        dtype: DType = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = validation.number("margin", margin, least=1e-6, most=1e6)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        ops = keras.ops
        if any(
            len(y.shape) not in (1, 2) or (len(y.shape) == 2 and y.shape[1] not in (1, None)) for y in (y_true, y_pred)
        ):
            raise ValueError(
                f"{type(self).__name__} takes labels and distances of the shape (batch, 1) or (batch,); received "
                f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}."
            )
        distance = ops.reshape(y_pred, (-1,))
        same = ops.cast(ops.reshape(y_true, (-1,)), distance.dtype)
        apart = ops.maximum(self.margin - distance, 0.0)
        return 0.5 * (same * ops.square(distance) + (1.0 - same) * ops.square(apart))

    def get_config(self) -> Config:
        return {**super().get_config(), "margin": self.margin}
