"""AutoEncoder: images through a small code, and back."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras

from keras_blocks.blocks.autoencoder import DecoderBlock, EncoderBlock, Kind, TrimLike
from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.blocks.heads import ClassifierHead, hidden_units
from keras_blocks.blocks.variational import VariationalBottleneck
from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.block import register
from keras_blocks.models.network import Network
from keras_blocks.typing import Activation, NetworkOptions, Pair, Shape, Tensor

STRIDES = (2, 2)
DECODER = "decode_"
"""The beginning of the names of all the decoder's layers."""

GROUPS_CIFAR = ({"filters": 64}, {"filters": 32}, {"filters": 16})
GROUPS_BETA_VAE = ({"filters": 32},) * 4


@register
class AutoEncoder(Network):
    """An encoder, as an assembly of `EncoderBlock`s, and the decoder that mirrors it, from one list of metaparameters.

    The output has the input's height, width and channels, odd sizes too. Train it by `fit(images, images)`, or with
    `noise` by the same: the noise is in the model. `encoder` and `decoder` are models of their own, which share all
    weights with this one.

    Args:
        groups: list of groups, each `{"filters": 64, "blocks": 1}`; each halves height and width, rounded up. The
            decoder takes them in reverse.
        code: `None`, where the last group's output is the code; `{"filters": 8}`, where a 1x1 convolution without
            activation makes of it a map of so many channels; `{"units": 128, "hidden": [256]}`, where dense layers make
            a vector, `hidden` being the units of those in between.
        kernel_size: of the convolutions, an integer or two, at least 2.
        kind: "plain" or "residual", see `EncoderBlock`. In the residual kind, there is a linear way through the model.
        noise: standard deviation of the Gaussian noise that is added to the images in training alone (denoising).
        variational: whether the code is a `VariationalBottleneck`'s; it then needs a `code`.
        beta: with `variational`, the weight of the divergence in the loss, see `VariationalBottleneck`. The published
            4 of `beta_vae` goes with a loss that is summed over an image; for Keras' means, divide it by the values.
        output_activation: activation of the output: `None`, or "sigmoid" for images from 0 to 1.
        seed: of the noises.
        batch_norm: True by default.
        **kwargs: `input_shape`, `input_tensor`, `preprocess`, `activation`, `use_bias`, `kernel_initializer`,
            `kernel_regularizer`, `data_format`, `dtype`, `name`: see `Architecture`. The output is like what
            `preprocess` gives, and that is what the target must be: images that are flipped in it do not match theirs.

    Input shape:
        `(batch, height, width, channels)`, by default (32, 32, 3); height and width may be `None`, but for a code that
        is a vector.

    Output shape:
        The input's, behind `preprocess`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", 2006; Masci et al.,
        "Stacked Convolutional Auto-Encoders for Hierarchical Feature Extraction", 2011; Vincent et al., "Extracting and
        Composing Robust Features with Denoising Autoencoders", 2008 (`noise`); Kingma and Welling, "Auto-Encoding
        Variational Bayes", 2014; Ferlitsch, "Deep Learning Design Patterns", 2021.

    Example:

    >>> import keras_blocks
    >>> model = keras_blocks.AutoEncoder(
    ...     groups=[{"filters": 16}, {"filters": 32}], code={"filters": 4}, input_shape=(13, 18, 1)
    ... )
    >>> model.encoder.output_shape, model.decoder.output_shape, round(model.compression_ratio, 2)
    ((None, 4, 5, 4), (None, 13, 18, 1), 2.92)
    """

    default_input_shape = (32, 32, 3)

    default_settings = {"batch_norm": True}

    variants = {
        "autoencoder_cifar": {"groups": GROUPS_CIFAR},
        "beta_vae": {
            "groups": GROUPS_BETA_VAE,
            "code": {"units": 10, "hidden": (256, 256)},
            "kernel_size": 4,
            "variational": True,
            "beta": 4.0,
            "output_activation": "sigmoid",
            "batch_norm": False,
            "input_shape": (64, 64, 1),
        },
    }

    sources = {
        "autoencoder_cifar": "the encoder of Ferlitsch's zoo/autoencoder (keras-idiomatic-programmer), mirrored",
        "beta_vae": "Burgess et al., 'Understanding disentangling in beta-VAE', 2018, appendix A; beta of Higgins "
        "et al. 2017",
    }

    def __init__(
        self,
        groups: Sequence[Mapping[str, int]] = GROUPS_CIFAR,
        code: Mapping[str, Any] | None = None,
        *,
        kernel_size: Pair = 3,
        kind: Kind = "plain",
        noise: float = 0.0,
        variational: bool = False,
        beta: float = 1.0,
        output_activation: Activation = None,
        seed: int | None = None,
        **kwargs: Unpack[NetworkOptions],
    ):
        own = {
            "groups": validation.records("groups", groups, {"filters": None, "blocks": 1}),
            "code": _code(code),
            "kernel_size": validation.pair("kernel_size", kernel_size, least=2),
            "kind": validation.choice("kind", kind, Kind),
            "noise": validation.number("noise", noise, least=0, most=float("inf"), open_end=True),
            "variational": validation.boolean("variational", variational),
            "beta": validation.number("beta", beta, least=0, most=float("inf"), open_end=True),
            "output_activation": keras_arguments.activation("output_activation", output_activation),
            "seed": validation.optional(validation.seed, "seed", seed),
        }
        if variational and code is None:
            raise ValueError(
                "`variational=True` needs a `code`, such as {'filters': 8} or {'units': 128}; received None."
            )
        super().__init__(own, **kwargs)

    # -- the parts --------------------------------------------------------------------------------------------------

    def corrupt(self, x: Tensor) -> Tensor:
        """The noise, in training alone."""
        m = self.metaparameters
        return self.layer("noise", keras.layers.GaussianNoise, stddev=m.noise, seed=m.seed)(x) if m.noise else x

    def encode(self, x: Tensor) -> Tensor:
        """From images to codes."""
        sources = self.assembly.passed["sources"] = []  # of each group, and of the code
        for i, group in enumerate(self.metaparameters.groups, start=1):
            sources.append(x)
            x = self.feature(f"group{i}", self.layer(f"group{i}", EncoderBlock, **group, **self._block_options())(x))
        sources.append(x)
        return self.feature("code", self._bottleneck(x))

    def decode(self, x: Tensor) -> Tensor:
        """From codes to images, of the sizes that `encode` had before it."""
        *sources, last = self.assembly.passed["sources"]
        x = self._unpacked(x, tuple(last.shape[1:]))
        groups = self.metaparameters.groups
        for i, wanted in reversed(list(enumerate(sources))):
            sizes = self._sizes(wanted.shape)
            x = self.layer(
                f"{DECODER}group{i + 1}",
                DecoderBlock,
                filters=self.channels(wanted.shape),
                blocks=groups[i]["blocks"],
                trim=tuple(0 if size is None else -size % step for size, step in zip(sizes, STRIDES)),
                activated=i > 0,
                **self._block_options(),
            )(x)
            if None in sizes:
                options = {"kernel_size": self.metaparameters.kernel_size, "strides": STRIDES}
                x = self.layer(f"{DECODER}trim{i + 1}", TrimLike, **options)([x, wanted])
        return self.probabilities(f"{DECODER}output", self.metaparameters.output_activation)(x)

    def assemble(self, x: Tensor) -> Tensor:
        x = self.assembly.preprocessed = self.preprocess(x)
        return self.decode(self.encode(self.corrupt(x)))

    def _bottleneck(self, x: Tensor) -> Tensor:
        """The encoder's last layers."""
        m = self.metaparameters
        if m.code is None:
            return x
        vector = "units" in m.code
        options = {"filters": m.code["units"] if vector else m.code["filters"]}
        if vector:
            if None in x.shape[1:]:
                raise ValueError(
                    f"`code={dict(m.code)}` is of images whose height and width are known, by `input_shape` or by a "
                    f"Resizing in `preprocess`; received the feature map {tuple(x.shape)}."
                )
            options |= {"pooling": "flatten", "hidden": m.code["hidden"]}
        if m.variational:
            return self.layer("code", VariationalBottleneck, **options, beta=m.beta, seed=m.seed)(x)
        if vector:
            return self.layer("code", ClassifierHead, **options)(x)
        return self.layer("code", ConvBlock, **options, kernel_size=1, batch_norm=False, activation=None)(x)

    def _unpacked(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The bottleneck's mirror image: codes become the last group's feature map, of this shape, again."""
        m = self.metaparameters
        if m.code is None:
            return x
        linear = m.kind == "residual"
        if "filters" in m.code:
            plain = {"batch_norm": False, "activation": None} if linear else {}
            options = {"filters": self.channels((None, *shape)), "kernel_size": 1, **plain}
            return self.layer(f"{DECODER}code", ConvBlock, **options)(x)
        for i, units in reversed(list(enumerate(m.code["hidden"], start=1))):
            x = self.activate(f"{DECODER}dense{i}_activation")(self.dense(f"{DECODER}dense{i}", units)(x))
        x = self.dense(f"{DECODER}map", math.prod(shape))(x)
        x = x if linear else self.activate(f"{DECODER}map_activation")(x)
        return self.layer(f"{DECODER}reshape", keras.layers.Reshape, target_shape=shape)(x)

    def _block_options(self) -> dict[str, Any]:
        m = self.metaparameters
        return {"kernel_size": m.kernel_size, "strides": STRIDES, "kind": m.kind}

    def _sizes(self, shape: Shape) -> Shape:
        """(height, width) of a batch of this shape."""
        return tuple(shape[1:3] if self.data_format == "channels_last" else shape[2:4])

    # -- what users ask of the model --------------------------------------------------------------------------------

    # Kept past Keras, which would take an attribute that holds a model for a further layer of this one.
    @functools.cached_property
    def encoder(self) -> keras.Model:
        """The model from images, as this one takes them, to codes. It shares all its weights with this one."""
        return keras.Model(self.input, self.assembly.features["code"], name=f"{self.name}_encoder")

    @functools.cached_property
    def decoder(self) -> keras.Model:
        """The model from codes to images. It shares all its weights with this one.

        Where height and width are `None`, its images have the code's times two for each group: the sizes that this
        model cuts them to are not in the code.
        """
        code = self.assembly.features["code"]
        inputs = x = keras.Input(code.shape[1:], dtype=code.dtype, name="code")
        for layer in self.layers:
            if layer.name.startswith(DECODER) and not isinstance(layer, TrimLike):
                x = layer(x)
        return keras.Model(inputs, x, name=f"{self.name}_decoder")

    @property
    def compression_ratio(self) -> float:
        """Values of an image over values of its code; where height and width are `None`, of large images."""
        image, code = self.assembly.preprocessed.shape[1:], self.assembly.features["code"].shape[1:]
        if None not in image:
            return float(math.prod(image) / math.prod(code))
        pixels = math.prod(STRIDES) ** len(self.metaparameters.groups)
        return float(pixels * self.channels((None, *image)) / self.channels((None, *code)))


def _code(code: Any) -> dict[str, Any] | None:
    """The argument `code`, checked."""
    if code is None:
        return None
    validation.mapping("code", code, keys=("filters", "units", "hidden"))
    if ("filters" in code) == ("units" in code) or ("filters" in code and "hidden" in code):
        raise ValueError(f"`code` must have the key 'filters', or 'units' and maybe 'hidden'; received {dict(code)!r}.")
    if "filters" in code:
        return {"filters": validation.integer("code['filters']", code["filters"])}
    return {"units": validation.integer("code['units']", code["units"]), "hidden": hidden_units(code.get("hidden", ()))}
