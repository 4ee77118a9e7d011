"""Files of weights: safetensors, and what is refused unread."""

import sys

import numpy as np
import pytest

import keras_blocks
from keras_blocks.weights.convert import named_weights

SMALL = {"groups": [{"filters": [4, 4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 3}


def small():
    return keras_blocks.SqueezeNet(**SMALL)


@pytest.fixture
def safetensors():
    return pytest.importorskip("safetensors.numpy")


def test_safetensors(tmp_path, safetensors):
    source, target = small(), small()
    arrays = {name: weight.numpy() for name, weight in named_weights(source).items()}
    safetensors.save_file(arrays, tmp_path / "model.safetensors")
    keras_blocks.convert_weights(tmp_path / "model.safetensors", target)
    for one, other in zip(source.get_weights(), target.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_create_model_takes_safetensors_under_pytorchs_names(tmp_path, safetensors):
    options = {key: value for key, value in SMALL.items() if key != "groups"}
    source = keras_blocks.create_model("squeezenet_1.1", **options)
    names = source.weight_names()["torchvision"]
    arrays = {}
    for name, weight in named_weights(source).items():
        layer, _, variable = name.rpartition("/")
        value = weight.numpy().transpose(3, 2, 0, 1) if variable == "kernel" else weight.numpy()
        arrays[f"{names[layer]}.{'weight' if variable == 'kernel' else variable}"] = np.ascontiguousarray(value)
    safetensors.save_file(arrays, tmp_path / "model.safetensors")
    target = keras_blocks.create_model("squeezenet_1.1", weights=tmp_path / "model.safetensors", **options)
    for one, other in zip(source.get_weights(), target.get_weights()):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_arrays_of_16_bits_become_the_variables_float32(kind, tmp_path, safetensors):
    import ml_dtypes

    dtype = np.dtype(getattr(ml_dtypes, kind, kind))
    source, target = small(), small()
    arrays = {name: weight.numpy().astype(dtype) for name, weight in named_weights(source).items()}
    safetensors.save_file(arrays, tmp_path / "model.safetensors")
    keras_blocks.convert_weights(tmp_path / "model.safetensors", target)
    for name, weight in named_weights(target).items():
        assert weight.dtype == "float32"
        np.testing.assert_array_equal(weight.numpy(), arrays[name].astype("float32"))


def test_a_type_that_numpy_lacks_is_named(tmp_path, safetensors):
    header = b'{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    (tmp_path / "eight.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(ValueError, match="'a' as F8_E4M3"):
        keras_blocks.convert_weights(tmp_path / "eight.safetensors", small())


def test_a_damaged_file_is_refused(tmp_path, safetensors):
    safetensors.save_file({"a": np.zeros(3)}, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"cut\.safetensors is damaged"):
        keras_blocks.convert_weights(tmp_path / "cut.safetensors", small())


def test_a_file_far_larger_than_the_model_is_refused_unread(tmp_path, safetensors):
    safetensors.save_file({"a": np.zeros(2**22, "float32")}, tmp_path / "large.safetensors")
    with pytest.raises(ValueError, match="unpacks to"):
        keras_blocks.convert_weights(tmp_path / "large.safetensors", small())


def test_without_the_library_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"keras-blocks\[safetensors\]"):
        keras_blocks.convert_weights(tmp_path / "model.safetensors", small())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_pickles_are_refused_and_the_way_round_is_named(suffix, tmp_path):
    with pytest.raises(ValueError, match=r"safetensors\.torch\.save_file"):
        keras_blocks.convert_weights(tmp_path / f"model{suffix}", small())
    with pytest.raises(ValueError, match="pickle"):
        keras_blocks.create_model("squeezenet_1.1", weights=str(tmp_path / f"model{suffix}"))


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end with.*model\.txt"):
        keras_blocks.convert_weights(tmp_path / "model.txt", small())
