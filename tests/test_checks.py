"""A test of the test: `check_layer` passes a healthy layer and catches each of nine bugs that blocks have had."""

import keras
import pytest
from checks import check_layer


class Healthy(keras.layers.Layer):
    """A plain block, right in every respect; each bug below changes one thing."""

    def __init__(self, filters=4, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.factor = filters, factor
        self.conv = keras.layers.Conv2D(filters, 3, padding="same", name="conv", dtype=self.conv_dtype())
        self.bn = keras.layers.BatchNormalization(name="bn", dtype=self.dtype_policy)

    def conv_dtype(self):
        return self.dtype_policy

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.bn.build(self.conv.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        return self.bn(self.conv(inputs), training=training) * self.factor

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "factor": self.factor}


class DtypeNotPassed(Healthy):
    def conv_dtype(self):
        return "float32"


class EmptyBuild(Healthy):
    def build(self, input_shape):
        pass


class WrongOutputShape(Healthy):
    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] // 2, *input_shape[2:-1], self.filters)


class IgnoresTraining(Healthy):
    def call(self, inputs, training=None):
        return self.bn(self.conv(inputs), training=False) * self.factor


class ArgumentMissingFromConfig(Healthy):
    def get_config(self):
        config = super().get_config()
        del config["factor"]
        return config


class UnbuiltDeadLayer(Healthy):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.forgotten = keras.layers.Dense(3, name="forgotten")


class DeadWeights(Healthy):
    def build(self, input_shape):
        super().build(input_shape)
        self.unused = self.add_weight(shape=(3,), name="unused")


class BakedInBatchSize(Healthy):
    def call(self, inputs, training=None):
        outputs = super().call(inputs, training)
        if not hasattr(self, "batch"):
            self.batch = inputs.shape[0]
        return keras.ops.broadcast_to(outputs[:1], (self.batch, *outputs.shape[1:]))


class SublayerInPlainObject(Healthy):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.holder = type("Holder", (), {})()
        self.holder.dense = keras.layers.Dense(self.filters, name="dense", dtype=self.dtype_policy)

    def build(self, input_shape):
        super().build(input_shape)
        self.holder.dense.build((*input_shape[:-1], self.filters))

    def call(self, inputs, training=None):
        return self.holder.dense(super().call(inputs, training))


BUGS = [
    DtypeNotPassed,
    EmptyBuild,
    WrongOutputShape,
    IgnoresTraining,
    ArgumentMissingFromConfig,
    UnbuiltDeadLayer,
    DeadWeights,
    BakedInBatchSize,
    SublayerInPlainObject,
]


def test_passes_a_healthy_layer():
    check_layer(Healthy, (8, 8, 3))


@pytest.mark.parametrize("bug", BUGS)
def test_catches(bug):
    with pytest.raises((AssertionError, ValueError)):
        check_layer(bug, (8, 8, 3))
