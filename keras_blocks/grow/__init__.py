"""Models of other metaparameters that begin with what a model has learned."""
