"""A child process from the bench's side: it is asked, it answers in time, or it is ended."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import msgspec

__all__ = ["ANSWER_BYTES", "Child", "ChildLost", "serve"]

ANSWER_BYTES: Final = 1 << 20
"""Longer lines are refused: a child runs code of others."""

_ERROR_CHARACTERS: Final = 200
_MEMORY_BYTES: Final = 16 << 30

A = TypeVar("A", bound=msgspec.Struct)


class ChildLost(Exception):  # a finding, named as one
    """The child crashed, hung, or answered what is no answer. It is gone."""


class Child(Generic[A]):
    """One process, in a session of its own so that what it started ends with it. Use it in a `with`.

    `module` is run with `python -m` and calls `serve`; `answers` is the type of what it answers.
    """

    def __init__(self, module: str, answers: type[A]) -> None:
        self._answers: Final = answers
        self._said: Final = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the child
        self._process: Final = subprocess.Popen(  # noqa: S603  # a module of ours
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,
        )
        self._read = b""
        self._is_lost = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, request: msgspec.Struct, limit_s: float) -> A:
        """Say and wait. Raises ChildLost where no answer came within `limit_s`."""
        self.say(request)
        return self.hear(limit_s)

    def say(self, request: msgspec.Struct) -> None:
        """Say, and let `hear` wait. Raises ChildLost."""
        if self._is_lost:
            raise ChildLost("it was lost before")
        assert self._process.stdin is not None  # a pipe was asked for
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._lost(f"the process ended {self._how()}") from None

    def hear(self, limit_s: float) -> A:
        """The answer to what was said last. Raises ChildLost."""
        assert self._process.stdout is not None  # a pipe was asked for
        handle, until = self._process.stdout.fileno(), time.monotonic() + limit_s
        while b"\n" not in self._read:
            left = until - time.monotonic()
            if left <= 0 or not select.select([handle], [], [], left)[0]:
                raise self._lost(f"no answer within {limit_s:g} s: it hangs, or is too slow for this bench")
            more = os.read(handle, 1 << 16)
            if not more:
                raise self._lost(f"the process ended {self._how()}")
            self._read += more
            if len(self._read) > ANSWER_BYTES:
                raise self._lost(f"an answer of more than {ANSWER_BYTES} bytes")
        line, _, self._read = self._read.partition(b"\n")
        try:
            return msgspec.json.decode(line, type=self._answers)
        except msgspec.DecodeError as error:
            raise self._lost(f"what it answers cannot be read: {error}"[:_ERROR_CHARACTERS]) from None

    def _how(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "to answer"
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return how + self._last_words()

    def _last_words(self) -> str:
        """The last line that it wrote to standard error, which is where a traceback ends."""
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - _ERROR_CHARACTERS))
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1].strip()})" if lines else ""

    def _lost(self, text: str) -> ChildLost:
        self.close()
        return ChildLost(text)

    def close(self) -> None:
        """End it, and all that it started."""
        self._is_lost = True
        with suppress(ProcessLookupError):  # all of them may have ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._said.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was still to be said is of no use
                    pipe.close()


def serve(requests: Any, answer: Callable[[Any], msgspec.Struct]) -> None:
    """The child's side: answer until standard input ends; what a candidate prints goes to standard error.

    `requests` is the type of what is asked.
    """
    for kind, wanted in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, _MEMORY_BYTES)):
        allowed = resource.getrlimit(kind)[1]
        most = wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)
        resource.setrlimit(kind, (most, most))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        answers.write(msgspec.json.encode(answer(msgspec.json.decode(line, type=requests))) + b"\n")
        answers.flush()
