"""Detectors that run the backbone once for an image, and look at regions of its feature maps."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras

from keras_blocks.blocks.pyramid import FeaturePyramid
from keras_blocks.blocks.roi import RoIAlign, RoIPool
from keras_blocks.core import validation
from keras_blocks.models.backbones import BACKBONE, made_backbone
from keras_blocks.models.detector import Detector
from keras_blocks.models.levels import levels_of
from keras_blocks.typing import DType, Pair, Shape, Tensor

RegionPooling = Literal["align", "pool"]


class MapDetector(Detector):
    """The base of Fast R-CNN and of what came after it: all regions share the image's feature maps.

    Args:
        own: the subclass' own metaparameters.
        backbone, image_size, levels, pyramid_filters, region_pooling, region_size, metaparameters: see `FasterRCNN`.
        input_shape, dtype, **kwargs: see `Detector`.
    """

    def __init__(
        self,
        own: Mapping[str, Any],
        *,
        backbone: Any,
        image_size: Pair | None,
        levels: Sequence[str] | None,
        pyramid_filters: int | None,
        region_pooling: RegionPooling,
        region_size: Pair,
        metaparameters: Mapping[str, Any],
        input_shape: Shape | None = None,
        dtype: DType = None,
        **kwargs: Any,
    ):
        image_size = validation.optional(validation.pair, "image_size", image_size, most=2**14)
        backbone = made_backbone(type(self), backbone, image_size, input_shape, dtype, metaparameters)
        own = {
            **own,
            "levels": _levels(backbone, levels, pyramid_filters is None),
            "pyramid_filters": validation.optional(validation.integer, "pyramid_filters", pyramid_filters),
            "region_pooling": validation.choice("region_pooling", region_pooling, RegionPooling),
            "region_size": validation.pair("region_size", region_size, most=64),
        }
        super().__init__(own, backbone=backbone, image_size=image_size, input_shape=input_shape, dtype=dtype, **kwargs)

    # -- the parts --------------------------------------------------------------------------------------------------

    def stem(self, x: Tensor) -> dict[str, Tensor]:
        """From an image on its canvas to the backbone's feature maps, by their levels."""
        m = self.metaparameters
        outputs = levels_of(m.backbone)
        levels = {name: outputs[name] for name in m.levels}
        maps: dict[str, Tensor] = keras.Model(m.backbone.inputs[0], levels, name=BACKBONE)(x)
        return {name: self.feature(name, maps[name]) for name in m.levels}

    def pyramid(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """The feature maps that regions are found in, and one more, smaller, for the largest of them."""
        filters = self.metaparameters.pyramid_filters
        found: dict[str, Tensor] = (
            maps if filters is None else self.layer("pyramid", FeaturePyramid, filters=filters)(maps)
        )
        return found

    def pool(self, maps: dict[str, Tensor], regions: Tensor) -> Tensor:
        """Of each region its part of the feature maps, in one size."""
        return self._pooling()([{name: maps[name] for name in self.metaparameters.levels}, regions])

    def classifier(self, maps: dict[str, Tensor], regions: Tensor, boxed: dict[str, Tensor]) -> dict[str, Tensor]:
        """From regions of feature maps to detections."""
        return self.detections(self.head(self.pool(maps, regions)), regions, boxed)

    def pooled(self, outputs: Any, regions: Tensor, training: bool) -> Tensor:
        maps = {name: outputs["maps"][name] for name in self.metaparameters.levels}
        return self.get_layer("region_pooling")([maps, regions])

    def _pooling(self) -> Any:
        m = self.metaparameters
        kind = {"align": RoIAlign, "pool": RoIPool}[m.region_pooling]
        return self.layer("region_pooling", kind, output_size=m.region_size)


def _levels(backbone: keras.Model, levels: Any, single: bool) -> tuple[str, ...]:
    """Names of the backbone's feature maps that are used, checked."""
    known = tuple(levels_of(backbone))
    if levels is None:
        wanted = tuple(name for name in known if name >= "P2")
        return wanted[-1:] if single else wanted
    names = validation.names("levels", levels)
    for i, name in enumerate(names):
        validation.choice(f"levels[{i}]", name, known)
    if single and len(names) != 1:
        raise ValueError(f"`levels` must be one without a pyramid, pyramid_filters=None; received {levels!r}.")
    return names
