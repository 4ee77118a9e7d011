"""Siamese networks: two images through one network, and how alike they are."""

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeAlias

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_blocks.blocks.heads import GLOBAL_POOLINGS, Pooling
from keras_blocks.blocks.pairwise_distance import Distance, PairwiseDistance
from keras_blocks.blocks.unit_length import UnitLength
from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.graphs import replay
from keras_blocks.core.layers import wide_policy
from keras_blocks.core.registration import register
from keras_blocks.core.trainable import trained_whole
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.around_backbone import AroundBackbone
from keras_blocks.models.assembly import Assembly
from keras_blocks.models.backbones import named_backbone
from keras_blocks.models.legacy_h5 import saved_readably
from keras_blocks.models.preprocessing import preprocessing_layers, shape_after
from keras_blocks.typing import Activation, DType, Shape, Tensor

Layers: TypeAlias = Sequence[keras.layers.Layer]


@register
@saved_readably
@trained_whole
class Embedding(keras.Model):
    """From images to embeddings: what both sides of a `Siamese` share."""


@register
class Siamese(AroundBackbone):
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
        input_tensor: must be `None`, as there are two inputs.
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

    input_names = ("left", "right")

    takes_more = True

    variants = {"siamese_koch2015": {"backbone": "koch2015", "distance": "l1"}}
    sources = {"siamese_koch2015": "Koch et al. 2015, figure 4, for images of 105x105 pixels"}

    def __init__(
        self,
        backbone: str | type[Architecture] | keras.Model = "koch2015",
        distance: Distance = "l1",
        *,
        embedding: int | None = None,
        pooling: Pooling = "avg",
        normalize: bool = False,
        include_top: bool = True,
        classifier_activation: Activation = "sigmoid",
        preprocess: Any = None,
        input_shape: Shape | None = None,
        input_tensor: Assembly | None = None,
        dtype: DType = None,
        name: str | None = None,
        trainable: bool = True,
        **metaparameters: Any,
    ):
        if not isinstance(input_tensor, Assembly | None):
            raise TypeError(f"`input_tensor` must be None, as there are two inputs; received {input_tensor!r}.")
        preprocess = preprocessing_layers("preprocess", preprocess)
        backbone, input_shape = _backbone(backbone, preprocess, input_shape, dtype, metaparameters)
        own = {
            "backbone": backbone,
            "distance": validation.choice("distance", distance, Distance),
            "embedding": validation.optional(validation.integer, "embedding", embedding),
            "pooling": validation.choice("pooling", pooling, Pooling),
            "normalize": validation.boolean("normalize", normalize),
            "include_top": validation.boolean("include_top", include_top),
            "classifier_activation": keras_arguments.activation("classifier_activation", classifier_activation),
        }
        super().__init__(
            own,
            input_shape=input_shape,
            input_tensor=input_tensor,
            preprocess=preprocess,
            data_format=getattr(backbone, "data_format", None),
            dtype=backbone.dtype_policy if dtype is None else dtype,
            name=name,
            trainable=trainable,
        )

    # -- the parts --------------------------------------------------------------------------------------------------

    def embed_image(self, x: Tensor) -> Tensor:
        """From a preprocessed image to its embedding."""
        m = self.metaparameters
        x = m.backbone(x)
        if len(x.shape) == 4:
            x = self.layer("pool", GLOBAL_POOLINGS.get(m.pooling, keras.layers.Flatten))(x)
        if m.embedding is not None:
            x = self.layer("projection", keras.layers.Dense, units=m.embedding)(x)
        return self.layer("normalization", UnitLength)(x) if m.normalize else x

    def compare(self, embeddings: Sequence[Tensor]) -> Tensor:
        """From two embeddings to how alike they are."""
        m = self.metaparameters
        componentwise = m.include_top and m.distance == "l1"
        options = {"distance": m.distance, "componentwise": componentwise, "dtype": wide_policy(self.dtype_policy)}
        x = self.layer("distance", PairwiseDistance, **options)(embeddings)
        if not m.include_top:
            return x
        # A single distance is known to speak against likeness; of many components the unit learns it.
        start = "glorot_uniform" if componentwise else keras.initializers.Constant(-1.0)
        x = self.layer("scores", keras.layers.Dense, units=1, kernel_initializer=start)(x)
        return self.probabilities("predictions", m.classifier_activation)(x)

    def assemble(self, x: Sequence[Tensor]) -> Tensor:
        image = keras.Input(self.metaparameters.input_shape, name="image")
        preprocessed = self.assembly.preprocessed = self.preprocess(image)
        embed = Embedding(image, self.embed_image(preprocessed), name="embedding")
        return self.compare([embed(one) for one in x])

    # -- what users ask of the model --------------------------------------------------------------------------------

    @property
    def embedding(self) -> keras.Model:
        """The network that both images go through, from images to embeddings, as a model that shares its weights."""
        return self.get_layer("embedding")

    def embed(self, images: ArrayLike, batch_size: int = 32) -> np.ndarray:
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
        return np.asarray(self.embedding.predict(images, batch_size=batch_size, verbose=0))

    def similarities(self, support: ArrayLike, queries: ArrayLike, batch_size: int = 32) -> np.ndarray:
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
        return np.asarray(np.reshape(found, (len(queries), classes, shots)).mean(axis=-1))

    def one_shot(self, support: ArrayLike, queries: ArrayLike, batch_size: int = 32) -> np.ndarray:
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
        return np.asarray(self.similarities(support, queries, batch_size).argmax(axis=1))

    # -- what Keras and `Network` ask of it -------------------------------------------------------------------------

    def _own_layers(self) -> dict[str, keras.layers.Layer]:
        """Name -> layer beside the backbone and the preprocessing, which keep what is frozen themselves."""
        return {layer.name: layer for layer in (*self.layers, *self.embedding.layers) if layer.name in OWN_LAYERS}

    def _behind(self, outline: Self) -> Assembly:
        image = keras.Input(outline.metaparameters.input_shape, name="image")
        preprocessed = outline.preprocess(image)
        network = keras.Model(self.assembly.preprocessed, self.embedding.output)
        embed = Embedding(image, replay(network, [preprocessed]), name="embedding")
        pair = outline.make_inputs()
        outputs = replay(self, pair, lambda operation: embed if operation is self.embedding else operation)
        return Assembly(pair, outputs, preprocessed)


OWN_LAYERS = ("pool", "projection", "normalization", "distance", "scores", "predictions")
"""Names of the layers beside the backbone and the preprocessing."""


def _backbone(
    backbone: Any, preprocess: Layers, input_shape: Shape | None, dtype: DType, metaparameters: Mapping[str, Any]
) -> tuple[keras.Model, Shape]:
    """The backbone as a model, and the shape of the images as they come."""
    if not isinstance(backbone, keras.Model) and input_shape is not None:
        input_shape = tuple(validation.sequence("input_shape", input_shape, of="height, width and channels"))
        metaparameters = {**metaparameters, "input_shape": _behind(preprocess, input_shape)}
    backbone = named_backbone(Siamese, backbone, dtype, metaparameters)
    inputs: Any = getattr(backbone, "input_shape", None)
    outputs: Any = getattr(backbone, "output_shape", None)
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


def _behind(preprocess: Layers, shape: Shape) -> Shape:
    after = shape_after(preprocess, shape)
    if after is None or len(after) != 3:
        raise ValueError(f"`input_shape` must be an image's that `preprocess` can take; received {tuple(shape)}.")
    return after


def _one_shape(shape: Any, ranks: Sequence[int]) -> bool:
    """Whether it is the shape of a single tensor, of so many axes."""
    return isinstance(shape, tuple) and len(shape) in ranks and not any(isinstance(size, tuple) for size in shape)
