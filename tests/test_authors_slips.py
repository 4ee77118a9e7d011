"""The likely slips of who writes a block or an architecture, and of who gives one, name what is wrong and the fix."""

import keras
import numpy as np
import pytest

import keras_blocks as kb

pytestmark = pytest.mark.once

CHAINS = [
    (lambda self: [self.conv_unit("a", 4, 3)], r"step 0 of the chain of .* of type tuple.*\*self.conv_unit"),
    (lambda self: [self.layer("a", keras.layers.ReLU), keras.ops.relu], "step 1 of .*A function cannot be saved"),
    (lambda self: [keras.layers.Conv2D(4, 3)], r"step 0 of .*self.layer\(name, Conv2D"),
    (lambda self: [keras.layers.ReLU], r"step 0 of .*self.layer\(name, ReLU"),
    (lambda self: ["conv"], "step 0 of .*self.conv_unit"),
    (lambda self: None, "must `return` a list"),
    (lambda self: self.conv2d("a", 4, 3), r"must be a list of steps.*Write \[\.\.\.\]"),
    (lambda self: [self.concatenate("c", self.conv2d("a", 4, 3))], r"branch 0 of 'c' in .*Write \[\.\.\.\]"),
    (lambda self: [self.sum_of("s", [], [self.conv_unit("a", 1, 3)])], r"branch 1 of 's' in .*\*self.conv_unit"),
]


@pytest.mark.parametrize(("chain", "says"), CHAINS)
def test_a_chain_that_is_none_is_refused_with_the_fix(chain, says):
    class Own(kb.Block):
        def chain(self, channels):
            return chain(self)

    for use in (lambda: Own()(keras.Input((8, 8, 1))), lambda: kb.cost(Own(), (8, 8, 1))):
        with pytest.raises(TypeError, match=says):
            use()


def test_an_argument_kept_under_another_name_is_found_at_build():
    class Own(kb.Block):
        def __init__(self, filters, **kwargs):
            super().__init__(**kwargs)
            self.width = filters

        def chain(self, channels):
            return self.conv_unit("conv", self.width, 3)

    with pytest.raises(TypeError, match=r"must keep its argument `filters`.*self.filters = filters"):
        Own(4)(keras.Input((8, 8, 1)))


class Parts(kb.Architecture):
    def stem(self, x):
        return keras.layers.Conv2D(2, 3)(x)

    def learner(self, x):
        return x


def test_an_argument_of_an_architecture_kept_under_another_name_is_found_when_it_is_made():
    class Own(Parts):
        def __init__(self, width, **kwargs):
            super().__init__({}, **{**kwargs, "include_top": False})
            self.wide = width

    class Further(Own):
        def __init__(self, depth, **kwargs):
            super().__init__(width=2, **kwargs)
            self.width = self.depth = depth

    class Lost(Further):
        """Without a constructor."""

    for make in (lambda: Own(4, input_shape=(8, 8, 1)), lambda: kb.Siamese(Own, width=4, input_shape=(8, 8, 1))):
        with pytest.raises(TypeError, match=r"Own '.*' must keep its argument `width`.*self.width = width"):
            make()
    assert Further(3, input_shape=(8, 8, 1)).get_config()["depth"] == 3
    del Further.__init__  # then the constructor of `Own` is the last that runs
    with pytest.raises(TypeError, match=r"Lost '.*' must keep its argument `width`"):
        Lost(4, input_shape=(8, 8, 1))


def test_an_architecture_without_a_part_or_features_says_so():
    with pytest.raises(NotImplementedError, match=r"Parts must have a method `classifier.*include_top=False"):
        Parts({}, input_shape=(8, 8, 1))
    with pytest.raises(NotImplementedError, match=r"must have a method `stem"):
        kb.Architecture({}, input_shape=(8, 8, 1))
    with pytest.raises(ValueError, match=r"`up_to` names a feature map, and .* has none.*self.feature\(name, x\)"):
        Parts({}, input_shape=(8, 8, 1), include_top=False).freeze()


@pytest.mark.parametrize("text", [b"8", bytearray(b"83"), memoryview(b"83"), "83", {8: 3}, {8}, np.array([8, 3])])
def test_what_is_no_list_is_not_taken_for_one(text):
    for use in (
        lambda: kb.ClassifierHead(3, hidden=text),
        lambda: kb.ConvBlock(3, kernel_size=text),
        lambda: kb.GridReductionA(text),
        lambda: kb.VGG(groups=text),
        lambda: kb.VGG(input_shape=text),
    ):
        with pytest.raises((TypeError, ValueError), match=r"`(hidden|kernel_size|filters|groups|input_shape)` must be"):
            use()


def test_cost_takes_a_name_and_a_wrong_one_lists_the_nearest_alone():
    variant = {**kb.ResNet.variants["resnet20_cifar"], "classes": 3}
    assert kb.cost("resnet20_cifar", classes=3) == kb.cost(kb.ResNet, **variant)
    assert kb.cost(np.str_("resnet20_cifar"), classes=3) == kb.cost(kb.ResNet, **variant)
    for use in (kb.create_model, kb.cost, kb.Siamese):
        for wrong in ("resnet-50", "ResNet50"):
            with pytest.raises(
                ValueError, match=r"names of `keras_blocks.list_models\(\)`.*Did you mean 'resnet50'"
            ) as error:
                use(wrong)
            assert len(str(error.value)) < 300
    with pytest.raises(ValueError, match=r"names of `ResNet.variants`.*Did you mean 'resnet50'"):
        kb.ResNet.from_variant("resnet-50")


def test_a_variant_takes_the_shape_of_the_tensor_that_it_is_given():
    """Its own is that of the images of its paper."""
    tensor = keras.Input((16, 20, 1), name="mine")
    for name in ("resnet20_cifar", "resnet20_cifar_v2"):
        model = kb.create_model(name, input_tensor=tensor, classes=3)
        assert (model.input_shape, model.metaparameters.input_shape) == ((None, 16, 20, 1), (16, 20, 1))
    with pytest.raises(
        ValueError, match=r"`input_shape` must be `input_tensor`'s, \(16, 20, 1\); received \(8, 8, 1\)"
    ):
        kb.create_model("resnet20_cifar", input_tensor=tensor, input_shape=(8, 8, 1))
