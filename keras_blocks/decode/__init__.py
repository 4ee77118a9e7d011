"""Outputs of models as names and boxes."""
