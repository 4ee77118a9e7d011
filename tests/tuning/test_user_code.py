"""The users' own spaces and architectures reach the process that trains."""

import subprocess
import sys

import pytest
from calling import light_environment
from thorough import run_all

from keras_blocks.tuning import HyperSqueezeNet
from keras_blocks.tuning.console import is_place
from keras_blocks.tuning.user_spaces import user_code

SCRIPT = """
import keras_blocks, sys
from keras_blocks.tuning import HyperSqueezeNet, Search, SearchSettings

class OwnNet(keras_blocks.SqueezeNet):
    pass

class HyperOwn(HyperSqueezeNet):
    architecture = OwnNet

if __name__ == "__main__":
    space = HyperOwn((8, 8, 1), 10, groups=1, filters=8, optimizer="sgd", augmentation="none", bypass=None)
    settings = SearchSettings(data=sys.argv[2], trials=1, epochs=1, final_epochs=1)
    result = Search(settings, sys.argv[1], space=space).run()
    print("architecture", result["architecture"])
"""


TOLD = """
import json, sys
from keras_blocks.core.registration import class_named, registered_name
from keras_blocks.models.architecture import Architecture
from keras_blocks.tuning.user_spaces import user_code

for about in json.loads(sys.argv[1]):
    user_code.bring_in(about)
print(registered_name(class_named("architecture", "my_search>OwnNet", Architecture)))
"""


def test_a_script_is_known_to_other_processes(tmp_path):
    """What is `__main__` here is a module of its file's name there."""
    script = tmp_path / "my_search.py"
    ends = "from keras_blocks.tuning.user_spaces import user_code; import json"
    script.write_text(f"{SCRIPT.partition('    settings =')[0]}    {ends}; print(json.dumps(user_code.origins(space)))")
    told = run_python(script)
    assert run_python("-c", TOLD, told).strip() == "my_search>OwnNet"


def run_python(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=light_environment()).stdout


@pytest.mark.skipif(not run_all(), reason="four processes that import Keras")
def test_a_script_with_its_own_space_and_architecture(few_digits, tmp_path):
    script = tmp_path / "my_search.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run"), str(few_digits)],
        capture_output=True,
        text=True,
        env=light_environment(),
    )
    assert "architecture my_search>OwnNet" in done.stdout, done.stderr


def test_what_is_ours_needs_no_import():
    assert user_code.origins(HyperSqueezeNet((8, 8, 1), 10)) == []


def test_a_module_is_found_by_its_name_and_folder(tmp_path, monkeypatch):
    (tmp_path / "own_space.py").write_text(
        "from keras_blocks.tuning import HyperSqueezeNet\nclass Own(HyperSqueezeNet): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import own_space

    about = user_code.origins(own_space.Own((8, 8, 1), 10))
    assert about == [{"module": "own_space", "folder": str(tmp_path)}]
    monkeypatch.undo()
    del sys.modules["own_space"]
    user_code.bring_in(about[0])
    assert "own_space" in sys.modules
    sys.path.remove(str(tmp_path))
    del sys.modules["own_space"]


def test_a_class_from_a_prompt_is_refused(monkeypatch):
    own = type("Own", (HyperSqueezeNet,), {"__module__": "__main__"})
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(ValueError, match="`space`: Own must be defined in a file"):
        user_code.origins(own((8, 8, 1), 10))


@pytest.mark.parametrize(("text", "is_one"), [("my_module:my_data", True), ("a.b:c.d", True), ("photos:2024", False)])
def test_what_says_where_a_thing_is(text, is_one, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_place(text) is is_one and not is_place(None)
    (tmp_path / text).mkdir()
    assert not is_place(text)
