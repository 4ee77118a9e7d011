"""What detectors of two stages have in common: a backbone, regions, a head, and losses of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_blocks.blocks.box_head import BoxHead
from keras_blocks.blocks.detection_decoder import BOX_WEIGHTS, DetectionDecoder
from keras_blocks.blocks.letterbox import Letterbox
from keras_blocks.core import validation
from keras_blocks.core.chain import LayerSpec
from keras_blocks.core.graphs import sublayers
from keras_blocks.core.inner import Untracked
from keras_blocks.core.layers import wide_policy
from keras_blocks.decode.predictions import decode_by_own
from keras_blocks.detection.dataset import DetectionDataset
from keras_blocks.detection.losses import chosen_regions, head_losses
from keras_blocks.detection.targets import clean
from keras_blocks.models.around_backbone import AroundBackbone
from keras_blocks.models.backbones import BACKBONE
from keras_blocks.models.network import Names, Network
from keras_blocks.typing import DType, Ints, Shape, Tensor

TRUTH = ("boxes", "labels")
"""What images are labelled with in training."""

MOVING = (
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
    keras.layers.RandomShear,
    keras.layers.RandomPerspective,
    keras.layers.RandomElasticTransform,
    keras.layers.RandAugment,
)
"""Layers that keep an image's size, and move what is in it."""


class Detector(AroundBackbone):
    """The base of detectors that look at regions of an image one by one: what comes before and after the regions.

    Args:
        own: the subclass' own metaparameters.
        backbone: the model that gives feature maps.
        classes, image_size, hidden, dropout, head_samples, score_threshold, iou_threshold, max_detections, labels: see
            `FasterRCNN`.
        input_shape, input_tensor, preprocess, dtype, name, trainable: see `Architecture`.
    """

    takes_more = True

    loss_names: tuple[str, ...] = ("class_loss", "box_loss")
    """What training reports beside the loss, which is their sum."""

    box_weights: tuple[float, float, float, float] = BOX_WEIGHTS
    """What the moves of a region's box are multiplied by, of x, y, width, height."""

    def __init__(
        self,
        own: Mapping[str, Any],
        *,
        backbone: keras.Model,
        classes: int,
        image_size: tuple[int, int] | None,
        hidden: Ints,
        dropout: float,
        head_samples: int,
        score_threshold: float,
        iou_threshold: float,
        max_detections: int,
        labels: Sequence[str] | None,
        input_shape: Shape | None = None,
        input_tensor: Any = None,
        preprocess: Any = None,
        dtype: DType = None,
        name: str | None = None,
        trainable: bool = True,
    ):
        data_format = getattr(backbone, "data_format", None) or keras.config.image_data_format()
        classes = validation.integer("classes", classes)
        own = {
            **own,
            "backbone": backbone,
            "classes": classes,
            "labels": validation.optional(validation.names, "labels", labels, count=classes),
            "image_size": image_size,
            "hidden": hidden,
            "dropout": dropout,
            "head_samples": validation.integer("head_samples", head_samples),
            "score_threshold": score_threshold,
            "iou_threshold": iou_threshold,
            "max_detections": max_detections,
        }
        super().__init__(
            own,
            input_shape=input_shape,
            input_tensor=input_tensor,
            preprocess=preprocess,
            data_format=data_format,
            dtype=getattr(backbone, "dtype_policy", None) if dtype is None else dtype,
            name=name,
            trainable=trainable,
        )
        self.sampling_seed = keras.random.SeedGenerator(seed=0)
        self.losses_apart = [keras.metrics.Mean(name=name) for name in self.loss_names]

    def layer(self, name: str, cls: type, **options: Any) -> LayerSpec:
        # Pyramid, proposal network and head start as their papers say, not as the backbone does.
        return super().layer(name, cls, **{**getattr(cls, "default_settings", {}), **options})

    # -- the parts --------------------------------------------------------------------------------------------------

    def preprocess(self, x: Tensor) -> Tensor:
        """The layers given as `preprocess`, which leave pixels where they are, as boxes are in pixels."""
        if moving := [layer for layer in self.metaparameters.preprocess if isinstance(layer, MOVING)]:
            raise ValueError(
                "`preprocess` must leave pixels where they are, as boxes are in pixels of the images as they come; "
                f"received {type(moving[0]).__name__}. `DetectionDataset(augmentation=...)` moves boxes, too."
            )
        after = super().preprocess(x)
        if tuple(after.shape) != tuple(x.shape):
            raise ValueError(
                f"`preprocess` must leave images as large as they are, as boxes are in their pixels: {tuple(x.shape)} "
                f"became {tuple(after.shape)}. `image_size` resizes images with their boxes."
            )
        return after

    def letterbox(self, x: Tensor) -> dict[str, Tensor]:
        """The image on its canvas, how much of it the image takes, and by how much it was scaled."""
        boxed: dict[str, Tensor] = self.layer("letterbox", Letterbox, size=self.metaparameters.image_size)(x)
        return boxed

    def head(self, x: Tensor) -> dict[str, Tensor]:
        """From pooled regions to scores of classes and moves of boxes."""
        m = self.metaparameters
        head = self.layer("head", BoxHead, classes=m.classes, hidden=m.hidden, dropout=m.dropout)
        found: dict[str, Tensor] = head(x)
        return found

    def detections(
        self, found: Mapping[str, Tensor], regions: Tensor, boxed: Mapping[str, Tensor], **options: Any
    ) -> dict[str, Tensor]:
        """From what the head found in the regions to detections, in pixels of the image as it came."""
        m = self.metaparameters
        options |= {name: m[name] for name in ("score_threshold", "iou_threshold", "max_detections")}
        options["box_weights"] = self.box_weights
        decode = self.layer("detections", DetectionDecoder, **options, dtype=wide_policy(self.dtype_policy))
        sizes = {name: boxed[name] for name in ("image_size", "scale")}
        scores = {name: found[name] for name in ("scores", "deltas")}
        detections: dict[str, Tensor] = decode({**scores, "proposals": regions, **sizes})
        return detections

    # -- training ---------------------------------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Detections; in training, what the losses are computed of."""
        if training:
            return self._trained(inputs, training=True)
        return super().call(inputs, training=training)  # keras.Functional's

    def compile(self, optimizer: Any = "sgd", loss: Any = None, **kwargs: Any) -> None:
        """As in every Keras model, but that the losses are the detector's own.

        Args:
            optimizer, **kwargs: as in Keras.
            loss: must be `None`.

        Raises:
            ValueError: for a loss, or metrics, which a detector's outputs in training have no use for.
        """
        for name, value in (("loss", loss), *((name, kwargs.get(name)) for name in ("metrics", "weighted_metrics"))):
            if value is not None:
                raise ValueError(
                    f"`{name}` must be None, as {type(self).__name__} brings its own losses, {list(self.loss_names)}; "
                    f"`keras_blocks.evaluate_detections` gives COCO's figures; received {value!r}."
                )
        super().compile(optimizer, **kwargs)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As in every Keras model.

        Args:
            x, y, *args, **kwargs: as in Keras.

        Raises:
            ValueError: for labels of another form; for classes that the model has not, in arrays or in a
                `DetectionDataset`; of other data they count as padding.
        """
        self._check_given(x, y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As in every Keras model: the losses. `keras_blocks.evaluate_detections` gives COCO's figures.

        Args:
            x, y, *args, **kwargs: as in Keras.

        Raises:
            ValueError: as in `fit`.
        """
        self._check_given(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def _check_given(self, x: Any, y: Any) -> None:
        """Refuses labels of another form, or that a loss would take for padding, as far as they are known before it.

        In TensorFlow's graph their sizes may not be known any more when the loss is computed.
        """
        if y is not None:
            _check_truth(y)
        classes = self.metaparameters.classes
        labels = y.get("labels") if isinstance(y, Mapping) else None
        largest = int(labels.max()) if isinstance(labels, np.ndarray) and labels.size else -1
        if isinstance(x, DetectionDataset):
            largest = len(x.labels) - 1
        if largest >= classes:
            raise ValueError(
                f"labels must be from 0 to {classes - 1}, as the model has `classes={classes}`, without a background, "
                f"and -1 for padding; received {largest}."
            )

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """The sum of the losses, each of which is reported. See `losses_of`."""
        if sample_weight is not None:
            raise ValueError("`sample_weight` must be None: a detector weighs all images alike.")
        _check_truth(y)
        outputs = y_pred if training else self._trained(x, training=False)
        found = self.losses_of(outputs, y, training)
        for tracker in self.losses_apart:
            tracker.update_state(found[tracker.name])
        return sum((*found.values(), *(keras.ops.cast(extra, "float32") for extra in self.losses)))

    def losses_of(self, outputs: Any, truth: Any, training: bool) -> dict[str, Tensor]:
        """Name -> loss.

        Args:
            outputs: what the model gives in training.
            truth: the images' boxes and labels, in pixels of the images as they come.
            training: whether the head drops some of its units.
        """
        boxes, labels = self._truth(outputs, truth)
        regions, classes, targets, there = chosen_regions(
            keras.ops.stop_gradient(outputs["proposals"]),
            boxes,
            labels,
            samples=self.metaparameters.head_samples,
            seed=self.sampling_seed,
        )
        found = self.get_layer("head")(self.pooled(outputs, regions, training), training=training)
        return self.losses_of_regions(found, regions, classes, targets, there)

    def losses_of_regions(
        self, found: Any, regions: Tensor, classes: Tensor, targets: Tensor, there: Tensor
    ) -> dict[str, Tensor]:
        """The losses of the regions that the head was given, see `detection.losses.chosen_regions`."""
        return head_losses(found, regions, classes, targets, there, self.box_weights)

    def pooled(self, outputs: Any, regions: Tensor, training: bool) -> Tensor:
        """What the head is given of these regions, made of what the model gives in training."""
        raise NotImplementedError(
            f"{type(self).__name__} must have a method `pooled(self, outputs, regions, training)`."
        )

    def _truth(self, outputs: Any, truth: Any) -> tuple[Tensor, Tensor]:
        """Boxes, in pixels of the canvas, and labels."""
        scale = keras.ops.flip(outputs["scale"], axis=-1)
        boxes, labels = keras.ops.cast(truth["boxes"], "float32"), truth["labels"]
        if boxes.shape[1] == 0:  # no maximum is taken of nothing
            boxes, labels = keras.ops.pad(boxes, ((0, 0), (0, 1), (0, 0))), keras.ops.pad(labels, ((0, 0), (0, 1)))
        boxes = boxes * keras.ops.concatenate([scale, scale], axis=-1)[:, None]
        return clean(boxes, labels, self.metaparameters.classes)

    @property
    def _trained(self) -> keras.Model:
        """The model whose outputs the losses are computed of; all its layers are this one's."""
        if getattr(self, "_trained_model", None) is None:
            self._trained_model = Untracked({"model": keras.Model(self.assembly.inputs, self.assembly.training)})
        model: keras.Model = self._trained_model.config["model"]
        return model

    # -- what users ask of the model --------------------------------------------------------------------------------

    @property
    def canvas_shape(self) -> Shape | None:
        """(height, width, channels), in the data format, of the canvas; `None` where images are taken as they come."""
        size, own = self.metaparameters.image_size, self.metaparameters.input_shape
        if size is None:
            return None
        return (*size, own[-1]) if self.data_format == "channels_last" else (own[0], *size)

    def freeze_normalization(self) -> None:
        """Freezes all BatchNormalization of the backbone, which then works as in inference, as batches are small.

        Compile the model again afterwards.

        Example:

        >>> model = keras_blocks.create_model("faster_rcnn_resnet18_fpn", classes=2, image_size=(64, 64))
        >>> model.freeze_normalization()
        """
        _freeze_normalization(self.backbone)

    def decode_predictions(self, predictions: Any, top: int | None = None, threshold: float | None = None) -> list[Any]:
        """For each image a list of `(name, score, box)`, the best first, by the names given as `labels`.

        Args:
            predictions: what `predict` gives.
            top, threshold: see `keras_blocks.decode_predictions`.

        Raises:
            ValueError: for a model without `labels`.
        """
        return decode_by_own(f"the model '{self.name}'", self.metaparameters.labels, predictions, top, threshold)

    def weight_names(self) -> Names:
        """As torchvision's detectors are called, the backbone's layers within `backbone.body`, or `backbone`."""
        of_backbone = self.backbone.weight_names() if isinstance(self.backbone, Network) else {}
        single = self.metaparameters.get("pyramid_filters") is None
        names = {
            f"{BACKBONE}/{ours}": _within_backbone(theirs, single)
            for ours, theirs in of_backbone.get("torchvision", {}).items()
        }
        for i, level in enumerate(() if single else self.metaparameters.levels):
            names[f"pyramid/lateral{level[1:]}"] = f"backbone.fpn.inner_blocks.{i}.0"
            names[f"pyramid/output{level[1:]}"] = f"backbone.fpn.layer_blocks.{i}.0"
        for i in range(1, len(self.metaparameters.hidden) + 1):
            names[f"head/dense{i}"] = f"roi_heads.box_head.fc{5 + i}"
        names["head/scores"] = "roi_heads.box_predictor.cls_score"
        names["head/deltas"] = "roi_heads.box_predictor.bbox_pred"
        return {"torchvision": names}

    def from_torch(self, name: str, value: Any) -> Any:
        """PyTorch flattens the channels first, so the rows of the first dense kernel stand in another order."""
        if value.ndim != 2 or name not in ("head/dense1/kernel", "head/scores/kernel", "head/deltas/kernel"):
            return value
        if (name == "head/dense1/kernel") != bool(self.metaparameters.hidden) or self.data_format == "channels_first":
            return value
        height, width, channels = self.get_layer("head").input.shape[2:]
        return value.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(height * width * channels, -1)

    # -- what Keras and `Network` ask of it -------------------------------------------------------------------------

    def _own_layers(self) -> dict[str, keras.layers.Layer]:
        """Name -> layer beside the backbone and the preprocessing, which keep what is frozen themselves."""
        kept = (BACKBONE, *(layer.name for layer in self.metaparameters.preprocess))
        return {layer.name: layer for layer in self.layers if layer.name not in kept}


def _within_backbone(name: str, single: bool) -> str:
    """torchvision's name of a classifier's layer in a detector whose backbone it is."""
    return f"backbone.{name.removeprefix('features.')}" if single else f"backbone.body.{name}"


def _check_truth(y: Any) -> None:
    """Refuses labels of another form than a detector's."""
    wanted = "labels must be a dict, {'boxes': (batch, objects, 4), 'labels': (batch, objects)}, padded with -1"
    if not isinstance(y, Mapping) or not set(TRUTH) <= set(y):
        raise ValueError(f"{wanted}; received {sorted(y) if isinstance(y, Mapping) else type(y).__name__}.")
    boxes, labels = (tuple(getattr(y[name], "shape", ())) for name in TRUTH)
    fits = len(boxes) == 3 and boxes[2] == 4 and len(labels) == 2
    if not fits or (None not in (boxes[1], labels[1]) and boxes[1] != labels[1]):
        raise ValueError(f"{wanted}, with as many labels as boxes; received the shapes {boxes} and {labels}.")


def _freeze_normalization(layer: keras.layers.Layer) -> None:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.trainable = False
    for part in sublayers(layer):
        _freeze_normalization(part)
