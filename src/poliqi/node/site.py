"""One site as one process: key management, its servers, its peers, its blocks, and the care of all of them.

Signals: SIGTERM and SIGINT drain and stop; SIGHUP reads the configuration, certificates and revocations again and
renews the KEK; SIGUSR1 drains and goes on carrying what other sites need, until the next start.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from poliqi.base.errors import ConfigError, PoliqiError, StoreError
from poliqi.base.ids import LinkId, SaeId
from poliqi.edge.audit import read_audit
from poliqi.edge.blockpush import BlockPushServer
from poliqi.edge.complaints import Complaints
from poliqi.edge.desk import KeyDesk
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.expiry import expiring
from poliqi.edge.http1 import HttpLimits
from poliqi.edge.https import HttpsServer
from poliqi.edge.ingest_server import IngestServer, LocalPeers
from poliqi.edge.interop import InteropApplication, InteropService, neighbour_context
from poliqi.edge.keystore import KeyStore
from poliqi.edge.kme import KmeDriver
from poliqi.edge.kme_http import KmeApplication
from poliqi.edge.memory import forbid_core_dumps, lock_memory
from poliqi.edge.neighbours import NeighbourDesk
from poliqi.edge.peers import PeerNetwork, PeerTlsFiles
from poliqi.edge.readiness import tell_supervisor
from poliqi.edge.running import mark_running
from poliqi.edge.stream_server import StreamServer
from poliqi.edge.streams import StreamService
from poliqi.edge.streams_http import StreamsApplication
from poliqi.edge.tls import TlsFiles
from poliqi.keys import etsi004_openapi
from poliqi.keys.desk_state import EventKind, KmeEvent
from poliqi.keys.etsi020_messages import BODY_BYTES
from poliqi.keys.etsi020_post import Neighbour, untrusted
from poliqi.keys.kme import Kme, PoolSettings
from poliqi.keys.marks import StoredState
from poliqi.keys.relaying import RelayRoute
from poliqi.node.site_figures import Figures
from poliqi.node.site_settings import SiteSettings, open_kek
from poliqi.node.site_status import StatusApplication

__all__ = ["Site", "run_site"]

Say = Callable[[dict[str, Any]], None]

_OPEN_FILES: Final = 65_536
_CARE_S: Final = 30.0
_EXPIRY_S: Final = 6 * 3600.0
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

    if not forbid_core_dumps():
        say({"event": "warning", "text": "core dumps could not be forbidden entirely"})
    unlocked = lock_memory()
    if unlocked is not None:
        say({"event": "warning", "text": unlocked})
    _raise_open_files()
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        mark_running(settings.state),
        closing(KeyStore(settings.state, open_kek(settings.kek), create=True)) as store,
    ):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            failure = runner.run(_run(settings, store, say, load))
        if failure:
            raise StoreError(f"site {settings.site} stopped: {failure}")


async def _run(settings: SiteSettings, store: KeyStore, say: Say, load: Callable[[], SiteSettings]) -> str:
    stored = await asyncio.to_thread(store.load)
    now = asyncio.get_running_loop().time()
    pools, peers = _pools(settings), [peer.kme for peer in settings.peers]
    kme = Kme(settings.site, pools, settings.policy, stored, store, OperatingSystemEntropy(), now, peers)
    kme.fill(_routes(settings))
    return await Site(settings, store, kme, say, load).run(stored)


def _raise_open_files() -> None:
    """Ten thousand connections need as many descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Site:
    """The life of one site."""

    def __init__(
        self, settings: SiteSettings, store: KeyStore, kme: Kme, say: Say, load: Callable[[], SiteSettings]
    ) -> None:
        self._settings = settings
        self._store: Final = store
        self._tell: Final = say
        self._load: Final = load
        self._stopping: Final = asyncio.Event()
        self._failure = ""
        self._is_drained = False
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._driver: Final = KmeDriver(kme, store, self._on_event, self._on_failure)
        self._streams: Final = StreamService(self._driver, OperatingSystemEntropy(), say=self._complaints())
        self._figures: Final = Figures(self._driver, self._streams)
        self._servers: Final[list[HttpsServer | StreamServer]] = []
        self._network: PeerNetwork | None = None

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
                await self._open(doors)
                segments = len(stored.segments)
                self._say(
                    "ready",
                    f"site {s.site}: start {stored.generation}, {segments} segments in stock, "
                    f"{len(_pools(s))} links to {len({p.kme for p in s.peers})} sites",
                    generation=stored.generation,
                    segments=segments,
                )
                tell_supervisor("READY=1")
                self._keep(self._care())
                await self._stopping.wait()
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

    async def _open(self, doors: AsyncExitStack) -> None:
        """Open every door that is configured, and say where."""
        s, listen = self._settings, self._settings.listen
        tls = TlsFiles(s.tls.certificate, s.tls.key, s.tls.authority, s.tls.revoked)
        if s.tls.trust is None and s.peers:
            raise ConfigError(f"{s.source}: tls.trust is missing: the folder that `poliqi pki trust` fills")
        files = PeerTlsFiles(s.tls.certificate, s.tls.key, s.tls.trust or s.state)
        peers = {p.kme: p.address for p in s.peers}
        status = HttpsServer(StatusApplication(self._figures, self._is_ready), listen.status, None)
        self._at("status", str(await status.start()))
        doors.push_async_callback(status.close)
        self._network = PeerNetwork(
            s.site, files, listen.peers, peers, self._driver.serve, note=lambda line: self._say("peer", line)
        )
        at = await self._network.start()
        doors.push_async_callback(self._network.close)
        if at is not None:
            self._at("peers", str(at))
        if listen.https is not None:
            desk = await self._open_neighbours(doors)
            https = HttpsServer(self._application(desk), listen.https, tls, say=self._complaints())
            await self._serve(doors, "https", https)
            self._figures.watch(self._network, https)
        else:
            self._figures.watch(self._network, None)
        if listen.streams is not None:
            server = StreamServer(self._streams, listen.streams, tls, say=self._complaints())
            await self._serve(doors, "streams", server)
        await self._open_ingest(doors)

    async def _serve(self, doors: AsyncExitStack, door: str, server: HttpsServer | StreamServer) -> None:
        self._at(door, str(await server.start()))
        doors.push_async_callback(server.close)
        self._servers.append(server)

    async def _open_ingest(self, doors: AsyncExitStack) -> None:
        listen = self._settings.listen
        if listen.ingest is not None:
            allowed = LocalPeers(uids=listen.ingest_uids) if listen.ingest_uids else None
            ingest = IngestServer(
                self._driver, listen.ingest, peers=allowed, report=lambda line: self._say("ingest", line)
            )
            await ingest.open()
            doors.push_async_callback(ingest.close)
            self._at("ingest", str(listen.ingest))
        if listen.block_push is not None:
            pools = {str(p.link_id): p.link_id for p in _pools(self._settings)}
            push = BlockPushServer(
                self._driver, listen.block_push, pools, report=lambda line: self._say("block-push", line)
            )
            self._at("block-push", str(await push.open()))
            doors.push_async_callback(push.close)

    def _at(self, door: str, where: str) -> None:
        self._say("listening", f"{door}: {where}", door=door, address=where)

    async def _open_neighbours(self, doors: AsyncExitStack) -> KeyDesk:
        """The desk that also reaches the neighbours, and the door for them; without any, the site's own desk."""
        s = self._settings
        if not s.neighbours or s.listen.neighbours is None:
            return self._driver
        applications = self._driver.kme.state.policy.applications.values()
        neighbours = [
            Neighbour(n.kme, n.url, frozenset(a.sae for a in applications if a.home == n.kme)) for n in s.neighbours
        ]
        bundle = s.state / "neighbours.pem"
        bundle.write_text("\n".join(dict.fromkeys(n.authority.read_text() for n in s.neighbours)))
        chain, key = str(s.tls.certificate), str(s.tls.key)
        entropy = OperatingSystemEntropy()
        service = InteropService(
            self._driver,
            neighbours,
            s.listen.neighbours_url,
            neighbour_context(str(bundle), chain, key),
            entropy,
            say=self._complaints(),
        )
        doors.push_async_callback(service.close)
        limits = HttpLimits(body_bytes=BODY_BYTES)
        tls = TlsFiles(s.tls.certificate, s.tls.key, bundle)
        server = HttpsServer(InteropApplication(service), s.listen.neighbours, tls, limits, self._complaints())
        await self._serve(doors, "neighbours", server)
        grades = {n.kme: untrusted(n.kme, s.site) for n in s.neighbours}
        return NeighbourDesk(self._driver, lambda: self._driver.kme.state.policy, service, grades, entropy)

    def _application(self, desk: KeyDesk) -> KmeApplication:
        def partners(sae: SaeId) -> list[SaeId]:
            policy = self._driver.kme.state.policy
            return sorted(s for s in policy.applications if policy.judge_pair(sae, (s,)) is None)

        return KmeApplication(
            desk,
            entropy=OperatingSystemEntropy(),
            partners=partners,
            others=StreamsApplication(self._streams),
            described=etsi004_openapi.paths(),
        )

    def _is_ready(self) -> str:
        """Why the site does not serve, or nothing."""
        if self._failure:
            return self._failure
        return "the site is drained" if self._is_drained else ""

    # ---------------------------------------------------------------- what happens

    def _on_event(self, event: KmeEvent) -> None:
        self._figures.count(event)
        level = (
            "info" if event.kind in (EventKind.PEER_UP, EventKind.RELAY_DONE, EventKind.KEM_AGREED) else "warning"
        )
        self._say(event.kind.value, event.text, level=level)

    def _on_failure(self, reason: str) -> None:
        self._failure = reason
        self._say("failed", f"{reason}; nothing is served any more", level="error")
        self._stopping.set()

    async def _drain(self) -> None:
        """Take no more requests, finish those under way."""
        if self._is_drained:
            return
        self._is_drained = True
        self._say("draining", f"no new requests; those under way end within {self._settings.drain_s:g} s")
        for server in self._servers:
            if isinstance(server, HttpsServer):
                await server.drain(self._settings.drain_s)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.drain_s
        while not self._driver.is_idle and loop.time() < end and not self._failure:
            await asyncio.sleep(0.01)
        self._say("drained", "no request is under way")

    async def _reload(self) -> None:
        """Read everything again; what cannot be changed while running is said and left."""
        tell_supervisor("RELOADING=1")
        try:
            new = self._load()
            old = self._settings
            fixed = [
                name for name in ("site", "state", "kek", "listen") if getattr(new, name) != getattr(old, name)
            ]
            fixed += ["peer" for _ in (1,) if (new.peers, new.relays) != (old.peers, old.relays)]
            if fixed:
                self._say(
                    "warning", f"changes of {', '.join(fixed)} take effect at the next start; the rest does now"
                )
            self._driver.reload(new.policy)
            self._driver.kme.fill(_routes(new))
            if self._network is not None:
                self._network.reload_tls()
            for server in self._servers:
                server.reload()
            await self._driver.in_writer(self._store.rotate)
        except PoliqiError as error:
            self._say("reload-failed", f"{error}; what was in force stays in force", level="error")
        else:
            self._settings = new
            self._say("reloaded", "policy, certificates and revocations are read again, the KEK is renewed")
        tell_supervisor("READY=1")

    # ---------------------------------------------------------------- care

    async def _care(self) -> None:
        """Erase what was used, warn of certificates that end, renew the KEK once a day."""
        loop = asyncio.get_running_loop()
        renewed = warned = loop.time()
        self._warn_of_expiry()
        while not self._failure:
            await asyncio.sleep(_CARE_S)
            try:
                used = self._driver.kme.used_up()
                await self._driver.in_writer(lambda used=used: self._store.erase_used(used))
                if loop.time() - renewed > _RENEWAL_S:
                    renewed = loop.time()
                    await self._driver.in_writer(self._store.rotate)
                    await self._driver.in_writer(self._forget_old_lines)
            except StoreError as error:
                self._driver.fail(str(error))
            if loop.time() - warned > _EXPIRY_S:
                warned = loop.time()
                self._warn_of_expiry()

    def _forget_old_lines(self) -> None:
        """In the writer thread: end the audit's tail where it is older than it has to be."""
        oldest_ns = time.time_ns() - int(self._settings.audit_keep_s * 1e9)
        lines = read_audit(self._settings.state)
        for line in lines:
            written = msgspec.json.decode(line, type=_WrittenAt)
            if written.time_ns >= oldest_ns:
                self._store.prune_audit(written.seq)
                return

    def _warn_of_expiry(self) -> None:
        tls = self._settings.tls
        others: list[Path] = [] if tls.trust is None else sorted(tls.trust.glob("*.pem"))
        paths = [tls.certificate, tls.authority, *others]
        with suppress(ConfigError):
            for found in expiring(paths, datetime.now(UTC)):
                self._say("expiry", found.line, level="warning")


def _pools(settings: SiteSettings) -> list[PoolSettings]:
    """Every stock of the site, those of fibres and those that relays fill."""
    pools = [
        PoolSettings(LinkId(pool.link), peer.kme, pool.capacity_bits // 8, pool.low_water_bits // 8)
        for peer in settings.peers
        for pool in peer.pools
    ]
    pools += [
        PoolSettings(
            relay.pool.link,
            relay.to,
            relay.pool.capacity_bits // 8,
            relay.pool.low_water_bits // 8,
            is_relayed=True,
        )
        for relay in settings.relays
    ]
    return pools


def _routes(settings: SiteSettings) -> tuple[RelayRoute, ...]:
    return tuple(
        RelayRoute(LinkId(r.pool.link), r.to, r.scheme, r.needed, r.paths, r.block_bytes, r.parity)
        for r in settings.relays
    )
