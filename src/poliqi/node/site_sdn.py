"""A running site as ETSI GS QKD 015 shows it: looks at it each second, and tells listeners what is new."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from email.utils import formatdate
from itertools import islice
from typing import Final

import msgspec

from poliqi.base.ids import KmeId
from poliqi.control.etsi015 import MODULE, NodeStatus, QkdNode
from poliqi.control.etsi015_news import NodeNews
from poliqi.control.etsi015_state import Association, NodeFigures, StockFigures, associations, qkd_node
from poliqi.control.messages import LinkReport
from poliqi.edge.complaints import Complaints
from poliqi.edge.http1 import HttpLimits
from poliqi.edge.https import HttpsServer
from poliqi.edge.kme import KmeDriver
from poliqi.edge.network import Address
from poliqi.edge.restconf import RestconfApplication
from poliqi.edge.restconf_data import Root
from poliqi.edge.restconf_schema import schema_of
from poliqi.edge.restconf_stream import EventStream
from poliqi.edge.tls import TlsFiles
from poliqi.keys.grade import KeyOrigin
from poliqi.keys.policy import Policy
from poliqi.keys.stock import Pool
from poliqi.node.site_rates import Consumption, Rates, rfc3339
from poliqi.node.site_settings import SdnSettings

__all__ = ["SiteSdn"]

_LOOK_S: Final = 1.0
_STALE_S: Final = 0.2
_LATEST: Final = 64
_CLOSE_S: Final = 1.0
_LIMITS: Final = HttpLimits(connections=256, connections_of_one=32)


class SiteSdn:
    """The door for controllers. `why_not` says why the site does not serve, or nothing."""

    def __init__(
        self,
        driver: KmeDriver,
        settings: SdnSettings,
        address: Address,
        tls: TlsFiles,
        why_not: Callable[[], str],
        say: Complaints,
    ) -> None:
        self._driver: Final = driver
        self._settings: Final = settings
        self._why_not: Final = why_not
        self._say: Final = say
        self._stream: Final = EventStream()
        application = RestconfApplication(self._data, self._stream, settings.readers)
        self._server: Final = HttpsServer(application, address, tls, _LIMITS, say)
        self._schema: Final = schema_of(QkdNode)
        self._software: Final = _software()
        self._lights: Final[dict[str, tuple[LinkReport, float]]] = {}
        self._rates: Final = Rates()
        self._consumption: Final = Consumption()
        self._apps: tuple[Association, ...] = ()
        self._policy: Policy | None = None
        self._looked = time.monotonic()
        self._node = self._look(self._looked)
        self._news: Final = NodeNews(self._node)
        self._modified = _http_date()
        self._root: Root | None = None
        self._looking: asyncio.Task[None] | None = None

    async def open(self, doors: AsyncExitStack) -> Address:
        """Listen, and look at the site each second. Raises ConfigError."""
        at = await self._server.start()
        doors.push_async_callback(self._close)
        self._looking = asyncio.get_running_loop().create_task(self._keep_looking())
        return at

    async def _close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        self._stream.close()
        await self._server.drain(_CLOSE_S)

    @property
    def listeners(self) -> tuple[socket.socket, ...]:
        """The sockets that it listens on."""
        return self._server.listeners

    def reload(self) -> None:
        """Read certificates and revocations again. Raises ConfigError; the old ones then stay."""
        self._server.reload()

    def light(self, report: LinkReport) -> None:
        """News of a link's light."""
        before = self._lights.get(report.link)
        self._lights[report.link] = report, time.monotonic()
        if before is None or before[0].state is not report.state:
            self._refresh()

    async def _keep_looking(self) -> None:
        while True:
            try:
                self._refresh()
            except Exception as error:  # whatever it is: keys are served all the same, and the fault is said
                self._say(f"sdn: the site could not be looked at: {type(error).__name__}", known=True)
            await asyncio.sleep(_LOOK_S)

    def _refresh(self) -> None:
        """Look, and tell what is new."""
        now = self._looked = time.monotonic()
        self._rates.note(now, self._driver.kme.state.stock.pools)
        self._consumption.note(time.time(), self._driver.kme.state.taken)
        node = self._look(now)
        if node == self._node:
            return
        self._node, self._root = node, None
        self._modified = _http_date()
        for news in self._news.heed(node):
            self._stream.publish(rfc3339(time.time()), f"{MODULE}:{news.name}", news.content)

    def _data(self) -> tuple[Root, str]:
        """The tree as it is, and since when it is so."""
        if time.monotonic() - self._looked > _STALE_S:
            self._refresh()
        if self._root is None:
            self._root = Root(MODULE, "qkd_node", self._schema, msgspec.to_builtins(self._node))
        return self._root, self._modified

    def _look(self, now: float) -> QkdNode:
        state = self._driver.kme.state
        if state.policy is not self._policy:
            self._policy, self._apps = state.policy, associations(state.policy)
        return qkd_node(
            NodeFigures(
                site=state.own,
                software=self._software,
                status=self._status(),
                stocks=[self._stock(pool, now) for pool in state.stock.pools.values()],
                apps=self._apps,
                consumed=self._consumption.periods,
                location=self._settings.location,
                tells_qber=self._settings.qber,
            )
        )

    def _status(self) -> NodeStatus:
        state = self._driver.kme.state
        if state.failed:
            return NodeStatus.FAILURE
        if self._why_not():
            return NodeStatus.OUT
        has_met = any(link.connection for link in state.links.values())
        has_key = any(pool.stored_bytes or pool.filled_bytes for pool in state.stock.pools.values())
        return NodeStatus.OPERATING if has_met or has_key else NodeStatus.NEW

    def _stock(self, pool: Pool, now: float) -> StockFigures:
        state = self._driver.kme.state
        filled, taken, carried = self._rates.of(pool.link_id)
        told = self._lights.get(pool.link_id)
        light = None
        if told is not None:
            light = msgspec.structs.replace(told[0], age_s=told[0].age_s + now - told[1])
        latest = next(reversed(pool.segments.values()), None)
        hops = [path[1] for route in self._driver.kme.routes if route.pool == pool.link_id for path in route.paths]
        return StockFigures(
            link=pool.link_id,
            peer=pool.peer,
            is_relayed=pool.is_relayed,
            is_connected=state.links[pool.peer].is_live,
            stored_bits=8 * pool.stored_bytes,
            filled_bits=8 * pool.filled_bytes,
            filled_bps=filled,
            taken_bps=taken,
            carried_bps=carried,
            light=light,
            is_simulated=latest is not None and latest.grade.origin in (KeyOrigin.SIMULATED, KeyOrigin.REPLAY),
            next_hops=tuple(hops),
            prev_hop=_came_over(pool, state.own) if pool.is_relayed else None,
        )


def _came_over(pool: Pool, site: KmeId) -> KmeId | None:
    """The last site on the way of the latest block that the other end sent by relay."""
    for record in islice(reversed(pool.segments.values()), _LATEST):
        for path in record.grade.paths:
            if len(path) > 2 and path[0] == pool.peer and path[-1] == site:
                return path[-2]
    return None


def _http_date() -> str:
    """Now, a second early: no answer may say that it changed after its own Date, which is a second old at most."""
    return formatdate(time.time() - 1.0, usegmt=True)


def _software() -> str:
    from importlib.metadata import version

    return f"poliqi {version('poliqi')}"
