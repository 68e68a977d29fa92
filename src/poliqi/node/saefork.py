"""The applications of several sites on one machine: what all need is loaded once, then each is a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from poliqi.node.forking import run_forked

__all__ = ["serve_applications"]

Say = Callable[[dict[str, Any]], None]


def serve_applications(applications: Mapping[str, Callable[[Say], None]], say: Say) -> None:
    """Run each application in a process of its own until a signal; records name it."""
    jobs = {name: partial(run, partial(_named, say, name)) for name, run in applications.items()}
    run_forked(jobs, _Told(say))


def _named(say: Say, name: str, record: dict[str, Any]) -> None:
    say({**record, "application": name})


class _Told:
    def __init__(self, say: Say) -> None:
        self._say: Final = say

    def started(self, name: str, pid: int) -> None:
        text = f"application {name} runs as process {pid}"
        self._say({"event": "started", "application": name, "pid": pid, "text": text})

    def ended(self, name: str, code: int, again_s: float) -> None:
        text = f"application {name} ended with code {code}; started again in {again_s:g} s"
        self._say({"event": "ended", "application": name, "code": code, "text": text})
