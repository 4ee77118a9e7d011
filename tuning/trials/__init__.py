"""The process that runs trials, and who watches it."""
