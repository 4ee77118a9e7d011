"""What assembling an architecture gives: the model's ends, and the tensors between them that have names."""

import dataclasses
from typing import Any

import keras

from keras_blocks.core.graphs import replay


@dataclasses.dataclass
class Assembly:
    """The tensors of an architecture, Keras' or `ShapeTensor`s: those that it was assembled from, or is being.

    An outline's is empty at first, and has no ends: nothing is built of it.

    Attributes:
        inputs: what the model takes, a tensor or a structure of them.
        outputs: what it gives.
        preprocessed: the images behind `preprocess`.
        features: name -> feature map.
        side_outputs: name -> (output beside the main one, weight of its loss).
        passed: what one part leaves for a later one, by name.
    """

    inputs: Any = None
    outputs: Any = None
    preprocessed: Any = None
    features: dict[str, Any] = dataclasses.field(default_factory=dict)
    side_outputs: dict[str, tuple[Any, float]] = dataclasses.field(default_factory=dict)
    passed: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def ends(self) -> dict[str, Any]:
        """What makes a Keras model functional: its inputs and outputs."""
        return {} if self.inputs is None else {"inputs": self.inputs, "outputs": self.outputs}

    @property
    def loss_weights(self) -> dict[str, float]:
        """Name -> weight of the loss, of each output beside the main one."""
        return {name: weight for name, (_, weight) in self.side_outputs.items()}

    def behind(self, inputs: Any, preprocessed: Any) -> "Assembly":
        """The same layers behind another preprocessing, which leads from `inputs` to `preprocessed`."""
        graph = keras.Model(self.preprocessed, {"outputs": self.outputs, "features": self.features})
        moved = replay(graph, [preprocessed])
        sides = {name: (moved["outputs"][name], weight) for name, weight in self.loss_weights.items()}
        return Assembly(inputs, moved["outputs"], preprocessed, moved["features"], sides)
