"""Images with boxes: read, changed, drawn; what detectors are trained to give; detections, measured."""
