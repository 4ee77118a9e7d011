"""The report of a run folder: its study's trials as one HTML page."""

from pathlib import Path

from keras_blocks.tuning.report.html_report import write_report
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.study.objectives import OBJECTIVES
from keras_blocks.tuning.study.store import sqlite_url
from keras_blocks.tuning.study.stored_study import stored_study
from keras_blocks.tuning.study.study import quiet_optuna
from keras_blocks.tuning.study.trial import Trial


def write_search_report(folder: RunFolder) -> Path:
    """Writes report.html into the folder of a search, also while it runs.

    Args:
        folder: a `RunFolder`.

    Returns:
        The path of the page.

    Raises:
        ValueError: where the folder is not a search's.
    """
    described = folder.describe()
    if described.get("kind") != "search":
        raise ValueError(f"`run` must be the folder of a search; {folder} is a {described.get('kind')!r} run.")
    name, url = folder.path.name, described["storage"] or sqlite_url(folder.study)
    # Read alone: also a study whose space this version of the library declares otherwise.
    with quiet_optuna(), stored_study(name, url) as study:
        about = study.user_attrs["search"]
        settings, space = about["settings"], about["space"]["name"]
        return write_report(
            [Trial.of(frozen) for frozen in study.get_trials(deepcopy=False)],
            [OBJECTIVES[name] for name in settings["objectives"]],
            folder.report,
            title=f"Search of {space} on {Path(settings['data']).name}: {name}",
            notes={
                "data": settings["data"],
                "search space": space,
                "settings": {key: value for key, value in settings.items() if value is not None},
                "versions": described["versions"],
                "Keras backend": about["backend"],
            },
            study=study,
        )
