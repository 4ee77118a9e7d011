"""What detectors are trained, fed and judged by."""
