"""The report of a run folder: a search's trials, or a training, as one HTML page."""

from pathlib import Path
from typing import Any

from keras_blocks.tuning.report.html_report import write_report, write_training_report
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.study.objectives import OBJECTIVES
from keras_blocks.tuning.study.store import quiet_optuna, sqlite_url, stored_study
from keras_blocks.tuning.study.trial import Trial


def write_run_report(folder: RunFolder) -> Path:
    """Writes report.html into the folder of a search, also while it runs, or of a training that is done.

    Args:
        folder: a `RunFolder`.

    Returns:
        The path of the page.

    Raises:
        ValueError: where the folder is neither's, and where its training is not done.
    """
    run, result = folder.describe(), folder.results()
    if run.get("kind") == "search":
        return _write_search_report(folder, run, result)
    if run.get("kind") != "train":
        raise ValueError(f"`run` must be the folder of a search or a training; {folder} is a {run.get('kind')!r} run.")
    if result is None:
        raise ValueError(f"`run`: the training of {folder} is not done; it has a report when it is.")
    notes = {name: value for name, value in run.items() if name not in ("mark", "kind")}
    return write_training_report(result, folder.report, title=f"{run['model']} on {result['data']}", notes=notes)


def _write_search_report(folder: RunFolder, run: dict[str, Any], result: dict[str, Any] | None) -> Path:
    name, url = folder.path.name, run["storage"] or sqlite_url(folder.study)
    # Read alone: also a study whose space this version of the library declares otherwise.
    with quiet_optuna(), stored_study(name, url) as study:
        about = study.user_attrs["search"]
        settings, space = about["settings"], about["space"]["name"]
        return write_report(
            [Trial.of(frozen) for frozen in study.get_trials(deepcopy=False)],
            [OBJECTIVES[objective] for objective in settings["objectives"]],
            folder.report,
            title=f"Search of {space} on {Path(settings['data']).name}: {name}",
            notes={
                "data": settings["data"],
                "search space": space,
                "settings": {key: value for key, value in settings.items() if value is not None},
                "versions": run["versions"],
                "Keras backend": about["backend"],
            },
            study=study,
            result=result,
        )
