"""Supervisor: has one trial after another trained in a process of its own, and outlives whatever happens to that."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from keras_blocks.tuning.files import DiskFull
from keras_blocks.tuning.search import trial_process as child

START_SECONDS = 300
"""In which the process must have imported the backend and loaded the data."""

POLL_SECONDS = 0.1

MEMORY_SHARE = 0.85
"""Of the machine's memory, which all processes together may take."""

GROWTH, SPARE = 1.3, 256 * 2**20
"""The process is replaced after a trial when its memory has grown by this factor and this many bytes."""

CRASHES = 2
"""Times that one trial's process may be killed or crash before the trial has failed; it goes on from its checkpoint."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        status: "trained", "pruned", "failed" or "refused".
        result: plain data, see `child`.
        reason: of a failure or refusal.
        kept: whether the model was written.
    """

    status: str
    result: dict = dataclasses.field(default_factory=dict)
    reason: str | None = None
    kept: bool = False


class _Ended(Exception):
    """The process ended by itself, or was killed by another."""


class Supervisor:
    """Trains in a child process, which is used again while it is sound.

    Args:
        setup: plain data: "data", "seed" and "image_size", what the process loads when it starts.
        log: path of the file that gets what the process prints.
        max_seconds: of one trial; a longer one hangs, and has failed.
        max_memory: bytes of the process; one that takes more is killed, and its trial has failed. By default its share
            of the machine.
        environment: variables of the process, such as CUDA_VISIBLE_DEVICES.
        note: function of a text, told what happens.
    """

    command = (sys.executable, "-P", "-m", "keras_blocks.tuning.search.trial_process")
    """-P: a file named keras.py in the working directory is not imported."""

    def __init__(self, setup, log, *, max_seconds, max_memory=None, environment=None, note=lambda text: None):
        self._setup, self._log, self._note = setup, Path(log), note
        self._max_seconds = max_seconds
        self._max_memory = max_memory or memory_of_machine() * MEMORY_SHARE
        self._environment = environment or {}
        self._process = self._line = self._first_memory = None
        self._trial = ""
        self.started = 0

    def run(
        self,
        request: dict,
        *,
        epoch,
        keep=lambda result: False,
        idle=lambda: None,
        max_seconds=None,
        max_memory=None,
    ) -> Outcome:
        """Has a trial trained.

        Args:
            request: plain data, see `child`.
            epoch: function of (epochs done, metrics), told after each; where it returns True, the trial ends early.
            keep: function of the result, whether the model is to be kept.
            idle: called several times a second.
            max_seconds, max_memory: in place of a trial's.

        Returns:
            An `Outcome`. Whatever happens to the process is one.

        Raises:
            DiskFull: where nothing can be written.
        """
        self._trial = f"trial {request['number']}: " if "number" in request else ""
        for crash in range(1, CRASHES + 1):
            try:
                limits = (max_seconds or self._max_seconds, max_memory or self._max_memory)
                return self._run(request, epoch, keep, idle, limits)
            except _Ended as error:
                self.stop()
                self._note(f"{self._trial}{error}{'' if crash == CRASHES else '; it goes on from its last epoch'}")
                reason = str(error)
            except BaseException:
                self.stop()
                raise
        return Outcome("failed", reason=reason)

    def stop(self) -> None:
        """Ends the process."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._line.connection.close()
            self._process = self._line = None

    def memory(self) -> int:
        """Bytes of the process, 0 where there is none."""
        if self._process is None:
            return 0
        try:
            return psutil.Process(self._process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def _run(self, request, epoch, keep, idle, limits) -> Outcome:
        self._ensure_started(idle)
        began = time.monotonic()
        self._say("trial", request)
        while True:
            said = self._hear(idle, began, *limits)
            if isinstance(said, Outcome):
                return said
            kind = said["kind"]
            if kind == child.EPOCH:
                stop = epoch(said["epoch"], said["logs"])
                if request.get("asks"):
                    self._say("answer", {"stop": bool(stop)})
            elif kind == child.NOTE:
                self._note(f"{self._trial}{said['text']}")
            elif kind == child.FAILED:
                return Outcome("failed", reason=said["reason"])
            elif kind == child.FULL:
                raise DiskFull("the disk is full")
            elif kind == child.OVER:
                return Outcome("refused", said["result"], f"{said['result']['latency']} seconds for one image")
            elif kind == child.TRAINED:
                outcome = Outcome("pruned" if said["pruned"] else "trained", said["result"])
                if request["what"] == "final":
                    return outcome
                kept = not said["pruned"] and keep(said["result"])
                self._say("answer", {"keep": kept})
                if not kept:
                    return self._checked(outcome)
            elif kind == child.KEPT:
                return self._checked(dataclasses.replace(outcome, kept=True))

    def _checked(self, outcome) -> Outcome:
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

    def _hear(self, idle, began, max_seconds, max_memory):
        """What the process says next, or the `Outcome` of a trial that came to an end without a word."""
        while True:
            try:
                if self._line.connection.poll(POLL_SECONDS):
                    return self._line.hear()
            except (EOFError, OSError) as error:
                raise _Ended(self._why_ended()) from error
            idle()
            if time.monotonic() - began > max_seconds:
                self.stop()
                return Outcome("failed", reason=f"hung: not done after {max_seconds:g} seconds")
            memory = self.memory()
            if memory > max_memory:
                self.stop()
                taken, most = _megabytes(memory), _megabytes(max_memory)
                return Outcome("failed", reason=f"out of memory: took {taken:,} MB of {most:,} MB")

    def _say(self, kind, data) -> None:
        try:
            self._line.say(kind, **data)
        except OSError as error:
            raise _Ended(self._why_ended()) from error

    def _ensure_started(self, idle) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            self.stop()
        ours, theirs = socket.socketpair()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **self._environment},
                start_new_session=True,  # Ctrl-C reaches the supervisor alone
            )
        theirs.close()
        self._line = child.Line(Connection(ours.detach()))
        self._first_memory = None
        self.started += 1
        self._say("setup", self._setup)
        said = self._hear(idle, time.monotonic(), START_SECONDS, self._max_memory)
        if isinstance(said, Outcome):
            raise _Ended(said.reason)
        if said["kind"] == child.FAILED:
            self.stop()
            raise ValueError(f"`data`: {said['reason']}.")

    def _why_ended(self) -> str:
        code = self._process.wait()
        if code < 0:
            name = signal.Signals(-code).name
            likely = ", as the system does when memory runs out" if name == "SIGKILL" else ""
            return f"the process that trains it was ended by {name}{likely}"
        return f"the process that trains it ended with code {code}: {_last_line(self._log)}"


def memory_of_machine() -> int:
    """Bytes that processes here may take: the machine's, or the container's where that is less."""
    limits = [psutil.virtual_memory().total]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits)


def _megabytes(size) -> int:
    return round(size / 2**20)


def _last_line(path) -> str:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4000))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
