"""Weights on the Hugging Face hub, by its own library against a server on this machine."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import golden_weights
import hub_server
import keras
import numpy as np
import pytest
from calling import outputs_of
from thorough import run_all

import keras_blocks
from keras_blocks.models.registry import ARCHITECTURES
from keras_blocks.weights.convert import named_weights
from keras_blocks.weights.hub import HubFile, fetch
from keras_blocks.weights.published import FREE, HUB, PICKLES

pytestmark = pytest.mark.once

huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs the extra: pip install keras-blocks[hub]")
safetensors = pytest.importorskip("safetensors.numpy")

SMALL = {"groups": [{"filters": 4, "blocks": 1}], "block": "basic", "input_shape": (16, 16, 3)}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with hub_server.serve() as server:
        hub_server.use(server, tmp_path / "cache", monkeypatch)
        yield server


def torch_file(model, convention="torchvision"):
    """The file that PyTorch would have of a model: its names, and its order of axes."""
    names, arrays = model.weight_names()[convention], {}
    kinds = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for name, weight in named_weights(model).items():
        layer, _, variable = name.rpartition("/")
        value = golden_weights.weight(f"{names[layer]}.{kinds.get(variable, 'weight')}", tuple(weight.shape))
        axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim)
        arrays[f"{names[layer]}.{ {'kernel': 'weight', **kinds}.get(variable, variable) }"] = np.ascontiguousarray(
            value.transpose(axes) if axes else value
        )
    return arrays


@pytest.fixture
def resnet(hub):
    """A repository with a small network's weights, and the model that has them."""
    model = keras_blocks.create_model("resnet18", classes=5, **SMALL)
    arrays = torch_file(model)
    keras_blocks.convert_weights(arrays, model)
    hub.repositories["timm/small"] = {"model.safetensors": safetensors.save(arrays), "config.json": b"{}"}
    return model


def create(weights="hf://timm/small", **options):
    return keras_blocks.create_model("resnet18", weights=weights, **{"classes": 5, **SMALL, **options})


def assert_same_weights(one, other):
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


# -- what is fetched ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weights",
    [
        "hf://timm/small",
        "hf://timm/small@main",
        f"hf://timm/small@{hub_server.COMMIT}",
        "hf://timm/small/model.safetensors",
        "hf://timm/small@main/model.safetensors",
    ],
)
def test_a_repositorys_weights(weights, resnet):
    assert_same_weights(create(weights), resnet)


def test_the_cache_serves_without_the_network(hub, resnet, monkeypatch):
    create()
    fetched = len(hub.asked)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert_same_weights(create(), resnet)
    assert len(hub.asked) == fetched
    with pytest.raises(OSError, match=r"hf://timm/other could not be fetched: LocalEntryNotFoundError"):
        create("hf://timm/other")


def test_the_cache_is_the_hubs_own_layout(hub, resnet, tmp_path, monkeypatch):
    """What another program has fetched, or was copied from another machine, is found."""
    content = hub.repositories["timm/small"]["model.safetensors"]
    folder = tmp_path / "copied" / "models--timm--small"
    for part in ("blobs", "refs", f"snapshots/{hub_server.COMMIT}"):
        (folder / part).mkdir(parents=True)
    digest = hashlib.sha256(content).hexdigest()
    (folder / "blobs" / digest).write_bytes(content)
    (folder / "refs" / "main").write_text(hub_server.COMMIT)
    (folder / "snapshots" / hub_server.COMMIT / "model.safetensors").symlink_to(f"../../blobs/{digest}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "copied"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert_same_weights(create(), resnet)
    assert not hub.asked


def test_one_file_of_another_name_is_found(hub, resnet):
    files = hub.repositories["timm/small"]
    files["weights/net.safetensors"] = files.pop("model.safetensors")
    assert_same_weights(create(), resnet)


def test_without_the_top(resnet):
    body = create(include_top=False)
    assert_same_weights(body, keras.Model(resnet.inputs, resnet.features["group1"]))


# -- what is refused ------------------------------------------------------------------------------------------------


def other_contents(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def test_a_file_that_is_not_what_the_hub_names_is_refused(hub, resnet):
    content = hub.repositories["timm/small"]["model.safetensors"]
    hub.sent["model.safetensors"] = other_contents(content)
    with pytest.raises(OSError, match=rf"not what the hub has.*{hashlib.sha256(content).hexdigest()}"):
        create()


@pytest.mark.parametrize("large", [True, False])
def test_a_file_that_was_changed_in_the_cache_is_refused(hub, resnet, large):
    """Of a large file the hub has the SHA-256, of a small one git's SHA-1."""
    if not large:
        hub.large = ()
    create()
    path = fetch("hf://timm/small")
    assert len(os.path.basename(os.readlink(path))) == (64 if large else 40)
    with open(path, "r+b") as file:
        content = file.read()
        file.seek(0)
        file.write(other_contents(content))
    with pytest.raises(OSError, match="damaged or was changed"):
        create()


def test_a_cache_of_copies_is_checked_where_the_hub_can_be_asked(hub, resnet, monkeypatch):
    path = pathlib.Path(fetch("hf://timm/small"))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert_same_weights(create(), resnet)
    path.write_bytes(other_contents(content))
    with pytest.raises(OSError, match="damaged or was changed"):
        create()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.warns(UserWarning, match="used unchecked"):
        create()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["pytorch_model.bin"], r"no \.safetensors file.*pytorch_model\.bin is a pickle.*torch\.load.*\.save_file\("),
        (["nets/resnet.pth", "config.json"], r"nets/resnet\.pth is a pickle.*torch\.load\('resnet\.pth', weights_only"),
        (["one.safetensors", "two.safetensors"], r"several files.*hf://timm/small/one\.safetensors"),
        (["config.json", "metadata.json", "model.weights.h5"], r"keras\.saving\.load_model\('hf://timm/small'\)"),
        (["README.md"], r"no \.safetensors file\. Its files are \['README\.md'\]"),
    ],
)
def test_a_repository_without_the_one_file_says_what_it_has(files, message, hub):
    hub.repositories["timm/small"] = dict.fromkeys(files, b"anything")
    with pytest.raises(ValueError, match=message):
        create()


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ("hf://timm", ValueError, "must be hf://owner/name, .*received 'hf://timm'"),
        ("hf://timm/small/../../other.safetensors", ValueError, "must be hf://owner/name"),
        ("hf://timm/small/pytorch_model.bin", ValueError, r"must be a \.safetensors file.*is a pickle.*torch\.load"),
        ("hf://timm/small/model.weights.h5", ValueError, r"must be a \.safetensors file"),
        ("hf://timm/small/no.safetensors", OSError, "has no such file"),
        ("hf://timm/small@v9", OSError, "hf://timm/small@v9 could not be fetched: Revision"),
        ("hf://timm/none", OSError, "hf://timm/none could not be fetched: RepositoryNotFound"),
    ],
)
def test_what_is_not_there_is_named(weights, error, message, resnet):
    with pytest.raises(error, match=message):
        create(weights)


def test_another_networks_weights_are_refused(resnet):
    with pytest.raises(ValueError, match="do not fit 'resnet18'"):
        create(groups=[{"filters": 8, "blocks": 1}])


@pytest.mark.parametrize("module", ["huggingface_hub", "safetensors"])
def test_without_the_library_the_error_names_the_extra(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    for weights in ("hf://timm/resnet18.tv_in1k", "imagenet"):
        with pytest.raises(ImportError, match=r"keras-blocks\[hub\]"):
            create(weights)


# -- another number of classes, other channels ----------------------------------------------------------------------


def scores_of(model):
    return {name: weight.numpy() for name, weight in named_weights(model).items() if name.startswith("head/")}


def test_other_classes_keep_all_but_the_top(resnet):
    with pytest.warns(UserWarning, match=r"classes=3 here and 5 in the source: \['head/scores'\] begin with initial"):
        model = create(classes=3)
    for name, weight in named_weights(resnet).items():
        if not name.startswith("head/"):
            np.testing.assert_array_equal(named_weights(model)[name].numpy(), weight.numpy())
    assert not scores_of(model)["head/scores/bias"].any()


def test_other_classes_that_were_not_asked_for_are_refused(resnet):
    """The variant's own number of classes is no choice of the user's: a top of random weights would be a surprise."""
    with pytest.raises(ValueError, match="All but the classifier fits, which has classes=1000"):
        keras_blocks.create_model("resnet18", weights="hf://timm/small", **SMALL)


@pytest.mark.parametrize(("channels", "expected"), [(1, "their sum"), (4, r"in turn, times 3/4"), (5, "times 3/5")])
def test_other_channels(channels, expected, resnet):
    with pytest.warns(
        UserWarning, match=f"channels={channels} here and 3 in the source: .*stem/conv/kernel' is .*{expected}"
    ):
        model = create(input_shape=(16, 16, channels))
    kernel = named_weights(resnet)["stem/conv/kernel"].numpy()
    found = named_weights(model)["stem/conv/kernel"].numpy()
    if channels == 1:
        np.testing.assert_allclose(found, kernel.sum(2, keepdims=True), rtol=1e-6, atol=1e-6)
    else:
        expected = np.concatenate([kernel, kernel[:, :, : channels - 3]], 2) * (3 / channels)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_gray_image_gives_what_it_gives_in_colours(resnet):
    with pytest.warns(UserWarning, match="channels=1"):
        model = create(input_shape=(16, 16, 1))
    gray = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype("float32")
    np.testing.assert_allclose(outputs_of(model, gray), outputs_of(resnet, np.repeat(gray, 3, -1)), atol=1e-5)


@pytest.mark.parametrize("kind", ["npz", "safetensors", "keras", "weights.h5"])
def test_files_of_all_formats_too(kind, resnet, tmp_path):
    path = tmp_path / f"model.{kind}"
    arrays = {name: weight.numpy() for name, weight in named_weights(resnet).items()}
    if kind == "npz":
        np.savez(path, **arrays)
    elif kind == "safetensors":
        safetensors.save_file(arrays, path)
    else:
        (resnet.save if kind == "keras" else resnet.save_weights)(path)
    with pytest.warns(UserWarning) as warned:
        model = create(path, classes=3, input_shape=(16, 16, 1))
    said = [str(item.message).partition(" here")[0] for item in warned if item.category is UserWarning]
    assert sorted(text.split()[-1] for text in said) == ["channels=1", "classes=3"]
    for name, weight in named_weights(model).items():
        if not name.startswith(("head/", "stem/conv/")):
            np.testing.assert_array_equal(weight.numpy(), arrays[name])
    with pytest.raises(ValueError, match=r"do(es)? not fit"):
        create(path, classes=3, groups=[{"filters": 8, "blocks": 1}])


@pytest.mark.skipif(not run_all(), reason="builds two Inception networks; make test-all")
def test_auxiliary_classifiers_are_part_of_the_top():
    from keras_blocks.weights.adapting import Adapting
    from keras_blocks.weights.convert import adapted_weights

    options = {"input_shape": (32, 32, 3), "auxiliary": True}
    source = keras_blocks.create_model("googlenet_cifar", classes=4, **options)
    model = keras_blocks.create_model("googlenet_cifar", classes=3, **options)
    adapting = Adapting(classes=3)
    adapted_weights(source, model, adapting)
    (note,) = adapting.notes
    assert "['aux_1_head/scores', 'aux_2_head/scores', 'head/scores']" in note
    np.testing.assert_array_equal(model.get_layer("aux_1_head").conv.kernel, source.get_layer("aux_1_head").conv.kernel)


# -- weights="imagenet" ---------------------------------------------------------------------------------------------


def test_imagenet_of_the_hub(hub):
    whole = keras_blocks.create_model("resnet18", **SMALL)
    arrays = torch_file(whole)
    keras_blocks.convert_weights(arrays, whole)
    hub.repositories["timm/resnet18.tv_in1k"] = {"model.safetensors": safetensors.save(arrays)}
    assert_same_weights(keras_blocks.create_model("resnet18", weights="imagenet", **SMALL), whole)
    with pytest.warns(UserWarning, match="classes=3 here and 1000"):
        keras_blocks.create_model("resnet18", weights="imagenet", **SMALL, classes=3)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (
            "squeezenet_1.1",
            r"published for \d\d variants, which docs/weights\.md names.*torchvision publishes https://.*squeezenet1_1.*torch\.load\(",
        ),
        ("googlenet", r"published for .*'googlenet': a \.caffemodel is published by BVLC"),
        ("resnext101_32x16d", r"hf://timm/resnext101_32x16d.*cc-by-nc-4\.0.*takes them"),
        ("resnet20_cifar", r"published for .*'resnet20_cifar': we know of none"),
        ("resnet18_v2", r"hf://timm/resnetv2_18.*for `stem='timm'`.*give that, too"),
    ],
)
def test_imagenet_says_who_publishes_what(variant, message, hub):
    with pytest.raises(ValueError, match=message) as info:
        keras_blocks.create_model(variant, weights="imagenet")
    assert not hub.asked
    assert len(str(info.value)) < 700


def test_the_tables_have_variants_alone_and_each_once():
    variants = {variant for cls in ARCHITECTURES for variant in cls.variants}
    assert set(HUB) <= variants and set(PICKLES) <= variants
    assert not set(HUB) & set(PICKLES)
    assert sum(row.licence in FREE for row in HUB.values()) >= 30
    for row in HUB.values():
        HubFile.parse(f"hf://{row.repository}")


def test_the_page_on_weights_has_every_row():
    page = (pathlib.Path(__file__).parents[1] / "docs" / "weights.md").read_text()
    rows = {row.split("|")[1].strip(" `"): row for row in page.splitlines() if row.startswith("| `")}
    in_keras = {name: function for cls in ARCHITECTURES for name, function in cls.published.items()}
    assert set(rows) == {*in_keras, *HUB}
    for name, row in rows.items():
        if name in in_keras:
            assert f"keras.applications' {in_keras[name]} " in row
        else:
            found = HUB[name]
            for text in (f"`hf://{found.repository}`", found.licence, f'ImageNormalization("{found.pixels}")'):
                assert text in row
            assert all(f"`{key}={value!r}`" in row for key, value in found.options.items())


@pytest.mark.skipif(not run_all(), reason="imports timm, in an environment of its own; make test-all")
def test_the_hubs_rows_are_timms(tmp_path):
    """Each repository is of timm's own table, with its licence and its pixels; of the network that we take it for."""
    found = timm_answers(sorted(row.repository.removeprefix("timm/") for row in HUB.values()))
    kinds = {(0.485, 0.456, 0.406): "torch", (0.5, 0.5, 0.5): "tf"}
    for variant, row in HUB.items():
        repository, licence, mean, classes = found[row.repository.removeprefix("timm/")]
        assert (repository, licence, kinds[tuple(mean)], classes) == (row.repository, row.licence, row.pixels, 1000)
        assert row.repository.startswith(f"timm/{timm_name(variant)}.")


def timm_name(variant):
    if variant.startswith("inception"):
        return variant.removesuffix("_torchvision")
    return variant.replace("_v2", "").replace("resnet", "resnetv2_") if variant.endswith("_v2") else variant


def timm_answers(names):
    python = os.environ.get("KERAS_BLOCKS_TIMM", "/work/tv/venv/bin/python")
    if not os.path.exists(python):
        pytest.skip("needs timm in an environment of its own: KERAS_BLOCKS_TIMM=/path/to/its/python")
    code = (
        "import json, sys; from timm.models import get_pretrained_cfg as g; names = json.loads(sys.argv[1]);"
        "print(json.dumps({n: [g(n).hf_hub_id, g(n).license, g(n).mean, g(n).num_classes] for n in names}))"
    )
    done = subprocess.run([python, "-c", code, json.dumps(names)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
