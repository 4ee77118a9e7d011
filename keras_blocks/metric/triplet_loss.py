"""The loss of triplets: an anchor, another image of its class, and one of a different class."""

from typing import Literal

import keras

from keras_blocks.core import validation
from keras_blocks.core.registration import register
from keras_blocks.ops.distances import root, squared_distances
from keras_blocks.typing import Config, DType, Tensor

Mining = Literal["semi-hard", "hard", None]

FAR = 1e30
"""A distance that no embedding has."""


@register
class TripletLoss(keras.losses.Loss):
    """Wants each anchor nearer to the positive, an image of its class, than to the negative, by a margin.

    The loss of a triplet is `max(d(anchor, positive) - d(anchor, negative) + margin, 0)`. The triplets are found in the
    batch, by its labels, so the batch must hold classes several times: `PKSampler` makes such batches.

    Args:
        margin: by how much the negative must be further away.
        mining: "semi-hard": for each pair of anchor and positive, the nearest negative that is further away than the
            positive; where there is none, the furthest. "hard": for each anchor, the furthest positive and the
            nearest negative. `None`: three rows after another are a triplet, as `TripletSampler` orders them, and
            labels are ignored.
        distance: "squared_l2", as in FaceNet, or "l2".
        reduction, name, dtype: as in every Keras loss.

    Input shape:
        Labels `(batch,)` or `(batch, 1)`, integers; embeddings `(batch, dimensions)`, best of length 1
        (`Siamese(normalize=True)`).

    Output shape:
        `(batch,)`, one for each anchor, before the reduction; `(batch / 3,)` without mining. Its mean is the mean over
        all pairs of anchor and positive ("semi-hard") or all anchors ("hard") of the batch that have a positive and a
        negative, and 0 where none has.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; when called, for other shapes.

    Reference:
        Schroff et al., "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015, sections 3.1 and 3.2
        (squared distances, margin 0.2, semi-hard negatives); Hermans et al., "In Defense of the Triplet Loss", 2017,
        equation 5 (hard).

    Example: the anchor (0, 0) is as near to its positive as to its negative.

    >>> import keras_blocks, numpy as np
    >>> loss = keras_blocks.TripletLoss(margin=0.5, mining=None)
    >>> float(loss(np.array([0, 0, 1]), np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])))
    0.5
    """

    def __init__(
        self,
        margin: float = 0.2,
        mining: Mining = "semi-hard",
        distance: Literal["squared_l2", "l2"] = "squared_l2",
        reduction: str | None = "sum_over_batch_size",
        name: str = "triplet_loss",
        dtype: DType = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = validation.number("margin", margin, least=0, most=1e6)
        self.mining = validation.choice("mining", mining, Mining)
        self.distance = validation.choice("distance", distance, ("squared_l2", "l2"))

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        ops = keras.ops
        if len(y_pred.shape) != 2 or len(y_true.shape) not in (1, 2) or tuple(y_true.shape[1:]) not in ((), (1,)):
            raise ValueError(
                f"{type(self).__name__} takes labels of the shape (batch,) and embeddings of the shape (batch, "
                f"dimensions); received {tuple(y_true.shape)} and {tuple(y_pred.shape)}."
            )
        if self.mining is None:
            return self._of_rows(y_pred)
        distances = squared_distances(y_pred)
        distances = root(distances) if self.distance == "l2" else distances
        labels = ops.reshape(y_true, (-1,))
        same = ops.equal(labels[:, None], labels[None, :])
        itself = ops.cast(ops.eye(ops.shape(labels)[0]), "bool")
        positive, negative = ops.logical_and(same, ops.logical_not(itself)), ops.logical_not(same)
        mine = self._semi_hard if self.mining == "semi-hard" else self._hard
        return mine(distances, positive, negative)

    def _of_rows(self, embeddings: Tensor) -> Tensor:
        """One triplet for each three rows."""
        ops = keras.ops
        if embeddings.shape[0] is not None and embeddings.shape[0] % 3:
            raise ValueError(
                f"{type(self).__name__} without mining takes three rows a triplet; received {embeddings.shape[0]} rows."
            )
        anchor, positive, negative = (embeddings[i::3] for i in range(3))
        near, far = (ops.sum(ops.square(anchor - other), axis=-1) for other in (positive, negative))
        if self.distance == "l2":
            near, far = root(near), root(far)
        return ops.maximum(near - far + self.margin, 0.0)

    def _semi_hard(self, distances: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        ops = keras.ops
        # Axes: anchor, positive, negative.
        further = ops.logical_and(negative[:, None, :], distances[:, None, :] > distances[:, :, None])
        nearest = ops.min(ops.where(further, distances[:, None, :], FAR), axis=2)
        furthest = ops.max(ops.where(negative, distances, 0.0), axis=1, keepdims=True)
        chosen = ops.where(ops.any(further, axis=2), nearest, furthest)
        counts = ops.logical_and(positive, ops.any(negative, axis=1, keepdims=True))
        losses = ops.where(counts, ops.maximum(distances - chosen + self.margin, 0.0), 0.0)
        return _mean_over(ops.sum(losses, axis=1), ops.sum(ops.cast(counts, losses.dtype)))

    def _hard(self, distances: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        ops = keras.ops
        furthest = ops.max(ops.where(positive, distances, 0.0), axis=1)
        nearest = ops.min(ops.where(negative, distances, FAR), axis=1)
        counts = ops.logical_and(ops.any(positive, axis=1), ops.any(negative, axis=1))
        losses = ops.where(counts, ops.maximum(furthest - nearest + self.margin, 0.0), 0.0)
        return _mean_over(losses, ops.sum(ops.cast(counts, losses.dtype)))

    def get_config(self) -> Config:
        return {**super().get_config(), "margin": self.margin, "mining": self.mining, "distance": self.distance}


def _mean_over(losses: Tensor, count: Tensor) -> Tensor:
    """Losses of anchors whose mean is their sum over `count`, and 0 where there is none."""
    rows = keras.ops.cast(keras.ops.shape(losses)[0], losses.dtype)
    return losses * (rows / keras.ops.maximum(count, 1.0))
