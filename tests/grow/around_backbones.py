"""Small models around a backbone, and what they give for random images."""

import catalog
import keras
import numpy as np

import keras_blocks


def groups(*filters, blocks=1):
    return [{"filters": width, "blocks": blocks} for width in filters]


def siamese(**options):
    return catalog.small_siamese(**{"normalize": False, "include_top": True, "classifier_activation": None, **options})


def detector(**options):
    # Which of two boxes is the better one is decided by rounding in float32.
    return catalog.small_detector(**{"dtype": "float64", "post_nms_top_n": 30, "score_threshold": 0.0, **options})


def single(**options):
    sizes = {"levels": ["P1"], "anchor_sizes": [[8, 16]], "pyramid_filters": None}
    return detector(**{**sizes, **options})


def given(cls, **options):
    return cls(keras_blocks.ResNet, **{**catalog.GIVEN, "dtype": "float64", "score_threshold": 0.0, **options})


def fast(**options):
    return given(keras_blocks.FastRCNN, **{"levels": ["P0"], "region_size": (2, 3), "image_size": (16, 24), **options})


def rcnn(**options):
    return given(keras_blocks.RCNN, **{"region_size": 6, "context": 1, "regions_at_once": 2, **options})


def inputs_of(model):
    """Random images, and boxes in them."""
    rng = np.random.default_rng(0)
    if isinstance(model, keras_blocks.Siamese):
        return [rng.normal(size=(3, *shape[1:])).astype("float32") for shape in model.input_shape]
    images = rng.normal(size=(2, *model.metaparameters.input_shape)).astype("float32")
    corners = rng.uniform(0, 8, (2, 9, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(3, 8, (2, 9, 2))], axis=-1).astype("float32")
    return {"image": images, "proposals": boxes} if isinstance(model.input, dict) else images


def outputs(model, inputs):
    return [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(model(inputs, training=False))]
