"""R-CNN's networks that see each region as an image: one within the child, that of the parent within it."""

from typing import TYPE_CHECKING

import numpy as np

from keras_blocks.grow.evaluating import Parent
from keras_blocks.grow.flat import Call, flat_of
from keras_blocks.grow.values import Numbers, Values, key_of

if TYPE_CHECKING:
    from keras_blocks.grow.carrying import Child


def carried_regions(child: "Child", call: Call, twin: Call, inputs: list[Values]) -> Values:
    """What the child's network makes of each region, once it has the weights of the parent's.

    The channels of the network's output that hold what one of the parent's does have its number.
    """
    fresh = child.numbers.fresh(child.flat.count(call.outputs[0]))
    if not child.first(call):
        return fresh
    child.done(call)
    parent = Parent(flat_of(twin.layer.network), Numbers())
    inner = type(child)(flat_of(call.layer.network), parent, child.break_ties)
    child.within.append(inner)
    child.notes.update(inner.notes)
    child.transfers += inner.transfers
    given = zip(inputs, child.parent.given(twin), strict=True)
    warped = key_of(call.layer.warp) == key_of(twin.layer.warp)
    mine, theirs = (one.values[id(one.flat.model.outputs[0])] for one in (inner, parent))
    if inner.notes or not warped or len(mine.ids) != len(fresh.ids) or not all(one.same(other) for one, other in given):
        return fresh
    made = child.parent.made(twin)[0]
    places = {pair: i for i, pair in enumerate(zip(theirs.ids.tolist(), theirs.scales.tolist()))}
    source = np.array([places.get(pair, -1) for pair in zip(mine.ids.tolist(), mine.scales.tolist())])
    return Values(np.where(source < 0, fresh.ids, made.ids[source]), np.ones(len(source)))
