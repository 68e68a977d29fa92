"""The figures of a running site: one table of metrics, read by /metrics, /status and the command line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from poliqi.edge.https import HttpsServer
from poliqi.edge.kme import KmeDriver
from poliqi.edge.peers import PeerNetwork
from poliqi.edge.streams import StreamService
from poliqi.keys.desk_state import KmeEvent
from poliqi.keys.segment import SegmentState
from poliqi.node.site_expiry import ExpiryWatch

__all__ = ["METRICS", "Figures", "Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, kind and meaning."""

    name: str
    kind: str
    meaning: str


METRICS: Final = (
    Metric("poliqi_keys_delivered_total", "counter", "keys handed to masters"),
    Metric("poliqi_keys_released_total", "counter", "keys handed to slaves"),
    Metric("poliqi_keys_expired_total", "counter", "keys that no slave fetched in time"),
    Metric("poliqi_orders_refused_total", "counter", "orders that a peer or a broken connection spoiled"),
    Metric("poliqi_orders_without_stock_total", "counter", "orders for which there was too little key"),
    Metric("poliqi_rate_limited_total", "counter", "orders beyond an application's rate"),
    Metric("poliqi_uses_refused_total", "counter", "keys that a peer asked to use and was not allowed to"),
    Metric("poliqi_bytes_ingested_total", "counter", "bytes of key that came in blocks"),
    Metric("poliqi_blocks_ingested_total", "counter", "blocks that came"),
    Metric("poliqi_events_total", "counter", "events by kind (label kind)"),
    Metric("poliqi_pool_free_bytes", "gauge", "bytes of one's own share that may be given out (label link)"),
    Metric("poliqi_pool_stored_bytes", "gauge", "bytes of segments that lie in store (label link)"),
    Metric("poliqi_pool_unconfirmed_segments", "gauge", "segments that the peer has not confirmed (label link)"),
    Metric("poliqi_peer_connected", "gauge", "1 while the peer is connected (label peer)"),
    Metric("poliqi_peer_failures_total", "counter", "calls, handshakes and streams that failed (label peer)"),
    Metric("poliqi_keys_waiting", "gauge", "keys promised by peers and not fetched yet"),
    Metric("poliqi_runs_outstanding", "gauge", "runs of keys that are not delivered whole"),
    Metric("poliqi_streams_open", "gauge", "key streams (ETSI 004)"),
    Metric("poliqi_https_connections", "gauge", "connections of applications"),
    Metric("poliqi_https_requests_total", "counter", "requests of applications"),
    Metric("poliqi_https_refused_total", "counter", "connections turned away, or whose handshake failed"),
    Metric("poliqi_certificate_days_left", "gauge", "days until a certificate or list ends (label file)"),
    Metric("poliqi_commits_total", "counter", "commits of the key store"),
    Metric("poliqi_commit_seconds", "gauge", "time of the slowest of the latest 512 commits"),
    Metric("poliqi_up_seconds", "gauge", "time since the start"),
)


class Figures:
    """Reads the figures of one site when asked."""

    def __init__(self, driver: KmeDriver, streams: StreamService, expiry: ExpiryWatch) -> None:
        self._driver: Final = driver
        self._expiry: Final = expiry
        self._streams: Final = streams
        self._events: Final[Counter[str]] = Counter()
        self._network: PeerNetwork | None = None
        self._https: HttpsServer | None = None
        self._began: Final = time.monotonic()

    def watch(self, network: PeerNetwork, https: HttpsServer | None) -> None:
        """Servers whose figures belong to the site."""
        self._network, self._https = network, https

    def count(self, event: KmeEvent) -> None:
        """Count an event."""
        self._events[event.kind.value] += 1

    def values(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Name, labels and value of every figure."""
        state, driver = self._driver.kme.state, self._driver
        for name in (
            "keys_delivered",
            "keys_released",
            "keys_expired",
            "orders_refused",
            "orders_without_stock",
            "rate_limited",
            "uses_refused",
            "bytes_ingested",
            "blocks_ingested",
        ):
            yield f"poliqi_{name}_total", {}, state.counts.get(name, 0)
        for kind, count in sorted(self._events.items()):
            yield "poliqi_events_total", {"kind": kind}, count
        for pool in state.stock.pools.values():
            waiting = sum(r.state is SegmentState.STORED for r in pool.segments.values())
            yield "poliqi_pool_free_bytes", {"link": pool.link_id}, pool.own_bytes
            yield "poliqi_pool_stored_bytes", {"link": pool.link_id}, pool.stored_bytes
            yield "poliqi_pool_unconfirmed_segments", {"link": pool.link_id}, waiting
        for link in state.links.values():
            yield "poliqi_peer_connected", {"peer": link.kme}, float(link.is_live)
            if self._network is not None and link.kme in self._network.counts:
                yield "poliqi_peer_failures_total", {"peer": link.kme}, self._network.counts[link.kme].failures
        yield "poliqi_keys_waiting", {}, state.runs.named_keys
        yield "poliqi_runs_outstanding", {}, len(state.runs)
        yield "poliqi_streams_open", {}, self._streams.count
        if self._https is not None:
            yield "poliqi_https_connections", {}, self._https.connections
            yield "poliqi_https_requests_total", {}, self._https.requests
            yield "poliqi_https_refused_total", {}, self._https.refused
        for file, days in self._expiry.days_left(datetime.now(UTC)):
            yield "poliqi_certificate_days_left", {"file": file}, days
        yield "poliqi_commits_total", {}, driver.commits
        yield "poliqi_commit_seconds", {}, max(driver.commit_s, default=0.0)
        yield "poliqi_up_seconds", {}, time.monotonic() - self._began

    def status(self) -> dict[str, Any]:
        """What `poliqi site status` shows."""
        state = self._driver.kme.state
        peers: list[dict[str, Any]] = []
        for link in state.links.values():
            counts = None if self._network is None else self._network.counts.get(link.kme)
            peers.append(
                {
                    "site": link.kme,
                    "connected": link.is_live,
                    "last_failure": "" if counts is None else counts.reason,
                    "links": [
                        {
                            "link": pool.link_id,
                            "relayed": pool.is_relayed,
                            "free_bits": 8 * pool.own_bytes,
                            "stored_bits": 8 * pool.stored_bytes,
                            "capacity_bits": 8 * pool.capacity,
                            "grades": sorted({r.grade.name for r in pool.segments.values()}),
                        }
                        for pool in state.pools_to[link.kme]
                    ],
                }
            )
        return {
            "site": state.own,
            "failed": state.failed,
            "up_s": round(time.monotonic() - self._began, 1),
            "keys_delivered": state.counts.get("keys_delivered", 0),
            "keys_released": state.counts.get("keys_released", 0),
            "keys_waiting": state.runs.named_keys,
            "peers": peers,
        }
