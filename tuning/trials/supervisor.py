"""Supervisor: has one trial after another trained in a process of its own, and outlives whatever happens to that."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from keras_blocks.tuning.files import DiskFull
from keras_blocks.tuning.memory import memory_of_machine
from keras_blocks.tuning.storage.status import Status
from keras_blocks.tuning.trials import protocol
from keras_blocks.tuning.trials.protocol import FinalRequest, Line, Message, Setup, TrialRequest

COMMAND = (sys.executable, "-P", "-m", "keras_blocks.tuning.trials.trial_process")
"""What trains. -P: a file named keras.py in the working directory is not imported."""

Result = dict[str, Any]
OnEpoch = Callable[[int, dict[str, float]], object]
"""Called with the epochs done and the last one's metrics; where it returns True, the trial ends early."""

START_SECONDS = 300
"""Seconds in which the process must have imported the backend and loaded the data."""

POLL_SECONDS = 0.1
"""How long the process is listened to before time, memory and the worker's lease are looked at again."""

MEMORY_SHARE = 0.85
"""The share of the machine's memory that all processes together may take."""

GROWTH, SPARE = 1.3, 256 * 2**20
"""The process is replaced after a trial when its memory has grown by this factor and this many bytes."""

FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that no process of ours sends to itself."""

CRASHES = 2
"""Times that one trial's process may be killed or crash before the trial has failed; it goes on from its checkpoint."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        status: completed, pruned, failed or refused.
        result: plain data, see `trial_process`.
        reason: of a failure or refusal; else empty.
        kept: whether the model was written.
        from_outside: whether a signal ended the process, such as the system sends, and not the trial itself.
    """

    status: Status
    result: Result = dataclasses.field(default_factory=dict)
    reason: str = ""
    kept: bool = False
    from_outside: bool = False


class _Ended(Exception):
    """The process ended by itself, or was killed by another, from outside."""

    def __init__(self, why: str, *, from_outside: bool = False) -> None:
        super().__init__(why)
        self.from_outside = from_outside


class _LimitReached(Exception):
    """The process took too long, or too much memory, and was ended."""


class Supervisor:
    """Trains in a child process, which is used again while it is sound.

    Args:
        setup: what the process loads when it starts.
        log: path of the file that gets what the process prints.
        max_seconds: of one trial; a longer one hangs, and has failed.
        max_memory: bytes of the process; one that takes more is killed, and its trial has failed. By default its share
            of the machine.
        environment: variables of the process, such as CUDA_VISIBLE_DEVICES.
        note: function of a text, told what happens.
        command: what is started, with the socket's handle as its last argument; by default `COMMAND`.
    """

    def __init__(
        self,
        setup: Setup,
        log: str | Path,
        *,
        max_seconds: float,
        max_memory: int | None = None,
        environment: Mapping[str, str] | None = None,
        note: Callable[[str], None] = lambda text: None,
        command: Sequence[str] | None = None,
    ) -> None:
        self.max_seconds = max_seconds
        self.max_memory = max_memory or int(memory_of_machine() * MEMORY_SHARE)
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0
        self._setup, self._log, self._note = setup, Path(log), note
        self._environment, self._command = environment or {}, command or COMMAND
        self._line: Line | None = None
        self._first_memory: int | None = None
        self._trial = ""
        self._idle: Callable[[], None] = lambda: None
        self._limits: tuple[float, int] = (self.max_seconds, self.max_memory)

    def run(
        self,
        request: TrialRequest | FinalRequest,
        *,
        epoch: OnEpoch,
        keep: Callable[[Result], bool] = lambda result: False,
        idle: Callable[[], None] = lambda: None,
        max_seconds: float | None = None,
        max_memory: int | None = None,
    ) -> Outcome:
        """Has a trial trained.

        Args:
            request: what is to be trained.
            epoch: told of each, see `OnEpoch`.
            keep: function of the result, whether the model is to be kept.
            idle: called several times a second.
            max_seconds, max_memory: in place of a trial's.

        Returns:
            An `Outcome`. Whatever happens to the process is one.

        Raises:
            DiskFull: where nothing can be written.
            ValueError: for data and objectives with which no trial can be trained.
        """
        self._trial = f"trial {request.number}: " if isinstance(request, TrialRequest) else ""
        self._idle, self._limits = idle, (max_seconds or self.max_seconds, max_memory or self.max_memory)
        for crash in range(1, CRASHES + 1):
            try:
                return self._run(request, epoch, keep)
            except _LimitReached as error:
                return Outcome(Status.FAILED, reason=str(error))
            except _Ended as error:
                self.stop()
                self._note(f"{self._trial}{error}{'' if crash == CRASHES else '; it goes on from its last epoch'}")
                outcome = Outcome(Status.FAILED, reason=str(error), from_outside=error.from_outside)
            except BaseException:
                self.stop()
                raise
        return outcome

    def start(self) -> None:
        """Starts the process, where none is there.

        Raises:
            ValueError: where it cannot use the data.
        """
        if self.process is not None and self.process.poll() is None:
            return
        self.stop()
        ours, theirs = socket.socketpair()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **self._environment},
                start_new_session=True,  # Ctrl-C reaches the supervisor alone
            )
        theirs.close()
        self._line = Line(Connection(ours.detach()))
        self._first_memory = None
        self.started += 1
        self._say(self._setup)
        try:
            said = self._hear(time.monotonic(), START_SECONDS)
        except _LimitReached as error:
            raise _Ended(str(error)) from error
        if isinstance(said, protocol.Failed):
            self.stop()
            raise ValueError(f"`data`: {said.reason}" + "." * (not said.reason.endswith(".")))

    def stop(self) -> None:
        """Ends the process, and whatever it has started: they are one group, also where the process itself is gone."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
        if self._line is not None:
            self._line.connection.close()
            self._line = None

    def memory(self) -> int:
        """Bytes of the process, 0 where there is none."""
        if self.process is None:
            return 0
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    def _run(self, request: TrialRequest | FinalRequest, epoch: OnEpoch, keep: Callable[[Result], bool]) -> Outcome:
        self.start()
        began = time.monotonic()
        self._say(request)
        outcome = Outcome(Status.FAILED)
        while True:
            match self._hear(began, self._limits[0]):
                case protocol.Epoch(done, logs):
                    stop = bool(epoch(done, logs))
                    if isinstance(request, TrialRequest) and request.asks:
                        self._say(protocol.Answer(stop))
                case protocol.Note(text):
                    self._note(f"{self._trial}{text}")
                case protocol.Failed(reason, True):
                    self.stop()
                    raise ValueError(reason)
                case protocol.Failed(reason):
                    return Outcome(Status.FAILED, reason=reason)
                case protocol.Full():
                    raise DiskFull("the disk is full")
                case protocol.TooSlow(result):
                    return Outcome(Status.REFUSED, result, f"{result['latency']} seconds for one image")
                case protocol.Trained(result, pruned):
                    outcome = Outcome(Status.PRUNED if pruned else Status.COMPLETED, result)
                    if isinstance(request, FinalRequest):
                        return outcome
                    kept = not pruned and keep(result)
                    self._say(protocol.Answer(kept))
                    if not kept:
                        return self._checked(outcome)
                case protocol.Kept():
                    return self._checked(dataclasses.replace(outcome, kept=True))

    def _checked(self, outcome: Outcome) -> Outcome:
        """Replaces a process that has grown."""
        memory = self.memory()
        self._first_memory = self._first_memory or memory
        if memory > GROWTH * self._first_memory + SPARE:
            self._note(
                f"the process that trains had grown from {_megabytes(self._first_memory)} to {_megabytes(memory)} MB "
                "and was replaced"
            )
            self.stop()
        return outcome

    def _hear(self, began: float, max_seconds: float) -> Message:
        """What the process says next, of a trial that began at a `time.monotonic()`."""
        assert self._line is not None
        while True:
            try:
                if self._line.connection.poll(POLL_SECONDS):
                    return self._line.hear()
            except (EOFError, OSError) as error:
                raise self._ended() from error
            self._idle()
            if time.monotonic() - began > max_seconds:
                self.stop()
                raise _LimitReached(f"hung: not done after {max_seconds:g} seconds")
            memory, most_memory = self.memory(), self._limits[1]
            if memory > most_memory:
                self.stop()
                taken, most = _megabytes(memory), _megabytes(most_memory)
                raise _LimitReached(f"out of memory: took {taken:,} MB of {most:,} MB")

    def _say(self, message: Message) -> None:
        assert self._line is not None
        try:
            self._line.say(message)
        except OSError as error:
            raise self._ended() from error

    def _ended(self) -> _Ended:
        assert self.process is not None
        code = self.process.wait()
        if code >= 0:
            return _Ended(f"the process that trains it ended with code {code}: {_last_line(self._log)}")
        name = signal.Signals(-code).name
        likely = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        why = f"the process that trains it was ended by {name}{likely}"
        return _Ended(why, from_outside=-code in FROM_OUTSIDE)


def _megabytes(size: float) -> int:
    return round(size / 2**20)


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4000))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
