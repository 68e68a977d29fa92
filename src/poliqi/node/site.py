"""One site as one process: key management, its servers, its peers, its blocks, and the care of all of them.

Signals: SIGTERM and SIGINT drain and stop; SIGHUP reads configuration, certificates and revocations again, takes
up new peers and renews the KEK; SIGUSR1 drains and goes on carrying what other sites need, until the next start;
SIGUSR2 drains and executes the program anew, which takes over the listening sockets: nobody is turned away.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from poliqi.base.errors import ConfigError, PoliqiError, StoreError
from poliqi.edge.audit import read_audit
from poliqi.edge.complaints import Complaints
from poliqi.edge.descriptors import raise_open_files
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.handover import Handover, close_left
from poliqi.edge.keydatabase import DATABASE_NAME
from poliqi.edge.keystore import KeyStore
from poliqi.edge.kme import KmeDriver
from poliqi.edge.memory import forbid_core_dumps, lock_memory
from poliqi.edge.readiness import tell_supervisor
from poliqi.edge.running import mark_running
from poliqi.edge.streams import StreamService
from poliqi.keys.desk_state import EventKind, KmeEvent
from poliqi.keys.kme import Kme
from poliqi.keys.marks import StoredState
from poliqi.node.site_agent import SiteAgent
from poliqi.node.site_doors import Doors
from poliqi.node.site_expiry import ExpiryWatch
from poliqi.node.site_figures import Figures
from poliqi.node.site_settings import PeerSettings, SiteSettings, open_kek

__all__ = ["Site", "run_site"]

Say = Callable[[dict[str, Any]], None]

_SWITCH_S: Final = 5e-4  # the store's writer waits so long at most for its turn, some times a commit
_GARBAGE: Final = (20_000, 50, 50)  # hardly anything here is circular: look for it rarely
_CARE_S: Final = 30.0
_ERASED_AT_ONCE: Final = 32
_PRUNED_AT_ONCE: Final = 20_000
_RENEWAL_S: Final = 24 * 3600.0


class _WrittenAt(msgspec.Struct):
    """Of a line of the audit: its number and its time."""

    seq: int
    time_ns: int


def run_site(settings: SiteSettings, say: Say, load: Callable[[], SiteSettings]) -> None:
    """Run a site until a signal ends it. `load` reads the configuration again for a reload.

    `say` gets a record for whatever happens. Raises ConfigError, and StoreError when the store fails.
    """
    import uvloop

    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(*_GARBAGE)
    if not forbid_core_dumps():
        say({"event": "warning", "text": "core dumps could not be forbidden entirely"})
    unlocked = lock_memory()
    if unlocked is not None:
        say({"event": "warning", "text": unlocked})
    raise_open_files()
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    kek = open_kek(settings.kek)
    if not (settings.state / DATABASE_NAME).exists() and kek.count():
        raise ConfigError(
            f"{settings.state} holds no key store, but {kek.place} holds the key of one: mount the right folder; "
            "if the store is lost for good, run `poliqi site zeroise` and start again"
        )
    with (
        mark_running(settings.state),
        closing(KeyStore(settings.state, kek, create=True)) as store,
    ):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            failure, handover = runner.run(_run(settings, store, say, load))
        if failure:
            raise StoreError(f"site {settings.site} stopped: {failure}")
    if handover is not None:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # else one that comes before the new program listens would end it
        handover.leave()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # this very command line, anew


async def _run(
    settings: SiteSettings, store: KeyStore, say: Say, load: Callable[[], SiteSettings]
) -> tuple[str, Handover | None]:
    stored = await asyncio.to_thread(store.load)
    now = asyncio.get_running_loop().time()
    pools, peers = settings.stocks(), [peer.kme for peer in settings.peers]
    kme = Kme(settings.site, pools, settings.policy, stored, store, OperatingSystemEntropy(), now, peers)
    kme.fill(settings.routes())
    site = Site(settings, store, kme, stored, say, load)
    return await site.run(stored), site.handover


class Site:
    """The life of one site."""

    def __init__(
        self,
        settings: SiteSettings,
        store: KeyStore,
        kme: Kme,
        stored: StoredState,
        say: Say,
        load: Callable[[], SiteSettings],
    ) -> None:
        self._settings = settings
        self._store: Final = store
        self._tell: Final = say
        self._load: Final = load
        self._stopping: Final = asyncio.Event()
        self._failure = ""
        self._is_drained = False
        self.handover: Handover | None = None
        """What the program that is executed next takes over; None where this is the end."""
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._driver: Final = KmeDriver(kme, store, self._on_event, self._on_failure)
        self._streams: Final = StreamService(self._driver, OperatingSystemEntropy(), say=self._complaints())
        self._expiry: Final = ExpiryWatch(settings.own_certificates(), settings.others_certificates())
        self._figures: Final = Figures(self._driver, self._streams, self._expiry)
        self._agent: Final = self._new_agent(stored)
        on_light = None if self._agent is None else self._agent.light
        self._doors: Final = Doors(
            settings, self._driver, self._streams, self._figures, self._say, self._is_ready, on_light
        )

    def _new_agent(self, stored: StoredState) -> SiteAgent | None:
        """The site's part in a city, where site.toml names a controller."""
        s = self._settings
        if s.control is None:
            return None
        return SiteAgent(s, s.control, self._driver, stored, self._say, lambda: self._is_drained)

    def _say(self, event: str, text: str, **more: Any) -> None:
        self._tell({"event": event, "site": self._settings.site, "text": text, **more})

    def _complaints(self) -> Complaints:
        return Complaints(lambda line: self._say("refused", line))

    # ---------------------------------------------------------------- start and stop

    async def run(self, stored: StoredState) -> str:
        """Until a signal; the reason where the store failed, else nothing."""
        s = self._settings
        self._heed_signals()
        self._driver.start()
        try:
            async with AsyncExitStack() as doors:
                await self._doors.open(doors)
                if self._agent is not None:
                    await self._agent.open(doors)
                close_left()
                self._read_expiry()
                segments = len(stored.segments)
                self._say(
                    "ready",
                    f"site {s.site}: start {stored.generation}, {segments} segments in stock, "
                    f"{len(s.stocks())} links to {len({p.kme for p in s.peers})} sites",
                    generation=stored.generation,
                    segments=segments,
                )
                tell_supervisor("READY=1")
                self._keep(self._care())
                await self._stopping.wait()
                if self.handover is None:
                    tell_supervisor("STOPPING=1")
                await self._drain()
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._driver.close()
        self._say("stopped", self._failure or f"site {s.site}: stopped")
        return self._failure

    def _keep(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._keep(self._reload()))
        loop.add_signal_handler(signal.SIGUSR1, lambda: self._keep(self._drain()))
        loop.add_signal_handler(signal.SIGUSR2, lambda: self._keep(self._upgrade()))

    def _is_ready(self) -> str:
        """Why the site does not serve, or nothing."""
        if self._failure:
            return self._failure
        return "the site is drained" if self._is_drained else self._expiry.closed(datetime.now(UTC))

    # ---------------------------------------------------------------- what happens

    def _on_event(self, event: KmeEvent) -> None:
        self._figures.count(event)
        level = (
            "info" if event.kind in (EventKind.PEER_UP, EventKind.RELAY_DONE, EventKind.KEM_AGREED) else "warning"
        )
        self._say(event.kind.value, event.text, level=level)
        if self._agent is not None:
            self._agent.heed(event)

    def _on_failure(self, reason: str) -> None:
        self._failure = reason
        self._say("failed", f"{reason}; nothing is served any more", level="error")
        if self._agent is not None:
            self._agent.failed(reason)
        self._stopping.set()

    async def _drain(self) -> None:
        """Take no more requests, finish those under way: `drain_s` for all of it, however many doors there are."""
        if self._is_drained:
            return
        self._is_drained = True
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.drain_s
        if self._agent is not None:
            self._agent.look()
        self._say("draining", f"no new requests; those under way end within {self._settings.drain_s:g} s")
        await self._doors.drain(self._settings.drain_s)
        while not self._driver.is_idle and loop.time() < end and not self._failure:
            await asyncio.sleep(0.01)
        self._say("drained", "no request is under way")

    async def _upgrade(self) -> None:
        """Finish what is under way, then execute the program anew; who connects meanwhile waits in the queue."""
        if self._is_drained:
            self._say("warning", "the site is drained already: stop and start it to upgrade it")
            return
        try:
            self._load()
        except PoliqiError as error:
            self._say("upgrade-failed", f"{error}; the site goes on as it is", level="error")
            return
        tell_supervisor("RELOADING=1")
        handover = Handover()
        self._doors.keep_listening(handover)
        await self._drain()
        self.handover = handover
        self._say("upgrading", "the program is executed anew; connections wait meanwhile")
        self._stopping.set()

    async def _reload(self) -> None:
        """Read everything again; what cannot be changed while running is said and left."""
        tell_supervisor("RELOADING=1")
        try:
            new, old = self._load(), self._settings
            peers = self._new_peers(new)
            parts = ("site", "state", "kek", "tls", "listen", "peers", "relays", "neighbours", "control", "sdn")
            joined = replace(old, peers=(*old.peers, *peers))
            later = [part for part in parts if getattr(new, part) != getattr(joined, part)]
            if later:
                self._say("warning", f"changes of {', '.join(later)} take effect at the next start, the rest now")
            self._doors.reload()
            self._join(peers, joined)
            self._read_expiry()
            self._driver.reload(new.policy)
            if self._agent is not None:
                await self._agent.reload()
            await self._driver.in_writer(self._store.rotate)
        except StoreError as error:
            self._driver.fail(str(error))
        except PoliqiError as error:
            self._say("reload-failed", f"{error}; what was in force stays in force", level="error")
        else:
            self._settings = replace(joined, policy=new.policy, drain_s=new.drain_s, audit_keep_s=new.audit_keep_s)
            self._say("reloaded", "policy, certificates and revocations are read again, the KEK is renewed")
        tell_supervisor("READY=1")

    def _new_peers(self, new: SiteSettings) -> tuple[PeerSettings, ...]:
        """Peers that are new in the file, at its end or anywhere else."""
        known = {p.kme for p in self._settings.peers}
        return tuple(p for p in new.peers if p.kme not in known)

    def _join(self, peers: tuple[PeerSettings, ...], joined: SiteSettings) -> None:
        """Know new sites without a restart. Raises ConfigError."""
        if peers:
            self._doors.add_peers(peers)
            self._driver.kme.extend(joined.stocks(), [p.kme for p in peers])
            self._driver.kick()
            self._say("joined", f"new peers: {', '.join(p.kme for p in peers)}")

    # ---------------------------------------------------------------- care

    async def _care(self) -> None:
        """Erase what was used, warn of certificates that end, renew the KEK once a day."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while not self._failure:
            await asyncio.sleep(_CARE_S)
            try:
                await self._erase()
                if loop.time() - renewed > _RENEWAL_S:
                    renewed = loop.time()
                    await self._driver.in_writer(self._store.rotate)
                    await self._forget_old_lines()
            except StoreError as error:
                self._driver.fail(str(error))
            self._warn_of_expiry()

    async def _erase(self) -> None:
        """Destroy used bytes a few segments at a time, so that commits get their turn in between."""
        kme = self._driver.kme
        numbers = list(kme.used_up())
        for start in range(0, len(numbers), _ERASED_AT_ONCE):
            used = kme.used_up()  # anew: a key of these may have been asked for meanwhile
            part = {n: used[n] for n in numbers[start : start + _ERASED_AT_ONCE] if n in used}
            await self._driver.in_writer(lambda part=part: self._store.erase_used(part))

    async def _forget_old_lines(self) -> None:
        """End the audit's tail where it is older than it has to be, some lines at a time."""
        oldest_ns = time.time_ns() - int(self._settings.audit_keep_s * 1e9)
        first, kept = await asyncio.to_thread(self._old_lines, oldest_ns)
        for before in [*range(first + _PRUNED_AT_ONCE, kept, _PRUNED_AT_ONCE), kept]:
            await self._driver.in_writer(lambda before=before: self._store.prune_audit(before))

    def _old_lines(self, oldest_ns: int) -> tuple[int, int]:
        """Numbers of the audit's first line, and of the first that is kept."""
        first = 0
        for line in read_audit(self._settings.state):
            written = msgspec.json.decode(line, type=_WrittenAt)
            first = first or written.seq
            if written.time_ns >= oldest_ns:
                return first, written.seq
        return first, first

    def _read_expiry(self) -> None:
        """The doors have just read the files."""
        self._expiry.read(datetime.now(UTC))
        self._warn_of_expiry()

    def _warn_of_expiry(self) -> None:
        for line in self._expiry.lines(datetime.now(UTC)):
            self._say("expiry", line, level="warning")
