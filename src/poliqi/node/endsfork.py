"""The link ends of several sites on one machine: kernels are prepared once, then each site has its own process.

What the processes have in common they share in memory. One that dies is started again; all end with this one.
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
from typing import Any, Final, NoReturn

from poliqi.node.ends import EndSettings, prepare, run_ends
from poliqi.node.leash import take_leash

__all__ = ["serve_sites"]

Say = Callable[[dict[str, Any]], None]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_AGAIN_S: Final = 1.0
_LOOK_S: Final = 0.5
_INTERRUPTED: Final = 130


def serve_sites(sites: Mapping[str, tuple[EndSettings, ...]], say: Say) -> None:
    """Run the ends of each site in a process of its own until a signal; records name the site.

    SIGTERM is passed on; a terminal sends its SIGINT to all of them by itself.
    """
    prepare(tuple(end for ends in sites.values() for end in ends), say)
    gc.freeze()  # what stands here stays where the processes share it
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    running: dict[int, str] = {}
    due = dict.fromkeys(sites, 0.0)
    stopping = False
    while running or not stopping:
        for name in [name for name, at in due.items() if not stopping and at <= time.monotonic()]:
            del due[name]
            running[_fork(name, sites[name], say)] = name
        got = signal.sigtimedwait(_SIGNALS, _LOOK_S)
        if got is not None and got.si_signo != signal.SIGCHLD:
            stopping = True
            if got.si_signo == signal.SIGTERM:
                _pass_on(running)
        for pid, code in _ended():
            name = running.pop(pid, "")
            if name and not stopping:
                due[name] = time.monotonic() + _AGAIN_S
                text = f"the ends of {name} ended with code {code}; started again in {_AGAIN_S:g} s"
                say({"event": "ended", "site": name, "code": code, "text": text})


def _fork(name: str, ends: tuple[EndSettings, ...], say: Say) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(name, ends, say, parent)
    say({"event": "started", "site": name, "pid": pid, "text": f"the ends of {name} run as process {pid}"})
    return pid


def _become(name: str, ends: tuple[EndSettings, ...], say: Say, parent: int) -> NoReturn:
    """Be the process of one site; never come back."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if take_leash(parent):
            run_ends(ends, lambda record: say({**record, "site": name}))
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
