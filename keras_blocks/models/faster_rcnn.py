"""Faster R-CNN: regions are proposed by a network that shares the feature maps with the head."""

from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_blocks.blocks.region_proposals import RegionProposalNetwork, sizes_of_levels
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.core.inner import Untracked
from keras_blocks.detection.losses import proposal_losses
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.map_detector import MapDetector, RegionPooling
from keras_blocks.models.network import Names
from keras_blocks.typing import DType, Ints, Numbers, Pair, Shape, Tensor

PYRAMID_SIZES = ((32,), (64,), (128,), (256,), (512,))
"""A size for each level of a pyramid. Reference: Lin et al. 2016, section 4.1."""


def _pyramid(backbone: str) -> dict[str, Any]:
    return {"backbone": backbone, "levels": ("P2", "P3", "P4", "P5")}


@register
class FasterRCNN(MapDetector):
    """Faster R-CNN: a backbone, a region proposal network, and a head that looks at each region.

    The graph is an image's way to its detections: `letterbox`, `stem` (the backbone), `pyramid`, `propose`, `pool`,
    `head`, each of which can be overridden. In training the same layers give what the losses are computed of. Trained
    by plain `compile(optimizer)` and `fit` on images and `{"boxes": (batch, objects, 4), "labels": (batch, objects)}`,
    padded with -1, boxes as (x1, y1, x2, y2) in pixels of the images as they come, labels from 0.

    Args:
        backbone: the name of a variant, such as "resnet50" (see `list_models`); an architecture's class; or a Keras
            model with `features` or `pyramid_outputs`, trained or not.
        classes: number of classes of objects, without the background.
        image_size: (height, width) of the canvas that images are scaled to, in proportion, the rest being 0; a multiple
            of the smallest level's stride, 32 or 64. `None` for images as they come, all of `input_shape`.
        levels: names of the backbone's feature maps that are used, "P4" for the last one of a sixteenth of the image's
            height; `None` for all from "P2" on, without a pyramid the last.
        pyramid_filters: channels of the feature pyramid; `None` for none, and so a single level.
        anchor_sizes: sizes of the anchors in pixels of the canvas, a list for each level, with a pyramid one more than
            `levels`; `None` for those of the papers.
        aspect_ratios: heights of the anchors divided by their widths.
        rpn_filters: channels of the proposal network's convolution; `None` for as many as its input has.
        pre_nms_top_n, post_nms_top_n, proposal_iou_threshold: how many boxes of a level the proposal network looks at,
            how many proposals it gives, both in training and else, and how much they may overlap.
        region_pooling: "align" or "pool", see `RoIAlign` and `RoIPool`.
        region_size: (height, width) that each region is pooled to.
        hidden: units of the head's dense layers.
        dropout: share dropped after each of them while training.
        rpn_samples: anchors of an image that the proposal network's losses are computed of.
        head_samples: regions of an image that the head's losses are computed of.
        score_threshold, iou_threshold, max_detections: the least probability of a detection, how much two of a class
            may overlap, and how many there are at most, see `DetectionDecoder`.
        labels: the classes' names, kept in the saved file, for `decode_predictions`; `None` for none.
        input_shape: (height, width, channels) of the images as they come, height and width `None` for any.
        input_tensor, preprocess, dtype, name, trainable: see `Architecture`; `preprocess` must leave the size as it is.
        **metaparameters: of a backbone given by name or class, such as `groups`, `batch_norm` or `data_format`.

    Input shape:
        `(batch, height, width, channels)`.

    Output shape:
        A dict: "boxes", `(batch, max_detections, 4)`, (x1, y1, x2, y2) in pixels of the images as they come; "scores"
        and "labels", `(batch, max_detections)`, the best first, all padded with -1; "num_detections", `(batch,)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015 (all is
        trained at once, as in its section 3.2, "approximate joint training"); Lin et al., "Feature Pyramid Networks for
        Object Detection", 2016; torchvision's `FasterRCNN`, whose outputs it has.

    Example:

    >>> import keras, keras_blocks, numpy as np
    >>> model = keras_blocks.FasterRCNN("resnet20_cifar", classes=3, pyramid_filters=16, hidden=[16],
    ...     levels=["P1", "P2"], anchor_sizes=[[8], [16], [32]], image_size=(64, 64), labels=["cat", "dog", "fox"])
    >>> model.compile("adam")
    >>> images = np.zeros((1, 48, 64, 3), "float32")
    >>> truth = {"boxes": np.array([[[8.0, 8, 40, 40]]]), "labels": np.array([[1]])}
    >>> losses = model.fit(images, truth, verbose=0).history
    >>> sorted(losses)
    ['box_loss', 'class_loss', 'loss', 'rpn_box_loss', 'rpn_objectness_loss']
    >>> model.predict(images, verbose=0)["boxes"].shape
    (1, 100, 4)
    """

    variants = {
        "faster_rcnn_vgg16": {
            "backbone": "vgg16",
            "final_pool": False,
            "image_size": (608, 1008),
            "pyramid_filters": None,
            "anchor_sizes": ((128, 256, 512),),
            "rpn_filters": 512,
            "pre_nms_top_n": (12000, 6000),
            "post_nms_top_n": (2000, 300),
            "region_pooling": "pool",
            "hidden": (4096, 4096),
            "dropout": 0.5,
        },
        "faster_rcnn_resnet50_fpn": {**_pyramid("resnet50"), "image_size": (800, 1344)},
        "faster_rcnn_resnet18_fpn": {**_pyramid("resnet18"), "image_size": (800, 1344)},
        "faster_rcnn_squeezenet": {
            "backbone": "squeezenet_1.1",
            "image_size": (600, 800),
            "pyramid_filters": None,
            "anchor_sizes": ((32, 64, 128, 256, 512),),
        },
    }

    sources = {
        "faster_rcnn_vgg16": "Ren et al. 2015, sections 3.1 to 3.3, on a canvas of 608x1008 for 600x1000 pixels",
        "faster_rcnn_resnet50_fpn": "torchvision's fasterrcnn_resnet50_fpn; Lin et al. 2016",
        "faster_rcnn_resnet18_fpn": "torchvision's FasterRCNN on resnet_fpn_backbone('resnet18')",
        "faster_rcnn_squeezenet": "torchvision's FasterRCNN on the features of its squeezenet1_1, of a single level",
    }

    trained_part = "all"

    loss_names = ("rpn_objectness_loss", "rpn_box_loss", "class_loss", "box_loss")

    def __init__(
        self,
        backbone: str | type[Architecture] | keras.Model = "resnet50",
        *,
        classes: int = 90,
        image_size: Pair | None = None,
        levels: Sequence[str] | None = None,
        pyramid_filters: int | None = 256,
        anchor_sizes: Sequence[Numbers] | None = None,
        aspect_ratios: Numbers = (0.5, 1.0, 2.0),
        rpn_filters: int | None = None,
        pre_nms_top_n: Ints = (2000, 1000),
        post_nms_top_n: Ints = (2000, 1000),
        proposal_iou_threshold: float = 0.7,
        region_pooling: RegionPooling = "align",
        region_size: Pair = 7,
        hidden: Ints = (1024, 1024),
        dropout: float = 0.0,
        rpn_samples: int = 256,
        head_samples: int = 512,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_detections: int = 100,
        labels: Sequence[str] | None = None,
        input_shape: Shape | None = (None, None, 3),
        input_tensor: Any = None,
        preprocess: Any = None,
        dtype: DType = None,
        name: str | None = None,
        trainable: bool = True,
        **metaparameters: Any,
    ):
        if anchor_sizes is None:
            anchor_sizes = ((128, 256, 512),) if pyramid_filters is None else PYRAMID_SIZES
        own = {
            "anchor_sizes": sizes_of_levels(anchor_sizes),
            "aspect_ratios": aspect_ratios,
            "rpn_filters": rpn_filters,
            "pre_nms_top_n": pre_nms_top_n,
            "post_nms_top_n": post_nms_top_n,
            "proposal_iou_threshold": proposal_iou_threshold,
            "rpn_samples": validation.integer("rpn_samples", rpn_samples),
        }
        super().__init__(
            own,
            backbone=backbone,
            classes=classes,
            image_size=image_size,
            levels=levels,
            pyramid_filters=pyramid_filters,
            region_pooling=region_pooling,
            region_size=region_size,
            hidden=hidden,
            dropout=dropout,
            head_samples=head_samples,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
            labels=labels,
            metaparameters=metaparameters,
            input_shape=input_shape,
            input_tensor=input_tensor,
            preprocess=preprocess,
            dtype=dtype,
            name=name,
            trainable=trainable,
        )

    def letterbox(self, x: Tensor) -> dict[str, Tensor]:
        boxed = super().letterbox(x)
        sizes = [boxed["image"].shape[axis] for axis in ((1, 2) if self.channel_axis == -1 else (2, 3))]
        if None in sizes:
            raise ValueError(
                "`image_size` must be given, such as (600, 800), where `input_shape` leaves height and width open: "
                f"the number of anchors follows from it; received input_shape={self.metaparameters.input_shape}."
            )
        return boxed

    def propose(self, maps: dict[str, Tensor], boxed: dict[str, Tensor]) -> dict[str, Tensor]:
        """The proposal network's outputs, see `RegionProposalNetwork`."""
        m = self.metaparameters
        rpn = self.layer(
            "rpn",
            RegionProposalNetwork,
            filters=m.rpn_filters,
            sizes=m.anchor_sizes,
            aspect_ratios=m.aspect_ratios,
            strides=[self._stride(x, boxed["image"]) for x in maps.values()],
            pre_nms_top_n=m.pre_nms_top_n,
            post_nms_top_n=m.post_nms_top_n,
            iou_threshold=m.proposal_iou_threshold,
        )
        found: dict[str, Tensor] = rpn({**maps, "image_size": boxed["image_size"]})
        return found

    def _stride(self, x: Tensor, image: Tensor) -> tuple[int, int]:
        """Pixels of the canvas between two of a map, rounded down, as torchvision does where a map leaves out some."""
        axes = (1, 2) if self.channel_axis == -1 else (2, 3)
        height, width = (image.shape[axis] // x.shape[axis] for axis in axes)
        return height, width

    def assemble(self, x: Tensor) -> dict[str, Tensor]:
        x = self.assembly.preprocessed = self.preprocess(x)
        boxed = self.letterbox(x)
        maps = self.pyramid(self.stem(boxed["image"]))
        proposed = self.propose(maps, boxed)
        self.assembly.training = {**proposed, "maps": maps, "scale": boxed["scale"]}
        return self.classifier(maps, proposed["proposals"], boxed)

    def weight_names(self) -> Names:
        names = super().weight_names()["torchvision"]
        head = {"conv": "conv.0.0", "objectness": "cls_logits", "deltas": "bbox_pred"}
        names |= {f"rpn/{ours}": f"rpn.head.{theirs}" for ours, theirs in head.items()}
        # Files of before torchvision 0.13, those trained on COCO among them.
        older = {ours: theirs.removesuffix(".0") if ".fpn." in theirs else theirs for ours, theirs in names.items()}
        older["rpn/conv"] = "rpn.head.conv"
        return {"torchvision": names, "torchvision before 0.13": older}

    def losses_of(self, outputs: Any, truth: Any, training: bool) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        if self.trained_part != "head":
            boxes, _ = self._truth(outputs, truth)
            samples, seed = self.metaparameters.rpn_samples, self.sampling_seed
            found |= proposal_losses(outputs, boxes, samples=samples, seed=seed)
        if self.trained_part != "rpn":
            found |= super().losses_of(outputs, truth, training)
        return {name: found.get(name, keras.ops.zeros(())) for name in self.loss_names}

    def export(self, filepath: Any, format: str = "tf_saved_model", *args: Any, **kwargs: Any) -> Any:
        """As in every Keras model; as ONNX from TensorFlow.

        Args:
            filepath, format, *args, **kwargs: as in Keras.

        Raises:
            ValueError: for ONNX on PyTorch, whose exporter writes no loops: regions are chosen among thousands.
        """
        if format == "onnx" and keras.backend.backend() == "torch":
            raise ValueError(
                "`format` must not be 'onnx' on PyTorch for a detector that proposes regions: its exporter writes no "
                "loops, by which they are chosen. Save the model as .keras, and export it where KERAS_BACKEND is "
                "tensorflow."
            )
        return super().export(filepath, format, *args, **kwargs)

    def train_part(self, part: Literal["all", "rpn", "head"], proposer: "FasterRCNN | None" = None) -> None:
        """Says which losses count; compile the model afterwards. What is frozen is said elsewhere.

        Args:
            part: the proposal network's losses alone, the head's alone, or all.
            proposer: a model, frozen, whose proposals the head is trained on; `None` for this one's own.
        """
        self.trained_part = part
        outputs = self.assembly.training
        if proposer is not None:
            outputs = {**outputs, "proposals": proposer._trained(self.assembly.inputs)["proposals"]}
        self._trained_model = Untracked({"model": keras.Model(self.assembly.inputs, outputs)})
