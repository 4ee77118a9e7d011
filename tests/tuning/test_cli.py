"""The command line, as it is typed."""

import json
import signal
import sys

import fake_child
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_blocks
import keras_blocks_cli
from keras_blocks.tuning import cli
from keras_blocks.tuning.files import write_json
from keras_blocks.tuning.run_folder import RunFolder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in an empty folder; gives its exit code, output and error output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments):
        return CliRunner().invoke(cli.app, [str(item) for item in arguments])

    return invoke


def one_line(result, *parts):
    """The command was refused: exit code 2, one line, no traceback."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    for part in parts:
        assert part in result.stderr


def test_models_are_listed_with_their_published_sizes(run):
    result = run("models", "squeezenet*")
    assert result.exit_code == 0
    rows = {line.split("│")[1].strip(): line for line in result.stdout.splitlines() if line.startswith("│")}
    assert set(rows) == set(keras_blocks.list_models("squeezenet*"))
    assert "1,248,424" in rows["squeezenet_1.0"]  # torchvision's
    assert "1,235,496" in rows["squeezenet_1.1"]
    one_line(run("models", "squeezy*"), "no model matches 'squeezy*'", "squeezenet_1.0")


def test_a_model_is_counted(run):
    result = run("cost", "squeezenet_1.1", "--input-shape", "64,64,1", "--classes", "7")
    model = keras_blocks.create_model("squeezenet_1.1", input_shape=(64, 64, 1), classes=7)
    assert f"{model.count_params():,}" in result.stdout
    default = run("cost", "squeezenet_1.1")
    assert "1,235,496" in default.stdout
    assert "271,098" in run("cost", "resnet20_cifar", "--classes", "10").stdout  # its images are not 224 pixels wide
    assert "502,005" in run("cost", "beta_vae").stdout  # it has no classes; tests/models/test_ledger.py


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["cost", "squeezenet_1.2"], ["squeezenet_1.1", "Did you mean"]),
        (["cost", "squeezenet_1.1", "--input-shape", "8,8,1"], ["pool_size"]),
        (["cost", "squeezenet_1.1", "--input-shape", "224x224"], ["--input-shape must be numbers such as 224,224,3"]),
        (["cost", "squeezenet_1.1", "--input-shape", "a,b,c"], ["--input-shape", "'a,b,c'"]),
        (["cost", "squeezenet_1.1", "--input-shape", "0,8,3"], ["input_shape"]),
        (["cost", "squeezenet_1.1", "--classes", "0"], ["classes"]),
        (["search", "--data", "digts"], ["`data`", "Did you mean 'digits'"]),
        (["search", "--model", "squeezy"], ["`model`", "squeezenet"]),
        (["search", "--sampler", "tp"], ["`sampler`", "tpe"]),
        (["search", "--pruner", "median", "--objective", "macs"], ["`pruner`"]),
        (["search", "--objective", "acc"], ["`objectives`"]),
        (["search", "--set", "groups"], ["--set must be such as groups=3", "'groups'"]),
        (["search", "--set", "grops=3"], ["'grops'", "groups"]),
        (["search", "--set", "groups=a..b"], ["`set` must have numbers"]),
        (["search", "--max-macs", "0"], ["`max_macs`"]),
        (["search", "--storage", "study.db"], ["`storage` must be a URL"]),
        (["report", "."], ["`run`"]),
        (["worker", "--study", "a", "--storage", "nowhere"], ["`storage` must be a URL"]),
        (["search", "--trials", "0"], ["`trials`"]),
        (["search", "--seed", "-1"], ["`seed`"]),
        (["search", "--image-size", "8", "--data", "digits"], ["`image_size` is for a folder"]),
        (["search", "--image-size", "8xx8"], ["--image-size", "8xx8"]),
        (["search", "--run", "../outside"], ["`run`", "'../outside'"]),
        (["search", "--run", "runs/none", "--resume"], ["`run` must be the folder of a run"]),
        (["train", "squeezenet_2"], ["squeezenet_1.0"]),
        (["train", "autoencoder_cifar"], ["`variant` must be one of", "autoencoder_cifar"]),
        (["train", "vgg16"], ["images of (8, 8, 1) do not fit 'vgg16'"]),
        (["train", "squeezenet_1.1", "--augmentation", "lots"], ["`augmentation`"]),
        (["train", "squeezenet_1.1", "--learning-rate", "nan"], ["`learning_rate`"]),
        (["train", "squeezenet_1.1", "--batch-size", "0"], ["`batch_size`"]),
        (["evaluate", "nothing.keras", "--data", "digits"], ["`model` must be a .keras file", "nothing.keras"]),
        (["evaluate", "."], ["`run` must be a folder"]),
    ],
)
def test_wrong_arguments_end_with_one_line(run, arguments, parts, tmp_path):
    one_line(run(*arguments), *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_search_is_run_gone_on_with_and_replaced(run, few_digits, untrained, monkeypatch, tmp_path):
    counts = {"test_accuracy": 0.9, "test_correct": 54, "test_images": 60}
    monkeypatch.setattr(
        "keras_blocks.tuning.training.evaluation.evaluate_in_fresh_process", lambda *paths: dict(counts)
    )
    command = ["search", "--data", few_digits, "--trials", 3, "--run", "runs/one", "--set", "filters=8,12"]
    first = run(*command)
    assert first.exit_code == 0, first.output
    assert first.stdout.count("validation accuracy") >= 3
    assert "test accuracy: 90.00 % (54 of 60 images)" in first.stdout
    assert "test accuracy in a fresh process: 90.00 % (54 of 60 images)" in first.stdout
    page = (tmp_path / "runs" / "one" / "report.html").read_text()
    assert "squeezenet" in page
    trials = trials_of(tmp_path / "runs" / "one")
    assert {trial.metaparameters["groups"][0]["filters"][0] for trial in trials} <= {8, 12}
    again = run(*command)
    assert again.exit_code == 0, again.output
    assert trials_of(tmp_path / "runs" / "one") == trials
    more = run("search", "--run", "runs/one", "--resume", "--trials", 4)  # the other settings are in the folder
    assert more.exit_code == 0, more.output
    assert len([trial for trial in trials_of(tmp_path / "runs" / "one") if trial.completed]) == 4
    one_line(run("search", "--run", "runs/one", "--resume", "--seed", 9), "settings.seed=0 there and 9 here")
    replaced = run(*command, "--fresh", "--at-least", 90)
    assert replaced.exit_code == 0, replaced.output
    assert len([trial for trial in trials_of(tmp_path / "runs" / "one") if trial.completed]) == 3
    low = run(*command, "--at-least", 90.1)
    assert low.exit_code == 1
    assert "90.00 % (54 of 60 images), is below 90.1 %" in low.stderr
    counts["test_correct"] = 53
    differing = run(*command)
    assert differing.exit_code == 1
    assert "the fresh process got" in differing.stderr
    (tmp_path / "runs" / "one" / "mine.txt").write_text("mine")
    one_line(run(*command, "--fresh"), "Nothing was changed")
    assert (tmp_path / "runs" / "one" / "mine.txt").exists()
    (tmp_path / "runs" / "one" / "report.html").unlink()
    assert "report: runs/one/report.html" in run("report", "runs/one").stdout
    assert (tmp_path / "runs" / "one" / "report.html").exists()


def trials_of(folder):
    from keras_blocks.tuning.run_folder import RunFolder
    from keras_blocks.tuning.search.session import Session
    from keras_blocks.tuning.storage.store import sqlite_url

    session = Session.joined(folder.name, sqlite_url(folder / "study.db"), RunFolder(folder))
    trials = session.study.trials()
    session.study.close()
    return trials


def test_a_worker_joins_a_search(run, few_digits, untrained, tmp_path):
    from keras_blocks.tuning import Search, SearchSettings
    from keras_blocks.tuning.storage.store import sqlite_url

    url = sqlite_url(tmp_path / "shared.db")
    search = Search(SearchSettings(data=str(few_digits), trials=3), tmp_path / "joint", storage=url)
    search.close()
    result = run("worker", "--study", "joint", "--storage", url, "--run", "elsewhere")
    assert result.exit_code == 0, result.output
    assert "done: all 3 trials are done" in result.stdout
    search = Search(SearchSettings(data=str(few_digits), trials=3), tmp_path / "joint", storage=url)
    assert [trial.status for trial in search.trials if trial.counted] == ["completed"] * 3
    search.close()
    one_line(run("worker", "--study", "other", "--storage", url), "has no search 'other'; there are ['joint']")
    one_line(run("worker", "--study", "joint", "--storage", "shared.db"), "`storage` must be a URL")


def test_a_search_on_a_shared_storage_says_how_to_join_it(run, few_digits, untrained, tmp_path, monkeypatch):
    from keras_blocks.tuning.storage.store import sqlite_url

    counts = {"test_accuracy": 0.9, "test_correct": 54, "test_images": 60}
    monkeypatch.setattr("keras_blocks.tuning.training.evaluation.evaluate_in_fresh_process", lambda *paths: counts)
    url = sqlite_url(tmp_path / "shared.db")
    result = run("search", "--data", few_digits, "--trials", 1, "--run", "runs/one", "--storage", url)
    assert result.exit_code == 0, result.output
    join = f"keras-blocks worker --study one --storage {url}"
    assert f"study: one; on other machines: {join}" in result.stdout
    one_line(run("search", "--run", "runs/one", "--resume"), "`storage` must be given again", "shared.db")
    assert run("search", "--run", "runs/one", "--resume", "--storage", url).exit_code == 0
    one_line(run("report", "runs/one"), "`storage` must be given again")
    assert run("report", "runs/one", "--storage", url).exit_code == 0
    one_line(run("search", "--data", few_digits, "--run", "mine/one", "--storage", url), "another run", "--study one")


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ({"settings": None}, ["run.json must say 'settings', a dict", "it says None"]),
        ({"settings": {"depth": 3, "model": "resnet"}}, ["begun with depth, which this version does not have"]),
        ({"settings": {"trials": "many"}}, ["`trials`"]),
        ({"versions": "0.1"}, ["run.json must say 'versions'"]),
        ({"backend": None}, ["run.json must say 'backend'"]),
        ({"study": 3}, ["must name its study by texts", "3"]),
        ({"mark": "keras_blocks run, version 9"}, ["written by a newer version", "version 9"]),
        ({"mark": "another's"}, ["`run` must be the folder of a run"]),
        ({"kind": "walk"}, ["'walk' run"]),
        ({"kind": None}, ["None run"]),
    ],
)
def test_what_run_json_lacks_is_named(run, said, parts, tmp_path):
    sound = {"kind": "search", "settings": {}, "backend": "jax", "versions": {}, "study": "one", "run": "ab"}
    folder = RunFolder(tmp_path / "one")
    folder.create(sound)
    write_json(folder.description, {**folder.describe(), **said})
    one_line(run("search", "--resume", "--run", "one"), *parts)
    if "settings" not in said or said["settings"] is None:
        one_line(run("report", "one"), *parts)


def test_a_search_that_a_script_has_started_hears_ctrl_c(monkeypatch):
    """In its background, shells switch Ctrl-C off; `nohup` switches off what a closed terminal sends."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(cli, "app", lambda **options: None)
    try:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        cli.main()
        heard = [signal.getsignal(number) is signal.default_int_handler for number in numbers]
        assert heard == [True, True, False]
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        cli.main()
        assert signal.getsignal(signal.SIGHUP) is signal.default_int_handler
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_worker_with_other_data_is_refused(run, few_digits, untrained, monkeypatch, tmp_path):
    from keras_blocks.tuning import Search, SearchSettings
    from keras_blocks.tuning.storage.store import sqlite_url
    from keras_blocks.tuning.trials import supervisor

    url = sqlite_url(tmp_path / "shared.db")
    Search(SearchSettings(data=str(few_digits), trials=3), tmp_path / "joint", storage=url).close()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert "keras_blocks.tuning.trials.trial_process" in supervisor.COMMAND
    one_line(
        run("worker", "--study", "joint", "--storage", url, "--run", "elsewhere", "--data", "digits"),
        "`data`: the data of this name are others here",
    )


def test_an_interrupted_search_says_how_to_go_on(run, few_digits, untrained, monkeypatch):
    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_blocks.tuning.search.session.Session.run", interrupted)
    result = run("search", "--data", few_digits, "--run", "runs/one")
    assert result.exit_code == 130
    assert "The same command again goes on with it" in result.stderr


def test_a_search_on_a_cluster_without_ray_says_what_to_install(run, few_digits, untrained, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run("search", "--data", few_digits, "--run", "runs/one", "--ray", "local")
    assert result.exit_code == 2
    assert result.stderr == "keras-blocks: `ray` needs Ray: install keras-blocks[ray].\n"


def test_a_report_needs_no_space_of_this_version(run, few_digits, untrained, monkeypatch, tmp_path):
    from keras_blocks.tuning import HyperSqueezeNet, Search, SearchSettings

    search = Search(SearchSettings(data=str(few_digits), trials=1), tmp_path / "old")
    search.run()
    search.close()
    monkeypatch.setattr(HyperSqueezeNet, "activations", ("relu",))  # a later version, say
    assert run("report", "old").exit_code == 0
    assert "SqueezeNet" in (tmp_path / "old" / "report.html").read_text()


def test_a_search_that_fails_exits_with_1(run, few_digits, untrained, monkeypatch):
    monkeypatch.setattr("keras_blocks.tuning.trials.supervisor.COMMAND", (*fake_child.COMMAND, "--act", "fail"))
    result = run("search", "--data", few_digits, "--run", "runs/one")
    assert result.exit_code == 1
    assert result.stderr.startswith("keras-blocks: the last 5 trials failed, the last one: ")


def test_a_finished_run_is_evaluated(run, finished, few_digits):
    expected = f"{100 * finished.result['test_accuracy']:.2f} % ({finished.result['test_correct']} of 60 images)"
    for arguments in ([finished.folder], [finished.folder.best], [finished.folder.best, "--data", finished.folder]):
        result = run("evaluate", *arguments)
        assert result.exit_code == 0, result.output
        assert expected in result.stdout.replace("\n", "")
    result = run("evaluate", finished.folder.best, "--data", few_digits)
    assert expected in result.stdout.replace("\n", "")


def test_a_model_is_not_evaluated_on_data_that_it_cannot_take(run, finished, digits, tmp_path):
    arrays = {"x_train": np.ones((4, 9, 9)), "y_train": [0, 1, 0, 1], "x_test": np.ones((2, 9, 9)), "y_test": [0, 1]}
    np.savez(tmp_path / "other.npz", **arrays)
    one_line(run("evaluate", finished.folder.best, "--data", "other.npz"), "(8, 8, 1)", "(9, 9, 1)")
    (tmp_path / "broken.keras").write_bytes(b"no model")
    one_line(run("evaluate", "broken.keras", "--data", "digits"), "broken.keras cannot be loaded")
    one_line(run("evaluate", "broken.keras"), "`data` must be given")


def test_a_named_model_is_trained(run, few_digits, tmp_path):
    options = ["--epochs", 1, "--no-batch-norm", "--augmentation", "none"]
    command = ["train", "squeezenet_1.1", "--data", few_digits, *options]
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert "unlike the published model: stem is 'tiny', for the images' size" in result.stdout
    assert "with batch normalization" not in result.stdout
    folder = tmp_path / "runs" / "squeezenet_1.1-few_digits"
    kept = json.loads((folder / "result.json").read_text())
    assert f"({kept['test_correct']} of 60 images)" in result.stdout
    model = keras.saving.load_model(folder / "best.keras")
    assert [len(group["filters"]) for group in model.metaparameters.groups] == [2, 2, 4]
    assert model.batch_norm is False
    assert "report: runs/squeezenet_1.1-few_digits/report.html" in result.stdout
    page = (folder / "report.html").read_text()
    assert f"{kept['test_correct']} of 60 images" in page
    (folder / "report.html").unlink()
    assert run("report", folder).exit_code == 0
    assert (folder / "report.html").exists()
    (folder / "result.json").unlink()
    one_line(run("report", folder), "is not done")
    RunFolder("runs/helping").create({"kind": "worker", "study": "one"})
    one_line(run("report", "runs/helping"), "of a search or a training", "'worker' run")
    one_line(run(*command), "holds a run already")
    one_line(run("search", "--run", folder, "--resume"), "`resume` goes on with a search", "'train' run")


def test_help_is_given_for_each_command(run):
    assert run().exit_code in (0, 2)
    for command in ("search", "worker", "report", "train", "evaluate", "models", "cost", "export"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert "Usage:" in result.stdout


def test_the_entry_point_is_declared():
    from importlib.metadata import entry_points

    (script,) = [item for item in entry_points(group="console_scripts") if item.name == "keras-blocks"]
    assert script.load() is keras_blocks_cli.main
