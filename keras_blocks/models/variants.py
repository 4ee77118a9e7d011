"""Published networks as tables of a class, and the dtype policy that a functional model keeps."""

import keras

from keras_blocks.core import validation


class Variants:
    """Mixed into models that are made of metaparameters."""

    variants: dict = {}
    """Name -> metaparameters of the published networks."""

    sources: dict = {}
    """Name -> where the variant is published: whose layers, counts and details of padding and normalization it has."""

    published: dict = {}
    """Name -> function of keras.applications whose ImageNet weights the variant takes, by `weights="imagenet"`."""

    @classmethod
    def from_variant(cls, variant, /, **overrides):
        """The published network of this name.

        Args:
            variant: a key of the class' `variants`.
            **overrides: constructor's arguments that replace the variant's.

        Raises:
            ValueError: for an unknown name, with the nearest ones.
        """
        validation.choice("variant", variant, tuple(cls.variants))
        return cls(**{"name": variant, **cls.variants[variant], **overrides})

    @property
    def dtype_policy(self):
        return self._policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        # Past Keras, which takes an attribute that is set before its constructor for a mistake.
        object.__setattr__(self, "_policy", keras.dtype_policies.get(value))
