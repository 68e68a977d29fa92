"""Key desks in memory for tests of servers: some sites that share keys, with the real rules and no disk.

A key is given to its master once, to each of its slaves once, to nobody else; an order is all or nothing; what
has expired or was voided is not found. Faults are set from outside: `connected`, `refuse_next`, `now_s`, `ways`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from poliqi.base.ids import KmeId, SaeId
from poliqi.edge.desk import NoticeHandler
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import (
    Accepted,
    Block,
    Delivered,
    Key,
    KeyOrder,
    Outcome,
    Reason,
    Refused,
    Shipment,
    StockReport,
)

__all__ = ["FakeDesk", "FakeSites", "fake_pair"]

_LOST = Refused(Reason.NOT_FOUND, "One or more keys specified are not found on KME")


@dataclass(slots=True)
class _Held:
    key: Key
    master: SaeId
    waiting: set[SaeId]
    named: frozenset[SaeId]
    made_s: float


@dataclass
class FakeSites:
    """What the sites share. `ways` holds the (master, slave) pairs that may talk; None: every pair may."""

    homes: dict[SaeId, KmeId]
    limits: KeyLimits = field(default_factory=KeyLimits)
    stock_bytes: int = 1 << 20
    connected: bool = True
    now_s: float = 0.0
    ways: set[tuple[SaeId, SaeId]] | None = None
    refuse_next: Refused | None = None
    held: dict[bytes, _Held] = field(default_factory=dict)
    blocks: dict[bytes, Block] = field(default_factory=dict)
    desks: dict[KmeId, FakeDesk] = field(default_factory=dict)
    given: list[tuple[SaeId, bytes]] = field(default_factory=list)
    """Every hand-over, in order: who got the key of which name."""

    def may(self, master: SaeId, slave: SaeId) -> bool:
        known = master in self.homes and slave in self.homes
        return known and (self.ways is None or (master, slave) in self.ways)

    def grade(self, master: SaeId, slave: SaeId) -> Grade:
        return Grade(KeyOrigin.PHOTONS, "test", 1e-10, ((self.homes[master], self.homes[slave]),))


class FakeDesk:
    """One site's desk."""

    def __init__(self, kme_id: KmeId, sites: FakeSites) -> None:
        self._kme_id = kme_id
        self.sites = sites
        self._handlers: dict[str, NoticeHandler] = {}
        sites.desks[kme_id] = self

    @property
    def kme_id(self) -> KmeId:
        return self._kme_id

    def limits(self, master: SaeId) -> KeyLimits:
        return self.sites.limits

    def report(self, caller: SaeId, other: SaeId) -> StockReport | Refused:
        if not self.sites.may(caller, other) or self.sites.homes[caller] != self._kme_id:
            return Refused(Reason.NOT_PERMITTED, f"{caller} may not ask about {other}")
        limits = self.sites.limits
        size = limits.key_size_bits // 8
        return StockReport(
            source_kme=self._kme_id,
            target_kme=self.sites.homes[other],
            master=caller,
            slave=other,
            key_size_bits=limits.key_size_bits,
            stored_keys=self.sites.stock_bytes // size,
            capacity_keys=1_000_000,
            max_keys_per_request=limits.max_number,
            max_size_bits=limits.max_size_bits,
            min_size_bits=limits.min_size_bits,
            max_slaves=limits.max_slaves,
            connected=self.sites.connected,
            grades=(self.sites.grade(caller, other),),
        )

    async def order(self, order: KeyOrder) -> Outcome:
        size = order.size_bits // 8
        refused = self._refusal(order.master, order.slaves, size * order.number)
        if refused is not None:
            return refused
        ids = order.key_ids or tuple(_fresh_id() for _ in range(order.number))
        grade = self.sites.grade(order.master, order.slaves[0])
        self.sites.stock_bytes -= size * order.number
        keys = [Key(key_id, os.urandom(size), grade) for key_id in ids]
        for key in keys:
            self._hold(key, order.master, order.slaves)
            self.sites.given.append((order.master, key.key_id))
        return Delivered(keys)

    def _refusal(self, master: SaeId, slaves: Sequence[SaeId], bytes_wanted: int) -> Refused | None:
        forced, self.sites.refuse_next = self.sites.refuse_next, None
        if forced is not None:
            return forced
        at_home = self.sites.homes.get(master) == self._kme_id
        if not at_home or not all(self.sites.may(master, slave) for slave in slaves):
            return Refused(Reason.NOT_PERMITTED, f"{master} may not ask for keys with {', '.join(slaves)}")
        if not self.sites.connected:
            return Refused(Reason.PEER_DOWN, "the other site is not connected", 5.0)
        if bytes_wanted > self.sites.stock_bytes:
            return Refused(Reason.INSUFFICIENT, "not enough keys in stock", 1.0)
        return None

    def _hold(self, key: Key, master: SaeId, slaves: Sequence[SaeId]) -> None:
        self.sites.held[key.key_id] = _Held(key, master, set(slaves), frozenset(slaves), self.sites.now_s)

    async def fetch(self, caller: SaeId, master: SaeId, key_ids: Sequence[bytes]) -> Outcome:
        forced, self.sites.refuse_next = self.sites.refuse_next, None
        if forced is not None:
            return forced
        found = [self.sites.held.get(key_id) for key_id in key_ids]
        for held in found:
            if held is None or held.master != master or self._is_old(held):
                return _LOST
            if caller not in held.named or self.sites.homes.get(caller) != self._kme_id:
                return Refused(Reason.NOT_PERMITTED, f"{caller} was not named when these keys were made")
            if caller not in held.waiting:
                return _LOST
        whole = [held for held in found if held is not None]
        for held in whole:
            held.waiting.discard(caller)
            self.sites.given.append((caller, held.key.key_id))
        return Delivered([held.key for held in whole])

    def _is_old(self, held: _Held) -> bool:
        return self.sites.now_s - held.made_s > self.sites.limits.ttl_s

    async def ship(self, shipment: Shipment) -> Outcome:
        refused = self._refusal(shipment.master, shipment.slaves, sum(map(len, shipment.values)))
        if refused is not None:
            return refused
        if any(key_id in self.sites.held for key_id in shipment.key_ids):
            return Refused(Reason.BAD_REQUEST, "a key of this name was shipped before")
        for key_id, value in zip(shipment.key_ids, shipment.values, strict=True):
            self._hold(Key(key_id, value, shipment.grade), shipment.master, shipment.slaves)
        return Accepted("shipped")

    async def void(self, master: SaeId, slaves: Sequence[SaeId], key_ids: Sequence[bytes] | None) -> Outcome:
        forced, self.sites.refuse_next = self.sites.refuse_next, None
        if forced is not None:
            return forced
        names = list(self.sites.held) if key_ids is None else list(key_ids)
        mine = [n for n in names if n in self.sites.held and self.sites.held[n].master == master]
        if key_ids is not None and len(mine) != len(names):
            return _LOST
        for name in mine:
            held = self.sites.held[name]
            held.waiting.difference_update(slaves)
            if not held.waiting:
                del self.sites.held[name]
        return Accepted(f"{len(mine)} keys")

    async def ingest(self, block: Block) -> Outcome:
        if block.name not in self.sites.blocks:
            self.sites.blocks[block.name] = block
            self.sites.stock_bytes += len(block.key)
        return Accepted()

    def notify(self, peer: KmeId, kind: str, body: bytes) -> bool:
        desk = self.sites.desks.get(peer)
        if desk is None or not self.sites.connected:
            return False
        handler = desk._handlers.get(kind)
        if handler is not None:
            handler(self._kme_id, body)
        return True

    def on_notice(self, kind: str, handler: NoticeHandler) -> None:
        self._handlers[kind] = handler


def _fresh_id() -> bytes:
    raw = bytearray(os.urandom(16))
    raw[6] = 0x80 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return uuid.UUID(bytes=bytes(raw)).bytes


def fake_pair(homes: Mapping[str, str] | None = None) -> tuple[FakeDesk, FakeDesk]:
    """Two sites that share keys: sae-a and sae-a2 at kme-a, sae-b and sae-c at kme-b (or as `homes` says)."""
    chosen = homes or {"sae-a": "kme-a", "sae-a2": "kme-a", "sae-b": "kme-b", "sae-c": "kme-b"}
    sites = FakeSites({SaeId(sae): KmeId(kme) for sae, kme in chosen.items()})
    first, second = dict.fromkeys(chosen.values())
    return FakeDesk(KmeId(first), sites), FakeDesk(KmeId(second), sites)
