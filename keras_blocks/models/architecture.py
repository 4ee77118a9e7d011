"""Architecture: preprocess, stem, learner, classifier, assembled from metaparameters into a functional model."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, Unpack

import keras

from keras_blocks.core import keras_arguments, validation
from keras_blocks.core.chain import LayerSpec
from keras_blocks.decode.predictions import decode_by_own
from keras_blocks.models.levels import pyramid_outputs
from keras_blocks.models.network import Network
from keras_blocks.models.side_outputs import MAIN_OUTPUT, compiled_for_all, main_only, repeated
from keras_blocks.typing import Activation, NetworkOptions, Tensor

Pooling = Literal[None, "avg", "max"]


class Architecture(Network):
    """A functional model in four parts: `preprocess`, `stem`, `learner`, `classifier`.

    Each part is a method that takes and returns a Keras tensor, so a subclass overrides one and keeps the others, and
    `outline(...)` gives them to be used alone. The constructor's arguments are the metaparameters; they are plain data,
    cannot be changed, and are what a saved file holds.

    A subclass passes its own metaparameters, validated, as `own`, and adds layers by
    `self.layer(name, cls, **options)(x)`, which hands down the shared settings, the data format and the dtype.

    Args:
        own: the subclass' own metaparameters.
        input_shape: (height, width, channels) in the data format, height and width `None` for any; the class'
            `default_input_shape` where it is `None`.
        input_tensor: a `keras.Input` to build the model on, in place of `input_shape`.
        classes: number of classes.
        include_top: whether the classifier is part of the model.
        pooling: with `include_top=False`: `None` for the feature map, "avg" or "max" for its global pooling.
        classifier_activation: activation of the output; `None` for logits. Computed in float32 under a mixed policy.
        preprocess: Keras layer or list of layers put in front, part of the model and of the saved file; what augments
            does so in training alone. `input_shape` is then that of the images as they come, such as (None, None, 3)
            in front of a `Resizing`. See `detach_preprocessing`.
        labels: the classes' names, kept in the saved file, for `decode_predictions`; `None` for none.
        activation, batch_norm, use_bias, kernel_initializer, kernel_regularizer, data_format, remat: the settings that
            all blocks share, see `keras_blocks.Block`.
        dtype: dtype policy of all layers; `None` is Keras' global policy.
        name, trainable: as in every Keras model.

    Example: an architecture of one metaparameter.

    >>> import keras, keras_blocks
    >>> @keras.saving.register_keras_serializable("mine")
    ... class Plain(keras_blocks.Architecture):
    ...     def __init__(self, filters=8, **kwargs):
    ...         super().__init__({"filters": filters}, **kwargs)
    ...     def stem(self, x):
    ...         return self.layer("stem", keras_blocks.ConvBlock, filters=self.metaparameters.filters)(x)
    ...     def learner(self, x):
    ...         return self.layer("block", keras_blocks.FireBlock, filters=4)(x)
    ...     def classifier(self, x):
    ...         x = self.layer("head", keras_blocks.ClassifierHead, filters=self.metaparameters.classes)(x)
    ...         return self.output_activation()(x)
    >>> Plain(input_shape=(32, 32, 3), classes=10).output_shape
    (None, 10)
    """

    def __init__(
        self,
        own: Mapping[str, Any],
        *,
        classes: int = 1000,
        include_top: bool = True,
        pooling: Pooling = None,
        classifier_activation: Activation = "softmax",
        labels: Sequence[str] | None = None,
        **kwargs: Unpack[NetworkOptions],
    ):
        classes = validation.integer("classes", classes)
        own = {
            **own,
            "classes": classes,
            "labels": validation.optional(validation.names, "labels", labels, count=classes),
            "include_top": validation.boolean("include_top", include_top),
            "pooling": validation.choice("pooling", pooling, Pooling),
            "classifier_activation": keras_arguments.activation("classifier_activation", classifier_activation),
        }
        super().__init__(own, **kwargs)

    # -- the four parts ---------------------------------------------------------------------------------------------

    def stem(self, x: Tensor) -> Tensor:
        """The layers before the first group."""
        raise self._missing("stem", "the layers before the first group")

    def learner(self, x: Tensor) -> Tensor:
        """The groups of blocks."""
        raise self._missing("learner", "the groups of blocks")

    def classifier(self, x: Tensor) -> Tensor:
        """From the learner's feature map to the output."""
        raise self._missing("classifier", "from the learner's feature map to the output", "; or `include_top=False`")

    def _missing(self, part: str, what: str, otherwise: str = "") -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__} must have a method `{part}(self, x)`, {what}, which takes and returns a Keras "
            f"tensor{otherwise}."
        )

    def assemble(self, x: Tensor) -> Tensor:
        """All parts in turn: the model's output for the input `x`, a dict where there are auxiliary ones."""
        x = self.assembly.preprocessed = self.preprocess(x)
        x = self.learner(self.stem(x))
        if self.metaparameters.include_top:
            return self.with_side_outputs(self.classifier(x))
        if self.metaparameters.pooling is None:
            return x
        return self.global_pool("pool", self.metaparameters.pooling)(x)

    # -- what the parts are written with ----------------------------------------------------------------------------

    def global_pool(self, name: str, kind: Literal["avg", "max"]) -> LayerSpec:
        pooling = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
        return self.layer(name, pooling[kind])

    def output_activation(self, name: str = "predictions") -> LayerSpec:
        """The classifier's activation."""
        return self.probabilities(name, self.metaparameters.classifier_activation)

    # -- what users ask of the model --------------------------------------------------------------------------------

    @property
    def pyramid_outputs(self) -> dict[str, keras.KerasTensor]:
        """Level -> the last feature map of its size: "P3" has an eighth of the image's height. As KerasHub's backbones.

        Example:

        >>> net = keras_blocks.create_model("resnet18", include_top=False, input_shape=(64, 64, 3))
        >>> {level: tensor.shape[1:] for level, tensor in net.pyramid_outputs.items()}
        {'P2': (16, 16, 64), 'P3': (8, 8, 128), 'P4': (4, 4, 256), 'P5': (2, 2, 512)}
        """
        return pyramid_outputs(self, self.assembly.features)

    def decode_predictions(self, predictions: Any, top: int = 5, threshold: float | None = None) -> list[Any]:
        """The best classes of each image, by the names given as `labels`.

        Args:
            predictions: the model's outputs, or what `predict` gives; of auxiliary ones, the main one counts.
            top, threshold: see `keras_blocks.decode_predictions`.

        Returns:
            For each image a list of `(index, name, score)`, the best first.

        Raises:
            ValueError: for a model without `labels`, or outputs of another number of classes.

        Example:

        >>> net = keras_blocks.create_model("resnet20_cifar", classes=2, labels=["cat", "dog"])
        >>> net.decode_predictions([[0.25, 0.75]], top=1)
        [[(1, 'dog', 0.75)]]
        """
        if self.assembly.side_outputs and isinstance(predictions, Mapping):
            predictions = predictions[MAIN_OUTPUT]
        return decode_by_own(f"the model '{self.name}'", self.metaparameters.labels, predictions, top, threshold)

    def without_auxiliary(self) -> Self:
        """The model without its auxiliary classifiers, sharing all other layers with this one.

        Its output is this model's main one, not a dict of one. If this model is compiled, it is compiled for the same
        loss and metrics, with an optimizer of its own. A model that has none is returned as it is.

        Example:

        >>> model = keras_blocks.create_model("googlenet_cifar", auxiliary=True)
        >>> sorted(model.output), model.without_auxiliary().output.shape
        (['aux_1', 'aux_2', 'predictions'], (None, 10))
        """
        if not self.assembly.side_outputs:
            return self
        bare = dataclasses.replace(self.assembly, outputs=self.output[MAIN_OUTPUT], side_outputs={})
        model = type(self)(**{**self._arguments(), "auxiliary": False, "input_tensor": bare})
        if self.compiled:
            model.compile_from_config(main_only(self.get_compile_config()))
        return model

    # -- outputs beside the main one --------------------------------------------------------------------------------

    @property
    def side_outputs(self) -> dict[str, Tensor]:
        """Name -> Keras tensor of each output beside the main one."""
        return {name: tensor for name, (tensor, _) in self.assembly.side_outputs.items()}

    def side_output(self, name: str, x: Tensor, weight: float) -> Tensor:
        """Notes `x` as a further output of the model, whose loss counts `weight` times, and returns it.

        The architecture must take an argument `auxiliary`, and note none where it is False.
        """
        self.assembly.side_outputs[name] = (x, weight)
        return x

    def with_side_outputs(self, outputs: Tensor) -> Any:
        """The model's outputs: the main one alone, or a dict of all."""
        return {MAIN_OUTPUT: outputs, **self.side_outputs} if self.assembly.side_outputs else outputs

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Compiles as every Keras model; with auxiliary outputs, what is given for one output is meant as said here.

        Args:
            optimizer: as in Keras.
            loss: one loss is that of every output; a dict names the outputs.
            loss_weights: `None` for the published weight of each auxiliary loss, with 1 for the main one; a number
                for another; or a dict.
            metrics, weighted_metrics: one metric or a list of them are the main output's; a dict names the outputs.
            **kwargs: as in Keras.
        """
        given = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        if self.assembly.side_outputs:
            given = compiled_for_all(self.assembly.loss_weights, **given)
        super().compile(optimizer, **given, **kwargs)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        sides = self.assembly.side_outputs
        return super().compute_loss(x, repeated(y, sides), y_pred, repeated(sample_weight, sides), training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        sides = self.assembly.side_outputs
        metrics: dict[str, Any] = super().compute_metrics(x, repeated(y, sides), y_pred, repeated(sample_weight, sides))
        return metrics
