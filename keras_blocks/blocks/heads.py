"""Heads: from a feature map to the scores of classes."""

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import keras

from keras_blocks.core import validation
from keras_blocks.core.block import Block, register
from keras_blocks.core.chain import Chain, Fork, LayerSpec
from keras_blocks.core.immutable import FrozenDict
from keras_blocks.decode.predictions import decode_by_own
from keras_blocks.typing import BlockOptions, Ints

Pooling = Literal["avg", "max", "flatten"]

GLOBAL_POOLINGS = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


def hidden_units(hidden: Ints) -> tuple[int, ...]:
    """The argument `hidden`, checked; it may be empty."""
    hidden = (
        ()
        if isinstance(hidden, (list, tuple)) and not hidden
        else validation.sequence("hidden", hidden, of="numbers of units")
    )
    return tuple(validation.integer(f"hidden[{i}]", units) for i, units in enumerate(hidden))


class Head(Block):
    """What heads have in common: the features, pooled or flattened and through dense layers, that scores follow."""

    def _set_features(self, pooling: Any, hidden: Ints, dropout: float) -> None:
        self.pooling = validation.choice("pooling", pooling, Pooling)
        self.hidden = hidden_units(hidden)
        self.dropout = validation.share("dropout", dropout)

    def features(self) -> list[LayerSpec]:
        """The chain from the feature map to what the scores are computed of."""
        chain = [self.layer("pool", GLOBAL_POOLINGS.get(self.pooling, keras.layers.Flatten))]
        for i, units in enumerate(self.hidden, start=1):
            chain += [self.dense(f"dense{i}", units), self.activate(f"dense{i}_activation"), *self._drop(f"drop{i}")]
        return [*chain, *(() if self.hidden else self._drop("drop"))]

    def _drop(self, name: str) -> tuple[LayerSpec, ...]:
        return (self.layer(name, keras.layers.Dropout, rate=self.dropout),) if self.dropout else ()


@register
class ClassifierHead(Head):
    """Pools or flattens a feature map, then dense layers; the last gives the classes' scores, without activation.

    Args:
        filters: number of classes.
        pooling: "avg" or "max", over the whole map; or "flatten".
        hidden: units of the dense layers before the last, each with an activation and a dropout.
        dropout: share dropped after each hidden layer, or without them before the last layer, while training.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer`, `kernel_regularizer`,
            `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`; to flatten, height and width must be known.

    Output shape:
        `(batch, filters)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks", 2014, table 1 (flatten and two of 4096); Lin et al.,
        "Network In Network", 2013, section 3.2 (global average pooling).

    Example:

    >>> import keras, keras_blocks
    >>> keras_blocks.ClassifierHead(10, pooling="flatten", hidden=(4096, 4096))(keras.Input((7, 7, 512))).shape
    (None, 10)
    """

    def __init__(
        self,
        filters: int,
        pooling: Pooling = "avg",
        *,
        hidden: Ints = (),
        dropout: float = 0.0,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.filters = validation.integer("filters", filters)
        self._set_features(pooling, hidden, dropout)

    def chain(self, channels: int) -> Chain:
        return [*self.features(), self.dense("scores", self.filters)]


@register
class MultiLabelHead(Head):
    """Several labels for one image: a softmax for each of several questions, or a sigmoid for each of many labels.

    With a list of numbers of classes the output is a dict, so `compile` takes a dict of losses, and one of their
    weights, by the names of the outputs, and `fit` a dict of labels. With one number it is a single tensor of that many
    independent probabilities, for the loss "binary_crossentropy". Probabilities are float32 under any policy.

    Keras' `fit` takes no `class_weight` for a model of several outputs, whose classes have numbers in common: give
    `sample_weight`, a dict by the outputs' names too, such as `{"digit": weights[digits], "parity": None}`.

    Args:
        classes: numbers of classes, such as `[5, 3, 10]`, of one softmax each; or the number of labels of which each
            is there or not.
        names: names of the outputs, identifiers; `None` for "label1", "label2", ... With one number there are none.
        labels: names of the classes, kept in the saved file, for `decode_predictions`: a list of lists, or with one
            number a list; `None` for none.
        pooling, hidden, dropout: of the features that all labels share, see `ClassifierHead`.
        **kwargs: the settings of `Block`: `activation` ("relu"), `kernel_initializer`, `kernel_regularizer`,
            `data_format`, `name`, `dtype`, ...

    Input shape:
        `(batch, height, width, channels)`; to flatten, height and width must be known.

    Output shape:
        A dict of `(batch, classes)`; with one number, `(batch, classes)`.

    Raises:
        TypeError, ValueError: at construction for an argument out of range.

    Reference:
        Caruana, "Multitask Learning", 1997 (several outputs of shared features); Nam et al., "Large-scale Multi-label
        Text Classification: Revisiting Neural Networks", 2014, section 3 (sigmoids and cross-entropy).

    Example:

    >>> import keras, keras_blocks
    >>> backbone = keras_blocks.create_model("resnet20_cifar", include_top=False)
    >>> head = keras_blocks.MultiLabelHead([10, 2], names=["digit", "parity"])
    >>> model = keras.Model(backbone.input, head(backbone.output))
    >>> {name: output.shape for name, output in model.output.items()}
    {'digit': (None, 10), 'parity': (None, 2)}
    >>> model.compile(
    ...     "adam", dict.fromkeys(head.names, "sparse_categorical_crossentropy"), {"digit": 1.0, "parity": 0.5}
    ... )
    """

    wide_outputs = True

    def __init__(
        self,
        classes: int | Ints,
        *,
        names: Sequence[str] | None = None,
        labels: Sequence[str] | Sequence[Sequence[str]] | None = None,
        pooling: Pooling = "avg",
        hidden: Ints = (),
        dropout: float = 0.0,
        **kwargs: Unpack[BlockOptions],
    ):
        super().__init__(**kwargs)
        self.classes = _classes(classes)
        self.names = _names(names, self.classes)
        self.labels = _labels(labels, self.classes)
        self._set_features(pooling, hidden, dropout)

    def chain(self, channels: int) -> Chain:
        if isinstance(self.classes, int):
            return [*self.features(), self.dense("scores", self.classes), self.probabilities("sigmoid", "sigmoid")]
        branches = {
            name: (self.dense(f"{name}_scores", classes), self.probabilities(f"{name}_softmax", "softmax"))
            for name, classes in zip(self.names or (), self.classes)
        }
        return [*self.features(), Fork(FrozenDict(branches))]

    def decode_predictions(self, predictions: Any, top: int | None = 5, threshold: float | None = None) -> list[Any]:
        """The best classes of each image, by the names given as `labels`.

        Args:
            predictions: the head's outputs, or what the model's `predict` gives.
            top, threshold: see `keras_blocks.decode_predictions`; for sigmoids, `top=None, threshold=0.5` gives the
                labels that are there.

        Returns:
            For each image a list of `(index, name, score)`, the best first, or a dict of such lists.

        Raises:
            ValueError: for a head without `labels`, or outputs of another number of classes.

        Example:

        >>> head = keras_blocks.MultiLabelHead(3, labels=["cat", "dog", "fox"])
        >>> head.decode_predictions([[0.75, 0.25, 0.5]], top=None, threshold=0.5)
        [[(0, 'cat', 0.75), (2, 'fox', 0.5)]]
        """
        labels: Any = self.labels
        if labels is not None and self.names is not None:
            labels = dict(zip(self.names, labels))
        return decode_by_own(self._title(), labels, predictions, top, threshold)


def _classes(classes: Any) -> int | tuple[int, ...]:
    """One number, or a tuple of them, each of two classes at least: the softmax of one is always 1."""
    if isinstance(classes, (list, tuple)):
        classes = validation.sequence("classes", classes, of="numbers of classes")
        return tuple(validation.integer(f"classes[{i}]", count, least=2) for i, count in enumerate(classes))
    return validation.integer("classes", classes)


def _names(names: Any, classes: int | tuple[int, ...]) -> tuple[str, ...] | None:
    if isinstance(classes, int):
        if names is not None:
            raise ValueError(f"`names` are of several outputs, and must be None for one; received {names!r}.")
        return None
    if names is None:
        return tuple(f"label{i}" for i in range(1, len(classes) + 1))
    given = validation.names("names", names, count=len(classes), of="`classes`")
    for name in given:
        if not name.isidentifier() or name.startswith("_") or given.count(name) > 1:
            raise ValueError(
                f"`names` must be identifiers without a leading underscore, all different; received {name!r}."
            )
    return given


def _labels(labels: Any, classes: int | tuple[int, ...]) -> tuple[Any, ...] | None:
    if labels is None:
        return None
    if isinstance(classes, int):
        return validation.names("labels", labels, count=classes)
    labels = validation.sequence("labels", labels, of="lists of names")
    if len(labels) != len(classes):
        raise ValueError(f"`labels` must be {len(classes)} lists, as many as `classes`; received {len(labels)}.")
    return tuple(
        validation.names(f"labels[{i}]", names, count=count) for i, (names, count) in enumerate(zip(labels, classes))
    )
