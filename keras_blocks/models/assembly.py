"""What assembling an architecture gives: the model's ends, and the tensors between them that have names."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_blocks.core.graphs import is_input, replay
from keras_blocks.typing import Shape


@dataclasses.dataclass
class Assembly:
    """The tensors of an architecture, Keras' or `ShapeTensor`s: those that it was assembled from, or is being.

    An outline's is empty at first, and has no ends: nothing is built of it.

    Attributes:
        inputs: what the model takes, a tensor or a structure of them.
        outputs: what it gives.
        preprocessed: the images behind `preprocess`.
        beside: the inputs that no `preprocess` changes, such as boxes.
        features: name -> feature map.
        side_outputs: name -> (output beside the main one, weight of its loss).
        training: what the model gives in training, a structure of tensors; `None` where that is its outputs.
        passed: what one part leaves for a later one, by name.
    """

    inputs: Any = None
    outputs: Any = None
    preprocessed: Any = None
    features: dict[str, Any] = dataclasses.field(default_factory=dict)
    side_outputs: dict[str, tuple[Any, float]] = dataclasses.field(default_factory=dict)
    training: Any = None
    passed: dict[str, Any] = dataclasses.field(default_factory=dict)
    beside: tuple[Any, ...] = ()

    @property
    def ends(self) -> dict[str, Any]:
        """What makes a Keras model functional: its inputs and outputs."""
        return {} if self.inputs is None else {"inputs": self.inputs, "outputs": self.outputs}

    @property
    def loss_weights(self) -> dict[str, float]:
        """Name -> weight of the loss, of each output beside the main one."""
        return {name: weight for name, (_, weight) in self.side_outputs.items()}

    def behind(self, inputs: Any, preprocessed: Any, beside: tuple[Any, ...] = ()) -> "Assembly":
        """The same layers behind another preprocessing, which leads from `inputs` to `preprocessed`."""
        own = {"outputs": self.outputs, "features": self.features}
        own |= {} if self.training is None else {"training": self.training}
        # Each tensor once: of two outputs that are one, Keras connects a single one where the inputs are no `Input`s.
        flat = keras.tree.flatten(own)
        once = list({id(tensor): tensor for tensor in flat}.values())
        found = replay(keras.Model([self.preprocessed, *self.beside], once), [preprocessed, *beside])
        by_tensor = dict(zip(map(id, once), found))
        moved = keras.tree.pack_sequence_as(own, [by_tensor[id(tensor)] for tensor in flat])
        sides = {name: (moved["outputs"][name], weight) for name, weight in self.loss_weights.items()}
        features, training = moved["features"], moved.get("training")
        return Assembly(inputs, moved["outputs"], preprocessed, features, sides, training, beside=beside)


def shape_of_input(tensor: Any, input_shape: Sequence[int | None] | None) -> Shape:
    """The image shape of a `keras.Input`, which must agree with `input_shape` where that is given."""
    if not isinstance(tensor, keras.KerasTensor):
        raise TypeError(f"`input_tensor` must be a keras.Input; received {type(tensor).__name__}.")
    if not is_input(tensor):
        raise ValueError(
            "`input_tensor` must be a keras.Input. To put the model behind other layers, call it: model(tensor)."
        )
    shape = tuple(tensor.shape[1:])
    if input_shape is not None and tuple(input_shape) != shape:
        raise ValueError(f"`input_shape` must be `input_tensor`'s, {shape}; received {tuple(input_shape)}.")
    return shape


def named_inputs(model: keras.Model) -> tuple[str, ...]:
    """The names of a model's inputs, by which data may be given; none where Keras has only counted them."""
    names = tuple(tensor.name for tensor in model.inputs)
    return names if {layer.name for layer in model.layers}.issuperset(names) else ()
