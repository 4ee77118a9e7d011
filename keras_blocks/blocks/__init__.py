"""Micro-architectures, a family a file."""
