"""Makes the pages of the site that follow from the code, in docs/generated: `PYTHONPATH=docs python -m generator`."""
