"""Which trial is next: what is tried first, samplers, pruners, breeding."""
