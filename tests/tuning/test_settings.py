"""Settings: what one field says becomes the check, the option of the command line, and the row in the docs."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
from typing import Literal, get_args

import pytest
import typer
from make_options_table import options_table
from typer.testing import CliRunner

from keras_blocks.tuning import HyperAny, HyperVGG, SearchSettings, cli
from keras_blocks.tuning.objectives import OBJECTIVES
from keras_blocks.tuning.options import read_options, with_options
from keras_blocks.tuning.search import settings as module
from keras_blocks.tuning.search.settings_table import check_settings, documented, setting, settings_of
from keras_blocks.tuning.spaces.families import FAMILIES, SPACES
from keras_blocks.tuning.study.pruners import PRUNERS
from keras_blocks.tuning.study.samplers import SAMPLERS
from keras_blocks.tuning.training.augmentation import STRENGTHS

DOCS = pathlib.Path(__file__).parents[2] / "docs"
SEARCHES = (DOCS / "searches.md").read_text()
OWN = (DOCS / "own_search.md").read_text()


@documented
@dataclasses.dataclass(frozen=True)
class Baking:
    """How a cake is baked.

    Args:

    Example: none.
    """

    minutes: int = setting(40, "In the oven.\nNot more.", 1, 90)
    heat: float | None = setting(None, "Of the oven.", 50, 250)
    filling: Literal["plum", "apple"] = setting("plum", "{choices}.")
    toppings: tuple[Literal["sugar", "cream", "nuts"], ...] = setting(("sugar",), "{choices}.", option="--topping")
    glazed: bool = setting(True, "Whether.", option="--glazed/--plain")
    tin: tuple[int, int] | None = setting(None, "Its size.")

    def __post_init__(self):
        check_settings(self)


@pytest.fixture
def bake():
    """Runs a command with these settings; gives what it was called with, or the output of a refusal."""
    app = typer.Typer()
    called = []

    @app.command()
    @with_options(Baking)
    def command(oven: str, *, dry: bool = False, **given):
        called.append((oven, dry, read_options(Baking, given)))

    def invoke(*arguments):
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120", "TERM": "dumb"})
        return called.pop() if called else result.output

    return invoke


def test_an_option_is_made_of_each_setting_and_only_those_given_arrive(bake):
    assert bake("gas") == ("gas", False, {})
    options = ("--minutes", "30", "--heat", "180", "--filling", "apple", "--plain", "--tin", "20x30")
    assert bake("gas", "--dry", *options, "--topping", "sugar", "--topping", "nuts") == (
        "gas",
        True,
        {
            "minutes": 30,
            "heat": 180.0,
            "filling": "apple",
            "toppings": ["sugar", "nuts"],
            "glazed": False,
            "tin": (20, 30),
        },
    )
    shown = bake("--help")
    for text in ("In the oven.", "plum or apple.", "sugar, cream or nuts.", "--plain", "40"):
        assert text in shown
    assert "Not more." not in shown


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"minutes": 0}, "`minutes` must be an integer from 1 to 90; received 0"),
        ({"minutes": None}, "`minutes` must be an integer"),
        ({"heat": 251}, "`heat` must be a number from 50 to 250"),
        ({"filling": "plumm"}, "`filling` .* Did you mean 'plum'"),
        ({"toppings": ("nuts", "nut")}, "`toppings` .* Did you mean 'nuts'"),
        ({"toppings": ("nuts", "nuts")}, "`toppings` must be different names"),
        ({"glazed": 1}, "`glazed` must be True or False"),
        ({"tin": (1, 2, 3)}, "`tin`"),
    ],
)
def test_each_is_checked_by_what_its_field_says(given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Baking(**given)


def test_what_is_right_is_normalized():
    baking = Baking(heat=180, tin=24, toppings=["nuts"])
    assert (baking.heat, baking.tin, baking.toppings) == (180.0, (24, 24), ("nuts",))


def test_the_docstring_tells_of_each():
    assert "    Args:\n        minutes: In the oven. Not more.\n" in Baking.__doc__
    for field in dataclasses.fields(SearchSettings):
        assert f"        {field.name}: " in SearchSettings.__doc__


def test_the_names_that_settings_take_are_those_that_there_are():
    assert get_args(module.SamplerName) == tuple(SAMPLERS)
    assert get_args(module.PrunerName) == tuple(PRUNERS)
    assert get_args(module.ObjectiveName) == tuple(OBJECTIVES)
    assert get_args(module.Augmentation) == tuple(STRENGTHS)
    assert {*get_args(module.SpaceName)} == {*SPACES}


def test_the_help_names_the_spaces_and_parts_that_there_are():
    told = {item.name: item.help.splitlines()[0] for item in settings_of(SearchSettings)}
    assert all(name in told["model"] for name in SPACES)
    every, most = (re.findall(r"[a-z_]{5,}", part) for part in re.findall(r" have ([^;.]*)[;.]", told["parts"]))
    assert len(every) == 10 and len(most) == 5
    for space in FAMILIES.values():
        assert {*every, *most} <= {*space((32, 32, 3), 10).declared()}
    assert {*every} <= {*HyperAny([HyperVGG((8, 8, 1), 10)]).declared()}


def test_the_docs_list_all_options():
    assert options_table(SearchSettings) in SEARCHES, "run python tests/make_options_table.py"
    command = typer.main.get_command(cli.app).commands["search"]
    for parameter in command.params:
        told = SEARCHES + OWN
        assert f"`{parameter.opts[0]}" in told, f"docs/searches.md does not tell of {parameter.opts[0]}"


HELP = """
import sys
import keras_blocks_cli
sys.argv = ["keras-blocks", *{arguments}]
try:
    keras_blocks_cli.main()
except SystemExit as error:
    heavy = {{"keras", "tensorflow", "numpy", "optuna"}} & set(sys.modules)
    sys.exit(f"imported {{heavy}}" if heavy else error.code)
"""


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], "Usage: keras-blocks"),
        (["search", "--help"], "--max-activation-bytes"),
        (["--version"], r"keras-blocks \d+\.\d+\.\d+$"),
    ],
)
def test_help_needs_no_keras_and_logs_nothing(arguments, shown):
    code = HELP.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(shown, done.stdout.strip())


def test_a_command_starts_without_tensorflows_notes():
    """And with all classes registered, though their package was held back until then."""
    code = (
        "import keras_blocks_cli, sys; sys.argv = ['keras-blocks', 'cost', 'squeezenet_1.1']; keras_blocks_cli.main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1,235,496" in done.stdout
