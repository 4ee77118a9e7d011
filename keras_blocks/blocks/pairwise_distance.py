"""How far apart two embeddings are."""

from typing import Any, Literal, Unpack

import keras

from keras_blocks.core import validation
from keras_blocks.core.keywords import NamedArguments
from keras_blocks.core.registration import register
from keras_blocks.ops.casting import wide
from keras_blocks.ops.distances import DISTANCE_FUNCTIONS
from keras_blocks.typing import Config, LayerOptions, Shape, Tensor

Distance = Literal["l1", "l2", "cosine"]


@register
class PairwiseDistance(NamedArguments, keras.layers.Layer):
    """The distance between each vector of one batch and the vector in the same place of another.

    It has no weights. Its gradients are finite everywhere: that of the L2 distance between equal vectors is 0.

    Args:
        distance: "l1", the sum of absolute differences; "l2", the Euclidean distance; "cosine", 1 minus the cosine of
            the angle, from 0 to 2, and 1 where a vector is zero.
        componentwise: with "l1", the absolute differences themselves, one for each component, for a dense layer to
            weigh, as in Koch's twins.
        **kwargs: `name`, `dtype`, as in every Keras layer.

    Input shape:
        A list of two tensors, each `(batch, dimensions)`.

    Output shape:
        `(batch, 1)`; componentwise, `(batch, dimensions)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range; at build for other inputs than two of the
            same number of dimensions.

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015, section 3.1 (L1); Hadsell et al.,
        "Dimensionality Reduction by Learning an Invariant Mapping", 2006, equation 1 (L2). torch.nn.PairwiseDistance.

    Example:

    >>> import keras, keras_blocks, numpy as np
    >>> a, b = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])
    >>> keras.ops.convert_to_numpy(keras_blocks.PairwiseDistance("l2")([a, b])).tolist()
    [[5.0]]
    >>> keras.ops.convert_to_numpy(keras_blocks.PairwiseDistance("l1", componentwise=True)([a, b])).tolist()
    [[3.0, 4.0]]
    """

    def __init__(self, distance: Distance = "l2", *, componentwise: bool = False, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.distance = validation.choice("distance", distance, Distance)
        self.componentwise = validation.boolean("componentwise", componentwise)
        if self.componentwise and self.distance != "l1":
            raise ValueError(f"`componentwise` needs distance='l1'; received componentwise=True with {distance!r}.")

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        a, b = inputs
        a, b = (keras.ops.cast(x, wide(self.compute_dtype)) for x in (a, b))
        found = keras.ops.abs(a - b) if self.componentwise else DISTANCE_FUNCTIONS[self.distance](a, b)
        return keras.ops.cast(found, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        shapes = [tuple(shape) for shape in input_shape] if _is_list_of_shapes(input_shape) else [input_shape]
        if len(shapes) != 2 or any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' takes a list of two tensors of the shape (batch, dimensions), "
                f"with as many dimensions; received {input_shape}."
            )
        return (shapes[0][0], shapes[0][1] if self.componentwise else 1)

    def get_config(self) -> Config:
        return {**super().get_config(), "distance": self.distance, "componentwise": self.componentwise}


def _is_list_of_shapes(shape: Any) -> bool:
    return len(shape) > 0 and all(isinstance(item, (list, tuple)) for item in shape)
