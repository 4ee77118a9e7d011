"""Spaces of what users bring: KerasTuner's hypermodels, functions, and where their code lies."""
