"""Calls that new users get wrong, and what the error must say: argument, what is allowed, the fix where there is one.

A row's text is Python, but for the command lines. What is looked for in a message:

- the argument, by the name under which it was given: in each of them;
- what is allowed, and the fix (the nearest name, what to give instead), or `None` where what is allowed says it:
  in at least 90 % of the rows all that the row asks for.
"""

import os
import shlex

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_blocks as kb
from keras_blocks import tuning
from keras_blocks.tuning import cli
from keras_blocks.tuning.spaces.families import space_for

pytestmark = pytest.mark.once

INT = "an integer from 1 to"

BLOCKS = [
    ("kb.FireBlock(16.0)", "`filters`", INT, None),
    ("kb.FireBlock('16')", "`filters`", INT, None),
    ("kb.FireBlock(True)", "`filters`", INT, None),
    ("kb.FireBlock(0)", "`filters`", INT, None),
    ("kb.FireBlock(None)", "`filters`", INT, None),
    ("kb.FireBlock(16, bypass='simpel')", "`bypass`", "[None, 'simple', 'complex']", "Did you mean 'simple'"),
    ("kb.FireBlock(16, activation='rellu')", "`activation`", "'gelu'", "'relu'"),
    ("kb.FireBlock(16, data_format='NHWC')", "`data_format`", "'channels_last'", None),
    ("kb.FireBlock(16, batch_norm='yes')", "`batch_norm`", "True, False or a dict", None),
    ("kb.FireBlock(16, batch_norm={'momentm': 0.9})", "batch_norm", "'epsilon'", "Did you mean 'momentum'"),
    ("kb.FireBlock(16, batch_norm={'momentum': 2})", "`batch_norm['momentum']`", "from 0.0 to 1.0", None),
    ("kb.ConvBlock(32, kernel_size=0)", "`kernel_size`", INT, None),
    ("kb.ConvBlock(32, (3, 3, 3))", "`kernel_size`", "(height, width)", None),
    ("kb.ConvBlock(32, padding='samee')", "`padding`", "'valid'", "Did you mean 'same'"),
    ("kb.ConvBlock(32, dilation_rate=-1)", "`dilation_rate`", INT, None),
    ("kb.ConvBlock(30, groups=4)", "`groups`", "divide `filters`", None),
    ("kb.ResidualBlock(16, version='v3')", "`version`", "'v1.5'", "Did you mean"),
    ("kb.ResidualBlock(16, drop_rate=1.0)", "`drop_rate`", "from 0 to below 1", None),
    ("kb.ResidualBlock(16, se_ratio=0)", "`se_ratio`", INT, None),
    ("kb.DenseBlock(0, 12)", "`filters`", INT, None),
    ("kb.TransitionBlock(compression=2)", "`compression`", "from 0 to 1", None),
    ("kb.ClassifierHead(10, pooling='averag')", "`pooling`", "'flatten'", "Did you mean 'avg'"),
    ("kb.ClassifierHead(10, dropout=1)", "`dropout`", "from 0 to below 1", None),
]

ARCHITECTURES = [
    ("kb.SqueezeNet([])", "`groups`", "not empty", None),
    ("kb.SqueezeNet(4)", "`groups`", "a list", None),
    ("kb.SqueezeNet([{'filter': [4]}])", "`groups[0]", "['filters']", "Did you mean 'filters'"),
    ("kb.SqueezeNet([{'filters': [4]}], stem='tinyy')", "`stem`", "'v1.1'", "Did you mean 'tiny'"),
    ("kb.SqueezeNet([{'filters': [4]}], classes=0)", "`classes`", INT, None),
    ("kb.SqueezeNet([{'filters': [4]}], input_shape=(8, 8))", "`input_shape`", "3 sizes", "without the batch"),
    ("kb.ResNet([{'filters': 16, 'blocks': 0}])", "`groups[0]['blocks']`", INT, None),
    ("kb.ResNet([{'filters': 16, 'blocks': 1}], block='basicc')", "`block`", "'bottleneck'", "Did you mean 'basic'"),
    ("kb.ResNet([{'blocks': 1}])", "`groups[0]`", "must have the key", "'filters'"),
    ("kb.ResNet([{'filters': 16, 'blocks': 1}], include_top='no')", "`include_top`", "True or False", None),
    ("kb.ResNet([{'filters': 16, 'blocks': 1}], dropout=-0.1)", "`dropout`", "from 0 to below 1", None),
    ("kb.DenseNet([{'layers': 1.5}])", "`groups[0]['layers']`", INT, None),
    ("kb.VGG([{'filters': 16, 'layers': 1}], hidden=(0,))", "`hidden[0]`", INT, None),
    ("kb.create_model('resnet5O')", "`variant`", "'resnet50'", "Did you mean"),
    ("kb.create_model('resnet50', classes='10')", "`classes`", INT, None),
    ("kb.create_model('resnet50', pooling='avgg')", "`pooling`", "'max'", "Did you mean 'avg'"),
    ("kb.create_model('squeezenet_1.1', weights='imagenet')", "`weights='imagenet'`", "'resnet50_v1'", None),
    ("small.freeze(up_to='groups1')", "`up_to`", "['stem', 'group1']", "Did you mean 'group1'"),
    ("kb.cost(5, (8, 8, 3))", "`target`", "a layer, a model or an architecture's class", None),
    ("kb.cost(kb.FireBlock(16), (8, 8, None))", "`input_shape`", "such as (224, 224, 3)", "all known"),
    ("kb.cost(kb.FireBlock(16), '8,8,3')", "`input_shape`", "such as (224, 224, 3)", None),
    ("kb.cost(kb.FireBlock(16))", "`input_shape`", "such as (224, 224, 3)", None),
    ("kb.convert_weights(5, small)", "`source`", "a mapping, the path of a file or a model", None),
    ("kb.convert_weights('weights.pth', small)", "weights.pth", "pickle", "safetensors.torch.save_file"),
    ("kb.convert_weights({}, 'resnet50')", "`model`", "a Keras model", "create_model"),
    ("kb.list_models(5)", "`pattern`", "a string", None),
    ("kb.convert_weights({}, small)", "stem_conv/conv/kernel", "of the shape (3, 3, 1, 64)", None),
]

HYPER = "tuning.HyperSqueezeNet((8, 8, 1), classes=10, "
RESNETS = "tuning.HyperResNet((8, 8, 1), classes=10, "

SPACES = [
    ("tuning.hp_range(5, 1)", "`low`", "at most `high`", None),
    ("tuning.hp_range(0, 5, sampling='log')", "`low`", "above 0", None),
    ("tuning.hp_range('1', 5)", "`low`", "a number", None),
    ("tuning.hp_range(1, 5, 0.5)", "`step`", "integers", None),
    ("tuning.hp_range(1, 8, sampling='logarithmic')", "`sampling`", "'linear'", None),
    ("tuning.hp_range(1, 8, default=9)", "`default`", "from 1 to 8", None),
    ("tuning.hp_range(0, 10**9, step=1)", "`step`", "at most 10,000 values", "None for any value"),
    ("tuning.hp_choice()", "`values`", "not empty", None),
    ("tuning.hp_choice(1, 1)", "`values`", "all be different", None),
    ("tuning.hp_choice(np.float32(1))", "`values`", "plain data", None),
    ("tuning.HyperSqueezeNet((8, 8), classes=10)", "`input_shape`", "(height, width, channels)", None),
    ("tuning.HyperSqueezeNet((8, 8, 1), classes=1)", "`classes`", "from 2", None),
    ("tuning.HyperSqueezeNet((8, 8, 1))", "'classes'", "required", None),
    (HYPER + "group=3)", "'group'", "'groups', 'stem'", "Did you mean 'groups'"),
    (HYPER + "filters='16')", "`filters`", "numbers, such as [8, 12, 16]", None),
    (HYPER + "filters=[])", "`filters`", "not empty", None),
    (HYPER + "groups=0)", "`groups`", "at least 1", None),
    (HYPER + "groups=10**6)", "`groups`", "at most 32", None),
    (HYPER + "bypass='simpel')", "`bypass`", "'complex'", "Did you mean 'simple'"),
    (HYPER + "optimizer='adamww')", "`optimizer`", "'sgd'", "Did you mean 'adamw'"),
    (HYPER + "learning_rate=-1)", "`learning_rate`", "from 1e-12", None),
    (HYPER + "augmentation='lights')", "`augmentation`", "'strong'", "Did you mean 'light'"),
    (HYPER + "batch_size=0)", "`batch_size`", INT, None),
    (HYPER + "scale=0)", "`scale`", "from 1e-09", None),
    (HYPER + "flips=1)", "`flips`", "True or False", None),
    (HYPER + "weight_decay='none')", "`weight_decay`", "numbers, such as", None),
    (HYPER + "dropout=tuning.hp_range(0.0, 1.5))", "`dropout`", "below 1", None),
    (HYPER + "expand_ratio=0)", "`expand_ratio`", INT, None),
    (HYPER + "group9_blocks=2)", "'group9_blocks'", "'group1_blocks'", "Did you mean"),
    (RESNETS + "depth=4)", "`depth`", "never drawn", "Give `widths` one of ['regnet']"),
    (RESNETS + "widths='regnett')", "`widths`", "'geometric'", "Did you mean 'regnet'"),
    (RESNETS + "version=['v1', 'v4'])", "`version`", "'v1.5'", "Did you mean"),
    (RESNETS + "se_ratio=7)", "`se_ratio`", "must divide `input channels`", None),
    ("tuning.HyperVGG((8, 8, 1), classes=10, groups=8)", "`groups`", "at most 3", None),
    ("tuning.HyperAny([])", "`spaces`", "not empty", None),
    ("tuning.HyperAny([5])", "`spaces[0]`", "a HyperArchitecture", None),
    ("tuning.HyperAny([vgg, vgg])", "`spaces`", "different names", None),
    ("tuning.HyperAny([vgg], groups=2)", "'groups'", "'optimizer'", None),
    ("space_for('resnet', digits, {'filter': '16'})", "'filter'", "'filters', 'growth'", "Did you mean 'filters'"),
    ("space_for('resnet', digits, {'groups': '2..x'})", "`set`", "numbers in a range", "as 16..64"),
    ("space_for('resnett', digits, {})", "`model`", "'squeezenet'", "Did you mean 'resnet'"),
]

SEARCHES = [
    ("tuning.Budget(max_params=0)", "`max_params`", INT, None),
    ("tuning.Budget(max_params=1e6)", "`max_params`", INT, None),
    ("tuning.Budget(max_latency=-1)", "`max_latency`", "a number from", None),
    ("tuning.SearchSettings(model='squeeznet')", "`model`", "'inception'", "Did you mean 'squeezenet'"),
    ("tuning.SearchSettings(trials=0)", "`trials`", INT, None),
    ("tuning.SearchSettings(trials='8')", "`trials`", INT, None),
    ("tuning.SearchSettings(epochs=1.5)", "`epochs`", INT, None),
    ("tuning.SearchSettings(sampler='tpee')", "`sampler`", "'nsgaii'", "Did you mean 'tpe'"),
    ("tuning.SearchSettings(pruner='asha')", "`pruner`", "'hyperband'", None),
    ("tuning.SearchSettings(objectives='accuracy')", "`objectives`", "'latency'", "Did you mean 'val_accuracy'"),
    ("tuning.SearchSettings(objectives=())", "`objectives`", "not empty", None),
    ("tuning.SearchSettings(objectives=('params', 'params'))", "`objectives`", "different names", None),
    ("tuning.SearchSettings(objectives=('params', 'macs'), pruner='median')", "`pruner`", "'none' with 2", None),
    ("tuning.SearchSettings(objectives=('params', 'macs'), sampler='cmaes')", "`sampler`", "2 objectives", "'nsgaii'"),
    ("tuning.SearchSettings(objectives='macs', pruner='median')", "`pruner`", "'none' where the objective", None),
    ("tuning.SearchSettings(seed=-1)", "`seed`", "from 0", None),
    ("tuning.SearchSettings(workers=0)", "`workers`", INT, None),
    ("tuning.SearchSettings(max_memory=1000)", "`max_memory`", "from 134217728", None),
    ("tuning.SearchSettings(image_size=(8, 8, 8))", "`image_size`", "(height, width)", None),
    ("tuning.SearchSettings(keep_weights=1)", "`keep_weights`", "True or False", None),
    ("tuning.SearchSettings(trial=3)", "`trial`", "names of `help(SearchSettings)`", "Did you mean 'trials'"),
    ("tuning.SearchSettings(lr=0.1)", "`lr`", "names of `help(SearchSettings)`", None),
    ("tuning.load_dataset('digts')", "`data`", "'cifar10'", "Did you mean 'digits'"),
    ("tuning.load_dataset('nothing.npz')", "`data`", "an .npz file", None),
    ("tuning.load_dataset('digits', image_size=8)", "`image_size`", "for a folder of images", None),
    ("tuning.load_dataset('digits', seed=-1)", "`seed`", "from 0", None),
    ("tuning.Search({'trials': 8}, 'run')", "`settings`", "SearchSettings(...)", "trials=8"),
    ("tuning.Search(tuning.SearchSettings(), '../outside')", "`run`", "such as runs/first", "without '..'"),
    ("tuning.Search(tuning.SearchSettings(), 'run', space=kb.ResNet)", "`space`", "a search space", "as a HyperResNet"),
    ("tuning.Search(tuning.SearchSettings(), 'run', storage='study.db')", "`storage`", "a URL", "sqlite:///study.db"),
    ("tuning.OptunaOracle(max_trials=0)", "`max_trials`", INT, None),
    ("tuning.OptunaOracle(sampler='tpee')", "`sampler`", "'nsgaii'", "Did you mean 'tpe'"),
    ("tuning.OptunaOracle(budget=5)", "`budget`", "a Budget", None),
    ("tuning.OptunaOracle(seed=-1)", "`seed`", "from 0", None),
]

COMMANDS = [
    ("cost squeezenet_1.2", "squeezenet_1.2", "'squeezenet_1.1'", "Did you mean"),
    ("cost squeezenet_1.1 --input-shape 224x224", "--input-shape", "such as 224,224,3", None),
    ("cost squeezenet_1.1 --classes 0", "classes", INT, None),
    ("search --model squeezy", "`model`", "'resnet'", "Did you mean 'squeezenet'"),
    ("search --data digts", "`data`", "'cifar10'", "Did you mean 'digits'"),
    ("search --trials 0", "`trials`", INT, None),
    ("search --set groups", "--set", "such as groups=3", None),
    ("search --set grops=3", "'grops'", "'groups'", "Did you mean 'groups'"),
    ("search --run runs/none --resume", "`run`", "the folder of a run", None),
    ("search --trails 3", "--trails", "No such option", "--trials"),
    ("train squeezenet_2", "squeezenet_2", "'squeezenet_1.0'", "Did you mean"),
    ("train squeezenet_1.1 --epochs 0", "`epochs`", INT, None),
    ("evaluate nothing.keras --data digits", "nothing.keras", "a .keras file", None),
    ("worker --study a --storage nowhere", "`storage`", "must be a URL", None),
]


@pytest.fixture(scope="module")
def names():
    small = kb.SqueezeNet([{"filters": [4]}], stem="tiny", input_shape=(8, 8, 1), classes=3)
    vgg = tuning.HyperVGG((8, 8, 1), 10)
    known = {"kb": kb, "tuning": tuning, "np": np, "keras": keras, "space_for": space_for}
    return {**known, "small": small, "vgg": vgg, "digits": tuning.load_dataset("digits")}


def said(call, names):
    """The message of a wrong call, in one line."""
    try:
        eval(call, dict(names))
    except (TypeError, ValueError) as error:
        return " ".join(str(error).split())
    raise AssertionError(f"{call} is no mistake")


def shown(command):
    """What a wrong command writes, in one line without the frame that it may have."""
    result = CliRunner().invoke(cli.app, shlex.split(command), env={"COLUMNS": "300"})
    assert result.exit_code == 2, (command, result.output, result.exception)
    return " ".join(result.stderr.replace("│", " ").split())


def test_errors_name_the_argument_what_is_allowed_and_the_fix(names, tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)
    told = [(row, said(row[0], names)) for row in (*BLOCKS, *ARCHITECTURES, *SPACES, *SEARCHES)]
    told += [(row, shown(row[0])) for row in COMMANDS]
    assert os.listdir(tmp_path) == []
    unnamed = [f"{row[0]}\n    {message}" for row, message in told if row[1] not in message]
    assert not unnamed, "\n".join(unnamed)
    lacking = [
        f"{row[0]}\n    {message}" for row, message in told if any(part and part not in message for part in row[1:])
    ]
    share = 1 - len(lacking) / len(told)
    record_property("share of errors that say all", round(share, 3))
    assert len(told) >= 80
    assert share >= 0.9, "\n".join(lacking)
