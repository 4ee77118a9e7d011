"""What a block, a model or an architecture costs, without building it."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from keras_blocks.blocks.region_head import EachRegion
from keras_blocks.core import validation
from keras_blocks.core.block import Block
from keras_blocks.core.chain import Chain, LayerSpec, ShapeTensor, walk
from keras_blocks.core.graphs import replay, unallocated
from keras_blocks.core.immutable import FrozenDict, freeze
from keras_blocks.core.registration import subclasses
from keras_blocks.core.shapes import check_fit, traced_shape
from keras_blocks.core.signature import arguments
from keras_blocks.costs.layer_costs import (
    LAYER_RULES,
    VIEW_LAYERS,
    LayerCost,
    count_weights,
    layer_macs,
    measured,
)


class Cost(NamedTuple):
    """What one image takes.

    Attributes:
        params: parameters, BatchNormalization's moving statistics included: Keras' `count_params()`.
        macs: multiply-adds of convolutions and dense products in one forward pass.
        activation_bytes: bytes of the outputs of all layers, those inside blocks too, in the compute dtype; layers
            that only reshape add none.

    Example:

    >>> Cost(10, 200, 40) + Cost(5, 100, 20)
    Cost(params=15, macs=300, activation_bytes=60)
    """

    params: int
    macs: int
    activation_bytes: int

    def __add__(self, other: Any) -> "Cost":
        return Cost(*(mine + theirs for mine, theirs in zip(self, other)))

    def _repr_html_(self) -> str:
        words = ("parameters", "multiply-adds", "activation bytes")
        rows = [f"<tr><th>{word}</th><td>{number:,}</td></tr>" for word, number in zip(words, self)]
        return f"<table>{''.join(rows)}</table>"


NO_COST = Cost(0, 0, 0)

WEIGHTLESS_TYPES = (keras.initializers.Initializer, keras.regularizers.Regularizer)
"""Arguments that change no count. They are new objects each time, so a remembered block must not be keyed by them."""


def cost(
    target: keras.layers.Layer | type[keras.Model] | str,
    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    **metaparameters: Any,
) -> Cost:
    """Exact parameters, multiply-adds and activation bytes, with no variable allocated.

    A search asks this of thousands of candidates, so each block is counted once for its class, arguments and input
    shape, and remembered.

    Args:
        target: a block or other Keras layer, built or not; a model (a subclassed one must be built, its `call` made of
            Keras layers and operations); or an architecture's class or a variant's name, as `create_model` takes it,
            with its metaparameters as further arguments.
        input_shape: (height, width, channels) in the target's data format, without the batch; of a block with several
            inputs a dict of such, of a detector that is given proposals `{"image": (600, 800, 3), "proposals": (2000,
            4)}`. By default a model's own, or an architecture's own default, with 2,000 proposals. A model with several
            images, as a `Siamese`, has its own.
        **metaparameters: the constructor's arguments, where `target` is an architecture's class or a name.

    Returns:
        `Cost(params, macs, activation_bytes)`, for one image.

    Raises:
        TypeError: for a target of another kind.
        ValueError: for a shape with unknown sizes, or one that the target cannot take; for an unknown name.

    Example:

    >>> import keras_blocks
    >>> keras_blocks.cost("resnet50", (224, 224, 3)).params
    25610152
    >>> keras_blocks.cost(keras_blocks.FireBlock(16), (55, 55, 96)).params
    11920
    >>> keras_blocks.cost(keras_blocks.SqueezeNet, (224, 224, 3), classes=10).params
    740554
    """
    if isinstance(target, str):
        # A user's class may have a variant of the same name, which `create_model` does not make either.
        ours = [cls for cls in subclasses(keras.Model) if cls.__module__.partition(".")[0] == "keras_blocks"]
        named = {name: cls for cls in ours for name in vars(cls).get("variants", {})}
        cls = named[validation.choice("target", target, named, where="`keras_blocks.list_models()`")]
        target, metaparameters = cls, {**cls.variants[target], **metaparameters}
    if isinstance(target, type) and issubclass(target, keras.Model):
        several = input_shape if isinstance(input_shape, Mapping) else None
        if input_shape is not None:
            metaparameters["input_shape"] = input_shape if several is None else several.get("image")
        return _architecture_cost(target, metaparameters, several)
    if metaparameters:
        raise TypeError(f"metaparameters go with an architecture's class; received {sorted(metaparameters)}.")
    if isinstance(target, keras.Model):
        return _model_cost(target, input_shape)
    if isinstance(target, keras.layers.Layer):
        return _layer_object_cost(target, _batch_of(input_shape))[1]
    raise TypeError(
        f"`target` must be a layer, a model, an architecture's class or a variant's name; received {target!r}."
    )


def shape_after(step: Any, shape: Any) -> Any:
    """The output's shape of a spec, or of a layer that exists, for an input of this shape. Remembered as costs are."""
    return shape_and_cost(step, shape)[0]


def shape_and_cost(step: Any, shape: Any, after: Any = None) -> tuple[Any, Cost]:
    """That shape, which of a layer that exists may be known already, and the step's cost."""
    return _spec_cost(step, shape) if isinstance(step, LayerSpec) else _layer_object_cost(step, shape, after)


class _Ledger:
    """Visits layers, adding up what they cost."""

    def __init__(self) -> None:
        self.total = NO_COST

    def visit(self, step: Any, shape: Any) -> Any:
        try:
            after, spent = shape_and_cost(step, shape)
        except ValueError as error:
            raise ValueError(f"the layer '{step.name}' cannot take the shape {shape}: {error}") from error
        self.total += spent
        return after


def _spec_cost(spec: LayerSpec, shape: Any) -> tuple[Any, Cost]:
    """(output shape, Cost) of a spec."""
    width = _bytes_per_value(spec.dtype)
    if spec.cls in LAYER_RULES:
        found = LayerCost(*LAYER_RULES[spec.cls]({**arguments(spec.cls), **spec.options}, shape))
        return found.shape, Cost(found.params, found.macs, _values(spec.cls, found.shape) * width)
    after, params, macs, values = _counted(*block_key(spec, shape))
    return after, Cost(params, macs, values * width)


def block_key(spec: LayerSpec, shape: Any) -> tuple[Any, ...]:
    """What tells apart, for functions that remember: class, options that change a count, shape, and the options' repr.

    The text tells 1 from 1.0 and from True, as equality does not.
    """
    options = FrozenDict({key: value for key, value in spec.options.items() if not isinstance(value, WEIGHTLESS_TYPES)})
    return spec.cls, options, freeze(shape), repr(options)


@functools.lru_cache(maxsize=2**14)
def block_chain(cls: type, options: FrozenDict, shape: Any, text: str) -> tuple[Chain, int]:
    """A block's chain for an input of this shape, and the bytes of each of its values; remembered."""
    block = cls(**options)
    return block.chain_for(shape), _bytes_per_value(block)


@functools.lru_cache(maxsize=2**16)
def _counted(cls: type, options: FrozenDict, shape: Any, text: str) -> tuple[Any, int, int, int]:
    """Output shape, parameters, multiply-adds and values of a block, or of a layer that has no rule; remembered."""
    if issubclass(cls, Block):
        chain, width = block_chain(cls, options, shape, text)  # type: ignore[arg-type]  # a class can be hashed
        after, spent = _chain_cost(chain, shape)
        return after, spent.params, spent.macs, spent.activation_bytes // width
    found = measured(lambda: cls(**options), shape)
    return *found, _values(cls, found.shape)


def _chain_cost(chain: Chain, shape: Any) -> tuple[Any, Cost]:
    ledger, seen = _Ledger(), set()

    def visit(spec: Any, shape: Any) -> Any:
        """One layer may stand in several places: it computes in each, and has its weights once."""
        again, before = id(spec) in seen, ledger.total
        after = ledger.visit(spec, shape)
        if again:
            ledger.total = ledger.total._replace(params=before.params)
        seen.add(id(spec))
        return after

    after = walk(chain, shape, visit)
    return after, ledger.total


def _layer_object_cost(layer: Any, shape: Any, after: Any = None) -> tuple[Any, Cost]:
    """(output shape, Cost) of a layer that exists, built or not; its output's shape is given where it is known."""
    if isinstance(layer, Block):
        return _chain_cost(layer.chain_for(shape), shape)
    if isinstance(layer, keras.Model):
        after = tuple(layer.compute_output_shape(shape)) if after is None else after
        return after, _model_cost(layer, shape[1:])
    if isinstance(layer, EachRegion):
        after, (params, macs, size) = tuple(layer.compute_output_shape(shape)), _model_cost(layer.network, None)
        return after, Cost(params, macs * after[1], size * after[1])
    if not layer.built:
        found = measured(lambda: type(layer).from_config(layer.get_config()), shape)
        return found.shape, Cost(found.params, found.macs, _values(type(layer), found.shape) * _bytes_per_value(layer))
    after = tuple(traced_shape(layer, shape)) if after is None else after
    return after, _built_cost(layer, shape, after)


def _built_cost(layer: Any, shape: Any, after: Any) -> Cost:
    """The cost of a built layer, whose outputs may be several."""
    shapes = [after] if after and not isinstance(after[0], (tuple, list)) else list(after)
    values = 0 if isinstance(layer, VIEW_LAYERS) else sum(math.prod(one[1:]) for one in shapes)
    return Cost(count_weights(layer), layer_macs(layer, shape, shapes[0]), values * _bytes_per_value(layer))


def _model_cost(model: Any, input_shape: Any) -> Cost:
    own = getattr(model, "usual_shapes", getattr(model, "input_shape", None))
    if isinstance(own, (list, dict)):
        shapes = [_known("input_shape", one) for one in _of_inputs(model, own, input_shape)]
        return _graph_cost(model, shapes)._replace(params=count_weights(model))
    if input_shape is None and isinstance(own, tuple) and None in own[1:]:
        input_shape = getattr(model, "canvas_shape", None)  # a detector's, to which it brings images of any size
    shape = model.input_shape if input_shape is None else (None, *input_shape)
    if not isinstance(shape, tuple):
        raise TypeError(f"`target` must be a model of tensors; '{model.name}' has inputs of the shapes {shape}.")
    shape = _known("input_shape", shape)
    own = getattr(model, "input_shape", shape) if model.built else shape
    check_fit(own, shape)
    if isinstance(model, keras.Sequential):
        total = NO_COST
        for layer in model.layers:
            shape, spent = _layer_object_cost(layer, shape)
            total += spent
    else:
        total = _graph_cost(model if isinstance(model, keras.Function) else _as_graph(model, shape), [shape])
    # A layer may be in the model more than once, and a model may have weights of its own.
    return total._replace(params=count_weights(model)) if model.built else total


def _of_inputs(model: Any, own: Any, given: Any) -> list[Any]:
    """A shape for each input of a model that has several: those that are given by name, or its own."""
    if given is None:
        return [own[tensor.name] for tensor in model.inputs] if isinstance(own, dict) else own
    if isinstance(own, dict) and isinstance(given, Mapping) and set(given) == set(own):
        return [(None, *given[tensor.name]) for tensor in model.inputs]
    wanted = f"a dict of the sizes of {sorted(own)}, or None" if isinstance(own, dict) else "None"
    raise ValueError(
        f"`input_shape` must be {wanted}, as the model '{model.name}' has several inputs, {own}; received {given!r}."
    )


def _graph_cost(graph: Any, shapes: Sequence[Any]) -> Cost:
    """Walks the functional model's graph. A layer that is called twice computes twice."""
    total = NO_COST

    def count(operation: Any) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal total
            after = operation.compute_output_spec(*args, **kwargs)
            if isinstance(operation, keras.layers.Layer):
                shapes = [tensor.shape for tensor in keras.tree.flatten(args)]
                known = [tensor.shape for tensor in keras.tree.flatten(after)]
                shape = shapes[0] if len(shapes) == 1 else shapes
                if isinstance(operation, Block):  # which tells its inputs apart by their names
                    shape = keras.tree.map_structure(_shape, args[0])
                total += _layer_object_cost(operation, shape, known[0] if len(known) == 1 else known)[1]
            return after

        return run

    inputs = [keras.KerasTensor(shape, dtype=tensor.dtype) for shape, tensor in zip(shapes, graph.inputs)]
    replay(graph, inputs, count)
    return total


def _as_graph(model: Any, shape: Any) -> keras.Model:
    """A subclassed model's `call` on a Keras tensor, which records its layers."""
    if not model.built:
        raise ValueError(f"the model '{model.name}' is not built: call it on data, or build it, then count it.")
    inputs = keras.Input(shape[1:])
    return keras.Model(inputs, model.call(inputs))


def _architecture_cost(cls: Any, metaparameters: dict[str, Any], shapes: Any = None) -> Cost:
    """Sends a shape through an architecture's parts, with no layer made where the parts use `self.layer`."""
    if (ledger := _outlined(cls, metaparameters)) is not None:
        return ledger.total
    with unallocated():
        return _model_cost(cls(**metaparameters), shapes)


def _outlined(cls: Any, metaparameters: dict[str, Any]) -> _Ledger | None:
    """The ledger of all parts; `None` where a class has no parts, or one uses Keras' own layers, which take no shape.

    What is wrong in itself gives `None`, too, and is refused when the model is made.
    """
    if len(getattr(cls, "input_names", ())) != 1:
        return None
    outline = cls.outline(**metaparameters)
    shape = (None, *outline.metaparameters.input_shape)  # behind a `Resizing`, that of the image may be unknown
    ledger = _Ledger()
    try:
        outline.assemble(ShapeTensor(shape, ledger.visit))
    except (AttributeError, TypeError, ValueError):
        return None
    return ledger


def _batch_of(shape: Any) -> Any:
    """The shape of a batch of one input, or of each of several; what is no image may have any number of axes."""
    if isinstance(shape, Mapping):
        return {name: (None, *one) if len(one) == 1 else _batch_of(one) for name, one in shape.items()}
    return _known("input_shape", (None, *(shape or ())))


def _shape(tensor: Any) -> tuple[Any, ...]:
    return tuple(tensor.shape)


def _known(name: str, shape: Any) -> tuple[int, ...]:
    if len(shape) < 2 or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in shape[1:]):
        raise ValueError(
            f"`{name}` must be the sizes of one image, such as (224, 224, 3), all known; received {tuple(shape[1:])}."
        )
    return tuple(shape)


def _values(cls: type, shape: Any) -> int:
    """Numbers that the layer's output adds to the memory, for one image."""
    return 0 if issubclass(cls, VIEW_LAYERS) else math.prod(shape[1:])


def _bytes_per_value(target: Any) -> int:
    """Bytes of a number that a layer computes, or layers of a dtype policy."""
    dtype = getattr(target, "compute_dtype", None) or keras.config.floatx()
    return _BYTES.get(dtype, 4)


_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
