"""Fast R-CNN: regions that are given share the feature maps of their image."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_blocks.core.block import register
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.given_proposals import GivenProposals
from keras_blocks.models.map_detector import MapDetector, RegionPooling
from keras_blocks.typing import DType, Ints, Pair, Shape, Tensor


@register
class FastRCNN(GivenProposals, MapDetector):
    """Fast R-CNN: a backbone that runs once for an image, and a head that looks at each of the regions it is given.

    The graph is an image's way to its detections: `letterbox`, `stem` (the backbone), `pyramid`, `pool`, `head`, each
    of which can be overridden. Trained by plain `compile(optimizer)` and `fit` on a dict of images and proposals, and
    `{"boxes": (batch, objects, 4), "labels": (batch, objects)}`, padded with -1, boxes as (x1, y1, x2, y2) in pixels of
    the images as they come, labels from 0. The objects' own boxes are among the regions that it is trained on.

    Args:
        backbone, classes, image_size, levels: see `FasterRCNN`.
        pyramid_filters: channels of a feature pyramid; `None` for none, and so a single level, as in the paper.
        region_pooling: "pool", as in the paper, or "align", see `RoIPool` and `RoIAlign`.
        region_size: (height, width) that each region is pooled to.
        hidden: units of the head's dense layers.
        dropout: share dropped after each of them while training.
        head_samples: regions of an image that the losses are computed of, at most a quarter of which are objects: the
            paper takes 128 of 2 images.
        score_threshold, iou_threshold, max_detections: the least probability of a detection, how much two of a class
            may overlap, and how many there are at most.
        labels, input_shape, preprocess, dtype, name, trainable: see `FasterRCNN`.
        input_tensor: must be `None`, as there are two inputs.
        **metaparameters: of a backbone given by name or class, such as `groups`, `batch_norm` or `data_format`.

    Input shape:
        A dict: "image", `(batch, height, width, channels)`; "proposals", `(batch, n, 4)`, boxes of any number, padded
        with -1: see `keras_blocks.detection` for those of selective search.

    Output shape:
        A dict: "boxes", `(batch, max_detections, 4)`, (x1, y1, x2, y2) in pixels of the images as they come; "scores"
        and "labels", `(batch, max_detections)`, the best first, all padded with -1; "num_detections", `(batch,)`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Girshick, "Fast R-CNN", 2015; torchvision's `RoIHeads`, whose outputs it has.

    Example:

    >>> import keras, keras_blocks, numpy as np
    >>> model = keras_blocks.FastRCNN("resnet20_cifar", classes=3, levels=["P2"], region_size=2, hidden=[16],
    ...     image_size=(64, 64), labels=["cat", "dog", "fox"])
    >>> model.compile("adam")
    >>> inputs = {"image": np.zeros((1, 48, 64, 3)), "proposals": np.array([[[4.0, 8, 40, 44], [20, 0, 60, 30]]])}
    >>> truth = {"boxes": np.array([[[8.0, 8, 40, 40]]]), "labels": np.array([[1]])}
    >>> sorted(model.fit(inputs, truth, verbose=0).history)
    ['box_loss', 'class_loss', 'loss']
    >>> model.predict(inputs, verbose=0)["boxes"].shape
    (1, 100, 4)
    """

    variants = {
        "fast_rcnn_vgg16": {
            "backbone": "vgg16",
            "final_pool": False,
            "classes": 20,
            "image_size": (608, 1008),
            "hidden": (4096, 4096),
            "dropout": 0.5,
        },
        "fast_rcnn_squeezenet": {"backbone": "squeezenet_1.1", "classes": 20, "image_size": (600, 800)},
    }

    sources = {
        "fast_rcnn_vgg16": "Girshick 2015, sections 2 and 3, 20 classes, on a canvas of 608x1008 for 600x1000 pixels",
        "fast_rcnn_squeezenet": "our own, beside faster_rcnn_squeezenet: the same backbone and head",
    }

    def __init__(
        self,
        backbone: str | type[Architecture] | keras.Model = "resnet50",
        *,
        classes: int = 90,
        image_size: Pair | None = None,
        levels: Sequence[str] | None = None,
        pyramid_filters: int | None = None,
        region_pooling: RegionPooling = "pool",
        region_size: Pair = 7,
        hidden: Ints = (1024, 1024),
        dropout: float = 0.0,
        head_samples: int = 64,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.3,
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
        super().__init__(
            {},
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

    def assemble(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        boxed = self.letterbox(self.preprocessed(x))
        maps = self.pyramid(self.stem(boxed["image"]))
        regions = self.regions(x, boxed)
        self.assembly.training = {"proposals": regions, "maps": maps, "scale": boxed["scale"]}
        return self.classifier(maps, regions, boxed)
