"""The grammar of site.toml, table by table; docs/reference/site-toml.md explains each key.

A quantity is text with its unit ("1 Gbit", "30 s"); a bare number is taken only where there is no unit.
"""

from __future__ import annotations

from typing import Final

import msgspec

from poliqi.keys.grade import Combiner, KeyOrigin
from poliqi.keys.relay_messages import Scheme

__all__ = [
    "TABLES",
    "AllowTable",
    "AuditTable",
    "ControlTable",
    "KekTable",
    "LimitsTable",
    "ListenTable",
    "NeighbourTable",
    "PeerTable",
    "PolicyTable",
    "PoolTable",
    "RateTable",
    "RelayTable",
    "SaeTable",
    "SdnTable",
    "SiteTable",
    "Table",
    "TlsTable",
]

Quantity = str | float
"""A number with a unit, as text; a bare number is taken in, so that the error can say which unit is missing."""


class Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; an unknown key in it is an error."""


class KekTable(Table):
    folder: str | None = None
    module: str | None = None
    token: str | None = None
    pin_file: str | None = None


class TlsTable(Table):
    certificate: str
    key: str
    authority: str
    revoked: str | None = None
    trust: str | None = None


class ListenTable(Table):
    status: str = "127.0.0.1:9140"
    https: str | None = None
    streams: str | None = None
    peers: str | None = None
    ingest: str | None = None
    ingest_users: tuple[int, ...] = ()
    block_push: str | None = None
    neighbours: str | None = None
    neighbours_url: str | None = None
    sdn: str | None = None


class RateTable(Table):
    key_rate: Quantity | None = None
    key_burst: int | None = None
    bit_rate: Quantity | None = None
    bit_burst: Quantity | None = None


class LimitsTable(RateTable, kw_only=True):
    key_size: Quantity | None = None
    min_size: Quantity | None = None
    max_size: Quantity | None = None
    max_number: int | None = None
    max_slaves: int | None = None
    ttl: Quantity | None = None
    priority: int | None = None


class PolicyTable(Table):
    origins: tuple[KeyOrigin, ...] | None = None
    max_epsilon: float | None = None
    information_theoretic_only: bool = False
    never_through: tuple[str, ...] = ()
    max_relays: int | None = None
    min_paths: int = 1
    hybrid: Combiner | None = None


class PoolTable(Table):
    link: str
    low_water: Quantity = "1 Mbit"
    capacity: Quantity = "10 Gbit"


class PeerTable(Table):
    site: str
    address: str | None = None
    pool: tuple[PoolTable, ...] = ()


class RelayTable(PoolTable, kw_only=True):
    to: str
    paths: tuple[tuple[str, ...], ...]
    scheme: Scheme
    needed: int | None = None
    block: Quantity = "64 kbit"
    parity: bool = False


class SaeTable(LimitsTable, kw_only=True):
    id: str
    site: str | None = None


class AllowTable(PolicyTable, kw_only=True):
    between: tuple[str, ...] | None = None
    master: str | None = None
    slaves: tuple[str, ...] | None = None
    initiator_readback: bool = False
    key_rate: Quantity | None = None
    key_burst: int | None = None
    bit_rate: Quantity | None = None
    bit_burst: Quantity | None = None


class NeighbourTable(Table):
    site: str
    url: str
    authority: str | None = None


class ControlTable(Table):
    controller: str
    address: str
    low_water: Quantity = "256 kbit"
    capacity: Quantity = "100 Mbit"
    block: Quantity = "64 kbit"


class SdnTable(Table):
    readers: tuple[str, ...]
    location: str = ""
    qber: bool = False


class AuditTable(Table):
    keep: Quantity = "365 d"


class SiteTable(Table):
    site: str
    state: str
    kek: KekTable
    tls: TlsTable
    drain: Quantity = "30 s"
    listen: ListenTable = msgspec.field(default_factory=ListenTable)
    policy: PolicyTable = msgspec.field(default_factory=PolicyTable)
    limits: LimitsTable = msgspec.field(default_factory=LimitsTable)
    peer: tuple[PeerTable, ...] = ()
    relay: tuple[RelayTable, ...] = ()
    sae: tuple[SaeTable, ...] = ()
    allow: tuple[AllowTable, ...] = ()
    neighbour: tuple[NeighbourTable, ...] = ()
    control: ControlTable | None = None
    sdn: SdnTable | None = None
    audit: AuditTable = msgspec.field(default_factory=AuditTable)


TABLES: Final[dict[str, type[Table]]] = {
    "": SiteTable,
    "kek": KekTable,
    "tls": TlsTable,
    "listen": ListenTable,
    "policy": PolicyTable,
    "limits": LimitsTable,
    "peer": PeerTable,
    "peer.pool": PoolTable,
    "relay": RelayTable,
    "sae": SaeTable,
    "allow": AllowTable,
    "neighbour": NeighbourTable,
    "control": ControlTable,
    "sdn": SdnTable,
    "audit": AuditTable,
}
