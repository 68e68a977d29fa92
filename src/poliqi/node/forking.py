"""Several jobs on one machine: what they need is loaded once, then each has its own process and shares that memory.

One that dies is started again; all end with this process.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NoReturn, Protocol

from poliqi.node.leash import take_leash

__all__ = ["Told", "run_forked"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_AGAIN_S: Final = 1.0
_LOOK_S: Final = 0.5
_INTERRUPTED: Final = 130

Job = Callable[[], None]


class Told(Protocol):
    """Who hears of the processes."""

    def started(self, name: str, pid: int) -> None: ...
    def ended(self, name: str, code: int, again_s: float) -> None:
        """`code` is negative where a signal ended it."""
        ...


def run_forked(jobs: Mapping[str, Job], told: Told) -> None:
    """Run each job in a process of its own until a signal. Call it before this process has threads.

    SIGTERM is passed on; a terminal sends its SIGINT to all of them by itself.
    """
    gc.freeze()  # what stands here stays where the processes share it
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    running: dict[int, str] = {}
    due = dict.fromkeys(jobs, 0.0)
    stopping = False
    while running or not stopping:
        for name in [name for name, at in due.items() if not stopping and at <= time.monotonic()]:
            del due[name]
            pid = _fork(jobs[name])
            running[pid] = name
            told.started(name, pid)
        got = signal.sigtimedwait(_SIGNALS, _LOOK_S)
        if got is not None and got.si_signo != signal.SIGCHLD:
            stopping = True
            if got.si_signo == signal.SIGTERM:
                _pass_on(running)
        for pid, code in _ended():
            name = running.pop(pid, "")
            if name and not stopping:
                due[name] = time.monotonic() + _AGAIN_S
                told.ended(name, code, _AGAIN_S)


def _fork(job: Job) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(job, parent)
    return pid


def _become(job: Job, parent: int) -> NoReturn:
    """Be the process of one job; never come back."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if take_leash(parent):
            job()
            code = 0
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def _pass_on(running: Mapping[int, str]) -> None:
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _ended() -> list[tuple[int, int]]:
    """Children that ended since the last look, and how: a negative code is a signal's number."""
    found: list[tuple[int, int]] = []
    with suppress(ChildProcessError):
        while (end := os.waitpid(-1, os.WNOHANG))[0]:
            found.append((end[0], os.waitstatus_to_exitcode(end[1])))
    return found
