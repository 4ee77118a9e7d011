"""`summary`: rows of blocks and of what is in them, of what is built and of what is not."""

import keras
import pytest
from test_expanding import Subclassed, _called, fire, functional, sequential
from thorough import run_all

import keras_blocks

pytestmark = pytest.mark.once
SMALL = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 3}


def rows(*args, **kwargs):
    lines = []
    assert keras_blocks.summary(*args, print_fn=lines.append, **kwargs) is None
    return lines


def test_rows_of_a_block_that_is_not_built():
    lines = rows(keras_blocks.FireBlock(16), (55, 55, 96))
    assert lines[0].split() == ["name", "class", "output", "shape", "parameters"]
    assert lines[2].split() == ["squeeze", "Conv2D", "(55,", "55,", "16)", "1,552"]
    assert lines[-1].split() == ["total", "11,920"]
    with pytest.raises(ValueError, match=r"FireBlock 'a' is not built.*`input_shape`"):
        keras_blocks.summary(fire("a"))
    with pytest.raises(ValueError, match="`depth`"):
        keras_blocks.summary(fire("a"), SMALL["input_shape"], depth=0)
    with pytest.raises(TypeError, match="`target` must be a block"):
        keras_blocks.summary(3)


@pytest.mark.parametrize("depth", [1, 2])
def test_an_architecture_has_the_same_rows_before_and_after_it_is_built(depth):
    built = keras_blocks.SqueezeNet(**SMALL)
    assert rows(keras_blocks.SqueezeNet, depth=depth, **SMALL) == rows(built, depth=depth)
    assert rows(built, depth=depth)[-1].split() == ["total", f"{built.count_params():,}"]
    assert any("  squeeze  " in line for line in rows(built, depth=depth)) == (depth == 2)


@pytest.mark.parametrize("make", [sequential, functional, lambda: _called(Subclassed())])
def test_models_of_users(make):
    model = make()
    lines = rows(model, depth=3)
    assert lines[-1].split() == ["total", f"{model.count_params():,}"]
    assert any("FireBlock" in line for line in lines) and any("  squeeze" in line for line in lines)


def test_weights_that_are_shared_count_once():
    block, x = fire("a"), keras.Input((6, 6, 4))
    model = keras.Model(x, block(block(x)))
    assert rows(model)[-1].split() == ["total", f"{model.count_params():,}"]


@pytest.mark.parametrize("name", keras_blocks.list_models() if run_all() else ["vgg11", "siamese_koch2015"])
def test_totals_of_variants_are_their_costs(name):
    assert rows(name)[-1].split() == ["total", f"{keras_blocks.cost(name).params:,}"]


class Composed(keras.layers.Layer):
    """As Keras' guide makes a layer of layers: it says no shape that it gives."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left, self.right = fire("left"), fire("right")

    def call(self, x):
        return self.right(self.left(x))


@pytest.mark.once
def test_a_layer_of_blocks_with_a_call_alone_has_rows():
    model = keras.Sequential([keras.Input((6, 6, 3)), Composed(name="own"), keras.layers.Flatten()])
    by_block = keras_blocks.cost_rows(keras.Sequential([keras.Input((6, 6, 3)), fire("a"), fire("b")]))
    own, _ = keras_blocks.cost_rows(model)
    assert own.params == model.count_params() == sum(row.params for row in by_block)
    assert own.macs == sum(row.macs for row in by_block)
    keras_blocks.draw(model, depth=2)


@pytest.mark.once
@pytest.mark.parametrize("function", [keras_blocks.draw, keras_blocks.cost_rows, keras_blocks.summary])
def test_a_shape_that_a_model_cannot_take_is_refused(function):
    layers = [keras.Input((8, 8, 1)), fire("a")]
    for model in (keras.Sequential(layers), keras.Model(layers[0], layers[1](layers[0]))):
        with pytest.raises(ValueError, match=r"`input_shape` must fit the model's \(8, 8, 1\); received \(8, 8, 3\)"):
            function(model, (8, 8, 3))
    for wrong in ("8x8x1", (8, 8, 0), (8, 8.0, 1), [(8, 8, 1), "8"]):
        with pytest.raises(ValueError, match="`input_shape` must be the sizes of one image"):
            function(fire("b"), wrong)
