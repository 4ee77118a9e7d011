"""The report of a run folder: its study's trials as one HTML page."""

import dataclasses
from pathlib import Path

from keras_blocks.tuning.engine import Engine
from keras_blocks.tuning.html_report import write_report
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.storage import sqlite_url
from keras_blocks.tuning.study import quiet_optuna


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
    with quiet_optuna():
        engine = Engine.joined(name, url, folder)
        try:
            settings = engine.settings
            notes = {
                "data": settings.data,
                "search space": engine.space.name,
                "settings": {key: value for key, value in dataclasses.asdict(settings).items() if value is not None},
                "versions": described["versions"],
                "Keras backend": described["backend"],
            }
            return write_report(
                engine.study.trials(),
                settings.directions,
                folder.report,
                title=f"Search of {engine.space.name} on {Path(settings.data).name}: {name}",
                notes=notes,
                study=engine.study,
            )
        finally:
            engine.study.close()
