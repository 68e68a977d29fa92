"""The doors of a running site: servers for applications, peers, neighbours, links and supervisors."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, SaeId
from poliqi.control.messages import LinkReport
from poliqi.edge.blockpush import BlockPushServer
from poliqi.edge.complaints import Complaints
from poliqi.edge.desk import KeyDesk
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.handover import Handover
from poliqi.edge.http1 import HttpLimits
from poliqi.edge.https import HttpsServer
from poliqi.edge.ingest_server import IngestServer, LocalPeers
from poliqi.edge.kme import KmeDriver
from poliqi.edge.kme_http import KmeApplication
from poliqi.edge.neighbours import NeighbourDesk
from poliqi.edge.peers import PeerNetwork, PeerTlsFiles
from poliqi.edge.stream_server import StreamServer
from poliqi.edge.streams import StreamService
from poliqi.edge.streams_http import StreamsApplication
from poliqi.edge.tls import TlsFiles
from poliqi.keys import etsi004_openapi
from poliqi.keys.etsi020_messages import BODY_BYTES
from poliqi.keys.etsi020_post import Neighbour, untrusted
from poliqi.node.site_figures import Figures
from poliqi.node.site_settings import PeerSettings, SiteSettings
from poliqi.node.site_status import StatusApplication

if TYPE_CHECKING:
    from poliqi.edge.interop import InteropService
    from poliqi.node.site_sdn import SiteSdn

__all__ = ["Doors"]


class Doors:
    """Everything that listens or calls. `say` gets event, text and more; `why_not` says why a site is not ready."""

    def __init__(
        self,
        settings: SiteSettings,
        driver: KmeDriver,
        streams: StreamService,
        figures: Figures,
        say: Callable[..., None],
        why_not: Callable[[], str],
        on_light: Callable[[LinkReport], None] | None = None,
    ) -> None:
        self._settings: Final = settings
        self._driver: Final = driver
        self._streams: Final = streams
        self._figures: Final = figures
        self._say: Final = say
        self._why_not: Final = why_not
        self._on_light: Final = on_light
        self._servers: Final[list[HttpsServer | StreamServer]] = []
        self._network: PeerNetwork | None = None
        self._interop: InteropService | None = None
        self._sdn: SiteSdn | None = None

    def _complaints(self) -> Complaints:
        return Complaints(lambda line: self._say("refused", line))

    def reload(self) -> None:
        """Read certificates and revocations again. Raises ConfigError; the old ones then stay where it failed."""
        if self._network is not None:
            self._network.reload_tls()
        for server in self._servers:
            server.reload()
        if self._interop is not None:
            self._interop.reload(self._neighbour_contexts())
        if self._sdn is not None:
            self._sdn.reload()

    def keep_listening(self, handover: Handover) -> None:
        """Keep the sockets of applications and peers open for the program that comes after this one."""
        for server in self._servers:
            handover.keep(server.listeners)
        for door in (self._network, self._sdn):
            if door is not None:
                handover.keep(door.listeners)

    def add_peers(self, peers: Iterable[PeerSettings]) -> None:
        """Call and admit more peers from now on. Raises ConfigError."""
        if self._network is not None:
            self._network.add({p.kme: p.address for p in peers})

    async def drain(self, timeout_s: float) -> None:
        """Take no more requests of applications and neighbours, finish those under way: all doors at once."""
        await asyncio.gather(*(server.drain(timeout_s) for server in self._servers))

    async def open(self, doors: AsyncExitStack) -> None:
        """Open every door that is configured, and say where."""
        s, listen = self._settings, self._settings.listen
        tls = TlsFiles(s.tls.certificate, s.tls.key, s.tls.authority, s.tls.revoked)
        if s.tls.trust is None and s.peers:
            raise ConfigError(f"{s.source}: tls.trust is missing: the folder that `poliqi pki trust` fills")
        files = PeerTlsFiles(s.tls.certificate, s.tls.key, s.tls.trust or s.state)
        peers = {p.kme: p.address for p in s.peers}
        status = HttpsServer(StatusApplication(self._figures, self._why_not), listen.status, None)
        self._at("status", str(await status.start()))
        doors.push_async_callback(status.close)
        self._network = PeerNetwork(
            s.site, files, listen.peers, peers, self._driver.serve, note=lambda line: self._say("peer", line)
        )
        at = await self._network.start()
        doors.push_async_callback(self._network.close)
        if at is not None:
            self._at("peers", str(at))
        desk = await self._open_neighbours(doors)
        if listen.https is not None:
            https = HttpsServer(self._application(desk), listen.https, tls, say=self._complaints())
            await self._serve(doors, "https", https)
            self._figures.watch(self._network, https)
        else:
            self._figures.watch(self._network, None)
        if listen.streams is not None:
            server = StreamServer(self._streams, listen.streams, tls, say=self._complaints())
            await self._serve(doors, "streams", server)
        await self._open_sdn(doors, tls)
        await self._open_ingest(doors)

    async def _serve(self, doors: AsyncExitStack, door: str, server: HttpsServer | StreamServer) -> None:
        self._at(door, str(await server.start()))
        doors.push_async_callback(server.close)
        self._servers.append(server)

    async def _open_sdn(self, doors: AsyncExitStack, tls: TlsFiles) -> None:
        """The door for controllers (ETSI 015); it stays open while the site is drained, and says so."""
        s = self._settings
        if s.sdn is None or s.listen.sdn is None:
            return
        from poliqi.node.site_sdn import SiteSdn  # few sites have this door

        self._sdn = SiteSdn(self._driver, s.sdn, s.listen.sdn, tls, self._why_not, self._complaints())
        self._at("sdn", str(await self._sdn.open(doors)))

    def _light_goes(self) -> Callable[[LinkReport], None] | None:
        """Who hears news of light; None where nobody does."""
        hearers = [h for h in (self._on_light, None if self._sdn is None else self._sdn.light) if h is not None]
        if not hearers:
            return None

        def tell(report: LinkReport) -> None:
            for hear in hearers:
                hear(report)

        return tell

    async def _open_ingest(self, doors: AsyncExitStack) -> None:
        listen = self._settings.listen
        if listen.ingest is not None:
            allowed = LocalPeers(uids=listen.ingest_uids) if listen.ingest_uids else None
            ingest = IngestServer(
                self._driver,
                listen.ingest,
                peers=allowed,
                report=lambda line: self._say("ingest", line),
                on_light=self._light_goes(),
            )
            await ingest.open()
            doors.push_async_callback(ingest.close)
            self._at("ingest", str(listen.ingest))
        if listen.block_push is not None:
            pools = {str(p.link_id): p.link_id for p in self._settings.stocks()}
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
        from poliqi.edge.interop import InteropApplication, InteropService  # its HTTP client takes a while to load

        applications = self._driver.kme.state.policy.applications.values()
        neighbours = [
            Neighbour(n.kme, n.url, frozenset(a.sae for a in applications if a.home == n.kme)) for n in s.neighbours
        ]
        entropy = OperatingSystemEntropy()
        service = InteropService(
            self._driver,
            neighbours,
            s.listen.neighbours_url,
            self._neighbour_contexts(),
            entropy,
            say=self._complaints(),
        )
        self._interop = service
        doors.push_async_callback(service.close)
        limits = HttpLimits(body_bytes=BODY_BYTES)
        tls = TlsFiles(s.tls.certificate, s.tls.key, {n.kme: n.authority for n in s.neighbours})
        server = HttpsServer(InteropApplication(service), s.listen.neighbours, tls, limits, self._complaints())
        await self._serve(doors, "neighbours", server)
        grades = {n.kme: untrusted(n.kme, s.site) for n in s.neighbours}
        return NeighbourDesk(self._driver, lambda: self._driver.kme.state.policy, service, grades, entropy)

    def _neighbour_contexts(self) -> dict[KmeId, ssl.SSLContext]:
        """How each neighbour is called: only its own authority vouches for it."""
        from poliqi.edge.interop import neighbour_context

        tls = self._settings.tls
        return {n.kme: neighbour_context(n.authority, tls.certificate, tls.key) for n in self._settings.neighbours}

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
