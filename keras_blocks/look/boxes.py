"""What a figure's boxes are: layers as papers write them, a convolution with its normalization, equal blocks as one."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_blocks.blocks.channel_padding import ChannelPadding
from keras_blocks.blocks.conv import ConvBlock
from keras_blocks.core.block import Block
from keras_blocks.core.chain import LayerSpec
from keras_blocks.core.shapes import as_pair
from keras_blocks.core.sizes import ChannelPooling, ChannelSlice
from keras_blocks.look.plan import Node, Plan, keras_shapes

CONVOLUTIONS = {
    "Conv1D": "conv",
    "Conv2D": "conv",
    "Conv3D": "conv",
    "GroupedConv2D": "conv",
    "DepthwiseConv2D": "depthwise conv",
    "SeparableConv2D": "separable conv",
    "Conv2DTranspose": "transposed conv",
}
TIMES = "\N{MULTIPLICATION SIGN}"
POOLINGS = {"MaxPooling2D": "max pool", "AveragePooling2D": "avg pool", "CeilMaxPooling2D": "max pool"}
MERGES = {"Add": "+", "Multiply": TIMES, "Concatenate": "concatenation"}
WORDS = {
    "Activation": "activation",
    "AnchorGenerator": "anchors",
    "BatchNormalization": "BN",
    "GroupNormalization": "GN",
    "LayerNormalization": "LN",
    "LocalResponseNormalization": "LRN",
    "CoveredSize": "size of image",
    "Dense": "dense",
    "Flatten": "flatten",
    "GlobalAveragePooling2D": "global avg pool",
    "GlobalMaxPooling2D": "global max pool",
    "InputLayer": "input",
    "ListAnchors": "a row for each anchor",
    "Reshape": "reshape",
    "SelectProposals": "proposals, by NMS",
    "Softmax": "softmax",
    "UpSampling2D": "upsampling",
}
ACTIVATIONS = {"relu": "ReLU", "relu6": "ReLU6", "elu": "ELU", "gelu": "GELU", "selu": "SELU", "silu": "SiLU"}
FOLLOWING = ("Activation", "BatchNormalization", "GroupNormalization", "LayerNormalization", "ReLU", "LeakyReLU")
"""What is written into the box of the convolution before it."""
LONGEST = 34


@dataclasses.dataclass(eq=False)
class Box:
    """A box of a figure: one node, and those that are written into it.

    Attributes:
        nodes: the first is what the box is about.
        before: the boxes from which arrows lead to it.
        count: how many equal ones it stands for.
        inside: the boxes of what it was opened to, and those of them that its output comes from; empty if it was not.
        shared: whether its layer stands in several places, with its weights once.
    """

    nodes: list[Node]
    before: list["Box"] = dataclasses.field(default_factory=list)
    count: int = 1
    inside: list["Box"] = dataclasses.field(default_factory=list)
    last_inside: list["Box"] = dataclasses.field(default_factory=list)
    shared: bool = False

    @property
    def node(self) -> Node:
        return self.nodes[0]

    @property
    def kind(self) -> str:
        """Of which colour it is."""
        cls, name = self.node.cls, self.node.cls.__name__
        if self.node.step is None:
            return "input"
        if issubclass(cls, Block | keras.Model):
            return "block"
        if name in CONVOLUTIONS:
            return "conv"
        if name in POOLINGS or name.startswith("Global"):
            return "pool"
        if name in MERGES:
            return "merge"
        return "dense" if name == "Dense" else "other"

    @property
    def sign(self) -> str | None:
        """What stands in a circle, for a sum or a product."""
        sign = MERGES.get(self.node.cls.__name__)
        return sign if sign in ("+", TIMES) else None

    @property
    def title(self) -> str:
        first = self.nodes if self._normalizes else self.nodes[:1]
        return shortened(", ".join(map(_title, first)))

    @property
    def details(self) -> str:
        """The second line: what follows a convolution, or how a block was declared."""
        if self.kind == "block":
            return shortened(_declared(self.node))
        words = [] if self._normalizes else [_title(node) for node in self.nodes[1:]]
        own = _activation(self.node.option("activation")) if self.kind in ("conv", "dense") else ""
        shared = "shared" if self.shared and self.kind in ("conv", "dense") else ""
        return ", ".join(word for word in (own, *words, shared) if word)

    @property
    def _normalizes(self) -> bool:
        return self.node.cls.__name__.endswith("Normalization")

    @property
    def shape(self) -> str:
        """The output's shape, as 56x56x64; nothing where a layer of little interest does not change it."""
        if self.kind == "other" and self.node.given == self.nodes[-1].shape:
            return ""
        shapes = keras_shapes(self.nodes[-1].shape)[:3]
        of_images = [one if self.node.cls.__name__ == "AnchorGenerator" else one[1:] for one in shapes]
        return ", ".join(TIMES.join(_size(size) for size in one) for one in of_images)


def boxes_of(plan: Plan, depth: int, fold: bool) -> tuple[list[Box], list[Box]]:
    """The boxes of a plan, blocks opened to this depth, and those that the outputs come from."""
    uses: dict[int, int] = {}
    for node in plan.nodes:
        for one in node.inputs:
            uses[id(one)] = uses.get(id(one), 0) + 1
    places = collections.Counter(id(node.step) for node in plan.nodes)
    source: Node | None
    of: dict[int, Box] = {}
    boxes: list[Box] = []
    for node in plan.nodes:
        before = list({id(of[id(one)]): of[id(one)] for one in node.inputs}.values())
        source = node.inputs[0] if len(node.inputs) == 1 else None
        if source is not None and _is_silent(node):
            of[id(node)] = before[0]
        elif source is not None and _belongs_to(node, before[0], source) and uses[id(source)] == 1:
            before[0].nodes.append(node)
            of[id(node)] = before[0]
        else:
            of[id(node)] = box = Box(_inlined(node), before, shared=places[id(node.step)] > 1)
            if depth > 1 and box.node is node and (inner := node.opened()) is not None:
                box.inside, box.last_inside = boxes_of(inner, depth - 1, fold)
            boxes.append(box)
    ends = list({id(of[id(node)]): of[id(node)] for node in plan.outputs}.values())
    return (_folded(boxes, ends, uses) if fold else boxes), ends


def _inlined(node: Node) -> list[Node]:
    """The node, or the layers of a `ConvBlock` where they are one box: papers draw a convolution."""
    inner = node.opened() if issubclass(node.cls, ConvBlock) else None
    boxes = [box for box in boxes_of(inner, 1, fold=False)[0] if box.kind != "input"] if inner is not None else []
    return boxes[0].nodes if len(boxes) == 1 and boxes[0].kind == "conv" else [node]


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _folded(boxes: list[Box], ends: list[Box], uses: Mapping[int, int]) -> list[Box]:
    """Blocks in a row that are alike become one box, whose nodes are the first of them and the last."""
    kept: list[Box] = []
    stands_for: dict[int, Box] = {}
    for box in boxes:
        box.before = [stands_for.get(id(source), source) for source in box.before]
        one = box.before[0] if len(box.before) == 1 else None
        if one is not None and one.kind == box.kind == "block" and _signature(one) == _signature(box):
            last = one.nodes[-1]
            if box.node.inputs == [last] and uses[id(last)] == 1:
                one.count, one.nodes = one.count + 1, [one.node, box.node]
                stands_for[id(box)] = one
                continue
        kept.append(box)
    ends[:] = [stands_for.get(id(end), end) for end in ends]
    return kept


def _signature(box: Box) -> Any:
    """What is equal of blocks that are declared alike and, where they are open, look alike."""
    node = box.node
    if box.kind != "block":
        return node.cls, box.title, box.details, [_signature(inner) for inner in box.inside]
    if not issubclass(node.cls, Block):
        return id(node.step)
    return node.cls, repr(sorted(node.declared.items())), [_signature(inner) for inner in box.inside]


def _is_silent(node: Node) -> bool:
    """What no paper draws: borders that belong to the layer behind them, activations and merges that do nothing."""
    name = node.cls.__name__
    if name == "Activation":
        return _activation(node.option("activation")) == ""
    if name in MERGES:  # functions have the same names, and one tensor may be given twice
        is_layer = isinstance(node.step, LayerSpec | keras.layers.Layer)
        return is_layer and len(keras_shapes(node.given)) == 1
    return name in ("ZeroPadding2D", "Identity")


def _belongs_to(node: Node, box: Box, source: Node) -> bool:
    """Whether a layer is written into the box before it."""
    if node.cls.__name__ not in FOLLOWING or box.nodes[-1] is not source or box.inside:
        return False
    normalizes = box.node.cls.__name__.endswith("Normalization")
    return box.kind in ("conv", "dense") or (normalizes and not node.cls.__name__.endswith("Normalization"))


def _title(node: Node) -> str:
    name, option = node.cls.__name__, node.option
    if name in CONVOLUTIONS:
        filters = option("filters")
        groups = f", {option('groups')} groups" if (option("groups") or 1) > 1 else ""
        width = f", {filters}" if filters is not None else ""
        return f"{_window(option('kernel_size'))} {CONVOLUTIONS[name]}{width}{_step(node)}{groups}{_dilation(node)}"
    if name in POOLINGS:
        if _window(option("pool_size")) == f"1{TIMES}1":
            return f"subsample{_step(node)}"
        return f"{_window(option('pool_size'))} {POOLINGS[name]}{_step(node)}"
    if name == "Activation":
        return _activation(option("activation"))
    if name == "Dense":
        return f"dense, {option('units')}"
    if issubclass(node.cls, ChannelPooling):
        return f"channel {'avg' if option('kind') == 'mean' else option('kind')} pool"
    if issubclass(node.cls, ChannelSlice):
        return f"channels, part {option('part') + 1} of {option('parts')}"
    if name == "Dropout":
        return f"dropout {option('rate')}"
    if issubclass(node.cls, ChannelPadding):
        added = option("channels")
        return f"{2 * added if isinstance(added, int) else sum(added)} zero channels"
    if node.step is None:
        return "input" if node.name.startswith("keras_tensor") else node.name
    return MERGES.get(name) or WORDS.get(name) or ACTIVATIONS.get(name.lower()) or name


def _declared(node: Node) -> str:
    if issubclass(node.cls, keras.Model):
        return node.name
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in node.declared.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "/".join(_value(item) for item in value)
    return str(value)


def _activation(value: Any) -> str:
    """The name of an activation; none of one that does nothing."""
    name = (
        value
        if isinstance(value, str)
        else getattr(value, "__name__", "linear" if value is None else type(value).__name__)
    )
    return "" if name == "linear" else ACTIVATIONS.get(name, name)


def _window(value: Any) -> str:
    return TIMES.join(map(str, as_pair(value)))


def _step(node: Node) -> str:
    """The strides, as /2; a pooling's are its window where it is told none."""
    strides = node.option("strides")
    strides = node.option("pool_size", 1) if strides is None else strides
    steps = as_pair(strides)
    return "" if set(steps) == {1} else f", /{steps[0]}" if len(set(steps)) == 1 else f", /{_window(steps)}"


def _dilation(node: Node) -> str:
    rates = as_pair(node.option("dilation_rate") or 1)
    return "" if set(rates) == {1} else f", dilation {rates[0]}"


def _size(size: Any) -> str:
    return "?" if size is None else str(size)
