"""The controller of a city as one process: its core, its log, the sites' streams, alarms and where they go.

Signals: SIGTERM and SIGINT stop it; SIGHUP reads plan, certificates and trust again; SIGUSR1 has it take charge
after another controller was met. While it is away the sites go on; it rebuilds itself from its log.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import signal
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import ConfigError, PoliqiError, StoreError
from poliqi.base.ids import KmeId
from poliqi.control.alarms import AlarmBook
from poliqi.control.city import City
from poliqi.control.controller import Controller
from poliqi.control.events import CityEvent, CityEventKind, event_record
from poliqi.control.view import AlarmView, CityView
from poliqi.edge.asgi import Application
from poliqi.edge.complaints import Complaints
from poliqi.edge.controldriver import ControlDriver
from poliqi.edge.controllog import ControlLog
from poliqi.edge.folder import make_private_folder
from poliqi.edge.https import HttpsServer
from poliqi.edge.memory import forbid_core_dumps
from poliqi.edge.network import Address
from poliqi.edge.peers import PeerNetwork, PeerTlsFiles
from poliqi.edge.readiness import tell_supervisor
from poliqi.edge.running import mark_running
from poliqi.edge.tls import TlsFiles
from poliqi.node.site_expiry import ExpiryWatch

__all__ = ["ControlRoom", "ControllerSettings", "Surroundings", "run_controller"]

Say = Callable[[dict[str, Any]], None]

_LOOK_S: Final = 0.1
_REFRESH_S: Final = 0.5
_WARN_S: Final = 3600.0
_EVENTS: Final = 1000


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What a controller is started with (docs/reference/control-toml.md). `source` is the file a reload reads.

    `sites` is where agents call; `web` the dashboard's address, with TLS unless it is on loopback; `status` (health
    and metrics) is on loopback.
    """

    source: Path
    controller: KmeId
    state: Path
    certificate: Path
    key: Path
    trust: Path
    sites: Address
    status: Address
    web: Address | None = None
    people: Path | None = None
    """The authority that signs certificates of people who open the dashboard."""
    revoked: Path | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a controller: pages for people, pages for supervisors, and whom alarms are told.

    `alarmed` gets each alarm that is raised, and each that is over (`cleared` says so); it never waits.
    """

    status: Application
    web: Application | None = None
    alarmed: Callable[[AlarmView], None] = lambda _alarm: None
    reload: Callable[[], None] = lambda: None
    close: Callable[[], Awaitable[None]] | None = None


class ControlRoom:
    """The life of a controller: what the dashboard shows and asks for, and what the log says."""

    def __init__(self, settings: ControllerSettings, core: Controller, log: ControlLog, say: Say) -> None:
        self.settings: Final = settings
        self._tell: Final = say
        self._around: Surroundings | None = None
        self._loop: Final = asyncio.get_running_loop()
        self._events: Final[deque[CityEvent]] = deque(maxlen=_EVENTS)
        self._changed: asyncio.Future[None] = self._loop.create_future()
        self._wall_offset_s: Final = time.time() - self._loop.time()
        self.counts: Final[Counter[CityEventKind]] = Counter()
        """Events by kind since the start."""
        self.version = 0
        """Another number after each change of the view."""
        self.stopping: Final = asyncio.Event()
        own = [
            settings.certificate,
            *([settings.people, settings.revoked] if not _is_loopback(settings.web) else []),
        ]
        self.expiry: Final = ExpiryWatch(tuple(path for path in own if path is not None), (settings.trust,))
        """When its certificates end."""
        self._driver: Final = ControlDriver(core, log, self._on_events, self._on_failure)
        self._book: Final = AlarmBook(core.city)

    @property
    def driver(self) -> ControlDriver:
        """What drives the core."""
        return self._driver

    def say(self, event: str, text: str, **more: Any) -> None:
        """A line of the process's own log."""
        self._tell({"event": event, "text": text, **more})

    def wall_s(self, at: float) -> float:
        """Unix time of a moment of the loop's clock."""
        return at + self._wall_offset_s

    # ---------------------------------------------------------------- what people see

    def view(self) -> CityView:
        """The city now, alarms included."""
        view = self._driver.view()
        return replace(view, alarms=self._book.open, events=tuple(reversed(self._events)))

    @property
    def past_alarms(self) -> tuple[AlarmView, ...]:
        """Alarms that are over, the latest first."""
        return self._book.recent

    async def changed(self, version: int) -> int:
        """Wait until the version is another than this; the new one."""
        while self.version == version:
            await asyncio.shield(self._changed)
        return self.version

    def _bump(self) -> None:
        self.version += 1
        changed, self._changed = self._changed, self._loop.create_future()
        changed.set_result(None)

    # ---------------------------------------------------------------- what people ask for

    def drain(self, site: KmeId, is_draining: bool, who: str) -> None:
        """Route around a site, or no longer. Raises ConfigError for a site that is none."""
        if site not in self._driver.core.city.site:
            raise ConfigError(f"{site}: no site of {self._driver.core.city.name}")
        self.say("drain", f"{who}: {site} is {'drained' if is_draining else 'taken back'}", site=site, who=who)
        self._driver.core.drain(site, is_draining, self._loop.time())
        self._driver.kick()

    def take_charge(self) -> None:
        """Give orders again, after another controller was met and stopped: sites obey this one from now on."""
        self.say("take-charge", "this controller takes charge: sites obey it, whatever controller they met before")
        self._driver.core.take_charge(self._loop.time(), time.time_ns())
        self._driver.kick()

    def acknowledge(self, number: int, who: str) -> bool:
        """Somebody has seen an alarm; False where it is over, or somebody had."""
        event = self._book.acknowledge(number, who, self._loop.time())
        if event is not None:
            self._note([event])
        return event is not None

    def change(self, city: City) -> None:
        """Another plan of the same city from now on. Raises ConfigError."""
        name = self._driver.core.city.name
        if city.name != name:
            raise ConfigError(
                f"the plan is of {city.name!r}, this controller is that of {name!r}: start one for it"
            )
        self._driver.core.change(city, self._loop.time())
        self._book.city = self._driver.core.city
        self._driver.kick()

    # ---------------------------------------------------------------- what happens

    def _on_events(self, events: list[CityEvent]) -> None:
        now = self._loop.time()
        for event in events:
            self._book.heed(event, now)
        self._note(events)
        self._note(self._book.tick(now))

    def _note(self, events: list[CityEvent]) -> None:
        for event in events:
            self._events.append(event)
            self.counts[event.kind] += 1
            self._tell(dict(event_record(event, self.wall_s(event.at))))
            if event.kind in (CityEventKind.ALARM_RAISED, CityEventKind.ALARM_CLEARED):
                self._pass_on(event)
        if events:
            self._bump()

    def _pass_on(self, event: CityEvent) -> None:
        """Tell the alarm's outlets."""
        number = event.values.get("number")
        alarms = (*self._book.open, *self._book.recent)
        found = next((alarm for alarm in alarms if alarm.number == number), None)
        if found is not None and self._around is not None:
            self._around.alarmed(found)

    def _on_failure(self, reason: str) -> None:
        self.say("failed", f"{reason}; the sites go on with the routes that they have", level="error")
        self.stopping.set()

    # ---------------------------------------------------------------- the process

    async def run(
        self, surround: Callable[[ControlRoom], Surroundings], load: Callable[[], tuple[ControllerSettings, City]]
    ) -> str:
        """Until a signal; the reason where the log failed, else nothing."""
        around = self._around = surround(self)
        loop, tasks = self._loop, set[asyncio.Task[None]]()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        loop.add_signal_handler(signal.SIGUSR1, self.take_charge)
        try:
            async with AsyncExitStack() as doors:
                doors.push_async_callback(self._driver.close)
                if around.close is not None:
                    doors.push_async_callback(around.close)
                network, servers = await self._open(around, doors)
                loop.add_signal_handler(signal.SIGHUP, lambda: self._reload(network, servers, around, load))
                self._read_expiry()
                self._driver.start()
                tasks.add(loop.create_task(self._watch()))
                city = self._driver.core.city
                self.say("ready", f"controller of {city.name}: {len(city.sites)} sites, {len(city.links)} links")
                tell_supervisor("READY=1")
                await self.stopping.wait()
                tell_supervisor("STOPPING=1")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.say("stopped", self._driver.failure or "controller stopped; the sites go on")
        return self._driver.failure

    async def _open(self, around: Surroundings, doors: AsyncExitStack) -> tuple[PeerNetwork, list[HttpsServer]]:
        """Every door, and a line for each."""
        s = self.settings
        servers: list[HttpsServer] = []
        tls = TlsFiles(s.certificate, s.key, s.people, s.revoked if s.people else None, are_clients_known=False)
        web_tls = None if _is_loopback(s.web) else tls
        complaints = Complaints(lambda line: self.say("refused", line))
        for door, address, application, files in (
            ("status", s.status, around.status, None),
            ("web", s.web, around.web, web_tls),
        ):
            if address is not None and application is not None:
                server = HttpsServer(application, address, files, say=complaints)
                self._at(door, str(await server.start()))
                doors.push_async_callback(server.close)
                servers.append(server)
        sites: dict[KmeId, Address | None] = dict.fromkeys(self._driver.core.city.site)
        network = PeerNetwork(
            s.controller,
            PeerTlsFiles(s.certificate, s.key, s.trust),
            s.sites,
            sites,
            self._driver.serve,
            note=lambda line: self.say("site", line),
            calls=lambda _own, _peer: False,
        )
        self._at("sites", str(await network.start()))
        doors.push_async_callback(network.close)
        return network, servers

    def _at(self, door: str, where: str) -> None:
        self.say("listening", f"{door}: {where}", door=door, address=where)

    def _reload(
        self,
        network: PeerNetwork,
        servers: list[HttpsServer],
        around: Surroundings,
        load: Callable[[], tuple[ControllerSettings, City]],
    ) -> None:
        """Read everything again; what cannot be used is said, and what was in force stays."""
        try:
            settings, city = load()
            if settings != self.settings:
                self.say(
                    "warning", "changes of the controller's own file take effect at the next start, the plan now"
                )
            network.add(dict.fromkeys(city.site))
            network.reload_tls()
            for server in servers:
                server.reload()
            self._read_expiry()
            around.reload()
            self.change(city)
        except PoliqiError as error:
            self.say("reload-failed", f"{error}; what was in force stays in force", level="error")
        else:
            self.say("reloaded", "plan, certificates and trust are read again")

    def _read_expiry(self) -> None:
        self.expiry.read(datetime.now(UTC))
        self._warn_of_expiry()

    def _warn_of_expiry(self) -> None:
        for line in self.expiry.lines(datetime.now(UTC)):
            self.say("expiry", line, level="warning")

    async def _watch(self) -> None:
        """Look at the alarms ten times a second, have pages refreshed twice a second, warn of certificates."""
        refreshed = warned = self._loop.time()
        while True:
            await asyncio.sleep(_LOOK_S)
            now = self._loop.time()
            self._note(self._book.tick(now))
            if now - refreshed >= _REFRESH_S:
                refreshed = now
                self._bump()
            if now - warned >= _WARN_S:
                warned = now
                self._warn_of_expiry()


def _is_loopback(address: Address | None) -> bool:
    """Whether nobody but this machine reaches it; a name counts as none."""
    try:
        return address is not None and ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def run_controller(
    settings: ControllerSettings,
    city: City,
    say: Say,
    load: Callable[[], tuple[ControllerSettings, City]],
    surround: Callable[[ControlRoom], Surroundings],
) -> None:
    """Run a controller until a signal ends it. `load` reads settings and plan again for a reload.

    Raises ConfigError, and StoreError when the log fails.
    """
    forbid_core_dumps()
    make_private_folder(settings.state)
    with mark_running(settings.state):
        failure = asyncio.run(_run(settings, city, say, load, surround))
    if failure:
        raise StoreError(f"controller {settings.controller} stopped: {failure}")


async def _run(
    settings: ControllerSettings,
    city: City,
    say: Say,
    load: Callable[[], tuple[ControllerSettings, City]],
    surround: Callable[[ControlRoom], Surroundings],
) -> str:
    log = ControlLog(settings.state)
    stored = await asyncio.to_thread(log.load)
    now = asyncio.get_running_loop().time()
    core = Controller(city, settings.controller, secrets.token_hex(8), stored, now, time.time_ns())
    return await ControlRoom(settings, core, log, say).run(surround, load)
