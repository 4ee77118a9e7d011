"""The command line: `keras-blocks search | train | evaluate | models | cost`.

What is heavy is imported by the commands that need it.
"""

import contextlib
import re
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
    trials: Annotated[
        int | None, typer.Option(help="Candidates to train; for hyperband at most.", show_default="8; hyperband: all")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each trial.", show_default="5")] = None,
    final_epochs: Annotated[int | None, typer.Option(help="Of the best one's training.", show_default="20")] = None,
    tuner: Annotated[
        str | None, typer.Option(help="random, bayesian, hyperband or grid.", show_default="random")
    ] = None,
    max_params: Annotated[int | None, typer.Option(help="Most parameters of a candidate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.", show_default="0")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/MODEL-DATA")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run; options may be left out.")] = False,
    fresh: Fresh = False,
    at_least: Annotated[float | None, typer.Option(help="Fail where the test accuracy, in %, is lower.")] = None,
):
    """Search metaparameters, train the best model on, keep it, and evaluate it in a fresh process."""
    from keras_blocks.tuning.fresh import FreshProcessFailed, evaluate_in_fresh_process
    from keras_blocks.tuning.report import Progress, trials_table
    from keras_blocks.tuning.search import Search, SearchFailed
    from keras_blocks.tuning.settings import SearchSettings

    console = Console()
    given = {
        "model": model,
        "data": data,
        "image_size": _sizes("image-size", image_size, (1, 2)) if image_size else None,
        "trials": trials,
        "epochs": epochs,
        "final_epochs": final_epochs,
        "tuner": tuner,
        "max_params": max_params,
        "seed": seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    with _usage_errors():
        run = run or _default_run(given.get("model", "squeezenet"), given.get("data", "digits"))
        settings = SearchSettings(**{**(_stored_settings(run) if resume else {}), **given})
        started = Search(settings, run, resume=resume, replace=fresh)
    _say(console, f"{settings.model} on {started.dataset.name}: {_counts(started.dataset)}")
    _say(console, f"run folder: {started.folder}")
    try:
        with Progress(console) as progress:
            result = started.run(progress)
        console.print(trials_table(started.record.trials, started.record.best()))
        _say_result(console, result, started.folder)
        found = evaluate_in_fresh_process(started.folder.best, started.folder.test)
    except (SearchFailed, FreshProcessFailed) as error:
        _stop(error, FAILED)
    except KeyboardInterrupt:
        _stop(f"interrupted. Go on with: keras-blocks search --run {started.folder} --resume", INTERRUPTED)
    _say(console, f"test accuracy in a fresh process: {_accuracy(found)}")
    same = [found[name] == result[name] for name in ("test_accuracy", "test_correct", "test_images")]
    if not all(same):
        _stop(f"the fresh process got {_accuracy(found)}, this one {_accuracy(result)}.", FAILED)
    if at_least is not None and 100 * result["test_accuracy"] < at_least:
        _stop(f"the test accuracy, {_accuracy(result)}, is below {at_least} %.", FAILED)


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
    from keras_blocks.tuning.report import Progress
    from keras_blocks.tuning.single import SingleTraining
    from keras_blocks.tuning.training import TrainingDiverged

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
    from keras_blocks.tuning.evaluation import evaluate_file

    size = _sizes("image-size", image_size, (1, 2)) if image_size else None
    with _usage_errors():
        found = evaluate_file(model, data, image_size=size)
    _say(Console(), f"test accuracy of {found['model']} on {found['data']}: {_accuracy(found)}")


@app.command()
def models(pattern: Annotated[str, typer.Argument(help="Shell-style pattern of names.")] = "*"):
    """List the models with what one image costs."""
    from keras_blocks.costs import cost
    from keras_blocks.models.registry import architecture_of, list_models
    from keras_blocks.tuning.report import costs_table

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
    from keras_blocks.costs import cost
    from keras_blocks.models.registry import classifier_of
    from keras_blocks.tuning.report import costs_table

    shape = _sizes("input-shape", input_shape, (3,)) if input_shape else None
    with _usage_errors():
        architecture = classifier_of(name)
        spent = cost(architecture, shape, **architecture.variants[name], classes=classes)
    Console().print(costs_table([(name, spent)]))


def main():
    """The entry point `keras-blocks`."""
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
