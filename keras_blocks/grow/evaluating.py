"""What the channels of a flat model's tensors hold, as numbers; and what is known of the parent's."""

from typing import Any

import keras
import numpy as np

from keras_blocks.core.native_layers import own_class
from keras_blocks.grow.flat import WEIGHTED, Call, Flat, Key, places
from keras_blocks.grow.values import Numbers, Values, constant, joined, key_of

ACROSS = ("softmax", "log_softmax", "sparsemax", "glu")
"""Activations that look at several channels."""


def _plain(operation: Any) -> str:
    """The name of the activation that a layer, or a function of keras.ops, is; for one without, what it does."""
    if own_class(operation) is keras.layers.ReLU and not operation.negative_slope and not operation.threshold:
        return {None: "relu", 6.0: "relu6"}.get(operation.max_value) or key_of(operation)
    name = type(operation).__name__
    return name.lower() if name in ("Relu", "Relu6") else key_of(operation)


class Evaluator:
    """Goes through a flat model's calls in order. A subclass says what layers with weights make.

    Args:
        flat: the model.
        numbers: the numbers, which parent and child share.
    """

    def __init__(self, flat: Flat, numbers: Numbers):
        self.flat, self.numbers = flat, numbers
        self.values: dict[int, Values] = {}

    def run(self) -> None:
        for i, tensor in enumerate(self.flat.model.inputs):
            self.values[id(tensor)] = self.image(i, self.flat.count(tensor))
        for call in self.flat.calls:
            if isinstance(call.layer, keras.layers.InputLayer):
                continue
            outputs = self.settled(call, self.through(call, [self.values[id(tensor)] for tensor in call.inputs]))
            self.values.update({id(tensor): made for tensor, made in zip(call.outputs, outputs)})

    def image(self, i: int, count: int) -> Values:
        """What the i-th input holds."""
        ids = [self.numbers.number(("input", i, channel)) for channel in range(count)]
        return Values(np.array(ids), np.ones(count))

    def weighted(self, call: Call, inputs: list[Values]) -> list[Values]:
        raise NotImplementedError

    def settled(self, call: Call, outputs: list[Values]) -> list[Values]:
        return outputs

    def through(self, call: Call, inputs: list[Values]) -> list[Values]:
        """What the call gives."""
        if call.kind in WEIGHTED or bool(getattr(call.layer, "weights", ())):
            return self.weighted(call, inputs)
        rule = getattr(self, f"_{call.kind}", None)
        made = rule(call, inputs) if rule else None
        return self.together(call, inputs) if made is None else [made]

    def together(self, call: Call, inputs: list[Values], own: str = "") -> list[Values]:
        counts = [self.flat.count(tensor) for tensor in call.outputs]
        return self.numbers.together(own + key_of(call.layer), inputs, counts)

    def activated(self, activation: Any, values: Values) -> Values | None:
        name = keras.activations.serialize(activation)
        known = getattr(keras.activations, name, None) if isinstance(name, str) else None
        if known is None or known is not activation or name in ACROSS:
            return None  # what others look at is not known
        return self.numbers.activated(name, known, values)

    def _idle(self, call: Call, inputs: list[Values]) -> Values:
        return inputs[0]

    def _per_channel(self, call: Call, inputs: list[Values]) -> Values:
        pads = None
        if own_class(call.layer) is keras.layers.ZeroPadding2D:
            (top, _), (left, _) = call.layer.padding
            pads = (top, left)
        return self.numbers.per_channel(key_of(call.layer), inputs[0], pads=pads)

    def _activation(self, call: Call, inputs: list[Values]) -> Values | None:
        if own_class(call.layer) is keras.layers.Activation:
            return self.activated(call.layer.activation, inputs[0])
        return self.numbers.activated(_plain(call.layer), call.layer, inputs[0])  # which is its own activation

    def _rescale(self, call: Call, inputs: list[Values]) -> Values | None:
        scale, offset = call.layer.scale, call.layer.offset
        if not isinstance(scale, int | float) or not isinstance(offset, int | float) or offset:
            return None
        return Values(inputs[0].ids, inputs[0].scales * scale)

    def _add(self, call: Call, inputs: list[Values]) -> Values | None:
        return self.numbers.added(inputs) if len(inputs) > 1 else None

    def _multiply(self, call: Call, inputs: list[Values]) -> Values | None:
        return self.numbers.multiplied(inputs) if len(inputs) > 1 else None

    def _concatenate(self, call: Call, inputs: list[Values]) -> Values | None:
        made = joined(inputs)
        return made if len(made.ids) == self.flat.count(call.outputs[0]) else None

    def _pad_channels(self, call: Call, inputs: list[Values]) -> Values:
        border = constant(0.0, call.layer.channels)
        return joined([border, inputs[0], border])

    def _slice(self, call: Call, inputs: list[Values]) -> Values:
        count = len(inputs[0].ids) // call.layer.parts
        return inputs[0].taken(slice(call.layer.part * count, (call.layer.part + 1) * count))

    def _pool_channels(self, call: Call, inputs: list[Values]) -> Values:
        return self.numbers.pooled(key_of(call.layer), inputs[0], shares=call.layer.kind == "mean")

    def _sample(self, call: Call, inputs: list[Values]) -> Values:
        return inputs[0]  # the means: noise is of training

    def _flatten(self, call: Call, inputs: list[Values]) -> Values | None:
        size = self.flat.size(call.inputs[0])
        if not size:
            return inputs[0] if len(inputs[0].ids) == self.flat.count(call.outputs[0]) else None
        pixels = [
            self.numbers.per_channel(f"pixel {i} of {size}", inputs[0]) for i in range((size[0] or 1) * (size[1] or 1))
        ]
        made = joined(pixels)
        if self.flat.axis == 1 and getattr(call.layer, "data_format", "channels_last") == "channels_last":
            # Keras puts the channels last otherwise.
            made = made.taken(np.arange(len(made.ids)).reshape(len(pixels), -1).T.reshape(-1))
        return made

    def _flatten_regions(self, call: Call, inputs: list[Values]) -> Values | None:
        return self._flatten(call, inputs)

    def _regions(self, call: Call, inputs: list[Values]) -> Values | None:
        *maps, boxes = inputs
        alike = len({len(one.ids) for one in maps}) == 1
        return self.numbers.of_regions(key_of(call.layer), maps, boxes) if alike else None

    def _distance(self, call: Call, inputs: list[Values]) -> Values | None:
        return self.numbers.each(key_of(call.layer), inputs) if call.layer.componentwise else None

    def _of_size(self, call: Call, inputs: list[Values]) -> Values:
        # Of maps of unknown size too: those whose channels are the parent's have the parent's size.
        key = f"{key_of(call.layer)} of {self.flat.size(call.inputs[0])}"
        return self.numbers.together(key, [], [self.flat.count(call.outputs[0])])[0]

    def _reshape(self, call: Call, inputs: list[Values]) -> Values | None:
        sizes = [tuple(tensor.shape[1:]) for tensor in (call.inputs[0], call.outputs[0])]
        count = self.flat.count(call.outputs[0])
        if any(None in size or int(np.prod(size)) != len(inputs[0].ids) for size in sizes):
            return None
        if id(call.outputs[0]) in self.flat.vectors:  # in which a channel has many of the numbers
            return None
        if count == len(inputs[0].ids):
            return inputs[0]
        channels = inputs[0].taken(places(self.flat, call.outputs[0]))  # (channels, pixels)
        rows = [Values(*row).listed() for row in zip(*channels)]
        return Values(np.array([self.numbers.number(("image", row)) for row in rows]), np.ones(count))


class Parent(Evaluator):
    """The parent: each output channel of a layer with weights has a number of its own."""

    def __init__(self, flat: Flat, numbers: Numbers):
        super().__init__(flat, numbers)
        self.linear: dict[Key, Values] = {}
        """What layers give before the activation that they have themselves."""
        self.run()

    def weighted(self, call: Call, inputs: list[Values]) -> list[Values]:
        made = [self.numbers.fresh(self.flat.count(tensor)) for tensor in call.outputs]
        self.linear[call.key] = made[0]
        activation = getattr(call.layer, "activation", None)
        if call.kind in WEIGHTED and activation is not None:
            activated = self.activated(activation, made[0])
            made = [activated] if activated is not None else self.together(call, made, "activation of ")
        return made

    def given(self, call: Call) -> list[Values]:
        return [self.values[id(tensor)] for tensor in call.inputs]

    def made(self, call: Call) -> list[Values]:
        return [self.values[id(tensor)] for tensor in call.outputs]
