"""Status: what can have become of a trial."""

import enum


class Status(enum.StrEnum):
    """What has become of a trial, in the words in which it is stored and shown.

    Example:

    >>> Status("pruned").meaning
    'ended early, as others were better at the same epoch'
    """

    COMPLETED = "completed", "trained to the end"
    PRUNED = "pruned", "ended early, as others were better at the same epoch"
    FAILED = "failed", "could not be trained"
    RUNNING = "running", "being trained"
    WAITING = "waiting", "for a worker: left by its own, or asked for"
    REFUSED = "refused", "above the budget, never trained"
    DUPLICATE = "duplicate", "the same model and training as an earlier one, never trained again"

    meaning: str

    def __new__(cls, word: str, meaning: str = "") -> "Status":
        status = str.__new__(cls, word)
        status._value_ = word
        status.meaning = meaning
        return status

    @property
    def counted(self) -> bool:
        """Whether it is one of the trials that were asked for; what is refused or a duplicate takes no time."""
        return self not in (Status.REFUSED, Status.DUPLICATE)

    @property
    def ended(self) -> bool:
        """Whether it was trained, and will not be again."""
        return self in (Status.COMPLETED, Status.PRUNED, Status.FAILED)
