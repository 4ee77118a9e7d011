"""Layers by what they do: Keras' own, with those of ours that do the same."""

import keras

from keras_blocks.core.grouped_conv2d import GroupedConv2D
from keras_blocks.core.normalization import BatchNormalization

layers = keras.layers

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D, GroupedConv2D)
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)

NORMALIZATIONS = (layers.BatchNormalization, BatchNormalization)
"""Keras' and ours; what users derive of them may compute something else."""

LOOKUPS = (layers.IntegerLookup, layers.StringLookup)
"""Layers with a vocabulary, which is no weight."""

OF_CODE = tuple(
    getattr(keras.layers, name) for name in ("JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper")
)  # "JaxLayer" is also what Keras calls the base of all its layers on JAX: the class counts, and not its name
"""Keras' layers whose arguments are code, or a path to it: Keras refuses these in files that it does not trust, and a
declaration in a file is made by the constructor, which does not."""

IDLE = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.AugMix,
    layers.CutMix,
    layers.MixUp,
    layers.RandAugment,
    layers.RandomBrightness,
    layers.RandomColorDegeneration,
    layers.RandomColorJitter,
    layers.RandomContrast,
    layers.RandomElasticTransform,
    layers.RandomErasing,
    layers.RandomFlip,
    layers.RandomGaussianBlur,
    layers.RandomGrayscale,
    layers.RandomHue,
    layers.RandomInvert,
    layers.RandomPerspective,
    layers.RandomPosterization,
    layers.RandomRotation,
    layers.RandomSaturation,
    layers.RandomSharpness,
    layers.RandomShear,
    layers.RandomTranslation,
    layers.RandomZoom,
)
"""Layers that do nothing in inference but to give their own dtype; not what users derive of them, such as a dropout
that is always on. Others that are random do something: `RandomCrop` crops in the middle."""
