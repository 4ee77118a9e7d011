"""Saved models load in fresh processes, on every backend, and keep what was set on them."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import types
import zipfile

import fast_xla
import keras
import numpy as np
import pytest
import released
import thorough
from calling import JIT
from catalog import KINDS, LAYERS, OTHER_MODELS, ROWS, image_shape, inputs_for, of_each_kind, random_model, small_model
from checks import randomize
from reload import Subclassed, compare, save

import keras_blocks
from keras_blocks.core.graphs import unallocated_and_compiled
from keras_blocks.weights.convert import named_weights

HERE = pathlib.Path(__file__).parent
PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
READERS = list(PACKAGES) if thorough.run_alike() else []
"""Those that read here what was saved here: all read what PyTorch saved, and what all saved with KERAS_BLOCKS_ALL."""


def as_models(row):
    """name -> the row inside of a functional, a Sequential and a subclassed model."""
    yield "functional", random_model(row)
    if row in LAYERS and thorough.run_alike():
        yield "sequential", keras.Sequential([keras.Input(image_shape(row)), row.cls(**row.arguments)])
        yield "subclassed", Subclassed(row.cls(**row.arguments))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a row of each kind, with inputs and outputs; in "kinds", within other kinds of models.

    Files of every row are read on every backend: the fixtures.
    """
    folder = tmp_path_factory.mktemp("saved")
    (folder / "kinds").mkdir()
    for row in of_each_kind(ROWS):
        for kind, model in as_models(row):
            images = np.random.default_rng(0).uniform(0, 1, (2, *image_shape(row))).astype("float32")
            if kind != "functional":
                model(keras.Input(image_shape(row)))  # builds it
                randomize(model)
            save(model, folder if kind == "functional" else folder / "kinds", f"{row.name}_{kind}", [images])
    for name, make in OTHER_MODELS.items():
        model = make()
        randomize(model)
        save(model, folder, name, inputs_for(model))
    return folder


@pytest.mark.parametrize("backend", READERS)
def test_loads_in_a_fresh_process(saved, backend, tmp_path):
    """On another backend blocks and networks of each kind; all of all where KERAS_BLOCKS_ALL is set."""
    if importlib.util.find_spec(PACKAGES[backend]) is None:
        pytest.skip(f"{backend} is not installed")
    same = backend == keras.backend.backend()
    folders = [saved, saved / "kinds"]
    if not (same or thorough.run_all()):
        folders = [tmp_path]
        for file in saved.glob("*_functional.*"):
            (tmp_path / file.name).symlink_to(file)
    done = subprocess.run(
        [sys.executable, HERE / "reload.py", "0" if same else "1e-5", *folders],
        env={"XLA_FLAGS": fast_xla.FLAGS, **os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"loaded on {backend}" in done.stdout


@pytest.mark.once
def test_every_class_has_a_fixture_and_what_this_version_says_of_it():
    """Each released version adds a folder (released.py): from then on, what is in it must load."""
    here = keras_blocks.__version__
    every = {row.name for row in ROWS} | set(OTHER_MODELS)
    assert set().union(*map(released.files_of, released.versions())) >= every
    assert released.files_of(here) == set(released.models_of(here))
    assert set(released.read_configs(here)) == every


@pytest.mark.twice
@pytest.mark.parametrize("version", released.versions())
def test_fixtures_of_released_versions_load(version):
    if version != "0.1.0" and not thorough.run_alike():
        pytest.skip("on PyTorch; make test-all")
    compare(1e-5, HERE / "fixtures" / version)


@pytest.mark.once
@pytest.mark.parametrize("version", [version for version in released.versions() if version != "0.1.0"])
def test_what_released_versions_said_is_understood(version):
    """The config of each class gives a model of the same weights, by path and shape."""
    for name, said in released.read_configs(version).items():
        if thorough.run_all() or name not in KINDS:  # of the kinds there are whole files
            with unallocated_and_compiled():
                again = keras.saving.deserialize_keras_object(said["config"])
            weights = {path: list(weight.shape) for path, weight in named_weights(again).items()}
            assert weights == said["weights"], name


def test_loading_weights_into_an_unbuilt_model_is_an_error(tmp_path):
    """Keras loads nothing, and says nothing."""
    model = Subclassed(keras_blocks.FireBlock(4))
    model(np.zeros((1, 8, 8, 3), "float32"))
    model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="built"):
        Subclassed(keras_blocks.FireBlock(4)).load_weights(tmp_path / "model.weights.h5")


# The sublayers in a saved file, by which weights are found. A change here breaks every file in the world.
GOLDEN_LAYERS = {
    "CeilMaxPooling2D": "",
    "ChannelPadding": "",
    "ClassifierHead": "dense1 dense2 scores",
    "ConvBlock": "conv conv_bn",
    "ConvolutionalBlockAttention": "reduce restore spatial spatial_bn",
    "DenseBlock": "layer1/conv1_bn layer1/conv1 layer1/conv2_bn layer1/conv2 "
    "layer2/conv1_bn layer2/conv1 layer2/conv2_bn layer2/conv2",
    "DenseLayer": "conv1_bn conv1 conv2_bn conv2",
    "DecoderBlock": "block1/pre_bn block1/conv1 block1/conv1_bn block1/conv2 "
    "block2/pre_bn block2/conv1 block2/conv1_bn block2/conv2 up",
    "EfficientChannelAttention": "conv",
    "EncoderBlock": "down block1/pre_bn block1/conv1 block1/conv1_bn block1/conv2 "
    "block2/pre_bn block2/conv1 block2/conv1_bn block2/conv2",
    "FireBlock": "bypass_conv squeeze squeeze_bn expand_1x1 expand_1x1_bn expand_3x3 expand_3x3_bn",
    "AuxiliaryClassifier": "conv conv_bn conv2 conv2_bn scores",
    "GridReductionA": "conv_3x3 conv_3x3_bn reduce_double reduce_double_bn double_1 double_1_bn double_2 double_2_bn "
    "se/reduce se/restore",
    "GridReductionB": "reduce_3x3 reduce_3x3_bn conv_3x3 conv_3x3_bn reduce_nxn reduce_nxn_bn conv_1xn conv_1xn_bn "
    "conv_nx1 conv_nx1_bn last_3x3 last_3x3_bn se/reduce se/restore",
    "InceptionA": "conv_1x1 conv_1x1_bn reduce_5x5 reduce_5x5_bn conv_5x5 conv_5x5_bn reduce_double reduce_double_bn "
    "double_1 double_1_bn double_2 double_2_bn pool_proj pool_proj_bn se/reduce se/restore",
    "InceptionB": "conv_1x1 conv_1x1_bn reduce_nxn reduce_nxn_bn conv_1xn conv_1xn_bn conv_nx1 conv_nx1_bn "
    "reduce_double reduce_double_bn double_1 double_1_bn double_2 double_2_bn double_3 double_3_bn double_4 "
    "double_4_bn pool_proj pool_proj_bn se/reduce se/restore",
    "InceptionBlock": "conv_1x1 conv_1x1_bn reduce_3x3 reduce_3x3_bn conv_3x3 conv_3x3_bn reduce_double "
    "reduce_double_bn double_1 double_1_bn double_2 double_2_bn pool_proj pool_proj_bn se/reduce se/restore",
    "InceptionC": "conv_1x1 conv_1x1_bn reduce_3x3 reduce_3x3_bn expand_1x3 expand_1x3_bn expand_3x1 expand_3x1_bn "
    "reduce_double reduce_double_bn double_3x3 double_3x3_bn double_1x3 double_1x3_bn double_3x1 double_3x1_bn "
    "pool_proj pool_proj_bn se/reduce se/restore",
    "InceptionModule": "conv1 conv1_bn conv2 conv2_bn conv3 conv3_bn conv4 conv4_bn project",
    "InvertedResidualBlock": "widen widen_bn depthwise depthwise_bn "
    "se/reduce se/restore attend/conv project project_bn",
    "LocalResponseNormalization": "",
    "PassThroughReduction": "reduce_3x3 reduce_3x3_bn conv_3x3 conv_3x3_bn reduce_double reduce_double_bn "
    "double_1 double_1_bn double_2 double_2_bn se/reduce se/restore",
    "GroupedConv2D": "itself",
    "MultiLabelHead": "dense1 animal_scores age_scores",
    "ImageNormalization": "",
    "ResidualBlock": "pre_bn projection conv1/conv conv1/conv_bn conv2 se/reduce se/restore attend/conv",
    "ResNeXtBlock": "pre_bn projection conv1 conv1_bn conv2/conv conv2/conv_bn conv3 se/reduce se/restore attend/conv",
    "RegNetBlock": "pre_bn projection conv1 conv1_bn conv2/conv conv2/conv_bn se/reduce se/restore attend/conv conv3",
    "ResNetStem": "conv1 conv1_bn conv2 conv2_bn conv3",
    "SelectiveKernelBlock": "path1 path1_bn path2 path2_bn path3 path3_bn reduce reduce_bn select",
    "SqueezeExciteBlock": "reduce restore",
    "TransitionBlock": "conv_bn conv",
    "XceptionBlock": "projection projection_bn conv1_depthwise conv1 conv1_bn conv2_depthwise conv2 conv2_bn",
    "VariationalBottleneck": "dense1 mean log_variance",
    "VGGGroup": "conv1 conv1_bn conv2 conv2_bn conv3 conv3_bn",
}


@pytest.mark.once
@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.name)
def test_sublayers_are_the_golden_ones(row):
    layer = row.cls(**row.arguments, name="it")
    layer.build((None, *row.input_shape))
    model = types.SimpleNamespace(layers=[layer])
    found = {name.removeprefix("it/").rpartition("/")[0] or "itself" for name in named_weights(model)}
    assert found == set(GOLDEN_LAYERS[row.name].split())


@pytest.mark.once
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_attribute_that_keras_skips_when_saving(row):
    """keras#20260: layers under these names are counted, not saved, and come back random."""
    for owner in random_model(row)._flatten_layers():
        for name, value in vars(owner).items():
            mangled = any(name.startswith(f"_{cls.__name__.lstrip('_')}__") for cls in type(owner).__mro__)
            if name in ("_metrics", "_seed_generators") or name.startswith("__") or mangled:
                found = [item for item in keras.tree.flatten(value) if isinstance(item, keras.layers.Layer)]
                assert not found, f"{owner.name}.{name}"


def test_frozen_parts_stay_frozen(tmp_path):
    model = keras_blocks.SqueezeNet(
        groups=[{"filters": [4, 4]}], stem="tiny", input_shape=(8, 8, 1), classes=3, batch_norm=True
    )
    model.get_layer("stem_conv").trainable = False
    model.get_layer("group1_block2").squeeze_bn.trainable = False
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [w.path for w in again.trainable_weights] == [w.path for w in model.trainable_weights]
    assert not again.get_layer("stem_conv").trainable
    block = again.get_layer("group1_block2")
    assert block.trainable and not block.squeeze_bn.trainable and block.squeeze.trainable


def test_a_frozen_block_keeps_its_moving_statistics():
    """Sublayers are made in build, after `trainable=False` was set on the block."""
    block = keras_blocks.FireBlock(4, batch_norm=True, trainable=False)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    block(images, training=True)
    assert block.trainable_weights == []
    assert np.all(block.squeeze_bn.moving_mean.numpy() == 0)


def test_activity_regularizer_is_kept(tmp_path):
    block = keras_blocks.FireBlock(4, activity_regularizer="l2")
    again = keras_blocks.FireBlock.from_config(block.get_config())
    assert isinstance(again.activity_regularizer, keras.regularizers.L2)


def test_training_goes_on_after_loading(tmp_path, eager):
    """The optimizer's state and the compiled loss come back with the file."""
    model = keras_blocks.SqueezeNet(groups=[{"filters": [4]}], stem="tiny", input_shape=(8, 8, 1), classes=3)
    images, labels = np.random.default_rng(0).uniform(size=(8, 8, 8, 1)).astype("float32"), np.arange(8) % 3
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=JIT)
    model.fit(images, labels, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert int(again.optimizer.iterations) == 1
    again.fit(images, labels, verbose=0)


@pytest.mark.once
def test_a_file_holds_no_code_path_or_pickle(tmp_path):
    model = small_model(ROWS[-1])
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = archive.read("config.json").decode()
    for word in ("lambda", "Lambda", "weights=", "http", "/tmp", "pickle"):
        assert word not in config


def test_custom_activation_comes_back(tmp_path):
    @keras.saving.register_keras_serializable(package="test")
    def doubled(x):
        return 2 * keras.ops.relu(x)

    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras_blocks.FireBlock(4, activation=doubled)(inputs))
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(images)), keras.ops.convert_to_numpy(model(images)))
