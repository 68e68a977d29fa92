"""All link ends of one site in one process: they share one compiler, one set of kernels, one loop.

Each end is a `Party`, as `poliqi link run` runs it alone. One that fails is started again, less and less often; the
others go on. `poliqi.node.endsfork` runs the ends of several sites, a process a site.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Final

from poliqi.base.errors import PoliqiError
from poliqi.base.ids import Role
from poliqi.base.jit import cache_folder, load_compiler
from poliqi.node.party import Party, PartySettings, open_store
from poliqi.optics.parameters import LinkParameters

__all__ = ["EndSettings", "prepare", "run_ends", "serve_ends"]

Say = Callable[[dict[str, Any]], None]

_THREADS_AN_END: Final = 8
"""One gathers light, one brings keys to the site, the rest take the steps of a session."""
_AGAIN_FIRST_S: Final = 1.0
_AGAIN_MOST_S: Final = 60.0
_WARM: Final = "warm"
"""Stands in the folder of compiled kernels once they have been compiled."""
_PULSES: Final = 1000


@dataclass(frozen=True, slots=True)
class EndSettings:
    """One end, and the name of its link for whatever is said of it."""

    name: str
    party: PartySettings


def serve_ends(ends: tuple[EndSettings, ...], say: Say) -> None:
    """Prepare the kernels, then run these ends until a signal; as `run_ends`."""
    prepare(ends, say)
    run_ends(ends, say)


def run_ends(ends: tuple[EndSettings, ...], say: Say) -> None:
    """Run these ends until a signal: SIGTERM and SIGINT let blocks under way finish, a second one stops at once.

    `say` gets a record for everything that happens, with the name of the link in it. Raises KeyboardInterrupt for
    the second signal.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        asyncio.run(_Ends(ends, say).run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def prepare(ends: tuple[EndSettings, ...], say: Say) -> None:
    """Load every kernel that any of these ends needs, or compile it, before the first of them meets its peer.

    Call it before any thread or loop is made. On a fresh machine two forked helpers compile, each going through the
    stages in its own order, and this process loads what they leave: what a compiler takes of memory ends with them.
    """
    began = time.monotonic()
    say({"event": "compiling", "time_s": 0.0, "text": "kernels are loaded, or compiled for this machine once"})
    load_compiler()
    folder = cache_folder()
    if folder is not None and not (folder / _WARM).exists():
        for helper in [_helper(ends, role) for role in Role]:
            os.waitpid(helper, 0)
        with suppress(OSError):
            (folder / _WARM).touch()
    _warm_up(ends, Role.ALICE)
    say({"event": "warm", "time_s": round(time.monotonic() - began, 3), "text": "kernels are ready"})


def _helper(ends: tuple[EndSettings, ...], order: Role) -> int:
    helper = os.fork()
    if helper == 0:
        try:
            _warm_up(ends, order)
        finally:
            os._exit(0)
    return helper


def _warm_up(ends: tuple[EndSettings, ...], order: Role) -> None:
    from poliqi.distill.plan import block_pulses, choose_reconciler
    from poliqi.distill.warm import warm_up

    done: set[str] = set()
    for end in ends:
        link = end.party.link
        with suppress(PoliqiError):  # the end itself will say what is wrong with its link
            if order is Role.BOB:
                _warm_light(link)
            chosen = choose_reconciler(link, block_pulses(link)).reconciler
            if chosen not in done:
                done.add(chosen)
                warm_up(order, chosen)
            if order is Role.ALICE:
                _warm_light(link)


def _warm_light(link: LinkParameters) -> None:
    from poliqi.link.simulated import SimulatedReceiver, SimulatedTransmitter

    seen = SimulatedReceiver(link, 0).detect(_PULSES)
    SimulatedTransmitter(link, 0).states(seen.slots)


class _Ends:
    def __init__(self, ends: tuple[EndSettings, ...], say: Say) -> None:
        self._ends: Final = ends
        self._tell: Final = say
        self._began: Final = time.monotonic()
        self._stopping: Final = asyncio.Event()
        self._running: Final[set[Party]] = set()

    def _say(self, event: str, text: str, **more: Any) -> None:
        self._tell({"event": event, "time_s": round(time.monotonic() - self._began, 3), "text": text, **more})

    async def run(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        loop.set_default_executor(ThreadPoolExecutor(_THREADS_AN_END * len(self._ends) + 2))

        def heed() -> None:
            if self._stopping.is_set():
                task.cancel()
            self._stopping.set()
            for party in self._running:
                party.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, heed)
        async with asyncio.TaskGroup() as keeping:
            for end in self._ends:
                keeping.create_task(self._keep(end))
        self._say("stopped", "all ends have stopped")

    async def _keep(self, end: EndSettings) -> None:
        """Run one end, again and again."""
        wait_s = _AGAIN_FIRST_S
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                await self._once(end)
                why = "it ended"
            except (PoliqiError, OSError) as error:
                why = str(error)
            except Exception as error:  # whatever is wrong with one end, the others go on
                why = f"{type(error).__name__}: {error}"
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _AGAIN_MOST_S:
                wait_s = _AGAIN_FIRST_S
            text = f"{end.name}: {why}; started again in {wait_s:g} s"
            self._say("failed", text, link=end.name, reason=why, retry_s=wait_s)
            try:
                await asyncio.wait_for(self._stopping.wait(), wait_s)
            except TimeoutError:
                wait_s = min(2 * wait_s, _AGAIN_MOST_S)

    async def _once(self, end: EndSettings) -> None:
        def say(record: dict[str, Any]) -> None:
            self._tell({**record, "link": end.name, "time_s": round(time.monotonic() - self._began, 3)})

        with closing(open_store(end.party)) as store:
            party = Party(end.party, store, say)
            self._running.add(party)
            try:
                await party.run()
            finally:
                self._running.discard(party)
