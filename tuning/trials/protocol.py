"""What a supervisor and the process that trains say to each other: one JSON object for each message, over a socket.

This file needs the standard library alone, so that a process which only speaks starts at once, without Keras.
"""

import dataclasses
import json
from multiprocessing.connection import Connection
from typing import Any

CANDIDATE = ("architecture", "metaparameters", "hyperparameters")
"""The arguments of a `Candidate`."""


class Message:
    """What is said. Its fields are plain data, and come back as JSON gives them: tuples as lists."""


# -- what the supervisor says --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Setup(Message):
    """Comes first. The process loads the data, and is `Ready` or has `Failed`."""

    data: str
    seed: int
    image_size: tuple[int, int] | None
    data_sha256: str  # that the data must have
    imports: list[dict[str, Any]]  # of `user_code.origins`
    task: dict[str, Any] | None = None  # a user's own space, data and their id; `None` for images in classes
    callbacks: dict[str, Any] | None = None  # where the user's function is that makes them
    folds: int | None = None  # of cross-validation
    data_memory: int = 2**30  # bytes that a folder's images may take
    tracker: dict[str, Any] | None = None  # of `trackers.tracker_of`


@dataclasses.dataclass(frozen=True)
class TrialRequest(Message):
    """Train one candidate. The process tells each `Epoch`, then `Trained`, `TooSlow`, `Failed` or `Full`."""

    number: int
    candidate: dict[str, Any]  # the arguments of a `Candidate`
    signature: str  # of what is trained: from a checkpoint of another one it does not go on
    epochs: int
    monitor: str  # the metric whose best epoch is kept, as an objective in a word; "" where none is an objective
    seed: int
    checkpoint: str  # path
    model: str  # path, to which the model goes if `Trained` is answered with yes
    patience: int | None = None
    asks: bool = False  # whether each `Epoch` is answered, with yes to end the trial early
    most_early: int = 0  # steps up to which it does not end early
    deciding: list[int] = dataclasses.field(default_factory=list)  # epochs that are validated honestly
    batches: int = 0  # from which BatchNormalization's statistics are taken for these
    measures_latency: bool = False
    max_latency: float | None = None
    weights: str | None = None  # path of those that it begins with, if there are any
    parent: dict[str, Any] | None = None  # the candidate whose weights they are; `None`: one of the same architecture
    leaves: str | None = None  # path, to which its own weights go if `Trained` is answered with yes


@dataclasses.dataclass(frozen=True)
class FinalRequest(Message):
    """Train the model that the search keeps. The process tells each `Epoch`, then `Trained` with all of result.json."""

    folder: str  # of the run
    candidate: dict[str, Any]
    epochs: int
    seed: int
    notes: dict[str, Any]  # for result.json
    monitor: str = ""  # of a user's own model, the metric whose best epoch is kept


@dataclasses.dataclass(frozen=True)
class Answer(Message):
    """To an `Epoch`, whether the trial is to end; to `Trained`, whether the model is to be kept."""

    yes: bool


# -- what the process says -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Ready(Message):
    """It has the data."""


@dataclasses.dataclass(frozen=True)
class Note(Message):
    """Something that the user should know, such as that a damaged file was set aside."""

    text: str


@dataclasses.dataclass(frozen=True)
class Epoch(Message):
    """So many epochs are done, the last one with these metrics."""

    done: int
    logs: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Trained(Message):
    """What came of the training. Pruned: it was ended early, by an answer."""

    result: dict[str, Any]
    pruned: bool = False


@dataclasses.dataclass(frozen=True)
class Kept(Message):
    """The model was written."""


@dataclasses.dataclass(frozen=True)
class TooSlow(Message):
    """The measured latency is over the budget; nothing was trained."""

    result: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Failed(Message):
    """An error ended the trial, or the data cannot be used."""

    reason: str
    no_trial_could: bool = False  # whether every other trial would fail in the same way


@dataclasses.dataclass(frozen=True)
class Full(Message):
    """The disk is full."""


class Line:
    """One end of the socket."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def say(self, message: Message) -> None:
        self.connection.send_bytes(json.dumps({"kind": type(message).__name__, **vars(message)}).encode())

    def hear(self) -> Message:
        data = json.loads(self.connection.recv_bytes())
        return _KINDS[data.pop("kind")](**data)

    def ask(self, message: Message) -> bool:
        """Says something that is answered with yes or no."""
        self.say(message)
        answer = self.hear()
        assert isinstance(answer, Answer)
        return answer.yes


_KINDS = {kind.__name__: kind for kind in Message.__subclasses__()}
