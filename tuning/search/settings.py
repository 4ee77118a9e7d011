"""What a search is told to do."""

import dataclasses

from keras_blocks.core import validation
from keras_blocks.tuning.spaces.budget import Budget
from keras_blocks.tuning.spaces.dimension import Part
from keras_blocks.tuning.study.objectives import OBJECTIVES, Objective, ranking
from keras_blocks.tuning.study.status import Status

CHANGEABLE = (
    "data",
    "trials",
    "final_epochs",
    "keep",
    "workers",
    "max_seconds",
    "max_trial_seconds",
    "max_memory",
    "grace",
)
"""Settings that may be others when a search goes on: its trials still compare. Data are known by their contents."""


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """The settings of a search, checked. A search is only gone on with where those are the same that its trials'
    results depend on.

    Args:
        model: name of a search space.
        parts: parts of it that are fixed, narrowed or widened: name -> a `ranges.Part`, or its `get_config()`.
        data: name or path of a dataset, see `load_dataset`.
        image_size: (height, width) or one number, for a folder of images.
        trials: how many candidates are trained; those refused for the budget and duplicates do not count.
        epochs: of each trial; with a pruner the most.
        final_epochs: of the best candidate's training, from the beginning, for the model that is kept.
        sampler: "tpe", "random", "gp", "cmaes", "nsgaii", "qmc" or "grid".
        pruner: "none", "median" or "hyperband" (successive halving of the epochs).
        objectives: names of what is searched for: "val_accuracy" and "val_loss", "params", "macs",
            "activation_bytes", "latency" (seconds for one image) and "seconds" (of training). Several give a Pareto
            front; then the sampler must take them, and there is no pruner.
        max_params, max_macs, max_activation_bytes, max_latency: see `Budget`.
        max_seconds: of the whole search, all its sessions together; `None`: no limit.
        max_trial_seconds: of one trial; one that is not done by then hangs, and has failed.
        max_memory: bytes that a trial's process may take; by default its share of the machine.
        keep: how many of the best trials' models are kept on disk.
        keep_weights: whether a trial starts from the weights of an earlier one of the same architecture.
        workers: trials at a time on this machine.
        grace: seconds without a sign of life after which another worker takes a trial on.
        seed: of everything that is drawn, from 0.

    Raises:
        TypeError, ValueError: for a value out of range, naming it and what is allowed.

    Example:

    >>> SearchSettings(data="digits", epochs=3).trials
    8
    """

    model: str = "squeezenet"
    parts: dict = dataclasses.field(default_factory=dict)
    data: str = "digits"
    image_size: tuple | None = None
    trials: int = 8
    epochs: int = 5
    final_epochs: int = 20
    sampler: str = "tpe"
    pruner: str = "none"
    objectives: tuple = ("val_accuracy",)
    max_params: int | None = None
    max_macs: int | None = None
    max_activation_bytes: int | None = None
    max_latency: float | None = None
    max_seconds: float | None = None
    max_trial_seconds: float = 3600.0
    max_memory: int | None = None
    keep: int = 1
    keep_weights: bool = False
    workers: int = 1
    grace: int = 60
    seed: int = 0

    def __post_init__(self):
        from keras_blocks.tuning.spaces.names import space_of
        from keras_blocks.tuning.study.samplers import PRUNERS, SAMPLERS, SINGLE_OBJECTIVE

        space_of(self.model)
        parts = {name: part.get_config() if isinstance(part, Part) else part for name, part in self.parts.items()}
        object.__setattr__(self, "parts", parts)
        validation.choice("sampler", self.sampler, tuple(SAMPLERS))
        validation.choice("pruner", self.pruner, PRUNERS)
        if self.image_size is not None:
            object.__setattr__(self, "image_size", validation.pair("image_size", self.image_size))
        names = (self.objectives,) if isinstance(self.objectives, str) else self.objectives
        names = validation.sequence("objectives", names, of="names")
        for name in names:
            validation.choice("objectives", name, tuple(OBJECTIVES))
        if not names or len(set(names)) < len(names):
            raise ValueError(f"`objectives` must be one or more different names; received {tuple(names)}.")
        object.__setattr__(self, "objectives", tuple(names))
        if len(names) > 1 and self.pruner != "none":
            raise ValueError(f"`pruner` must be 'none' with {len(names)} objectives; received {self.pruner!r}.")
        if self.pruner != "none" and names[0] not in ("val_accuracy", "val_loss"):
            raise ValueError(
                f"`pruner` must be 'none' where the objective, {names[0]!r}, is not known after each epoch; received "
                f"{self.pruner!r}."
            )
        if len(names) > 1 and self.sampler in SINGLE_OBJECTIVE:
            raise ValueError(f"`sampler` must take {len(names)} objectives, as 'nsgaii'; received {self.sampler!r}.")
        for name, least, most in (
            ("trials", 1, 1_000_000),
            ("epochs", 1, 100_000),
            ("final_epochs", 1, 100_000),
            ("max_memory", 2**27, 2**60),
            ("keep", 1, 10_000),
            ("workers", 1, 1000),
            ("grace", 1, 86_400),
            ("seed", 0, 2**32 - 1),
        ):
            if getattr(self, name) is not None or name != "max_memory":
                validation.integer(name, getattr(self, name), least=least, most=most)
        for name in ("max_seconds", "max_trial_seconds"):
            if getattr(self, name) is not None or name != "max_seconds":
                validation.number(name, getattr(self, name), least=1e-3, most=1e9)
        validation.boolean("keep_weights", self.keep_weights)
        Budget(**{name: getattr(self, name) for name in Budget.__dataclass_fields__})

    @property
    def budget(self) -> Budget:
        """What a candidate may cost."""
        return Budget(**{name: getattr(self, name) for name in Budget.__dataclass_fields__})

    @property
    def judged_by(self) -> tuple[Objective, ...]:
        """The objectives."""
        return tuple(OBJECTIVES[name] for name in self.objectives)

    @property
    def measures_latency(self) -> bool:
        return self.max_latency is not None or "latency" in self.objectives

    def identity(self) -> dict:
        """Those settings on which the trials' results depend, as plain data."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in CHANGEABLE}

    def kept_numbers(self, trials) -> list[int]:
        """The numbers of the trials whose models are kept: of the best, and of those that run, which may be there."""
        running = (trial for trial in trials if trial.status is Status.RUNNING)
        return [trial.number for trial in (*ranking(trials, self.judged_by)[: self.keep], *running)]
