"""How every public class is registered with Keras' saving."""

import keras

PACKAGE = "keras_blocks"

register = keras.saving.register_keras_serializable(package=PACKAGE)
"""Decorates every public class: a saved file finds `keras_blocks>ClassName` once `import keras_blocks` has run."""
