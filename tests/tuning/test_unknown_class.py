"""A model with a class of a user's own, in a command that does not know it: the error says what to do, with no dump."""

import keras
import pytest

import keras_blocks
from keras_blocks.tuning.console import without_dump
from keras_blocks.tuning.training.evaluation import load_saved


def of_ones_own(kind):
    """A model with a layer, or with a block around one, that is registered and unknown again."""

    @keras.saving.register_keras_serializable(package="unknown")
    class Own(keras_blocks.Block if kind == "block" else keras.layers.Layer):
        def chain(self, channels):
            return self.conv_unit("conv", 2, 1)

        def call(self, x):
            return super().call(x) if kind == "block" else x

    return keras.Sequential([keras.Input((4, 4, 1)), Own()])


@pytest.mark.parametrize("kind", ["layer", "block"])
def test_an_unknown_class_is_named_with_the_fix(kind, tmp_path):
    of_ones_own(kind).save(tmp_path / "own.keras")
    del keras.saving.get_custom_objects()["unknown>Own"]
    with pytest.raises(
        ValueError, match=r"cannot be loaded: Could not locate class 'Own'.*`import my_module`\.$"
    ) as error:
        load_saved(tmp_path / "own.keras")
    assert "config" not in str(error.value) and len(str(error.value)) < 600


def test_other_errors_keep_what_they_say():
    assert without_dump("one\n two") == "one two"
    assert without_dump("x could not be. config={'a': 1} Exception encountered: why. Full object config: {}") == "why."
