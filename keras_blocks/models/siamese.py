"""Siamese networks: two images through one network, and how alike they are."""

import contextvars

import keras
import numpy as np

from keras_blocks.blocks.heads import POOLINGS
from keras_blocks.blocks.pairwise_distance import PairwiseDistance
from keras_blocks.blocks.unit_length import UnitLength
from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.core.layers import serialized
from keras_blocks.core.registration import register
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.backbones import make_backbone
from keras_blocks.models.preprocessing import (
    DetachablePreprocessing,
    preprocessing_layers,
    shape_after,
    unless_training,
)
from keras_blocks.models.variants import Variants
from keras_blocks.ops.casting import wide
from keras_blocks.ops.distances import DISTANCES

_SHARED = contextvars.ContextVar("shared", default=None)
"""Layers, by name, that a model takes over from another instead of making its own."""


@register
class Embedding(keras.Model):
    """From images to embeddings: what both sides of a `Siamese` share."""


@register
class Siamese(Variants, DetachablePreprocessing, keras.Model):
    """Two images through one network, the backbone, and how alike the two embeddings are.

    `model.embedding` is the shared network as a model of its own: it gives the embeddings, and can be trained alone, by
    `TripletLoss`, which trains this model's weights. With the top, a dense unit makes the distance a probability that
    the two images are of one class, for the loss "binary_crossentropy" and labels of 1 for pairs that are. Without
    the top, the output is the distance, for `ContrastiveLoss`.

    Args:
        backbone: the name of a variant, such as "resnet18" (see `list_models`), or "koch2015", the published twins'; an
            architecture's class; or a Keras model of one image input and one output, a feature map or a vector.
        distance: "l1", "l2" or "cosine", see `PairwiseDistance`. With the top, the components' absolute differences
            are weighed one by one for "l1", and the distance as a whole otherwise.
        embedding: number of dimensions that the features are projected to by a dense layer; `None` for the features.
        pooling: of a feature map: "avg", "max", or "flatten", which needs height and width to be known.
        normalize: whether embeddings are scaled to length 1, as in FaceNet.
        include_top: whether the dense unit is part of the model.
        classifier_activation: activation of the output; `None` for logits. Computed in float32 under a mixed policy.
        preprocess: Keras layer or list of layers put in front, see `Architecture`.
        input_shape: (height, width, channels) of the images as they come; `None` for the backbone's.
        dtype: dtype policy; `None` is the backbone's, or Keras' global one for a backbone that is yet to be made.
        name, trainable: as in every Keras model.
        **metaparameters: of a backbone given by name or class, such as `groups`, `batch_norm` or `data_format`.

    Input shape:
        A list of two tensors, each `(batch, height, width, channels)`; for "koch2015" by default (105, 105, 1).

    Output shape:
        `(batch, 1)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Bromley et al., "Signature Verification using a Siamese Time Delay Neural Network", 1993; Koch et al., "Siamese
        Neural Networks for One-shot Image Recognition", 2015, figures 3 and 4; Schroff et al., "FaceNet", 2015.

    Example:

    >>> import keras, keras_blocks
    >>> model = keras_blocks.Siamese("resnet20_cifar", distance="l2", embedding=64, input_shape=(28, 28, 1))
    >>> model.compile("adam", "binary_crossentropy")
    >>> model.input_shape, model.output_shape, model.embedding.output_shape
    ([(None, 28, 28, 1), (None, 28, 28, 1)], (None, 1), (None, 64))
    """

    variants = {"siamese_koch2015": {"backbone": "koch2015", "distance": "l1"}}
    sources = {"siamese_koch2015": "Koch et al. 2015, figure 4, for images of 105x105 pixels"}

    def __init__(
        self,
        backbone="koch2015",
        distance="l1",
        *,
        embedding=None,
        pooling="avg",
        normalize=False,
        include_top=True,
        classifier_activation="sigmoid",
        preprocess=None,
        input_shape=None,
        dtype=None,
        name=None,
        trainable=True,
        **metaparameters,
    ):
        own = {
            "distance": validation.choice("distance", distance, tuple(DISTANCES)),
            "embedding": None if embedding is None else validation.integer("embedding", embedding),
            "pooling": validation.choice("pooling", pooling, ("avg", "max", "flatten")),
            "normalize": validation.boolean("normalize", normalize),
            "include_top": validation.boolean("include_top", include_top),
            "classifier_activation": keras_arguments.activation("classifier_activation", classifier_activation),
            "preprocess": preprocessing_layers("preprocess", preprocess),
        }
        backbone, shape = _backbone(backbone, own["preprocess"], input_shape, dtype, metaparameters)
        policy = keras.dtype_policies.get(backbone.dtype_policy if dtype is None else dtype)
        self.metaparameters = FrozenDict({"backbone": backbone, **own, "input_shape": shape})
        self.dtype_policy = policy
        shared = _SHARED.get() or {}

        def layer(cls, name, **options):
            return shared.get(name) or cls(**{"dtype": policy, **options}, name=name)

        image = keras.Input(shape, name="image")
        x = image
        for step in own["preprocess"]:
            x = unless_training(step)(x)
        preprocessed = x
        x = backbone(x)
        if len(x.shape) == 4:
            x = layer(POOLINGS.get(pooling, keras.layers.Flatten), "pool", data_format=self.data_format)(x)
        if embedding is not None:
            x = layer(keras.layers.Dense, "projection", units=embedding)(x)
        if normalize:
            x = layer(UnitLength, "normalization")(x)
        embed = Embedding(image, x, name="embedding")

        pair = [keras.Input(shape, name="left"), keras.Input(shape, name="right")]
        precise = policy if wide(policy.compute_dtype) == policy.compute_dtype else "float32"
        componentwise = include_top and distance == "l1"
        outputs = layer(PairwiseDistance, "distance", distance=distance, componentwise=componentwise, dtype=precise)(
            [embed(one) for one in pair]
        )
        if include_top:
            # A single distance is known to speak against likeness; of many components the unit learns it.
            start = "glorot_uniform" if componentwise else keras.initializers.Constant(-1.0)
            outputs = layer(keras.layers.Dense, "scores", units=1, kernel_initializer=start)(outputs)
            outputs = layer(
                keras.layers.Activation, "predictions", activation=own["classifier_activation"], dtype=precise
            )(outputs)
        super().__init__(inputs=pair, outputs=outputs, name=name, trainable=trainable)
        self.dtype_policy = policy
        self._preprocessed = preprocessed

    # -- what users ask of the model --------------------------------------------------------------------------------

    @property
    def backbone(self) -> keras.Model:
        """The backbone, for instance to freeze a part of it."""
        return self.metaparameters.backbone

    @property
    def embedding(self) -> keras.Model:
        """The network that both images go through, from images to embeddings, as a model that shares its weights."""
        return self.get_layer("embedding")

    def embed(self, images, batch_size=32) -> np.ndarray:
        """The embeddings of images.

        Args:
            images: array of the shape `(images, height, width, channels)`.
            batch_size: how many at a time.

        Returns:
            Array of the shape `(images, dimensions)`.

        Example:

        >>> import numpy as np
        >>> net = keras_blocks.Siamese("resnet20_cifar", embedding=16, input_shape=(16, 16, 1))
        >>> net.embed(np.zeros((3, 16, 16, 1))).shape
        (3, 16)
        """
        return self.embedding.predict(images, batch_size=batch_size, verbose=0)

    def similarities(self, support, queries, batch_size=32) -> np.ndarray:
        """How alike each query is to each class, of which the support has one or more images.

        Args:
            support: array of the shape `(classes, height, width, channels)`, an image of each class, or
                `(classes, shots, height, width, channels)`, whose similarities are averaged.
            queries: array of the shape `(queries, height, width, channels)`.
            batch_size: how many images at a time.

        Returns:
            Array of the shape `(queries, classes)`: the larger, the more alike. The logits, or without the top the
            distances times -1, as probabilities of 1 cannot be told apart.

        Raises:
            ValueError: for arrays of other shapes.
        """
        support, queries = np.asarray(support), np.asarray(queries)
        if queries.ndim != 4 or support.ndim not in (4, 5) or support.shape[-3:] != queries.shape[1:]:
            raise ValueError(
                "`support` must have the shape (classes, height, width, channels), or (classes, shots, height, width, "
                f"channels), and `queries` (queries, height, width, channels), of images of one size; received "
                f"{support.shape} and {queries.shape}."
            )
        classes, shots = support.shape[0], 1 if support.ndim == 4 else support.shape[1]
        known = self.embed(support.reshape(-1, *queries.shape[1:]), batch_size)
        found = []
        for one in self.embed(queries, batch_size):
            outputs = self.get_layer("distance")([np.broadcast_to(one, known.shape), known])
            outputs = self.get_layer("scores")(outputs) if self.metaparameters.include_top else -outputs
            found.append(np.asarray(keras.ops.convert_to_numpy(outputs), "float32"))
        return np.reshape(found, (len(queries), classes, shots)).mean(axis=-1)

    def one_shot(self, support, queries, batch_size=32) -> np.ndarray:
        """N-way one-shot classification: for each query the class of the support that it is most alike.

        Args:
            support, queries, batch_size: see `similarities`.

        Returns:
            Array of `queries` indices into the support's classes.

        Raises:
            ValueError: for arrays of other shapes.

        Reference:
            Koch et al. 2015, section 4.3; Lake et al., "Human-level concept learning through probabilistic program
            induction", 2015.

        Example: an image is most alike to itself.

        >>> import numpy as np
        >>> net = keras_blocks.Siamese("resnet20_cifar", "l2", embedding=16, input_shape=(16, 16, 1))
        >>> images = np.random.default_rng(0).uniform(size=(5, 16, 16, 1))
        >>> net.one_shot(images, images[[3, 1]]).tolist()
        [3, 1]
        """
        return self.similarities(support, queries, batch_size).argmax(axis=1)

    # -- what the mixins and Keras ask ------------------------------------------------------------------------------

    @property
    def data_format(self) -> str:
        """The backbone's, or Keras' setting for a backbone that has none."""
        return getattr(self.backbone, "data_format", keras.config.image_data_format())

    def channels(self, shape) -> int:
        """The number of channels of a batch of this shape."""
        return shape[-1 if self.data_format == "channels_last" else 1]

    def _with_preprocessing(self, layers, input_shape):
        """This model's layers behind others."""
        mine = {layer.name: layer for layer in (*self.layers, *self.embedding.layers)}
        token = _SHARED.set({name: mine[name] for name in OWN_LAYERS if name in mine})
        try:
            return type(self)(**{**self._arguments(), "preprocess": layers, "input_shape": input_shape})
        finally:
            _SHARED.reset(token)

    def _arguments(self) -> dict:
        return {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy, **self.metaparameters}

    def get_config(self):
        config = serialized({**self._arguments(), "dtype": None})
        config["dtype"] = keras.dtype_policies.serialize(self.dtype_policy)
        layers = (*self.layers, *self.embedding.layers)
        if frozen := [layer.name for layer in layers if layer.name in OWN_LAYERS and not layer.trainable]:
            config["frozen"] = frozen
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        frozen = config.pop("frozen", ())
        with keras.saving.CustomObjectScope(custom_objects or {}):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
            config["backbone"] = keras.saving.deserialize_keras_object(config["backbone"])
            config["preprocess"] = [keras.saving.deserialize_keras_object(item) for item in config["preprocess"]]
            model = cls(**config)
        for layer in (*model.layers, *model.embedding.layers):
            if layer.name in frozen:
                layer.trainable = False
        return model


OWN_LAYERS = ("pool", "projection", "normalization", "distance", "scores", "predictions")
"""Names of the layers beside the backbone and the preprocessing."""


def _backbone(backbone, preprocess, input_shape, dtype, metaparameters):
    """The backbone as a model, and the shape of the images as they come."""
    by_class = isinstance(backbone, type) and issubclass(backbone, Architecture)
    if isinstance(backbone, str) or by_class:
        if input_shape is not None:
            input_shape = validation.sequence("input_shape", input_shape, of="height, width and channels")
            metaparameters = {**metaparameters, "input_shape": _behind(preprocess, input_shape)}
        backbone = make_backbone(backbone, dtype=dtype, **metaparameters)
    elif not isinstance(backbone, keras.Model):
        raise TypeError(
            "`backbone` must be the name of a variant, an architecture's class or a Keras model; received "
            f"{backbone!r} of type {type(backbone).__name__}."
        )
    elif metaparameters:
        raise TypeError(
            f"metaparameters go with a backbone given by its name or class, not with a model; received "
            f"{sorted(metaparameters)}."
        )
    inputs, outputs = (getattr(backbone, side, None) for side in ("input_shape", "output_shape"))
    if not _one_shape(inputs, (4,)) or not _one_shape(outputs, (2, 4)):
        raise ValueError(
            "`backbone` must have one input of 4 axes, images, and one output, a feature map of 4 axes or vectors of "
            f"2; '{backbone.name}' has inputs of the shape {inputs} and outputs of the shape {outputs}."
        )
    own = tuple(inputs[1:])
    shape = own if input_shape is None else tuple(input_shape)
    if any(mine not in (None, size) for mine, size in zip(own, _behind(preprocess, shape), strict=True)):
        raise ValueError(
            f"`input_shape` must fit the backbone's {own}, behind `preprocess`; received {shape}, which becomes "
            f"{_behind(preprocess, shape)}."
        )
    return backbone, shape


def _behind(preprocess, shape):
    after = shape_after(preprocess, shape)
    if after is None or len(after) != 3:
        raise ValueError(f"`input_shape` must be an image's that `preprocess` can take; received {tuple(shape)}.")
    return after


def _one_shape(shape, ranks) -> bool:
    """Whether it is the shape of a single tensor, of so many axes."""
    return isinstance(shape, tuple) and len(shape) in ranks and not any(isinstance(size, tuple) for size in shape)
