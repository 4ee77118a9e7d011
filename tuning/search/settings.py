"""What a search, or the training of one model, is told to do."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from keras_blocks.tuning.search.settings_table import NamedSettings, check_settings, documented, setting, settings_of

if TYPE_CHECKING:
    from keras_blocks.tuning.data.dataset import Dataset
    from keras_blocks.tuning.objectives import Objective
    from keras_blocks.tuning.spaces.budget import Budget
    from keras_blocks.tuning.storage.trial import Trial
    from keras_blocks.tuning.study.pruners import Rungs

SpaceName = Literal["squeezenet", "vgg", "resnet", "resnext", "senet", "densenet", "inception", "any"]
SamplerName = Literal["tpe", "random", "gp", "cmaes", "nsgaii", "qmc", "grid", "morph"]
PrunerName = Literal["auto", "none", "median", "hyperband"]
ObjectiveName = Literal["val_accuracy", "val_loss", "params", "macs", "activation_bytes", "latency", "seconds"]
Augmentation = Literal["none", "light", "strong"]
# fmt: off
OptimizerName = Literal[
    "adamw", "sgd", "adam", "adamax", "adafactor", "lamb", "muon", "nadam", "schedulefreeadamw", "adadelta", "adagrad",
    "ftrl", "lion", "rmsprop",
]
# fmt: on
ScheduleName = Literal[
    "cosine", "constant", "cosine_restarts", "exponential", "inverse_time", "linear", "piecewise", "polynomial"
]
ClassWeight = Literal["none", "balanced"]
Pixels = Literal["torch", "caffe", "tf"]

WEIGHTS_HELP = """Weights to begin with: imagenet, hf://owner/name, or a file; of a detector, its backbone's.
All but the last layer is taken from weights for other classes."""
PIXELS_HELP = "How these weights want their pixels: {choices}."
DATA_ID_HELP = "What tells data of your own from others, where they are not all arrays."
DATA_HELP = "digits, mnist, fashion_mnist, cifar10, cifar100, a folder of images by class, a .csv or an .npz file."
MEMORY_HELP = """Bytes that a folder's images may take in each process.
More are decoded once into a file, and read from it as they are needed."""
SIZE_HELP = "Height x width to which a folder's images are resized: 64 or 48x64."
PARTS_HELP = """A part of the space: groups=3, version=v1,v2, filters=16..64, learning_rate=1e-4..1e-2. \
All have optimizer, learning_rate, weight_decay, batch_size, augmentation, warmup, lottery, schedule, \
label_smoothing, class_weight; all but any have groups, \
filters, dropout, activation, batch_norm. An unknown name lists those of the space.
From Python a dict: name -> such a text, an `hp_range` or `hp_choice`, or its `get_config()`."""
PATIENCE_HELP = "Epochs without a better one after which a trial's training ends."
FOLDS_HELP = """Folds of cross-validation: each trial trains so many times, and its value is the mean.
The training and the validation images together are divided; with them there is no pruner."""
CALLBACKS_HELP = """Callbacks of your own: a function my_module:my_callbacks that returns a list of them.
It is called for each training, in its process; the metrics that they add to the logs can be objectives."""
TRIALS_HELP = "Candidates to train.\nThose refused for the budget and duplicates have numbers and do not count."
OBJECTIVES_HELP = """{choices}, or a metric that fit logs with its direction, as val_auc:max; several give a front.
Latency is of one image, seconds are of training. For several, the sampler must take them, and there is no pruner."""
PRUNER_HELP = """{choices}.
auto is hyperband where --max-seconds are given, else none; a search goes on with what it was begun with.
hyperband drops two thirds of the trials after 3, 9, 27 ... epochs; median those below the median after any from 3 on. \
What decides is validated with BatchNormalization's statistics taken anew from 16 batches."""
SAMPLER_HELP = """{choices}.
morph breeds: a child is one of the best trials, or of the front, with one to three values changed, and begins with \
its weights; the first four, and those of --begin, have no parent."""
BEGIN_HELP = """What is tried first: {choices}.
sizes are up to four networks of those of 50 draws that are within the budget, with the default training: a large, a \
small, a larger and a middle one; largest the 10 largest of 200; defaults the space's; none leaves it to the sampler.
auto is sizes, but none with data or a space of your own or with random, qmc, grid; a search goes on as it was begun."""
STOP_HELP = """auto: the search stops when 30 trials in a row were no better than the best.
It is asked with one objective only, of 20 trials or more, by Optuna's terminator."""
TRACKER_HELP = """Log each training to {choices}, by Keras' or MLflow's own callback.
By default in the run's folder; nothing else is reached. A trial that goes on goes on in its log."""
TRACKER_AT_HELP = """Where the tracker logs: a folder, or MLflow's tracking URI, as http://host:5000.
Users and passwords stand in MLflow's own variables of the environment."""
FIRST_RUNG_HELP = "Epochs before a pruner may end a trial."
NORM_HELP = """Add batch normalization to a model that was published without.
Plain ones with ReLU hardly train from random weights without."""


class DataSettings(NamedSettings):
    """Settings that name data."""

    data: str
    image_size: tuple[int, int] | None
    data_memory: int
    seed: int

    def dataset(self) -> Dataset:
        """The images in classes that they name."""
        from keras_blocks.tuning.data.load import load_dataset  # help is shown without it

        return load_dataset(self.data, seed=self.seed, image_size=self.image_size, memory=self.data_memory)


changeable = functools.partial(setting, changeable=True)


def _objective_name(given: Any) -> str:
    from keras_blocks.tuning.objectives import objective_name  # help is shown without it

    return objective_name(given)


@documented
@dataclasses.dataclass(frozen=True)
class SearchSettings(DataSettings):
    """The settings of a search, checked.

    A search is only gone on with where those are the same that its trials' results depend on.

    Args:

    Raises:
        TypeError, ValueError: for a value out of range, naming it and what is allowed.

    Example:

    >>> SearchSettings(data="digits", epochs=3).trials
    8
    """

    model: SpaceName = setting("squeezenet", "Search space: {choices}.")
    data: str = changeable("digits", DATA_HELP)  # they are known by their contents
    data_id: str | None = changeable(None, DATA_ID_HELP)  # it is the data's fingerprint
    image_size: tuple[int, int] | None = setting(None, SIZE_HELP)
    data_memory: int = changeable(2**30, MEMORY_HELP, 0, shown_default="1 GiB")
    parts: dict[str, Any] = setting({}, PARTS_HELP, option="--set")
    trials: int = changeable(8, TRIALS_HELP, 1, 1_000_000)
    epochs: int = setting(5, "Of each trial; with a pruner the most.", 1, 100_000)
    patience: int | None = setting(None, PATIENCE_HELP, 1, 100_000)
    final_epochs: int = changeable(
        20, "Of the best one's training.\nIt begins anew, and its model is kept.", 1, 100_000
    )
    sampler: SamplerName = setting("tpe", SAMPLER_HELP)
    begin: Literal["auto", "none", "sizes", "largest", "defaults"] | None = setting("auto", BEGIN_HELP)
    pruner: PrunerName = setting("auto", PRUNER_HELP)
    first_rung: int | None = setting(None, FIRST_RUNG_HELP, 1, 100_000, shown_default="3")
    first_rung_steps: int | None = setting(None, "Steps before a pruner ends a trial, where these are more.", 1)
    objectives: tuple[ObjectiveName | str, ...] = setting(
        ("val_accuracy",), OBJECTIVES_HELP, option="--objective", read=_objective_name
    )
    stop: Literal["auto"] | None = changeable(None, STOP_HELP)
    max_params: int | None = setting(None, "Most parameters of a candidate.", 1)
    max_macs: int | None = setting(None, "Most multiply-adds for one image.", 1)
    max_activation_bytes: int | None = setting(None, "Most bytes of activations for one image.", 1)
    max_latency: float | None = setting(None, "Most seconds for one image, measured here.", 1e-9, 1e6)
    max_seconds: float | None = changeable(None, "Of the whole search, all its sessions together.", 1e-3, 1e9)
    max_trial_seconds: float = changeable(3600, "Of a trial, which else hangs and has failed.", 1e-3, 1e9)
    max_memory: int | None = changeable(
        None, "Bytes that a trial may take.", 2**27, shown_default="its share of the machine"
    )
    keep: int = changeable(1, "Best trials whose models are kept.", 1, 10_000)
    folds: int | None = setting(None, FOLDS_HELP, 2, 100)
    callbacks: str | None = setting(None, CALLBACKS_HELP)
    tracker: Literal["tensorboard", "mlflow"] | None = changeable(None, TRACKER_HELP)
    tracker_at: str | None = changeable(None, TRACKER_AT_HELP)
    keep_weights: bool = setting(False, "Go on from an earlier trial's weights of the same architecture.")
    workers: int = changeable(1, "Trials at a time on this machine.", 1, 1000)
    grace: int = changeable(60, "Seconds without a sign of life until another worker takes a trial on.", 1, 86_400)
    seed: int = setting(0, "Of everything that is drawn.", 0, 2**32 - 1)

    def __post_init__(self) -> None:
        from keras_blocks.tuning.objectives import COSTS
        from keras_blocks.tuning.study.dimension import Dimension
        from keras_blocks.tuning.study.samplers import SINGLE_OBJECTIVE

        check_settings(self)
        parts = {name: part.get_config() if isinstance(part, Dimension) else part for name, part in self.parts.items()}
        object.__setattr__(self, "parts", parts)
        first, *others = self.objectives
        if others and self.stop is not None:
            raise ValueError(f"`stop` must be left out with {len(others) + 1} objectives; received {self.stop!r}.")
        if others and self._is_pruned:
            raise ValueError(f"`pruner` must be 'none' with {len(others) + 1} objectives; received {self.pruner!r}.")
        if self._is_pruned and first in COSTS:
            raise ValueError(
                f"`pruner` must be 'none' where the objective, {first!r}, is not known after each epoch; received "
                f"{self.pruner!r}."
            )
        for name, off, is_on in (("pruner", "none", self._is_pruned), ("keep_weights", False, self.keep_weights)):
            if self.folds is not None and is_on:
                given = getattr(self, name)
                raise ValueError(f"`{name}` must be {off!r} with `folds`; received {given!r} with {self.folds} folds.")
        if self.folds is not None and self.breeds:
            raise ValueError(
                f"`sampler` must be another than 'morph' with `folds`: a fold's model would begin with what its parent "
                f"learned of the images that it is validated on; received 'morph' with {self.folds} folds."
            )
        if self.breeds and self.keep_weights:
            raise ValueError(
                "`keep_weights` must be False with the sampler 'morph', whose children begin with their parents' "
                "weights as it is; received True."
            )
        if others and self.sampler in SINGLE_OBJECTIVE:
            raise ValueError(
                f"`sampler` must take {len(others) + 1} objectives, as 'nsgaii'; received {self.sampler!r}."
            )

    @classmethod
    def of(cls, stored: Any, **changes: Any) -> SearchSettings:
        """Settings that a run or a study has kept, perhaps somebody else's.

        Raises:
            TypeError, ValueError: for such as this version does not take.
        """
        if not isinstance(stored, dict):
            raise TypeError(f"`settings`, as the search has kept them, must be a dict; received {stored!r}.")
        if unknown := sorted(stored.keys() - {field.name for field in dataclasses.fields(cls)}):
            raise ValueError(
                f"`settings`: the search was begun with {', '.join(unknown)}, which this version does not have; go on "
                "with the version of keras-blocks that began it."
            )
        return cls(**{**stored, **changes})

    @property
    def _is_pruned(self) -> bool:
        return self.pruner not in ("none", "auto")

    def settled(self, begun: Any = None, *, sized: bool = False) -> tuple[SearchSettings, Rungs]:
        """These with nothing left to auto, and when a pruner, and a trial's end, decides.

        Args:
            begun: the identity that the search was begun with, perhaps by an earlier version; `None` for a new one.
            sized: whether the space knows which of its dimensions say how large a model is.

        Raises:
            TypeError, ValueError: for an identity of another kind.
        """
        from keras_blocks.tuning.objectives import COSTS
        from keras_blocks.tuning.study.pruners import FIRST_RUNG, PRUNERS, Rungs

        pruner: Any = self.pruner
        if pruner == "auto" and isinstance(begun, dict):
            pruner = begun.get("settings", {}).get("pruner")
        if pruner not in PRUNERS[1:]:
            may_be = len(self.objectives) == 1 and self.objectives[0] not in COSTS and self.folds is None
            pruner = "hyperband" if may_be and self.max_seconds is not None else "none"
        begin: Any = None if self.begin == "none" else self.begin
        if begin == "auto" and isinstance(begun, dict):
            begin = begun.get("settings", {}).get("begin")
        elif begin == "auto":
            begin = "sizes" if sized and self.sampler not in ("random", "qmc", "grid") else None
        settled = dataclasses.replace(self, pruner=pruner, begin=begin)
        if begun is not None:
            said = begun.get("rungs") if isinstance(begun, dict) else None
            return settled, Rungs.before(said, pruner, self.epochs)
        return settled, Rungs(pruner, self.epochs, self.first_rung or FIRST_RUNG)

    @property
    def budget(self) -> Budget:
        """What a candidate may cost."""
        from keras_blocks.tuning.spaces.budget import Budget

        return Budget(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Budget)})

    @property
    def judged_by(self) -> tuple[Objective, ...]:
        """The objectives."""
        from keras_blocks.tuning.objectives import objective_named

        return tuple(map(objective_named, self.objectives))

    @property
    def monitor(self) -> str:
        """The metric whose best epoch is a trial's: the first objective that a training logs, in a word; or ""."""
        from keras_blocks.tuning.objectives import COSTS

        return next((name for name in self.objectives if name not in COSTS), "")

    @property
    def breeds(self) -> bool:
        """Whether trials are children of others, and begin with their weights."""
        return self.sampler == "morph"

    @property
    def measures_latency(self) -> bool:
        return self.max_latency is not None or "latency" in self.objectives

    def identity(self) -> dict[str, Any]:
        """Those settings on which the trials' results depend, as plain data."""
        return {item.name: getattr(self, item.name) for item in settings_of(type(self)) if not item.changeable}

    def kept_numbers(self, trials: Sequence[Trial]) -> list[int]:
        """The numbers of the trials whose models are kept: of the best, and of those that run, which may be there."""
        from keras_blocks.tuning.objectives import ranking
        from keras_blocks.tuning.storage.status import Status

        running = (trial for trial in trials if trial.status is Status.RUNNING)
        return [trial.number for trial in (*ranking(trials, self.judged_by)[: self.keep], *running)]

    def kept_weights(self, trials: Sequence[Trial]) -> set[int]:
        """The numbers of the trials whose weights are kept: of who may have children, and of those whose have begun."""
        from keras_blocks.tuning.storage.status import Status
        from keras_blocks.tuning.study.breeding import population

        if not self.breeds:
            return set()
        signs = [1 if one.direction == "minimize" else -1 for one in self.judged_by]
        grown_up = population({trial.number: trial.objectives for trial in trials if trial.completed}, signs)
        unfinished = [trial for trial in trials if trial.status in (Status.RUNNING, Status.WAITING)]
        numbers = [number for trial in unfinished for number in (trial.number, trial.parent)]
        return {number for number in (*grown_up, *numbers) if number is not None}


@documented
@dataclasses.dataclass(frozen=True)
class TrainingSettings(DataSettings):
    """The settings of one model's training, checked.

    Args:

    Raises:
        TypeError, ValueError: for a value out of range, naming it and what is allowed.

    Example:

    >>> TrainingSettings(epochs=3).augmentation
    'light'
    """

    data: str = setting("digits", DATA_HELP)
    image_size: tuple[int, int] | None = setting(None, SIZE_HELP)
    data_memory: int = setting(2**30, MEMORY_HELP, 0, shown_default="1 GiB")
    epochs: int = setting(30, "Of the training.", 1, 100_000)
    patience: int | None = setting(None, "Epochs without a lower validation loss after which it ends.", 1, 100_000)
    optimizer: OptimizerName = setting("adamw", "{choices}.")
    learning_rate: float = setting(3e-3, "At the beginning, for AdamW; others want others.", 1e-8, 10)
    schedule: ScheduleName = setting("cosine", "How the learning rate falls: {choices}.")
    weight_decay: float = setting(1e-4, "Of the optimizer.", 0, 10)
    label_smoothing: float = setting(0.0, "Share of a label that is spread over all classes.", 0, 0.99)
    class_weight: ClassWeight = setting("none", "{choices}: all classes weigh as much as each other.")
    batch_size: int = setting(32, "Images in a step.", 1, 2**20)
    augmentation: Augmentation = setting("light", "{choices}.")
    batch_norm: bool = setting(True, NORM_HELP, option="--batch-norm/--no-batch-norm", shown_default="batch-norm")
    callbacks: str | None = setting(None, CALLBACKS_HELP)
    weights: str | None = setting(None, WEIGHTS_HELP, shown_default="random ones")
    normalization: Pixels | None = setting(None, PIXELS_HELP, shown_default="as published, for imagenet")
    seed: int = setting(0, "Of everything that is drawn, from 0.", 0, 2**32 - 1)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.normalization is not None and self.weights is None:
            raise ValueError(f"`normalization` goes with `weights`; received {self.normalization!r} without.")
