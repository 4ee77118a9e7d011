"""What `convert_weights` and `create_model(weights=...)` refuse: arrays, files, names. Nothing is changed then."""

import io
import zipfile

import keras
import numpy as np
import pytest

import keras_blocks
from keras_blocks.models.registry import ARCHITECTURES, architecture_of
from keras_blocks.weights.convert import _best_convention, _known_layers, named_weights
from keras_blocks.weights.pretrained import load_weights

SMALL = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 1), "classes": 3}
LAST = "classifier_conv/conv/bias"
"""The last weight: what comes before it would have been written."""


def small(**options):
    return keras_blocks.SqueezeNet(**{**SMALL, **options})


@pytest.fixture(scope="module")
def target():
    return small()


@pytest.fixture(scope="module")
def arrays():
    return {name: weight.numpy() + 1 for name, weight in named_weights(small()).items()}


def refused(call, target, message, error=ValueError):
    """The call raises an error that says so, and has changed nothing."""
    before = target.get_weights()
    with pytest.raises(error, match=message):
        call()
    for one, other in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# -- arrays ---------------------------------------------------------------------------------------------------------

ARRAYS = {
    "NaN": (np.array([1, np.nan, np.nan]), r"bias has 2 of 3 values that are not finite as float32"),
    "infinity": (np.array([1, -np.inf, 3]), r"bias has 1 of 3 values that are not finite"),
    "finite as float64 alone": (np.array([1, 1e300, 3]), r"bias has 1 of 3 values that are not finite as float32"),
    "NaN of 16 bits": (np.array([1, np.nan, 3], "float16"), r"bias has 1 of 3 values"),
    "complex": (np.array([1, 2j, 3]), r"'classifier_conv/conv/bias' as complex128"),
    "strings": (np.array(["1", "2", "3"]), r"floats or integers; received 'classifier_conv/conv/bias' as str"),
    "bytes": (np.array([b"1", b"2", b"3"]), r"bias' as bytes"),
    "objects": (np.array([1, 2, None], object), r"bias' as object"),
    "bools": (np.array([True, False, True]), r"bias' as bool"),
    "dates": (np.array([1, 2, 3], "datetime64[s]"), r"bias' as datetime64"),
    "records": (np.zeros(3, [("a", "f4")]), r"bias' as void"),
    "nothing": (None, r"bias' as object"),
    "ragged lists": ([[1, 2], [3]], r"'classifier_conv/conv/bias' cannot become one"),
    "a scalar": (np.float32(1), r"has the shape \(3,\), the source's classifier_conv/conv/bias \(\)"),
    "a column": (np.zeros((3, 1)), r"has the shape \(3,\), the source's classifier_conv/conv/bias \(3, 1\)"),
    "empty": (np.zeros(0), r"\(0,\)"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_are_no_weights(kind, target, arrays):
    value, message = ARRAYS[kind]
    refused(lambda: keras_blocks.convert_weights({**arrays, LAST: value}, target), target, message)


def test_statistics_that_a_bias_is_folded_into_are_checked_too():
    """A bias that the model lacks goes into the moving mean."""
    options = {"filters": 2, "name": "block"}
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, keras_blocks.ConvBlock(**options)(inputs))
    weights = {name: weight.numpy() for name, weight in named_weights(model).items()}
    refused(
        lambda: keras_blocks.convert_weights({**weights, "block/conv/bias": np.array([1, np.nan])}, model),
        model,
        "block/conv_bn/moving_mean has 1 of 2 values that are not finite",
    )


def test_names_that_are_no_strings(target, arrays):
    refused(lambda: keras_blocks.convert_weights({**arrays, 3: np.zeros(2)}, target), target, "key 3", TypeError)


def test_integers_and_lists_are_weights(target, arrays):
    keras_blocks.convert_weights({**arrays, LAST: [1, 2, 3]}, target)
    np.testing.assert_array_equal(named_weights(target)[LAST].numpy(), np.array([1, 2, 3], "float32"))


# -- files ----------------------------------------------------------------------------------------------------------


def npz(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


def lying(shape):
    """An array's file whose header says that it has this shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(12)


FILES = {
    "half of it.npz": lambda arrays: npz(arrays)[: len(npz(arrays)) // 2],
    "without its end.npz": lambda arrays: npz(arrays)[:-40],
    "empty.npz": lambda arrays: b"",
    "one byte changed.npz": lambda arrays: flipped(npz(arrays), npz(arrays).index(arrays[LAST].tobytes())),
    "text.npz": lambda arrays: b"no zip",
    "texts in a zip.npz": lambda arrays: zipped({"a.txt": "1, 2"}),
    "an array cut short.npz": lambda arrays: zipped({"a.npy": lying((9,))}),
    "an array of 931 GiB.npz": lambda arrays: zipped({"a.npy": lying((250_000_000_000,))}),
    "no array.npz": lambda arrays: zipped({"a.npy": b"text"}),
    "empty.safetensors": lambda arrays: b"",
    "text.safetensors": lambda arrays: b"no tensors, a text",
    "short header.safetensors": lambda arrays: (99).to_bytes(8, "little") + b"{}",
    "empty.keras": lambda arrays: b"",
    "text.keras": lambda arrays: b"no zip",
    "an empty zip.keras": lambda arrays: zipped({}),
    "text.weights.h5": lambda arrays: b"no h5",
    "empty.weights.h5": lambda arrays: b"",
}


@pytest.mark.once
@pytest.mark.parametrize("name", FILES)
def test_files_that_are_damaged(name, target, arrays, tmp_path):
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors")
    (tmp_path / name).write_bytes(FILES[name](arrays))
    refused(lambda: load_weights(target, tmp_path / name), target, name.replace(".", r"\."))


@pytest.mark.once
@pytest.mark.parametrize("cut", [100, 2_000, -100])
@pytest.mark.parametrize("kind", ["model.keras", "model.weights.h5", "model.safetensors"])
def test_files_that_are_cut_off(kind, cut, target, arrays, tmp_path):
    source, path = small(), tmp_path / kind
    if kind == "model.keras":
        source.save(path)
    elif kind == "model.weights.h5":
        source.save_weights(path)
    else:
        pytest.importorskip("safetensors.numpy").save_file(arrays, path)
    path.write_bytes(path.read_bytes()[:cut])
    refused(lambda: load_weights(target, path), target, r"model\.")


# -- the classifier -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npz", "keras", "weights.h5"])
def test_a_file_of_other_classes_says_how_to_go_without_them(kind, tmp_path):
    """All formats; nothing is changed, though Keras writes what fits before it finds what does not."""
    source, model, path = small(classes=5), small(), tmp_path / f"model.{kind}"
    if kind == "npz":
        np.savez(path, **{name: weight.numpy() for name, weight in named_weights(source).items()})
    else:
        (source.save if kind == "keras" else source.save_weights)(path)
    refused(lambda: load_weights(model, path), model, r"classes=3 here: `include_top=False`")
    if kind != "weights.h5":  # Keras' own has no part of a model
        body = small(include_top=False)
        load_weights(body, path)
        for name, weight in named_weights(body).items():
            np.testing.assert_array_equal(weight.numpy(), named_weights(source)[name].numpy())


def test_a_file_without_the_classifier_says_so_too(arrays):
    body = {name: value for name, value in arrays.items() if not name.startswith("classifier")}
    refused(lambda: keras_blocks.convert_weights(body, model), model := small(), "`include_top=False`")


def test_other_differences_say_nothing_of_the_classifier(arrays):
    with pytest.raises(ValueError, match="do not fit") as info:
        keras_blocks.convert_weights(arrays, small(expand_ratio=2))
    assert "include_top" not in str(info.value)


# -- names ----------------------------------------------------------------------------------------------------------

TOPS = ("head", "classifier_conv", "aux_1_head", "aux_2_head")


@pytest.mark.once
@pytest.mark.parametrize("variant", [variant for cls in ARCHITECTURES for variant in cls.variants])
def test_every_convention_knows_its_top(variant):
    """A whole network's weights are understood without its top: by these names, nothing is left over."""
    cls = architecture_of(variant)
    conventions = cls.outline(**cls.variants[variant]).weight_names()
    if not conventions:
        return
    outline = cls.outline(**{**cls.variants[variant], "include_top": False})
    for convention in conventions:
        knows_its_top(outline, convention)


def knows_its_top(outline, convention):
    names = outline.weight_names()[convention]
    source = {f"{theirs}/kernel": None for theirs in names.values()}
    body = {f"{ours}/kernel": None for ours in names if ours.partition("/")[0] not in TOPS}
    assert 0 < len(body) < len(names), "no top is named"
    _, chosen = _best_convention(source, body, outline)
    ours = {theirs: layer for layer, theirs in chosen.items()}
    assert {ours.get(key.removesuffix("/kernel")) for key in source} <= _known_layers(outline)


def test_a_cifar_resnets_file_goes_into_its_body():
    """The example: PyTorch's CIFAR networks call the classifier `linear`, torchvision `fc`."""
    options = {"groups": [{"filters": 2, "blocks": 1}], "block": "basic", "stem": "cifar", "input_shape": (8, 8, 3)}
    whole = keras_blocks.ResNet(classes=3, **options)
    for top in ("linear", "fc"):
        names = {**whole.weight_names()["torch_cifar"], "head/scores": top}
        source = {}
        for name, weight in named_weights(whole).items():
            layer, _, variable = name.rpartition("/")
            source[f"{names[layer]}/{variable}"] = weight.numpy() + 1
        body = keras_blocks.convert_weights(source, keras_blocks.ResNet(include_top=False, **options))
        np.testing.assert_array_equal(body.get_weights()[0], whole.get_weights()[0] + 1)


PAPERS_V1 = {"stem": "v1.0", "groups": [{"filters": [2]}], "classes": 3, "input_shape": (32, 32, 3)}
DEEP = {"groups": [{"filters": 2, "blocks": 2}], "classes": 3, "input_shape": (32, 32, 3)}


MISFITS = [
    # class, arguments, convention, what the error must name; None where these weights are this network's
    (keras_blocks.SqueezeNet, PAPERS_V1, "caffe", "`classifier_padding=1`.*squeezenet_1.0_caffe"),
    (keras_blocks.SqueezeNet, {**PAPERS_V1, "bypass": "simple"}, "caffe", "`classifier_padding=1`"),
    (keras_blocks.SqueezeNet, {**PAPERS_V1, "classifier_padding": 1}, "caffe", None),
    (keras_blocks.SqueezeNet, {**PAPERS_V1, "classifier_padding": 1}, "torchvision", "`classifier_padding=0`"),
    (keras_blocks.SqueezeNet, PAPERS_V1, "torchvision", None),
    (keras_blocks.SqueezeNet, {**PAPERS_V1, "include_top": False}, "caffe", None),
    (keras_blocks.SqueezeNet, {**PAPERS_V1, "stem": "v1.1"}, "caffe", None),
    (keras_blocks.ResNet, {**DEEP, "version": "v1.5"}, "keras", "`version='v1'`"),
    (keras_blocks.ResNet, {**DEEP, "version": "v1"}, "torchvision", "`version='v1.5'`"),
    (keras_blocks.ResNet, {**DEEP, "version": "v1"}, "keras", None),
    (keras_blocks.ResNet, {**DEEP, "version": "v1", "block": "basic"}, "torchvision", None),
    (keras_blocks.ResNet, {**DEEP, "version": "v2"}, "keras", "`downsample='last'`"),
    (keras_blocks.ResNet, {**DEEP, "version": "v2", "downsample": "last"}, "keras", None),
    (keras_blocks.ResNet, {**DEEP, "version": "v2", "downsample": "last"}, "timm", "downsample='first', stem='timm'"),
    (keras_blocks.ResNet, {**DEEP, "version": "v2", "block": "basic"}, "timm", "`stem='timm'`"),
    (keras_blocks.ResNet, {**DEEP, "version": "v2", "stem": "timm"}, "timm", None),
]


@pytest.mark.parametrize(("cls", "arguments", "convention", "message"), MISFITS)
def test_names_of_a_network_of_equal_shapes_and_other_outputs(cls, arguments, convention, message):
    model = cls(**arguments)
    names = model.weight_names()[convention]
    source = {}
    for name, weight in named_weights(model).items():
        layer, _, variable = name.rpartition("/")
        source[f"{names[layer]}/{variable}"] = weight.numpy() + 1
    if message is None:
        keras_blocks.convert_weights(source, model)
    else:
        refused(lambda: keras_blocks.convert_weights(source, model), model, message)
    own = {name: weight.numpy() + 1 for name, weight in named_weights(model).items()}
    keras_blocks.convert_weights(own, model)  # the way out that the error tells


# -- the arguments of create_model ----------------------------------------------------------------------------------

CALLS = [
    (
        lambda: keras_blocks.create_model("resnet51"),
        ValueError,
        r"\d\d names of `keras_blocks\.list_models\(\)`.*'resnet50'",
    ),
    (lambda: keras_blocks.create_model("ResNet50"), ValueError, r"'ResNet50'\. Did you mean 'resnet50'"),
    (lambda: keras_blocks.create_model(50), ValueError, r"`variant`.*received 50"),
    (lambda: keras_blocks.ResNet.from_variant("resnet19"), ValueError, r"names of `ResNet\.variants`.*'resnet18'"),
    (lambda: keras_blocks.VGG.from_variant("vgg17"), ValueError, r"\['vgg11', .*'vgg17'\. Did you mean 'vgg1"),
    (lambda: keras_blocks.Siamese("resnet21"), ValueError, r"`backbone`.*Did you mean 'resnet\d+"),
    (lambda: keras_blocks.create_model("resnet18", num_classes=3), TypeError, r"`num_classes`.*Did you mean `classes`"),
    (lambda: keras_blocks.create_model("resnet18", pretrained=True), TypeError, r"`pretrained`.*weights=\"imagenet\""),
    (lambda: keras_blocks.create_model("vgg16", output_stride=8), TypeError, r"`output_stride`.*It takes `groups`"),
    (lambda: keras_blocks.create_model("beta_vae", classes=3), TypeError, r"AutoEncoder takes no argument `classes`"),
    (lambda: keras_blocks.create_model("resnet18", weights=True), TypeError, r"`weights` must be.*received True"),
    (lambda: keras_blocks.create_model("resnet18", weights="imagenet1k"), ValueError, r"'imagenet'.*'imagenet1k'"),
    (lambda: keras_blocks.create_model("resnet18", weights="no.npz"), FileNotFoundError, r"`weights`.*no\.npz"),
    (lambda: keras_blocks.create_model("resnet18", weights="a.pth"), (OSError, ValueError), r"a\.pth"),
]


@pytest.mark.once
@pytest.mark.parametrize(("call", "error", "message"), CALLS)
def test_errors_of_create_model(call, error, message):
    with pytest.raises(error, match=message) as info:
        call()
    assert len(str(info.value)) < 700, "it prints every name there is"


def test_a_file_of_keras_with_values_that_are_not_finite_is_refused_whole(tmp_path):
    small = {"groups": [{"filters": [4]}], "stem": "tiny", "input_shape": (8, 8, 3), "classes": 2}
    model, spoiled = keras_blocks.SqueezeNet(**small), keras_blocks.SqueezeNet(**small)
    spoiled.weights[0].assign(np.full(spoiled.weights[0].shape, np.nan, "float32"))
    spoiled.save_weights(tmp_path / "spoiled.weights.h5")
    before = model.get_weights()
    with pytest.raises(ValueError, match="has values that are not finite; nothing was loaded"):
        load_weights(model, tmp_path / "spoiled.weights.h5")
    for kept, after in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, after)
