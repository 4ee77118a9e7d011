"""Architectures, a family a file, and the registry of their variants."""
