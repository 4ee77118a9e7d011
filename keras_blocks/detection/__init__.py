"""Images with boxes: read, changed, drawn; detections, measured."""
