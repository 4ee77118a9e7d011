"""What lies in a storage of a search, to be read by whoever takes no part in it."""

import contextlib

import optuna

from keras_blocks.tuning.study.store import StudyStorage


@contextlib.contextmanager
def stored_study(name: str, url: str):
    """Optuna's study of a search, with the attribute "search" that `Session.publish` wrote.

    Args:
        name: of the study.
        url: of its storage.

    Raises:
        ValueError: where the storage has no such search.
    """
    storage = StudyStorage(url)
    try:
        names = optuna.study.get_all_study_names(storage.rdb)
        study = optuna.load_study(study_name=name, storage=storage.rdb) if name in names else None
        if study is None or "search" not in study.user_attrs:
            raise ValueError(f"`study`: {storage} has no search {name!r}; there are {sorted(names) or 'none'}.")
        yield study
    finally:
        storage.close()
