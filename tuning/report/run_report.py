"""The report of a run folder: a search's trials, or a training, as one HTML page."""

from pathlib import Path
from typing import Any

from keras_blocks.core.extras import require
from keras_blocks.tuning.objectives import objective_named
from keras_blocks.tuning.report.html_report import (
    write_detector_report,
    write_report,
    write_training_report,
)
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.storage.place import Place
from keras_blocks.tuning.storage.store import quiet_optuna, stored_study
from keras_blocks.tuning.storage.trial import Trial

ENDED = {"ended": "why it ended", "tracker": "logged besides"}
"""What a search's result.json says of its end, in words."""


def write_run_report(folder: RunFolder, *, storage: str | None = None) -> Path:
    """Writes report.html into the folder of a search, also while it runs, or of a training that is done.

    A detector's has pictures of what it finds, for which Pillow must be there.

    Args:
        folder: a `RunFolder`.
        storage: URL of the study's storage, where it is not in the folder. It is only read.

    Returns:
        The path of the page.

    Raises:
        ValueError: where the folder is neither's, where its training is not done, and where what it holds is not what
            a run writes.
    """
    kind = folder.describe().get("kind")
    if kind not in ("search", "train", "detector"):
        raise ValueError(f"`run` must be the folder of a search or a training; {folder} is a {kind!r} run.")
    run, result = folder.describe(kind), folder.results()
    if kind == "detector":
        require("PIL", "detection")
    try:
        return _write_search_report(folder, run, result, storage) if kind == "search" else _write(folder, run, result)
    except (KeyError, IndexError, TypeError, AttributeError) as error:  # of a folder that may come from anyone
        raise ValueError(
            f"`run`: {folder} cannot be reported on: its files do not say what a run's do ({error!r})."
        ) from error


def _write(folder: RunFolder, run: dict[str, Any], result: dict[str, Any] | None) -> Path:
    if result is None:
        raise ValueError(f"`run`: the training of {folder} is not done; it has a report when it is.")
    notes = {name: value for name, value in run.items() if name not in ("mark", "kind")}
    about: dict[str, Any] = {"title": f"{run['model']} on {result['data']}", "notes": notes}
    if run["kind"] == "detector":
        return write_detector_report(result, folder.pictures(), folder.report, **about)
    return write_training_report(result, folder.report, **about)


def _write_search_report(
    folder: RunFolder, run: dict[str, Any], result: dict[str, Any] | None, storage: str | None
) -> Path:
    place = Place.before(run, folder.path.name, folder.study, storage)
    # Read alone: also a study whose space this version of the library declares otherwise.
    with quiet_optuna(), stored_study(place.study, place.url) as study:
        about = study.user_attrs["search"]
        settings, space = about["settings"], about["space"]["name"]
        return write_report(
            [Trial.of(frozen) for frozen in study.get_trials(deepcopy=False)],
            [objective_named(objective) for objective in settings["objectives"]],
            folder.report,
            title=f"Search of {space} on {Path(settings['data']).name}: {folder.path.name}",
            notes={
                "data": settings["data"],
                "search space": space,
                "settings": {key: value for key, value in settings.items() if value is not None},
                "versions": run["versions"],
                "Keras backend": about["backend"],
                **{
                    words: result[name] for name, words in ENDED.items() if result and isinstance(result.get(name), str)
                },
            },
            study=study,
            result=result,
        )
