"""The command line: `keras-blocks search | worker | report | train | evaluate | models | cost`.

What is heavy is imported by the commands that need it.
"""

import contextlib
import importlib
import re
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    name="keras-blocks",
    help="Searches, trains, evaluates and counts the networks of keras_blocks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

USAGE, FAILED, INTERRUPTED = 2, 1, 130
"""Exit codes: a wrong argument; a command that did not succeed; Ctrl-C."""

DATA_HELP = "digits, mnist, fashion_mnist, cifar10, cifar100, a folder of images by class, or an .npz file."

Data = Annotated[str, typer.Option(help=DATA_HELP)]
ImageSize = Annotated[
    str | None, typer.Option(help="Height x width to which a folder's images are resized: 64 or 48x64.")
]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn, from 0.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Replace the run that is there, and nothing else.")]


@app.command()
def search(
    model: Annotated[str | None, typer.Option(help="Search space.", show_default="squeezenet")] = None,
    data: Annotated[str | None, typer.Option(help=DATA_HELP, show_default="digits")] = None,
    image_size: ImageSize = None,
    narrow: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A part of the space: groups=3, version=v1,v2, filters=16..64, learning_rate=1e-4..1e-2."
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Candidates to train.", show_default="8")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each trial; with a pruner the most.", show_default="5")] = None,
    final_epochs: Annotated[int | None, typer.Option(help="Of the best one's training.", show_default="20")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="tpe, random, gp, cmaes, nsgaii, qmc or grid.", show_default="tpe")
    ] = None,
    pruner: Annotated[str | None, typer.Option(help="none, median or hyperband.", show_default="none")] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="val_accuracy, val_loss, params, macs, activation_bytes, latency or seconds; several give a Pareto "
            "front.",
            show_default="val_accuracy",
        ),
    ] = None,
    max_params: Annotated[int | None, typer.Option(help="Most parameters of a candidate.")] = None,
    max_macs: Annotated[int | None, typer.Option(help="Most multiply-adds for one image.")] = None,
    max_activation_bytes: Annotated[int | None, typer.Option(help="Most bytes of activations for one image.")] = None,
    max_latency: Annotated[float | None, typer.Option(help="Most seconds for one image, measured here.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Of the whole search, all its sessions together.")] = None,
    max_trial_seconds: Annotated[
        float | None, typer.Option(help="Of a trial, which else hangs and has failed.", show_default="3600")
    ] = None,
    max_memory: Annotated[
        int | None, typer.Option(help="Bytes that a trial may take.", show_default="its share of the machine")
    ] = None,
    keep: Annotated[int | None, typer.Option(help="Best trials whose models are kept.", show_default="1")] = None,
    keep_weights: Annotated[
        bool | None,
        typer.Option("--keep-weights", help="Go on from an earlier trial's weights of the same architecture."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at a time on this machine.", show_default="1")] = None,
    devices: Annotated[str | None, typer.Option(help="CUDA devices, a worker for each: 0,1,2.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of the study: postgresql://... for many machines.", show_default="a file in the run"),
    ] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster that runs the workers: auto.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.", show_default="0")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/MODEL-DATA")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run; options may be left out.")] = False,
    fresh: Fresh = False,
    at_least: Annotated[float | None, typer.Option(help="Fail where the test accuracy, in %, is lower.")] = None,
):
    """Search architectures, train the best model on, keep it, and evaluate it in a fresh process.

    The same command again goes on with a search that was interrupted.
    """
    from keras_blocks.tuning.report.terminal import Progress, trials_table
    from keras_blocks.tuning.search.search import Search, SearchFailed
    from keras_blocks.tuning.search.settings import SearchSettings
    from keras_blocks.tuning.training.fresh import FreshProcessFailed, evaluate_in_fresh_process

    console = Console()
    given = {
        "model": model,
        "data": data,
        "image_size": _sizes("image-size", image_size, (1, 2)) if image_size else None,
        "parts": _parts(narrow) if narrow else None,
        "trials": trials,
        "epochs": epochs,
        "final_epochs": final_epochs,
        "sampler": sampler,
        "pruner": pruner,
        "objectives": tuple(objective) if objective else None,
        "max_params": max_params,
        "max_macs": max_macs,
        "max_activation_bytes": max_activation_bytes,
        "max_latency": max_latency,
        "max_seconds": max_seconds,
        "max_trial_seconds": max_trial_seconds,
        "max_memory": max_memory,
        "keep": keep,
        "keep_weights": keep_weights,
        "workers": workers,
        "seed": seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    with _usage_errors():
        run = run or _default_run(given.get("model", "squeezenet"), given.get("data", "digits"))
        settings = SearchSettings(**{**(_stored_settings(run) if resume else {}), **given})
        started = Search(settings, run, storage=storage, replace=fresh)
    _say(console, f"{settings.model} on {started.dataset.name}: {_counts(started.dataset)}")
    _say(console, f"run folder: {started.folder}")
    try:
        with Progress(console) as progress, _usage_errors():
            if ray is not None:
                from keras_blocks.tuning.search.ray import run_workers

                run_workers(started, ray, progress)
            result = started.run(progress, devices=devices.split(",") if devices else ())
        console.print(trials_table(started.trials, started.best, started.settings.judged_by))
        _say_result(console, result, started.folder)
        found = evaluate_in_fresh_process(started.folder.best, started.folder.test)
    except (SearchFailed, FreshProcessFailed) as error:
        _stop(error, FAILED)
    except KeyboardInterrupt:
        _stop("interrupted. The same command again goes on with it.", INTERRUPTED)
    _say(console, f"test accuracy in a fresh process: {_accuracy(found)}")
    same = [found[name] == result[name] for name in ("test_accuracy", "test_correct", "test_images")]
    if not all(same):
        _stop(f"the fresh process got {_accuracy(found)}, this one {_accuracy(result)}.", FAILED)
    if at_least is not None and 100 * result["test_accuracy"] < at_least:
        _stop(f"the test accuracy, {_accuracy(result)}, is below {at_least} %.", FAILED)


@app.command()
def worker(
    study: Annotated[str, typer.Option(help="Name of the study: the search's run folder, without its path.")],
    storage: Annotated[str, typer.Option(help="URL of its storage: postgresql://user@host/name.")],
    run: Annotated[
        Path | None,
        typer.Option(help="Folder for checkpoints and models; shared by all machines, a trial goes on anywhere."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Trials at a time on this machine.")] = 1,
    devices: Annotated[str | None, typer.Option(help="CUDA devices, a worker for each: 0,1,2.")] = None,
    data: Annotated[str | None, typer.Option(help="Where the search's data are on this machine.")] = None,
    modules: Annotated[
        list[str] | None, typer.Option("--import", help="Module with the search's own spaces and architectures.")
    ] = None,
):
    """Run trials of a search that was begun on another machine, until none is left."""
    from keras_blocks.tuning.disk import DiskFull
    from keras_blocks.tuning.report.terminal import Progress
    from keras_blocks.tuning.run_folder import RunFolder
    from keras_blocks.tuning.search.session import Engine
    from keras_blocks.tuning.study.study import quiet_optuna

    console = Console()
    with _usage_errors(), quiet_optuna():
        for name in modules or ():
            importlib.import_module(name)
        folder = RunFolder(run or Path("runs") / study)
        engine = Engine.joined(study, storage, folder, workers=workers, **({"data": data} if data else {}))
        if not folder.is_run():
            folder.create({"kind": "worker", "study": study})
    try:
        with Progress(console) as progress, _usage_errors(), quiet_optuna():
            try:
                why = engine.run(progress, devices=devices.split(",") if devices else ())
            finally:
                engine.stop()
    except DiskFull as error:
        _stop(error, FAILED)
    except KeyboardInterrupt:
        _stop("interrupted; what was running was given back.", INTERRUPTED)
    _say(console, f"done: {why}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a search, which may still run, or of a training.")],
):
    """Write one HTML page on a run: report.html in its folder."""
    from keras_blocks.tuning.disk import is_full
    from keras_blocks.tuning.report.run_report import write_run_report
    from keras_blocks.tuning.run_folder import RunFolder

    try:
        with _usage_errors():
            path = write_run_report(RunFolder(run))
    except OSError as error:
        if not is_full(error):
            raise
        _stop(f"the report could not be written: {error}", FAILED)
    _say(Console(), f"report: {path}")


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A model, see `keras-blocks models`.")],
    data: Data = "digits",
    image_size: ImageSize = None,
    epochs: Annotated[int, typer.Option(help="Of the training.")] = 30,
    learning_rate: Annotated[float, typer.Option(help="At the beginning; it falls to 0 along half a cosine.")] = 3e-3,
    batch_size: Annotated[int, typer.Option(help="Images in a step.")] = 32,
    augmentation: Annotated[str, typer.Option(help="none, light or strong.")] = "light",
    batch_norm: Annotated[
        bool, typer.Option(help="Add batch normalization to a model that was published without.")
    ] = True,
    seed: Seed = 0,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME-DATA")] = None,
    fresh: Fresh = False,
):
    """Train a named model from random weights, and keep its best epoch."""
    from keras_blocks.tuning.report.terminal import Progress
    from keras_blocks.tuning.search.single_training import SingleTraining
    from keras_blocks.tuning.training.fit import TrainingDiverged

    console = Console()
    with _usage_errors():
        started = SingleTraining(
            name,
            data=data,
            image_size=_sizes("image-size", image_size, (1, 2)) if image_size else None,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            augmentation=augmentation,
            batch_norm=batch_norm,
            seed=seed,
            run=run or _default_run(name, data),
            replace=fresh,
        )
    _say(console, f"{name} on {started.dataset.name}: {_counts(started.dataset)}")
    _say(console, f"run folder: {started.folder}")
    for change in started.changes:
        _say(console, f"unlike the published model: {change}")
    try:
        with Progress(console) as progress:
            result = started.run(progress)
    except TrainingDiverged as error:
        _stop(error, FAILED)
    except KeyboardInterrupt:
        _stop("interrupted.", INTERRUPTED)
    _say_result(console, result, started.folder)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A .keras file, or the folder of a run.")],
    data: Annotated[
        str | None, typer.Option(help=f"{DATA_HELP} Or the folder of a run. By default the model's own run.")
    ] = None,
    image_size: ImageSize = None,
):
    """Evaluate a saved model on test images."""
    from keras_blocks.tuning.training.evaluation import evaluate_file

    size = _sizes("image-size", image_size, (1, 2)) if image_size else None
    with _usage_errors():
        found = evaluate_file(model, data, image_size=size)
    _say(Console(), f"test accuracy of {found['model']} on {found['data']}: {_accuracy(found)}")


@app.command()
def models(pattern: Annotated[str, typer.Argument(help="Shell-style pattern of names.")] = "*"):
    """List the models with what one image costs."""
    from keras_blocks.costs.cost import cost
    from keras_blocks.models.registry import architecture_of, list_models
    from keras_blocks.tuning.report.terminal import costs_table

    names = list_models(pattern)
    if not names:
        _stop(f"no model matches {pattern!r}; there are {', '.join(list_models())}.", USAGE)
    rows = []
    for name in names:
        architecture = architecture_of(name)
        rows.append((name, cost(architecture, **architecture.variants[name])))
    Console().print(costs_table(rows))


@app.command(name="cost")
def cost_command(
    name: Annotated[str, typer.Argument(help="A model, see `keras-blocks models`.")],
    input_shape: Annotated[
        str | None, typer.Option(help="Height,width,channels.", show_default="the model's, mostly 224,224,3")
    ] = None,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 1000,
):
    """Count a model's parameters, multiply-adds and activation memory for one image, without building it."""
    from keras_blocks.core.signature import takes
    from keras_blocks.costs.cost import cost
    from keras_blocks.models.registry import architecture_of
    from keras_blocks.tuning.report.terminal import costs_table

    shape = _sizes("input-shape", input_shape, (3,)) if input_shape else None
    with _usage_errors():
        architecture = architecture_of(name)
        options = dict(architecture.variants[name])
        if takes(architecture, "classes"):
            options["classes"] = classes
        if shape:
            options["input_shape"] = shape
        spent = cost(architecture, **options)
    Console().print(costs_table([(name, spent)]))


def main():
    """The entry point `keras-blocks`. A polite end (SIGTERM) is one as by Ctrl-C: what runs is given back."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="keras-blocks")


@contextlib.contextmanager
def _usage_errors():
    """What a user can get wrong ends the command with one line, and no traceback."""
    try:
        yield
    except (ValueError, TypeError) as error:
        _stop(error, USAGE)


def _stop(message, code):
    """Says why, in one line, and ends the command. Keras adds a dump of the arguments, which is left out."""
    text = str(message).partition("Arguments received by")[0]
    typer.echo(f"keras-blocks: {' '.join(text.split())}", err=True)
    raise typer.Exit(code)


def _say(console, text):
    console.print(text, highlight=False, soft_wrap=True)


def _say_result(console, result, folder):
    _say(
        console,
        f"kept in {folder.best}: epoch {result['kept_epoch']} of {result['epochs']}, {result['params']:,} parameters, "
        f"{100 * result['val_accuracy']:.2f} % validation accuracy",
    )
    _say(console, f"test accuracy: {_accuracy(result)}")
    _say(console, f"report: {folder.report}")


def _accuracy(result) -> str:
    return f"{100 * result['test_accuracy']:.2f} % ({result['test_correct']} of {result['test_images']} images)"


def _counts(dataset) -> str:
    height, width, channels = dataset.image_shape
    return (
        f"{len(dataset.x_train)} images to train, {len(dataset.x_val)} to validate, {len(dataset.x_test)} held out, "
        f"{height}x{width}x{channels}, {dataset.classes} classes"
    )


def _default_run(model, data) -> Path:
    return Path("runs") / re.sub(r"[^A-Za-z0-9._-]+", "-", f"{model}-{Path(data).stem}")


def _parts(texts) -> dict:
    """Parts of a space from `name=value`, `name=value,value` and `name=low..high`."""
    from keras_blocks.tuning.spaces.dimension_text import parsed

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            _stop(f"--set must be such as groups=3, version=v1,v2 or filters=16..64; received {text!r}.", USAGE)
        with _usage_errors():
            found[name.strip()] = parsed(value.strip())
    return found


def _stored_settings(run) -> dict:
    from keras_blocks.tuning.run_folder import RunFolder

    found = RunFolder(run).describe()
    if found.get("kind") != "search":
        raise ValueError(f"`resume` goes on with a search; {run} is a {found.get('kind')!r} run.")
    return found["settings"]


def _sizes(option, text, counts) -> tuple:
    """Numbers from `64`, `48x64` or `224,224,3`."""
    found = re.split(r"[x,]", text)
    if len(found) not in counts or not all(re.fullmatch(r" *\d{1,6} *", item) for item in found):
        example = "224,224,3" if 3 in counts else "64 or 48x64"
        _stop(f"--{option} must be numbers such as {example}; received {text!r}.", USAGE)
    sizes = tuple(int(item) for item in found)
    return sizes * 2 if len(sizes) == 1 else sizes


if __name__ == "__main__":
    main()
