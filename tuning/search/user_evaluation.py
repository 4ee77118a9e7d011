"""Evaluation of a saved model on data of a user's own, by the metrics that it was compiled with."""

from pathlib import Path
from typing import Any

import keras

from keras_blocks.tuning.console import without_dump
from keras_blocks.tuning.training.evaluation import model_file
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.given_training import tested
from keras_blocks.tuning.user_spaces.user_things import named


def evaluate_own(model: str | Path, data: str) -> dict[str, Any]:
    """Loads a model and evaluates it on the test part of a user's own data.

    Args:
        model: path of a `.keras` file, or of a run folder for its best.keras.
        data: where the function is that gives the data, "my_module:my_data". Its module is imported first, so that a
            model with layers or losses of the user's own finds them there, if they are registered.

    Returns:
        `model`, `data`, and `metrics`: name -> value.

    Raises:
        TypeError, ValueError: for a file that cannot be loaded or was saved without `compile`, for data without a test
            part, and for such as the model does not take.
    """
    path = model_file(model)
    function, where = named(data, "data")
    given = GivenData.from_function(function, where["label"])
    if given.test is None:
        raise ValueError(f"`data`: {data} must return a test part, (train, validation, test), to evaluate on.")
    try:
        loaded = keras.saving.load_model(path)
    except Exception as error:  # as users' code goes, of any kind
        raise ValueError(
            f"`model`: {path} cannot be loaded: {without_dump(error)[:500]} Its own layers and losses must be "
            f"registered (keras.saving.register_keras_serializable) in what {data.partition(':')[0]} imports."
        ) from error
    try:
        metrics = tested(loaded, given)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`data`: {path} cannot be evaluated on the test part of {data}: {without_dump(error)[:300]}"
        ) from error
    if metrics is None:
        raise ValueError(f"`model`: {path} was saved without `compile`, so it has no metrics to evaluate by.")
    return {"model": str(path), "data": where["label"], "metrics": metrics}
