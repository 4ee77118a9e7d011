"""Looking into what is there: flat models, tables, drawings, and what a model sees in an image."""
