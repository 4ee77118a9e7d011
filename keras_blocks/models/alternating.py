"""The training of Faster R-CNN in four steps, by which it was published."""

from typing import Any

import keras

from keras_blocks.core.copies import finalized
from keras_blocks.core.graphs import sublayers
from keras_blocks.core.trainable import set_trainable
from keras_blocks.models.faster_rcnn import FasterRCNN

RPN, HEAD = "rpn", "head"


def train_alternating(
    model: FasterRCNN, x: Any, y: Any = None, *, optimizer: Any = "sgd", **options: Any
) -> list[dict[str, list[float]]]:
    """Trains a Faster R-CNN in the four steps of its paper, in place of all at once.

    1. A copy of the model learns to propose regions: its backbone and its proposal network.
    2. The model itself learns from the copy's proposals: its backbone, from the weights it came with, and its head.
    3. The model gets the copy's proposal network, which is trained further, for the model's backbone, which is frozen.
    4. Its head is trained further, from its own proposals, with all else frozen.

    The model is trained in place. At the end all is as trainable as it was, and compiled for training at once. Of a
    model that is compiled already, `jit_compile` and `run_eagerly` stay.

    Args:
        model: a `FasterRCNN`, with the weights of its backbone loaded. A feature pyramid counts as backbone.
        x, y: as in `fit`.
        optimizer: name, config or optimizer, of which each step has a copy of its own.
        **options: as in `fit`: `epochs`, of each step, `batch_size`, `verbose`, ...

    Returns:
        The four histories, each as `fit(...).history`. Losses that a step does not train are 0.

    Raises:
        TypeError: for a model of another kind.

    Reference:
        Ren et al., "Faster R-CNN", 2015, section 3.2, "4-step alternating training".

    Example:

    >>> import keras, keras_blocks, numpy as np
    >>> model = keras_blocks.FasterRCNN("resnet20_cifar", classes=3, pyramid_filters=None, levels=["P2"], hidden=[8],
    ...     anchor_sizes=[[16, 32]], image_size=(32, 32), post_nms_top_n=20)
    >>> images = np.zeros((1, 32, 32, 3), "float32")
    >>> truth = {"boxes": np.array([[[8.0, 8, 24, 24]]]), "labels": np.array([[1]])}
    >>> steps = keras_blocks.train_alternating(model, images, truth, verbose=0)
    >>> len(steps), steps[0]["class_loss"], steps[3]["rpn_box_loss"]
    (4, [0.0], [0.0])
    """
    if not isinstance(model, FasterRCNN):
        raise TypeError(f"`model` must be a keras_blocks.FasterRCNN; received {type(model).__name__}.")
    config = keras.optimizers.serialize(keras.optimizers.get(optimizer))
    settings = {name: getattr(model, name) for name in ("jit_compile", "run_eagerly")} if model.compiled else {}
    states = [state for layer in model.layers for state in _states(layer)]
    copy: Any = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    finalized(copy)

    def step(trained: Any, part: str, frozen: tuple[str, ...], proposer: Any = None) -> dict[str, list[float]]:
        for name in frozen:
            set_trainable(trained.get_layer(name), False)
        trained.train_part(part, proposer)
        trained.compile(keras.optimizers.deserialize(config), **settings)
        history: dict[str, list[float]] = trained.fit(x, y, **options).history
        return history

    shared = tuple(layer.name for layer in model.layers if layer.name not in (RPN, HEAD) and layer.weights)
    try:
        first = step(copy, RPN, (HEAD,))
        set_trainable(copy, False)
        second = step(model, HEAD, (RPN,), copy)
        _restore(states)
        model.get_layer(RPN).set_weights(copy.get_layer(RPN).get_weights())
        third = step(model, RPN, (*shared, HEAD))
        _restore(states)
        fourth = step(model, HEAD, (*shared, RPN))
    finally:
        _restore(states)
        model.train_part("all")
    model.compile(keras.optimizers.deserialize(config), **settings)
    return [first, second, third, fourth]


def _states(layer: Any) -> list[tuple[Any, bool]]:
    """The layer and all inside of it, outer ones first, and whether they are trainable."""
    return [(layer, layer.trainable), *(state for part in sublayers(layer) for state in _states(part))]


def _restore(states: list[tuple[Any, bool]]) -> None:
    for layer, trainable in states:
        set_trainable(layer, trainable)
