"""Pure functions on `keras.ops`, which the layers are thin shells over."""
