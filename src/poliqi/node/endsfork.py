"""The link ends of several sites on one machine: kernels are prepared once, then each site has its own process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from poliqi.node.ends import EndSettings, prepare, run_ends
from poliqi.node.forking import run_forked

__all__ = ["serve_sites"]

Say = Callable[[dict[str, Any]], None]


def serve_sites(sites: Mapping[str, tuple[EndSettings, ...]], say: Say) -> None:
    """Run the ends of each site in a process of its own until a signal; records name the site."""
    prepare(tuple(end for ends in sites.values() for end in ends), say)
    run_forked({name: partial(_serve, name, ends, say) for name, ends in sites.items()}, _Told(say))


def _serve(name: str, ends: tuple[EndSettings, ...], say: Say) -> None:
    run_ends(ends, lambda record: say({**record, "site": name}))


class _Told:
    def __init__(self, say: Say) -> None:
        self._say: Final = say

    def started(self, name: str, pid: int) -> None:
        text = f"the ends of {name} run as process {pid}"
        self._say({"event": "started", "site": name, "pid": pid, "text": text})

    def ended(self, name: str, code: int, again_s: float) -> None:
        text = f"the ends of {name} ended with code {code}; started again in {again_s:g} s"
        self._say({"event": "ended", "site": name, "code": code, "text": text})
