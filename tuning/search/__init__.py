"""Runs a study's trials: in processes, on machines, under limits."""
