"""The bottleneck of variational autoencoders."""

from typing import Any, Literal, Unpack

import keras
from keras import ops

from keras_blocks.blocks.heads import Head
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.core.chain import Chain, Split
from keras_blocks.ops.casting import as_float
from keras_blocks.typing import BlockOptions, Config, Ints, LayerOptions, Shape, Tensor

Pooling = Literal[None, "avg", "max", "flatten"]

SEED_STATE = "seed_state"


@register
class VariationalBottleneck(Head):
    """Codes drawn from a Gaussian whose mean and variance the input gives; the draw's cost is part of the loss.

    In training, a code is `mean + exp(log_variance / 2) * noise`; otherwise it is the mean. Always, `beta` times the
    Kullback-Leibler divergence from the standard normal distribution, `(mean**2 + variance - log_variance - 1) / 2`,
    summed over a code and averaged over the batch, is added to the loss, by `add_loss`. So for a reconstruction loss
    that is a mean over values, as Keras' "mse" is, a `beta` of 1 over the number of values weighs both as the evidence
    lower bound does.

    Args:
        filters: values of a code, or of each pixel of a code that is a map.
        pooling: `None` for a code at each pixel, by 1x1 convolutions; "flatten", "avg" or "max" for one code of the
            whole map, by dense layers.
        hidden: units of dense layers before that, each with an activation; with a pooling alone.
        beta: weight of the divergence in the loss.
        seed: of the noise; `None` for a seed by chance. Where the generator has come to is kept in a saved file.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer`, `kernel_regularizer`,
            `data_format`, `name`, `dtype`, ... `remat` has no effect here.

    Input shape:
        `(batch, height, width, channels)`; to flatten, height and width must be known.

    Output shape:
        `(batch, height, width, filters)`, or with a pooling `(batch, filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, section 2.4 and appendix B; Higgins et al.,
        "beta-VAE", 2017 (`beta`).

    Example:

    >>> import keras, keras_blocks
    >>> bottleneck = keras_blocks.VariationalBottleneck(10, pooling="flatten", seed=0)
    >>> bottleneck(keras.Input((4, 4, 32))).shape
    (None, 10)
    """

    def __init__(
        self,
        filters: int,
        pooling: Pooling = None,
        *,
        hidden: Ints = (),
        beta: float = 1.0,
        seed: int | None = None,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self._set_features(pooling or "flatten", hidden, 0.0)
        self.pooling = validation.choice("pooling", pooling, Pooling)
        self.beta = validation.number("beta", beta, least=0, most=float("inf"), open_end=True)
        self.seed = validation.optional(validation.seed, "seed", seed)
        if self.hidden and pooling is None:
            raise ValueError(f"`hidden` layers need a `pooling`; received hidden={hidden!r} with pooling=None.")

    def chain(self, channels: int) -> Chain:
        def branch(name: str) -> Chain:
            return (self.conv2d(name, self.filters, 1) if self.pooling is None else self.dense(name, self.filters),)

        sample = self.layer("sample", GaussianSampling, beta=self.beta, seed=self.seed)
        return [*(self.features() if self.pooling else ()), Split((branch("mean"), branch("log_variance")), sample)]

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        # Never rematerialized: a loss cannot be added from within.
        self._check_size(inputs)
        return self._run(as_float(inputs, self.compute_dtype), training)


@register
class GaussianSampling(keras.layers.Layer):
    """A draw from the Gaussians of the given means and logarithms of variances: see `VariationalBottleneck`."""

    def __init__(self, beta: float = 1.0, seed: int | None = None, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.beta, self.seed = beta, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        mean, log_variance = inputs
        wide = [ops.cast(x, keras.backend.result_type(x.dtype, "float32")) for x in inputs]
        self.add_loss(self.beta * divergence(*wide))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), dtype=self.compute_dtype, seed=self.seed_generator)
        return mean + ops.exp(log_variance / 2) * noise

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape[0])

    def get_config(self) -> Config:
        return {**super().get_config(), "beta": self.beta, "seed": self.seed}

    # Keras keeps no generator's state in a file.
    def save_own_variables(self, store: Any) -> None:
        store[SEED_STATE] = self.seed_generator.state

    def load_own_variables(self, store: Any) -> None:
        self.seed_generator.state.assign(store[SEED_STATE])


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The Kullback-Leibler divergence from the standard Gaussian, summed over a code, averaged over the batch."""
    each = ops.square(mean) + ops.exp(log_variance) - log_variance - 1
    return ops.mean(ops.sum(ops.reshape(each, (ops.shape(each)[0], -1)), axis=1)) / 2
