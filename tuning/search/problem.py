"""What a search is about: a space and data, taken as users give them."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from keras_blocks.tuning.console import is_place
from keras_blocks.tuning.data.dataset import Dataset
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.settings import SearchSettings
from keras_blocks.tuning.spaces.architecture import HyperArchitecture
from keras_blocks.tuning.spaces.families import space_for
from keras_blocks.tuning.trials.callbacks import place_of_callbacks
from keras_blocks.tuning.user_spaces.folds import check_folds
from keras_blocks.tuning.user_spaces.given_data import GivenData
from keras_blocks.tuning.user_spaces.hyper_model import HyperModelSpace
from keras_blocks.tuning.user_spaces.user_things import Where, named, place_of, thing_at

Space = HyperArchitecture | HyperModelSpace
Given = Any
"""A space as users give it: a hypermodel, ours or any of KerasTuner's, a function, or a text that says where one is."""

TOLD = {"kept_epoch", "epochs", "params"}
"""What result.json must hold, to be told of."""

TOLD_OF_IMAGES = TOLD | {"test_accuracy", "test_correct", "test_images", "val_accuracy"}
"""The same of images in classes."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A search's space and data.

    Attributes:
        settings: with what the data and the space say.
        space: what candidates are drawn from.
        data: images in classes, or a user's own.
        where: the function that gives the data, if there is one.
        callbacks: the function that gives the user's callbacks, if there is one.
    """

    settings: SearchSettings
    space: Space
    data: Dataset | GivenData
    where: Where | None = None
    callbacks: Where | None = None

    @property
    def is_of_images(self) -> bool:
        """Whether its data are images in classes, and not a user's own."""
        return isinstance(self.data, Dataset)

    @property
    def told(self) -> set[str]:
        """What result.json must hold, to be told of."""
        return TOLD_OF_IMAGES if self.is_of_images else TOLD

    def described(self) -> str:
        """The data in words, where they are a user's own."""
        return self.data.described() if isinstance(self.data, GivenData) else self.data.name

    def places(self) -> dict[str, Where | None]:
        """Where another process finds what is the user's own, by a session's arguments."""
        return {"data": self.where, "callbacks": self.callbacks}

    def save_test(self, folder: RunFolder) -> None:
        """Keeps the held-out part, where it is images."""
        if isinstance(self.data, Dataset):
            folder.save_test(self.data)


def problem_of(
    settings: SearchSettings,
    space: Given | None,
    data: Callable[[], Any] | str | None,
    callbacks: Callable[[], Any] | str | None = None,
) -> Problem:
    """What a user gave, checked.

    Args:
        settings: `SearchSettings`.
        space: see `Search`; `None` for the one that `settings.model` names.
        data: see `Search`; `None` for what `settings.data` says.
        callbacks: see `Search`; `None` for those that `settings.callbacks` names.

    Raises:
        TypeError, ValueError: for what can be no space or no data, and for what trials would not find.
    """
    if (callbacks := callbacks or settings.callbacks) is not None:
        where = place_of_callbacks(callbacks)
        settings = dataclasses.replace(settings, callbacks=where["label"])
        return dataclasses.replace(_foldable(_problem_of(settings, space, data)), callbacks=where)
    return _foldable(_problem_of(settings, space, data))


def _foldable(problem: Problem) -> Problem:
    if problem.settings.folds is not None:
        check_folds(problem.data, problem.settings.folds)
    return problem


def _problem_of(settings: SearchSettings, space: Given | None, data: Callable[[], Any] | str | None) -> Problem:
    if data is None and is_place(settings.data):
        data = settings.data
    if space is not None and not isinstance(space, HyperArchitecture):
        space = HyperModelSpace.of(space)
        if isinstance(space.hypermodel, HyperArchitecture) and data is None:
            space = space.hypermodel
    if data is None and not isinstance(space, HyperModelSpace):
        return _of_images(settings, space)
    if space is None:
        raise ValueError(
            "`space` must be given with data of your own, as a space of ours must know the images' size and classes: "
            "HyperResNet((32, 32, 3), classes=10), say, or any keras_tuner.HyperModel or function build(hp)."
        )
    if isinstance(space, HyperArchitecture):
        space = HyperModelSpace.of(space)
    _refuse_settings(settings)
    if data is None:
        given = GivenData.from_dataset(settings.dataset())
        return _checked(Problem(settings, space, given))
    where = _where(data)
    given = GivenData.from_function(thing_at(where), where["label"], settings.data_id)
    return _checked(Problem(dataclasses.replace(settings, data=where["label"]), space, given, where))


def _of_images(settings: SearchSettings, space: HyperArchitecture | None) -> Problem:
    dataset = settings.dataset()
    if space is None:
        space = space_for(settings.model, dataset, settings.parts)
        settings = dataclasses.replace(settings, parts=space.get_config()["parts"])  # as they are read
    return Problem(settings, space, dataset)


def _where(data: Callable[[], Any] | str) -> Where:
    """Where trials find the function that gives the data."""
    if isinstance(data, str):
        thing, where = named(data, "data")
        if not callable(thing):
            raise TypeError(f"`data`: {data} must be a function that returns the data; it is {type(thing).__name__}.")
        return where
    if not inspect.isfunction(data):
        raise TypeError(
            "`data` must be a function that returns (train, validation) or (train, validation, test), which each "
            f"trial's process calls, or its place, 'my_module:my_data'; received a {type(data).__name__}."
        )
    return place_of(data, "data")


def _refuse_settings(settings: SearchSettings) -> None:
    """What is set for spaces of this library alone."""
    if settings.parts:
        raise ValueError(f"`parts` are of this library's spaces; received {settings.parts!r} with a space of your own.")
    for name, said, may_be in (("begin", "sizes", "none, largest or defaults"), ("keep_weights", True, "False")):
        if getattr(settings, name) == said:
            told = "which of its hyperparameters are the model's, and which the training's, is not known"
            raise ValueError(f"`{name}` must be {may_be} with a space of your own: {told}; received {said!r}.")


def _checked(problem: Problem) -> Problem:
    assert isinstance(problem.space, HyperModelSpace) and isinstance(problem.data, GivenData)
    problem.space.check(problem.settings.budget, problem.data.example())
    return problem
