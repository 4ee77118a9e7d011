"""The command line: `keras-blocks search | worker | report | train | evaluate | detect | export | models | cost ...`.

This file and those that it imports at the top need no Keras, so that help is shown at once; see `command`.
What is heavy is imported by the commands that need it.
"""

import importlib
import importlib.metadata
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
from rich.console import Console

from keras_blocks.tuning.console import (
    FAILED,
    INTERRUPTED,
    accuracy_of,
    is_place,
    say,
    say_begin,
    say_own,
    say_result,
    stop,
    usage_errors,
)
from keras_blocks.tuning.detectors.commands import begun_training, detected, say_evaluated, say_trained
from keras_blocks.tuning.exporting import export_command
from keras_blocks.tuning.inspecting import costed, inspected, listed
from keras_blocks.tuning.options import read_options, size, sizes, with_options
from keras_blocks.tuning.search.settings import DATA_HELP, SIZE_HELP, SearchSettings, TrainingSettings

if TYPE_CHECKING:
    from keras_blocks.tuning.detectors.training import DetectorTraining
    from keras_blocks.tuning.single_training import SingleTraining

app = typer.Typer(
    name="keras-blocks",
    help="Searches, trains, evaluates and counts the networks of keras_blocks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Command(typer.core.TyperCommand):
    """A command that runs the package before itself: for its help, Keras is not imported."""

    def invoke(self, ctx: Any) -> Any:
        if ctx.obj is not None:
            ctx.obj()
        return super().invoke(ctx)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keras-blocks {importlib.metadata.version('keras-blocks')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)]
Fresh = Annotated[bool, typer.Option("--fresh", help="Replace the run that is there, and nothing else.")]
Workers = Annotated[int, typer.Option(help="Trials at a time on this machine.")]
Devices = Annotated[str | None, typer.Option(help="CUDA devices, a worker for each: 0,1,2.")]


@app.callback()
def _of_all_commands(version: Version = False) -> None: ...


@app.command(cls=Command)
@with_options(SearchSettings)
def search(
    *,
    devices: Devices = None,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of the study: postgresql://... for many machines.", show_default="a file in the run"),
    ] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster that runs the workers: auto.")] = None,
    space: Annotated[
        str | None, typer.Option(help="A space of your own: my_module:MyHyperModel, or my_module:build.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/MODEL-DATA")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run; options may be left out.")] = False,
    fresh: Fresh = False,
    at_least: Annotated[float | None, typer.Option(help="Fail where the test accuracy, in %, is lower.")] = None,
    **given: Any,
) -> None:
    """Search architectures, train the best model on, keep it, and evaluate it in a fresh process.

    The same command again goes on with a search that was interrupted.
    """
    from keras_blocks.tuning.report.terminal import Progress, family_table, trials_table, words_of_result
    from keras_blocks.tuning.search.search import Search, SearchFailed
    from keras_blocks.tuning.training.evaluation import FreshProcessFailed, evaluate_in_fresh_process

    console = Console()
    with usage_errors():
        given = read_options(SearchSettings, given)
        model = (space or "").partition(":")[2] or given.get("model", SearchSettings.model)
        run = run or _default_run(model, given.get("data", SearchSettings.data))
        settings = SearchSettings.of(_stored_settings(run, given) if resume else {}, **given)
        started = Search(settings, run, space=space, storage=storage, replace=fresh)
        if at_least is not None and not started.problem.is_of_images:
            raise ValueError("--at-least is for searches on images in classes, which have a test accuracy.")
    if started.problem.is_of_images:
        say_begin(settings.model, started.dataset, started.folder)
    else:
        say(f"{started.space.name} on {started.settings.data}: {started.problem.described()}")
        say(f"run folder: {started.folder}")
    if storage is not None:
        place = started.session.place
        say(f"study: {place.study}; on other machines: keras-blocks worker --study {place.study} --storage {place}")
    try:
        with Progress(console) as progress, usage_errors():
            if ray is not None:
                from keras_blocks.tuning.search.ray import run_workers

                run_workers(started, ray, progress)
            result = started.run(progress, devices=devices.split(",") if devices else ())
        about = started.trials, started.best, started.settings.judged_by
        console.print(trials_table(*about))
        if (family := family_table(*about)) is not None:
            console.print(family)
        if not started.problem.is_of_images:
            return say(
                "\n".join([*words_of_result(result, started.settings.judged_by), f"report: {started.folder.report}"])
            )
        say_result(result, started.folder)
        again = evaluate_in_fresh_process(started.folder.best, started.folder.test)
    except (SearchFailed, FreshProcessFailed) as error:
        stop(error, FAILED)
    except KeyboardInterrupt:
        stop("interrupted. The same command again goes on with it.", INTERRUPTED)
    say(f"test accuracy in a fresh process: {accuracy_of(again)}")
    same = [again[name] == result[name] for name in ("test_accuracy", "test_correct", "test_images")]
    if not all(same):
        stop(f"the fresh process got {accuracy_of(again)}, this one {accuracy_of(result)}.", FAILED)
    if at_least is not None and 100 * result["test_accuracy"] < at_least:
        stop(f"the test accuracy, {accuracy_of(result)}, is below {at_least} %.", FAILED)


@app.command(cls=Command)
def worker(
    study: Annotated[str, typer.Option(help="Name of the study, which the search said when it began.")],
    storage: Annotated[str, typer.Option(help="URL of its storage: postgresql://user@host/name.")],
    run: Annotated[
        Path | None,
        typer.Option(help="Folder for checkpoints and models; shared by all machines, a trial goes on anywhere."),
    ] = None,
    workers: Workers = 1,
    devices: Devices = None,
    data: Annotated[str | None, typer.Option(help="Where the search's data are on this machine.")] = None,
    callbacks: Annotated[str | None, typer.Option(help="Where the search's own callbacks are: my_module:name.")] = None,
    modules: Annotated[
        list[str] | None, typer.Option("--import", help="Module with the search's own spaces and architectures.")
    ] = None,
) -> None:
    """Run trials of a search that was begun on another machine, until none is left."""
    from keras_blocks.tuning.files import DiskFull
    from keras_blocks.tuning.report.terminal import Progress
    from keras_blocks.tuning.run_folder import RunFolder
    from keras_blocks.tuning.search.session import Session
    from keras_blocks.tuning.storage.store import quiet_optuna

    with usage_errors(), quiet_optuna():
        for name in modules or ():
            importlib.import_module(name)
        folder = RunFolder(run or Path("runs") / study)
        if folder.is_run():
            folder.describe()
        given = {name: text for name, text in (("data", data), ("callbacks", callbacks)) if text}
        session = Session.joined(study, storage, folder, workers=workers, **given)
        if not folder.is_run():
            folder.create({"kind": "worker", "study": study})
    try:
        with Progress(Console()) as progress, usage_errors(), quiet_optuna(), folder.held(together=True):
            try:
                why = session.run(progress, devices=devices.split(",") if devices else ())
            finally:
                session.stop()
    except DiskFull as error:
        stop(error, FAILED)
    except KeyboardInterrupt:
        stop("interrupted; what was running was given back.", INTERRUPTED)
    say(f"done: {why}")


@app.command(cls=Command)
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a search, which may still run, or of a training.")],
    storage: Annotated[
        str | None, typer.Option(help="URL of the study, where it is not in the folder.", show_default=False)
    ] = None,
) -> None:
    """Write one HTML page on a run: report.html in its folder."""
    from keras_blocks.tuning.files import is_full
    from keras_blocks.tuning.report.run_report import write_run_report
    from keras_blocks.tuning.run_folder import RunFolder

    try:
        with usage_errors():
            path = write_run_report(RunFolder(run), storage=storage)
    except OSError as error:
        if not is_full(error):
            raise
        stop(f"the report could not be written: {error}", FAILED)
    say(f"report: {path}")


@app.command(cls=Command)
@with_options(TrainingSettings)
def train(
    name: Annotated[str, typer.Argument(help="A model, see `keras-blocks models`.")],
    *,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME-DATA")] = None,
    fresh: Fresh = False,
    **given: Any,
) -> None:
    """Train a named model from random weights, or from those of others, and keep its best epoch.

    A detector takes a folder of images with boxes, of Pascal VOC's layout or COCO's. By default it is trained for 20
    epochs, in batches of 2, at a rate of 0.0025, with horizontal flips; its epoch with the highest mAP is kept. The
    same command again goes on with a detector's training that was interrupted.
    """
    from keras_blocks.models.detector import Detector
    from keras_blocks.models.registry import architecture_of
    from keras_blocks.tuning.report.terminal import Progress
    from keras_blocks.tuning.run_folder import RunIsHeld
    from keras_blocks.tuning.training.hyperparameters import TrainingDiverged

    started: SingleTraining | DetectorTraining
    with usage_errors():
        given = read_options(TrainingSettings, given)
        detects = issubclass(architecture_of(name), Detector)
        if detects:
            started = begun_training(name, given, run or _default_run(name, given.get("data", "")), fresh)
        else:
            started = _begun_classifier(name, given, run, fresh)
    try:
        with Progress(Console()) as progress:
            result = started.run(progress)
    except (TrainingDiverged, RunIsHeld) as error:
        stop(error, FAILED)
    except KeyboardInterrupt:
        stop("interrupted." + " The same command again goes on with it." * detects, INTERRUPTED)
    if detects:
        say_trained(result, started.folder)
    else:
        say_result(result, started.folder)


def _begun_classifier(name: str, given: dict[str, Any], run: Path | None, fresh: bool) -> "SingleTraining":
    from keras_blocks.tuning.single_training import SingleTraining

    settings = TrainingSettings(**given)
    try:
        started = SingleTraining(name, settings, run or _default_run(name, settings.data), replace=fresh)
    except OSError as error:  # of weights that are not there, or cannot be fetched
        raise ValueError(str(error)) from error
    say_begin(name, started.dataset, started.folder)
    for change in started.changes:
        say(f"unlike the published model: {change}")
    for note in started.notes:
        say(f"weights of {settings.weights}: {note}")
    return started


@app.command(cls=Command)
def evaluate(
    model: Annotated[Path, typer.Argument(help="A .keras file, or the folder of a run.")],
    data: Annotated[
        str | None,
        typer.Option(help=f"{DATA_HELP} Or the folder of a run, or my_module:my_data. By default the run's own."),
    ] = None,
    image_size: Annotated[str | None, typer.Option(help=SIZE_HELP)] = None,
) -> None:
    """Evaluate a saved model on test images: a classifier's accuracy, or a detector's figures as COCO has them."""
    from keras_blocks.tuning.search.user_evaluation import evaluate_own
    from keras_blocks.tuning.training.evaluation import evaluate_file

    with usage_errors():
        if data is not None and is_place(data):
            return say_own(evaluate_own(model, data))
        result = evaluate_file(model, data, image_size=size("--image-size", image_size) if image_size else None)
    for note in result["notes"]:
        say(note)
    if "figures" in result:
        say_evaluated(result)
        return
    say(f"test accuracy of {result['model']} on {result['data']}: {accuracy_of(result)}")


@app.command(cls=Command)
def detect(
    model: Annotated[Path, typer.Argument(help="A .keras file of a detector, or the folder of a run.")],
    images: Annotated[list[Path], typer.Argument(help="Files of images, or folders of such.")],
    out: Annotated[
        Path | None, typer.Option(help="A new folder for pictures of what was found, and detections.json.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Least score of what is told.")] = 0.5,
) -> None:
    """Find objects in images by a saved detector.

    detections.json is a list with the image, its height and width, and its detections: name, score, and box as
    [x1, y1, x2, y2] in pixels of the image.
    """
    detected(model, images, out, threshold)


app.command(name="export", cls=Command)(export_command)


@app.command(cls=Command)
def models(pattern: Annotated[str, typer.Argument(help="Shell-style pattern of names.")] = "*") -> None:
    """List the models with what one image costs."""
    listed(pattern)


@app.command(name="cost", cls=Command)
def cost_command(
    name: Annotated[str, typer.Argument(help="A model, see `keras-blocks models`.")],
    input_shape: Annotated[
        str | None, typer.Option(help="Height,width,channels.", show_default="the model's, mostly 224,224,3")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes.", show_default="1000, of detectors the model's")
    ] = None,
) -> None:
    """Count a model's parameters, multiply-adds and activation memory for one image, without building it."""
    with usage_errors():
        costed(name, sizes("--input-shape", input_shape, counts=(3,)) if input_shape else None, classes)


@app.command(cls=Command)
def inspect(
    name: Annotated[str, typer.Argument(help="A model, see `keras-blocks models`, or a .keras file.")],
    input_shape: Annotated[str | None, typer.Option(help="Height,width,channels.", show_default="the model's")] = None,
    page: Annotated[Path | None, typer.Option(help="File for an HTML page, with the drawing beside the table.")] = None,
) -> None:
    """Show each block of a model, not built: output shape, cost, and what it sees of the image."""
    with usage_errors():
        inspected(name, sizes("--input-shape", input_shape, counts=(3,)) if input_shape else None, page)


def main(release: Callable[[], None] | None = None) -> None:
    """Does what the command line says. A polite end (SIGTERM, SIGHUP) is one as by Ctrl-C: what runs is given back.

    Ctrl-C is heard where it was switched off, too, as a shell does for what scripts run in the background; SIGHUP is
    not, where `nohup` has switched it off.

    Args:
        release: called before a command runs, not before its help is shown: it runs the package, if it was held back.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    app(prog_name="keras-blocks", obj=release)


def _default_run(model: str, data: str) -> Path:
    return Path("runs") / re.sub(r"[^A-Za-z0-9._-]+", "-", f"{model}-{Path(data).stem}")


def _stored_settings(run: Path, given: dict[str, Any]) -> dict[str, Any]:
    from keras_blocks.tuning.run_folder import RunFolder

    folder = RunFolder(run)
    if (kind := folder.describe().get("kind")) != "search":
        raise ValueError(f"`resume` goes on with a search; {run} is a {kind!r} run.")
    settings: dict[str, Any] = folder.describe("search")["settings"]
    for name in ("data", "callbacks"):
        if is_place(settings.get(name)) and name not in given:  # no code runs as a file says
            raise ValueError(f"`{name}` must be given again: --{name} {settings[name]}, if it is yours.")
    if settings.get("tracker_at") is not None and "tracker_at" not in given:  # nor is anything reached
        raise ValueError(f"`tracker_at` must be given again: --tracker-at {settings['tracker_at']}, if it is yours.")
    return settings


if __name__ == "__main__":
    main()
