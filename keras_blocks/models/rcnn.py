"""R-CNN: each region that is given goes through a network of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras

from keras_blocks.blocks.region_head import EachRegion, RegionHead, image_size_of
from keras_blocks.core import validation
from keras_blocks.core.block import register
from keras_blocks.detection.losses import class_loss
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.backbones import BACKBONE, made_backbone
from keras_blocks.models.detector import Detector
from keras_blocks.models.given_proposals import GivenProposals
from keras_blocks.models.network import Names
from keras_blocks.models.rcnn_fitting import Examples, box_regression, linear_svms
from keras_blocks.typing import DType, Ints, Pair, Shape, Tensor

Scorer = Literal["softmax", "svm"]


@register
class RCNN(GivenProposals, Detector):
    """R-CNN: the pixels of each region are warped to one size, and are an image of their own to the backbone.

    The graph is a region's way to a detection: `stem` (warp and backbone), `head`, `classifier`. It is trained in the
    paper's steps: `fit`, on a dict of images and proposals and `{"boxes": ..., "labels": ...}` as `FastRCNN`, tunes the
    backbone and the dense layers by the softmax over the classes and the background; `fit_svms`, with `scorer="svm"`,
    sets a linear SVM for each class; `fit_box_regression` sets how boxes are moved. What those two set are weights of
    the model's layers, which no `fit` changes: call them after it.

    Args:
        backbone: the name of a variant, such as "vgg16" (see `list_models`); an architecture's class; or a Keras model
            of one image of known size and one output.
        classes: number of classes of objects, without the background.
        region_size: (height, width) that regions are warped to, for a backbone given by name or class; `None` for 224,
            or the size that the model takes.
        context: pixels on each side of a warped region that show what is round it.
        fill: what stands where a region reaches out of the image, see `WarpRegions`: 0 for images whose mean has been
            subtracted, by `preprocess`.
        regions_at_once: so many regions of an image go through the backbone together, but in training: the more, the
            more memory it takes.
        hidden: units of the dense layers behind the backbone.
        dropout: share dropped after each of them while training.
        scorer: "softmax" for the probabilities of the network, "svm" for linear SVMs on its last hidden layer; a
            detection's score is then the sigmoid of the SVM's.
        head_samples: regions of an image that it is trained on, at most a quarter of which are objects.
        image_size, score_threshold, iou_threshold, max_detections, labels: see `FastRCNN`.
        input_shape, preprocess, dtype, name, trainable: see `FasterRCNN`.
        input_tensor: must be `None`, as there are two inputs.
        **metaparameters: of a backbone given by name or class, such as `groups`, `batch_norm` or `data_format`.

    Input shape:
        A dict: "image", `(batch, height, width, channels)`; "proposals", `(batch, n, 4)`, padded with -1.

    Output shape:
        As of `FastRCNN`.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Reference:
        Girshick et al., "Rich feature hierarchies for accurate object detection and semantic segmentation", 2014:
        sections 2 and 3.5, appendices A to C.

    Example:

    >>> import keras, keras_blocks, numpy as np
    >>> model = keras_blocks.RCNN("resnet20_cifar", classes=3, region_size=16, context=2, hidden=[8], head_samples=8)
    >>> model.compile("adam")
    >>> inputs = {"image": np.zeros((1, 48, 64, 3)), "proposals": np.array([[[9.0, 8, 40, 44], [20, 0, 60, 30]]])}
    >>> truth = {"boxes": np.array([[[8.0, 8, 40, 40]]]), "labels": np.array([[1]])}
    >>> sorted(model.fit(inputs, truth, verbose=0).history)
    ['class_loss', 'loss']
    >>> model.fit_box_regression(inputs, truth)
    [0, 1, 0]
    >>> model.predict(inputs, verbose=0)["boxes"].shape
    (1, 100, 4)
    """

    variants = {"rcnn_vgg16": {"backbone": "vgg16", "hidden": (4096, 4096), "dropout": 0.5}}
    sources = {"rcnn_vgg16": "Girshick et al. 2014, sections 2, 3.3 (O-Net) and 3.5, of 20 classes"}

    loss_names = ("class_loss",)
    box_weights = (1.0, 1.0, 1.0, 1.0)

    def __init__(
        self,
        backbone: str | type[Architecture] | keras.Model = "vgg16",
        *,
        classes: int = 20,
        image_size: Pair | None = None,
        region_size: Pair | None = None,
        context: int = 16,
        fill: float | Sequence[float] = 0.0,
        regions_at_once: int = 64,
        hidden: Ints = (4096, 4096),
        dropout: float = 0.0,
        scorer: Scorer = "softmax",
        head_samples: int = 128,
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
        size = validation.optional(validation.pair, "region_size", region_size, most=2**12)
        given = isinstance(backbone, keras.Model)
        backbone = made_backbone(
            type(self), backbone, size if given else size or (224, 224), input_shape, dtype, metaparameters
        )
        if size not in (None, image_size_of(backbone)):
            raise ValueError(
                f"`region_size` must be the size of the images that the backbone takes, {image_size_of(backbone)}; "
                f"received {region_size!r}."
            )
        own = {
            "region_size": image_size_of(backbone),
            "context": validation.integer("context", context, least=0),
            "fill": fill,
            "regions_at_once": validation.integer("regions_at_once", regions_at_once),
            "scorer": validation.choice("scorer", scorer, Scorer),
        }
        super().__init__(
            own,
            backbone=backbone,
            classes=classes,
            image_size=validation.optional(validation.pair, "image_size", image_size, most=2**14),
            hidden=hidden,
            dropout=dropout,
            head_samples=head_samples,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
            labels=labels,
            input_shape=input_shape,
            input_tensor=input_tensor,
            preprocess=preprocess,
            dtype=dtype,
            name=name,
            trainable=trainable,
        )

    # -- the parts --------------------------------------------------------------------------------------------------

    def stem(self, image: Tensor, regions: Tensor) -> Tensor:
        """From an image and its regions to the backbone's output for each of them."""
        m = self.metaparameters
        options = {"context": m.context, "fill": m.fill, "at_once": m.regions_at_once}
        # No spec, which would take the backbone for data.
        found: Tensor = EachRegion(m.backbone, **options, name=BACKBONE, dtype=self.dtype_policy)([image, regions])
        return found

    def head(self, x: Tensor) -> dict[str, Tensor]:
        m = self.metaparameters
        svms = m.scorer == "svm"
        head = self.layer("head", RegionHead, classes=m.classes, hidden=m.hidden, dropout=m.dropout, svms=svms)
        found: dict[str, Tensor] = head(x)
        return found

    def classifier(self, x: Tensor, regions: Tensor, boxed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From the backbone's outputs of regions to detections."""
        found = self.head(x)
        if self.metaparameters.scorer == "softmax":
            return self.detections(found, regions, boxed)
        return self.detections({**found, "scores": found["svm_scores"]}, regions, boxed, activation="sigmoid")

    def assemble(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        boxed = self.letterbox(self.preprocessed(x))
        regions = self.regions(x, boxed)
        self.assembly.training = {"image": boxed["image"], "proposals": regions, "scale": boxed["scale"]}
        return self.classifier(self.stem(boxed["image"], regions), regions, boxed)

    # -- training ---------------------------------------------------------------------------------------------------

    def pooled(self, outputs: Any, regions: Tensor, training: bool) -> Tensor:
        return self.get_layer(BACKBONE)([outputs["image"], regions], training=training)

    def losses_of_regions(
        self, found: Any, regions: Tensor, classes: Tensor, targets: Tensor, there: Tensor
    ) -> dict[str, Tensor]:
        return {"class_loss": class_loss(found["scores"], classes, there)}

    def fit_box_regression(
        self, x: Any, y: Any = None, *, batch_size: int = 1, ridge: float = 1000.0, iou: float = 0.6
    ) -> list[int]:
        """Sets how the box of a region is moved, for each class, by ridge regression on the backbone's outputs.

        It learns of the proposals that overlap an object by `iou` or more. A class without such leaves boxes in place.

        Args:
            x: inputs, with `y` as in `fit`; or a `keras.utils.PyDataset` or another iterable of batches `(x, y)`.
            y: the objects, `{"boxes": ..., "labels": ...}`.
            batch_size: images at a time, of arrays.
            ridge: the penalty, of outputs scaled to a mean length of 20.
            iou: the least overlap.

        Returns:
            Of each class the number of proposals that it was learned of.

        Raises:
            ValueError: for other data, or an argument out of range.

        Reference:
            Girshick et al. 2014, section 3.5 and appendix C.
        """
        ridge = validation.number("ridge", ridge, least=0.0, most=1e12)
        iou = validation.number("iou", iou, least=0.0, most=1.0)
        kernel, bias, counts = box_regression(Examples(self, x, y, batch_size), ridge, iou)
        self.get_layer("head").deltas.set_weights([kernel, bias])
        return counts

    def fit_svms(
        self, x: Any, y: Any = None, *, batch_size: int = 1, penalty: float = 1e-3, iou: float = 0.3, seed: int = 0
    ) -> list[tuple[int, int]]:
        """Sets a linear SVM for each class, on the last hidden layer.

        Objects' own boxes are its positives, proposals that overlap no object of the class by `iou` its negatives: some
        of each image at first, then those that the SVMs took for objects, or nearly so. A class without objects is
        never detected.

        Args:
            x, y, batch_size: see `fit_box_regression`. The data are gone through twice, and must be the same.
            penalty: scikit-learn's `C`, of values scaled to a mean length of 20.
            iou: proposals with less overlap are negatives.
            seed: of the choice of the first negatives.

        Returns:
            Of each class the numbers of positives and of negatives of the last SVM.

        Raises:
            ImportError: where scikit-learn is not installed.
            ValueError: for a model without `scorer="svm"`; for other data, or an argument out of range.

        Reference:
            Girshick et al. 2014, sections 2.3 and appendix B.
        """
        if self.metaparameters.scorer != "svm":
            raise ValueError(
                f"`scorer` of the model '{self.name}' must be 'svm' for SVMs; it is {self.metaparameters.scorer!r}: "
                "give it at construction."
            )
        penalty = validation.number("penalty", penalty, least=1e-12, most=1e12)
        iou = validation.number("iou", iou, least=0.0, most=1.0)
        kernel, bias, counts = linear_svms(Examples(self, x, y, batch_size), penalty, iou, seed)
        self.get_layer("head").svm_scores.set_weights([kernel, bias])
        return counts

    def weight_names(self) -> Names:
        return {}
