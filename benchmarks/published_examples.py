"""Published examples, none of them written by us, searched by our engine unchanged, and killed -9 in mid-search.

Hypermodels that are installed, as KerasTuner's HyperResNet, and files that stand in a folder, as keras.io and AutoKeras
publish them. None is in this repository; an example whose file or package is not there is passed over, and is told so.

A file is run as it is, statement by statement, until it begins its search or training; that, and the data that it was
to have, are taken by our engine instead. Data sets that a file would download are drawn at random. Each search is
killed -9 when it has done a trial and is at the next, and is started again by the same command.

    python benchmarks/published_examples.py [--files FOLDER] [--only NAME ...]     # writes docs/published_examples.json
"""

import argparse
import ast
import contextlib
import csv
import dataclasses
import functools
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import keras
import keras_tuner
import numpy as np
import psutil
from keras_tuner.engine.base_tuner import BaseTuner

from keras_blocks.tuning import HyperFunction, hp_range

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "published_examples.json"
FILES = "PUBLISHED_EXAMPLES"
TRAIN, VALIDATION = 64, 32


class Reached(BaseException):
    """The search or training at which a file is stopped. Its `args` are of what it was called, and with what."""


@dataclasses.dataclass(frozen=True)
class Example:
    """A published hypermodel and its search.

    Attributes:
        source: the file in the folder, or the package.
        objective: of the search.
        number: of the search that is taken of the file; 0 where there is no file.
        trains: whether a model's `fit` is taken, in place of a search.
        space: makes the space: of what the file's search or training was called on, and its names.
        data: gives the data, where they are not those of the file.
        options: of the command line.
    """

    source: str
    objective: str
    number: int = 0
    trains: bool = False
    space: Callable[..., Any] = lambda searched, names: searched
    data: Callable[[], Any] | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def missing(self) -> str | None:
        """Why it cannot be searched here."""
        package = self.source.partition("/")[0].partition(".")[0]
        if self.number and not (folder() / self.source).is_file():
            return f"{self.source} is not in {folder()}"
        return None if self.number or _importable(package) else f"{package} is not installed"


def folder() -> pathlib.Path:
    return pathlib.Path(os.environ.get(FILES, "/nowhere"))


def images(size=32, channels=3, classes=10, one_hot=True):
    """Images in classes, which differ by their brightness."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, TRAIN + VALIDATION)
    x = rng.random((len(labels), size, size, channels), "float32") / 2
    x += np.float32(labels / classes / 2)[:, None, None, None]
    y = keras.utils.to_categorical(labels, classes) if one_hot else labels
    return (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])


def numbers():
    """Rows of 20 features, and what is to be told of them."""
    x = np.random.default_rng(0).random((TRAIN + VALIDATION, 20), "float32")
    y = x[:, :3].sum(axis=1, keepdims=True)
    return (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])


def application(name, **arguments):
    """One of KerasTuner's own hypermodels."""
    return lambda searched, names: getattr(keras_tuner.applications, name)(**arguments)


def augmented(searched, names):
    """As the docstring of HyperImageAugment does it: HyperEfficientNet with an augmentation that is tuned, too."""
    from keras_tuner.src.applications import efficientnet

    for version, model in efficientnet.EFFICIENTNET_MODELS.items():  # whose weights would be downloaded
        efficientnet.EFFICIENTNET_MODELS[version] = functools.partial(model, weights=None)
    augment = keras_tuner.applications.HyperImageAugment(input_shape=(32, 32, 3), augment_layers=0)
    return keras_tuner.applications.HyperEfficientNet(input_shape=(32, 32, 3), classes=10, augmentation_model=augment)


def blocks_of_autokeras(searched, names):
    """A graph of AutoKeras' blocks, as its own `AutoModel` makes it."""
    import autokeras
    from autokeras.graph import Graph

    inputs = autokeras.Input(shape=(20,))
    graph = Graph(inputs, autokeras.RegressionHead(shape=(1,))(autokeras.DenseBlock()(inputs)))
    graph.epochs, graph.num_samples = 2, TRAIN
    return graph


def of_metaparameters(searched, names):
    """keras.io's function of metaparameters, with a table of what they may be."""
    x = names["x_train"]
    return HyperFunction(
        functools.partial(names["build_model"], input_shape=x.shape[1:], mlp_units=[16]),
        head_size=[8, 16],
        num_heads=[1, 2],
        ff_dim=[4, 8],
        num_transformer_blocks=hp_range(1, 2),
        dropout=[0.0, 0.25],
        loss="sparse_categorical_crossentropy",
    )


GUIDES = "guides/keras_tuner"
SMALL = {"input_shape": (32, 32, 3), "classes": 10}
TAILORED = f"{GUIDES}/tailor_the_search_space.py"
EXAMPLES = {
    "getting_started": Example(f"{GUIDES}/getting_started.py", "val_accuracy", 1, options={"max-params": 200_000}),
    "getting_started_fit": Example(f"{GUIDES}/getting_started.py", "val_accuracy", 2),
    "getting_started_own_objective": Example(f"{GUIDES}/getting_started.py", "mean_absolute_error:min", 3),
    "custom_training_loop": Example(f"{GUIDES}/custom_tuner.py", "my_metric:min", 1),
    "tailored": Example(TAILORED, "val_accuracy", 1),
    "fixed": Example(TAILORED, "val_accuracy", 2, options={"max-params": 80_000}),
    "compiled_anew": Example(TAILORED, "val_loss:min", 3),
    "visualized": Example(f"{GUIDES}/visualize_tuning.py", "val_accuracy", 1, options={"max-params": 80_000}),
    "failed_trials": Example(f"{GUIDES}/failed_trials.py", "val_loss:min", 1),
    "hyper_resnet": Example(
        "keras_tuner.applications.HyperResNet",
        "val_accuracy",
        space=application("HyperResNet", **SMALL),
        data=images,
        options={"max-params": 27_000_000},
    ),
    "hyper_xception": Example(TAILORED, "val_accuracy", 4),
    "hyper_efficientnet": Example(
        "keras_tuner.applications.HyperEfficientNet",
        "val_accuracy",
        space=augmented,
        data=images,
        options={"max-params": 6_000_000},
    ),
    "autokeras_blocks": Example(
        "autokeras", "val_loss:min", space=blocks_of_autokeras, data=numbers, options={"max-params": 9_000}
    ),
    "transformer": Example("timeseries_classification_transformer.py", "val_loss:min", 1, True, of_metaparameters),
}


def __getattr__(name: str) -> Any:
    """`published_examples:tailored` is an example's space, `published_examples:tailored_data` gives its data."""
    key = name.removesuffix("_data")
    if key not in EXAMPLES:
        raise AttributeError(name)
    example = EXAMPLES[key]
    if name != key:
        return example.data or (lambda: data_of(*reached(example)[1:3]))
    searched, _, _, names = reached(example) if example.number else (None, (), {}, {})
    return example.space(searched, names)


def reached(example: Example) -> tuple[Any, tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """What a file's search was called on, with what, and the file's names by then.

    What stands before it may need the results of searches, which there are not: such is passed over.
    """
    path, names, count, failure = folder() / example.source, {"__name__": "published"}, 0, None

    def stop(self, *args, **kwargs):
        nonlocal count
        count += isinstance(self, keras.Model) == example.trains
        if count == example.number:
            raise Reached(self, args, kwargs)

    small = ((np.random.default_rng(0).integers(0, 256, (n, 28, 28), "uint8"), np.arange(n) % 10) for n in (10_200, 64))
    with (
        mock.patch.object(BaseTuner, "search", stop),
        mock.patch.object(keras.Model, "fit", stop),
        mock.patch.object(keras.datasets.mnist, "load_data", lambda: tuple(small)),
        mock.patch.object(np, "loadtxt", lambda *args, **kwargs: series()),
    ):
        for statement in ast.parse(path.read_text(), str(path)).body:
            try:
                exec(compile(ast.Module([statement], []), str(path), "exec"), names)
            except Reached as found:
                return (*found.args, names)
            except Exception as error:
                failure = error
    raise ValueError(f"{path} has fewer searches than {example.number}") from failure


def series():
    """Rows as those of FordA: a class, 1 or -1, and what was measured."""
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 1], TRAIN + VALIDATION)
    return np.concatenate([labels[:, None], rng.random((len(labels), 24)) + labels[:, None]], axis=1)


def data_of(args: tuple[Any, ...], told: dict[str, Any]) -> Any:
    """The data with which `fit` or a search was called, in a training and a validation part, and not too many."""
    x, y = (*args, told.get("x"), told.get("y"))[:2] if len(args) != 1 else (args[0], told["y"])
    validation = told.get("validation_data")
    if validation is None:
        held = int(len(x) * told["validation_split"])
        x, y, validation = x[:-held], y[:-held], (x[-held:], y[-held:])
    return tuple((part[0][:most], part[1][:most]) for part, most in (((x, y), TRAIN), (validation, VALIDATION)))


def _importable(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=pathlib.Path, help=f"the folder; by default {FILES} of the environment says it")
    parser.add_argument("--only", nargs="+", choices=EXAMPLES, default=[*EXAMPLES], help="the names of those to run")
    arguments = parser.parse_args()
    if arguments.files:
        os.environ[FILES] = str(arguments.files.absolute())
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.only:
        example = EXAMPLES[name]
        if (missing := example.missing()) is not None:
            print(f"{name}: passed over: {missing}", flush=True)
            continue
        with tempfile.TemporaryDirectory() as working:
            found[name] = searched(name, example, pathlib.Path(working)) | {"backend": keras.backend.backend()}
        print(name, json.dumps(found[name], indent=2), flush=True)
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(any(each["problems"] for each in found.values()))


def searched(name: str, example: Example, working: pathlib.Path) -> dict[str, Any]:
    """Searches, is killed, goes on; what came of it."""
    run = working / "run"
    told = {"trials": 3, "epochs": 2, "final-epochs": 1, "sampler": "random", "data-id": name, **example.options}
    places = [f"--{what}=published_examples:{name}{end}" for what, end in (("space", ""), ("data", "_data"))]
    options = [f"--{option}={value}" for option, value in told.items()]
    module = [sys.executable, "-m", "keras_blocks.tuning.cli", "search"]
    command = [*module, *places, *options, f"--objective={example.objective}", f"--run={run}"]
    here = pathlib.Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    began, output = time.monotonic(), working / "output"
    with output.open("w") as log:
        process = subprocess.Popen(command, cwd=working, env=environment, stdout=log, stderr=log)
    ended = killed(process, run)
    before = ended_in(run)
    if ended is not None:
        return {"source": example.source, "problems": [f"it ended by itself: {output.read_text()[-1500:]}"]}
    again = subprocess.run(command, cwd=working, env=environment, capture_output=True, text=True, check=False)
    if again.returncode:
        return {"source": example.source, "problems": [(again.stdout + again.stderr)[-1500:]]}
    with (run / "trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    after, result = ended_in(run), json.loads((run / "result.json").read_text())
    objective = example.objective.partition(":")[0]
    completed = [trial for trial in trials if trial["status"] == "completed"]
    most = example.options.get("max-params", float("inf"))
    words = objective.replace("val_", "validation ").replace("_", " ")
    report = (run / "report.html").read_text().replace("_", " ")
    wrong = {
        "a trial was done twice": any(after.get(number) != state for number, state in before.items()),
        "trials are missing": len(completed) != told["trials"],
        "one is over the budget": any(int(trial["params"] or 0) > most for trial in completed),
        "a trial has no objective": any(not trial[objective] for trial in completed),
        "the report does not show its objective": words not in report and objective not in report,
        "the kept model is another": keras.saving.load_model(run / "best.keras", compile=False).count_params()
        != result["params"]
        if not _custom(run)
        else False,
    }
    return {
        "source": example.source,
        "objective": example.objective,
        "done before the kill": len(before),
        "completed": len(completed),
        "over the budget, not built": sum(trial["status"] == "refused" for trial in trials),
        "best": float(result["metrics"][objective]),
        "seconds": round(time.monotonic() - began),
        "problems": [what for what, is_so in wrong.items() if is_so],
    }


def _custom(run: pathlib.Path) -> bool:
    """Whether the model has layers that its file does not register, as Keras asks for."""
    try:
        keras.saving.load_model(run / "best.keras", compile=False)
        return False
    except TypeError:
        return True


def killed(process: subprocess.Popen[bytes], run: pathlib.Path) -> int | None:
    """Ends a search and all that it has started by kill -9 when it has done a trial and is at the next."""
    while process.poll() is None:
        time.sleep(0.05)
        if len(ended_in(run)) >= 1:
            time.sleep(0.3)
            break
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)):
            one.send_signal(signal.SIGKILL)
    return None if process.wait() == -signal.SIGKILL else process.returncode


def ended_in(run: pathlib.Path) -> dict[int, str]:
    """The trials that are done by the study's file, which is only read: number -> their value."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{run / 'study.db'}?mode=ro", uri=True)) as study:
            query = "select number, value from trials join trial_values using (trial_id) where state = 'COMPLETE'"
            return {number: str(value) for number, value in study.execute(query)}
    except sqlite3.OperationalError:
        return {}  # there is no study yet


if __name__ == "__main__":
    main()
