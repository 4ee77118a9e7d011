"""Architectures by the names of their variants."""

import fnmatch
import os
import warnings
from typing import Any

import keras

from keras_blocks.core import validation
from keras_blocks.models.architecture import Architecture
from keras_blocks.models.autoencoder import AutoEncoder
from keras_blocks.models.backbones import BACKBONES
from keras_blocks.models.fast_rcnn import FastRCNN
from keras_blocks.models.faster_rcnn import FasterRCNN
from keras_blocks.models.network import Network
from keras_blocks.models.rcnn import RCNN
from keras_blocks.models.siamese import Siamese
from keras_blocks.weights.adapting import Adapting
from keras_blocks.weights.pretrained import check_imagenet, check_path, load_imagenet, load_weights

ARCHITECTURES: tuple[type[Network], ...] = (AutoEncoder, *BACKBONES, FastRCNN, FasterRCNN, RCNN, Siamese)


def list_models(pattern: str = "*") -> list[str]:
    """The names that `create_model` knows, sorted.

    Args:
        pattern: shell-style pattern that a name must match.

    Returns:
        The names; none where the pattern fits none.

    Raises:
        TypeError, ValueError: for a pattern that is no text.

    Example:

    >>> import keras_blocks
    >>> keras_blocks.list_models("*bypass")
    ['squeezenet_1.0_complex_bypass', 'squeezenet_1.0_simple_bypass']
    """
    return sorted(fnmatch.filter(_by_name(), validation.text("pattern", pattern)))


def create_model(variant: str, /, *, weights: str | os.PathLike[str] | None = None, **overrides: Any) -> Network:
    """A published network by its name.

    Args:
        variant: one of `list_models()`.
        weights: `None` for random weights. "imagenet" for those that keras.applications publishes, which expect images
            prepared by the `preprocess_input` of the same family, such as `keras.applications.resnet_v2`; or, where it
            has none, those of timm's on the Hugging Face hub, see docs/weights.md. "hf://owner/name", or
            "hf://owner/name@revision/file.safetensors", for any repository of the hub with safetensors of this
            network, under torchvision's, timm's, Keras' or our own names, which needs the extra `keras-blocks[hub]`:
            they are fetched once into its cache, and compared with the digest that the hub gives. Or the path of a
            file: `.npz` or `.safetensors` (see `convert_weights`), `.weights.h5`, or a `.keras` file of the same
            architecture. With another number of `classes` than the source's, all but the last layer is taken from it;
            with other channels of `input_shape` than three, the first convolution's kernel is summed for one, and
            repeated for more, as in timm: a warning says so.
        **overrides: arguments of the architecture's constructor, named as in keras.applications: `include_top`,
            `input_tensor`, `input_shape`, `pooling`, `classes`, `classifier_activation`, `name`; and its
            metaparameters, which replace the variant's.

    Returns:
        The model, an instance of its architecture's class.

    Raises:
        ImportError: for weights on the hub, without the extra that fetches them.
        OSError: where the published weights cannot be fetched, are not what the hub says, or there is no such file.
        TypeError: for an argument that the variant does not take, with the nearest ones.
        ValueError: for an unknown name, with the nearest ones; for weights that do not fit; for "imagenet" with a
            variant for which none are published that are safe to read and free to use, with who publishes what.

    Example:

    >>> import keras_blocks
    >>> model = keras_blocks.create_model("squeezenet_1.1", classes=10, input_shape=(64, 64, 3), stem="small")
    >>> model.output_shape
    (None, 10)
    """
    cls = architecture_of(variant)
    if weights is not None:
        check_weights(variant, weights)
    model = cls.from_variant(variant, **overrides)
    if weights is not None:
        for note in take_weights(model, variant, weights, overrides.get("classes")):
            warnings.warn(f"`weights={weights!r}` for '{model.name}': {note}.", stacklevel=2)
    return model


def check_weights(variant: str, weights: Any) -> None:
    """Finds out, with nothing built or fetched, whether there are such weights.

    Raises:
        ImportError, OSError, TypeError, ValueError: as `create_model`.
    """
    if weights == "imagenet":
        check_imagenet(variant, (name for other in ARCHITECTURES for name in other.published))
    else:
        check_path(weights)


def take_weights(model: Network, variant: str, weights: Any, classes: int | None) -> list[str]:
    """Loads weights into a model of a variant.

    Args:
        model: of the variant, maybe with other classes or channels.
        variant: its name.
        weights: as `create_model` takes them.
        classes: how many the model has, where these may be others than the source's.

    Returns:
        What was not taken as it is, in words.

    Raises:
        OSError, ValueError: as `create_model`.
    """
    adapting = Adapting(classes, _image_channels(model))
    if weights == "imagenet":
        load_imagenet(model, variant, adapting)
    else:
        load_weights(model, weights, adapting)
    return adapting.notes


def architecture_of(variant: str) -> type[Network]:
    """The class whose table has this variant."""
    classes = _by_name()
    return classes[validation.choice("variant", variant, classes, where="`keras_blocks.list_models()`")]


def classifier_of(variant: str) -> type[Architecture]:
    """The class whose table has this variant, of those that classify images."""
    classes = {name: cls for cls in BACKBONES for name in cls.variants}
    return classes[validation.choice("variant", variant, classes, where="`keras_blocks.list_models()` that classify")]


def _image_channels(model: Network) -> int | None:
    """Of the images that the first layer takes; `None` where these are several."""
    image = model.assembly.preprocessed
    return model.channels(image.shape) if isinstance(image, keras.KerasTensor) else None


def _by_name() -> dict[str, type[Network]]:
    return {variant: cls for cls in ARCHITECTURES for variant in cls.variants}
