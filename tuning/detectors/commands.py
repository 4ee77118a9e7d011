"""What the command line does for detectors, which it asks of this file. Keras is imported when they are called."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from keras_blocks.tuning.console import FAILED, INTERRUPTED, complain, say, stop, usage_errors

if TYPE_CHECKING:
    from keras_blocks.tuning.detectors.training import DetectorTraining


def begun_training(name: str, given: dict[str, Any], run: Path, fresh: bool) -> "DetectorTraining":
    """A detector's training, ready to run; what it is, is said.

    Raises:
        TypeError, ValueError, ImportError: see `DetectorTraining`.
    """
    from keras_blocks.tuning.detectors.training import DetectorSettings, DetectorTraining

    known = {field.name for field in dataclasses.fields(DetectorSettings)}
    for option in given:
        if option not in known:
            raise ValueError(f"--{option.replace('_', '-')} is for classifiers; {name} is a detector.")
    started = DetectorTraining(name, DetectorSettings(**given), run, replace=fresh)
    for line in (started.describe(), *started.notes, f"run folder: {started.folder}"):
        say(line)
    return started


def say_trained(result: dict[str, Any], folder: Any) -> None:
    """What came of a detector's training."""
    from keras_blocks.tuning.report.terminal import figures_table

    say(
        f"kept in {folder.best}: epoch {result['kept_epoch']} of {result['epochs']}, {result['params']:,} parameters, "
        f"{result['val']['mAP']:.3f} mAP on the validation images"
    )
    say(f"on the {'test' if result['test'] else 'validation'} images:")
    Console().print(figures_table(result["test"] or result["val"]))
    say(f"report: {folder.report}; pictures: {folder}/pictures")


def say_evaluated(result: dict[str, Any]) -> None:
    """What a detector reaches on a folder of images."""
    from keras_blocks.tuning.report.terminal import figures_table

    say(f"{result['model']} on the {result['images']} images ({result['part']}) of {result['data']}:")
    Console().print(figures_table(result["figures"]))


def detected(model: Path, images: Sequence[Path], out: Path | None, threshold: float) -> None:
    """Finds objects in images, and says which; of an image that cannot be read why, and goes on."""
    from keras_blocks.tuning.detectors.detecting import Detecting
    from keras_blocks.tuning.report.terminal import detections_table

    with usage_errors():
        started = Detecting(model, images, out=out, threshold=threshold)
    rows: list[Any] = []
    read = failed = 0
    try:
        for found in started.run():
            if found.why:
                complain(found.why)
            failed, read = failed + bool(found.why), read + (not found.why)
            rows += [(str(found.image), *detection) for detection in found.detections]
    except KeyboardInterrupt:
        stop("interrupted.", INTERRUPTED)
    for note in started.notes:
        say(note)
    if rows:
        Console().print(detections_table(rows))
    say(f"{len(rows)} objects in {read} images" + (f"; pictures and detections.json are in {out}" if out else ""))
    if failed:
        raise typer.Exit(FAILED)
