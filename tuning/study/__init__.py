"""Which trial is next: dimensions, sources of draws, what is tried first, samplers, breeding."""
