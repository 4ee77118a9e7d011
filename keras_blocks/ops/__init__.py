"""Pure functions on `keras.ops`, which the layers are thin shells over.

Public are those on boxes and regions of interest:

- `box_iou`, `giou`: how much boxes overlap
- `encode_boxes`, `decode_boxes`: boxes relative to anchors or proposals
- `clip_boxes`: boxes moved into their image
- `nms`, `batched_nms`: of boxes that overlap, the one with the highest score
- `roi_align`, `roi_pool`: the features in boxes, in one size

Boxes are (x1, y1, x2, y2) in pixels of the image. `keras.utils.bounding_boxes.convert_format` makes them from other
formats, and those from them.
"""

from keras_blocks.ops.boxes import box_iou, clip_boxes, decode_boxes, encode_boxes, giou
from keras_blocks.ops.nms import batched_nms, nms
from keras_blocks.ops.roi import roi_align, roi_pool

__all__ = [
    "batched_nms",
    "box_iou",
    "clip_boxes",
    "decode_boxes",
    "encode_boxes",
    "giou",
    "nms",
    "roi_align",
    "roi_pool",
]
