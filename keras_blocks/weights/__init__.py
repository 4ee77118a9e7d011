"""Weights of others, into ours."""
