"""What detectors have in common that are told where in an image to look."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import keras

from keras_blocks.blocks.letterbox import LetterboxBoxes
from keras_blocks.core.layers import wide_policy
from keras_blocks.models.assembly import Assembly
from keras_blocks.typing import Tensor

if TYPE_CHECKING:
    from keras_blocks.models.detector import Detector as Base
else:  # Keras, which changes the bases of a functional model's class, takes no two ways to one of them
    Base = object

IMAGE, PROPOSALS = "image", "proposals"

PIXELS = 500
"""Height and width of an image where they are open: Pascal VOC's longer side."""

USUAL = 2000
"""Proposals of an image. Reference: Girshick et al. 2014, section 2.2; Girshick 2015, section 3."""


class GivenProposals(Base):
    """Mixed into detectors of two inputs: images, and boxes in which there may be objects, of whatever class."""

    input_names = (IMAGE, PROPOSALS)

    def __init__(self, own: Mapping[str, Any], *, input_tensor: Any = None, **kwargs: Any):
        if not isinstance(input_tensor, Assembly | None):
            raise TypeError(f"`input_tensor` must be None, as there are two inputs; received {input_tensor!r}.")
        super().__init__(own, input_tensor=input_tensor, **kwargs)

    def make_inputs(self) -> Any:
        shapes = {IMAGE: self.metaparameters.input_shape, PROPOSALS: (None, 4)}
        return {name: keras.Input(shape, name=name) for name, shape in shapes.items()}

    @property
    def usual_shapes(self) -> dict[str, Any]:
        """Shapes of the inputs, with as many proposals as selective search gives in the papers."""
        image = self.canvas_shape or self.metaparameters.input_shape
        return {IMAGE: (None, *(PIXELS if size is None else size for size in image)), PROPOSALS: (None, USUAL, 4)}

    def preprocessed(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The preprocessed images, noted."""
        self.assembly.beside = (inputs[PROPOSALS],)
        self.assembly.preprocessed = self.preprocess(inputs[IMAGE])
        return self.assembly.preprocessed

    def regions(self, inputs: Mapping[str, Tensor], boxed: Mapping[str, Tensor]) -> Tensor:
        """The proposals in pixels of the canvas, rows without area in the image as padding, -1."""
        place = self.layer("regions", LetterboxBoxes, dtype=wide_policy(self.dtype_policy))
        sizes = {name: boxed[name] for name in ("image_size", "scale")}
        regions: Tensor = place({"boxes": inputs[PROPOSALS], **sizes})
        return regions

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Detections; in training, what the losses are computed of."""
        _check_inputs(type(self).__name__, inputs)
        return super().call({name: inputs[name] for name in self.input_names}, training=training)

    def _behind(self, outline: Self) -> Assembly:
        inputs = outline.make_inputs()
        return self.assembly.behind(inputs, outline.preprocess(inputs[IMAGE]), (inputs[PROPOSALS],))


def _check_inputs(title: str, inputs: Any) -> None:
    """Refuses what is no images with proposals, before Keras goes by the order of what there is."""
    received: Any = type(inputs).__name__
    if isinstance(inputs, Mapping):
        received = {name: tuple(getattr(value, "shape", ())) for name, value in inputs.items()}
        images, boxes = (received.get(name, ()) for name in (IMAGE, PROPOSALS))
        ranks = len(images) == 4 and len(boxes) == 3 and boxes[2] == 4
        if ranks and (None in (images[0], boxes[0]) or images[0] == boxes[0]):
            return
    raise ValueError(
        f"{title} takes a dict, {{'image': (batch, height, width, channels), 'proposals': (batch, n, 4)}}, proposals "
        f"as (x1, y1, x2, y2) in pixels of the images as they come, padded with -1; received {received}."
    )
