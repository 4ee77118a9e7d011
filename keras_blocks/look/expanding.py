"""Any model that holds blocks, as a flat one."""

from typing import Any

import keras

from keras_blocks.core.block import Block
from keras_blocks.core.shapes import map_shapes, with_batch
from keras_blocks.models.network import Network
from keras_blocks.models.tracing import Note, opened


def expand(model: keras.Model, input_shape: Any = None) -> keras.Model:
    """A flat functional model of plain Keras layers that shares a model's weights, with every block in it opened.

    Models within the model, and layers of your own that hold blocks, are opened, too: the flat model can be tapped at
    any inner tensor, drawn, pruned, or used for Grad-CAM, and its outputs are the model's. Train one, and the other
    has learned it. It is not compiled.

    A subclassed model is traced: its `call` must work on Keras tensors, as what is made of Keras layers and functions
    of `keras.ops` does. Where it branches by `training`, a warning says that the flat model has inference's branch.
    R-CNN's network, which looks at regions one by one, stays one layer. Where layers have one name, as those of two
    networks of one architecture within a model, the flat model's have the inner models' names in front.

    Args:
        model: a `Sequential`, a functional model, an architecture of the library, or a subclassed model that is built.
        input_shape: (height, width, channels), without the batch; of a model with several inputs a list or a dict of
            them. `None` for what the model was built for.

    Returns:
        A `keras.Model`, named as the model with "_expanded" behind.

    Raises:
        TypeError: for what is no model.
        ValueError: for a model that is not built, where there is no `input_shape`; for a `call` that cannot be traced,
            with what it raised; for two blocks of one name in one model.

    Example:

    >>> import keras, keras_blocks
    >>> model = keras.Sequential([keras.Input((32, 32, 3)), keras_blocks.FireBlock(4, name="fire")])
    >>> [layer.name for layer in keras_blocks.expand(model).layers][1:4]
    ['fire_squeeze', 'fire_squeeze_activation', 'fire_expand_1x1']
    """
    if not isinstance(model, keras.Model):
        hint = " A block alone has `block.expand(keras.Input(shape))`." if isinstance(model, Block) else ""
        hint = f" `create_model({model!r})` makes a model of a name." if isinstance(model, str) else hint
        raise TypeError(f"`model` must be a Keras model; received {type(model).__name__}.{hint}")
    if isinstance(model, Network) and input_shape is None:
        return model.expand()
    inputs = inputs_of(model) if input_shape is None else _inputs_like(with_batch(input_shape))
    return flat_model(model, inputs)


def flat_model(model: keras.Model, inputs: Any, note: Note = lambda part, outputs: None) -> keras.Model:
    """The flat model on these inputs; `note` is told what each block, and each model within, gives."""
    outputs = opened(model, inputs, note=note)
    try:
        return keras.Model(inputs, outputs, name=f"{model.name}_expanded")
    except ValueError as error:
        raise ValueError(
            f"the model '{model.name}' cannot be opened, since names in one model must differ: {error} Give the blocks "
            "of its parts names of their own, as in `FireBlock(16, name='left')`."
        ) from error


def inputs_of(model: keras.Model) -> Any:
    """New inputs of the shapes that a model was built for."""
    if isinstance(model, keras.Sequential | keras.Function) and model.built and model.inputs:
        own = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return keras.tree.map_structure(
            lambda tensor: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name), own
        )
    known = (model.get_build_config() if model.built else None) or {}
    if known.get("input_shape") is None:
        raise ValueError(
            f"the model '{model.name}' does not say what it takes: call it on data first, or give `input_shape`, such "
            "as (224, 224, 3), without the batch; of several inputs a list or a dict of such."
        )
    return _inputs_like(known["input_shape"])


def _inputs_like(shapes: Any) -> Any:
    return map_shapes(lambda shape: keras.Input(tuple(shape[1:])), shapes)
