"""What a search is told to do."""

import dataclasses

from keras_blocks import validation

TUNERS = ("random", "bayesian", "hyperband", "grid")


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """The settings of a search, checked. A run folder holds them, and a search is only resumed with the same.

    Args:
        model: name of a search space.
        data: name or path of a dataset, see `load_dataset`.
        image_size: (height, width) or one number, for a folder of images.
        trials: how many candidates are trained. `None` is 8, but for Hyperband as many as its brackets hold; there, a
            number stops it early.
        epochs: of each trial; for Hyperband the most of one.
        final_epochs: of the best candidate's training, from the beginning, for the model that is kept.
        tuner: "random", "bayesian", "hyperband" or "grid".
        max_params: most parameters of a candidate, or `None`.
        seed: of everything that is drawn, from 0.

    Raises:
        TypeError, ValueError: for a value out of range, naming it and what is allowed.

    Example:

    >>> SearchSettings(data="digits", epochs=3).trials
    8
    """

    model: str = "squeezenet"
    data: str = "digits"
    image_size: tuple | None = None
    trials: int | None = None
    epochs: int = 5
    final_epochs: int = 20
    tuner: str = "random"
    max_params: int | None = None
    seed: int = 0

    def __post_init__(self):
        from keras_blocks.tuning.spaces import space_of

        space_of(self.model)
        validation.choice("tuner", self.tuner, TUNERS)
        if self.trials is None and self.tuner != "hyperband":
            object.__setattr__(self, "trials", 8)
        if self.image_size is not None:
            object.__setattr__(self, "image_size", validation.pair("image_size", self.image_size))
        for name, least, most in (
            ("trials", 1, 100_000),
            ("epochs", 1, 100_000),
            ("final_epochs", 1, 100_000),
            ("max_params", 1, 2**40),
            ("seed", 0, 2**32 - 1),
        ):
            if getattr(self, name) is not None or name not in ("trials", "max_params"):
                validation.integer(name, getattr(self, name), least=least, most=most)

    def differences(self, other) -> list[str]:
        """What another's settings have otherwise, as text."""
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return [f"{name}={theirs[name]!r} there and {mine[name]!r} here" for name in mine if mine[name] != theirs[name]]
