"""Two sites of a key stream in memory: their cores, the keys they promised, notices that a test may lose."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.etsi004 import Streams
from poliqi.keys.etsi004_messages import Close, GetKey, GetKeyReply, OpenConnect, Qos, Reply, Status
from poliqi.keys.etsi004_table import Answer, FetchChunk, PlaceOrder, SendNotice, VoidChunks
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import Delivered, Key, Outcome, Reason, Refused, StockReport

__all__ = ["KME", "SAE", "STREAM", "World", "connected"]

KME = {"a": KmeId("kme-a"), "b": KmeId("kme-b")}
SAE = {"a": SaeId("sae-a"), "b": SaeId("sae-b")}
STREAM = UUID("11111111-2222-4333-8444-555555555555")
GRADE = Grade(KeyOrigin.SIMULATED, "", None, ((KME["a"], KME["b"]),))


class Drawn:
    source = "test"

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def draw(self, count: int) -> bytes:
        return self.random.randbytes(count)


@dataclass
class World:
    """Two cores, the keys that both sites promised, and what is under way."""

    start: int = 0
    now: float = 0.0
    sites: dict[str, Streams] = field(default_factory=dict)
    keys: dict[bytes, tuple[bytes, set[SaeId]]] = field(default_factory=dict)
    notices: dict[str, deque[bytes]] = field(default_factory=lambda: {"a": deque(), "b": deque()})
    work: dict[str, list[PlaceOrder | FetchChunk]] = field(default_factory=lambda: {"a": [], "b": []})
    replies: dict[int, Reply] = field(default_factory=dict)
    whose: dict[int, str] = field(default_factory=dict)
    stock: int = 1_000_000
    refuse: Refused | None = None
    report: StockReport | Refused | None = None
    limits: KeyLimits = field(default_factory=KeyLimits)
    orders: list[PlaceOrder] = field(default_factory=list)
    voided: list[VoidChunks] = field(default_factory=list)

    def __post_init__(self) -> None:
        for i, name in enumerate("ab"):
            self.sites[name] = Streams(KME[name], Drawn(self.start + i))

    def call(self, name: str) -> int:
        number = len(self.whose)
        self.whose[number] = name
        return number

    def restart(self, name: str) -> None:
        """The site starts anew and remembers nothing; who waited there is gone."""
        self.sites[name].stop()
        self.sites[name] = Streams(KME[name], Drawn(1000 + len(self.whose)))
        self.work[name].clear()

    def open(
        self,
        name: str,
        *,
        stream: UUID | None = STREAM,
        ends: tuple[str, str] = ("qkd://sae-a", "qkd://sae-b"),
        caller: SaeId | None = None,
        **qos: int | str,
    ) -> int:
        call, other = self.call(name), "ab".replace(name, "")
        report = StockReport(
            KME[name], KME[other], SAE[name], SAE[other], 256, self.stock, 10**9, 128, 4096, 64, 0, True, (GRADE,)
        )
        asked = OpenConnect(*ends, Qos(**qos), stream)  # type: ignore[arg-type]
        self.sites[name].open_connect(
            call, caller or SAE[name], asked, self.report or report, self.limits, self.now
        )
        self.gather(name)
        return call

    def get(
        self, name: str, index: int | None = None, stream: UUID = STREAM, metadata_bytes: int | None = None
    ) -> int:
        call = self.call(name)
        self.sites[name].get_key(call, SAE[name], GetKey(stream, index, metadata_bytes), self.now)
        self.gather(name)
        return call

    def close(self, name: str) -> int:
        call = self.call(name)
        self.sites[name].close(call, SAE[name], Close(STREAM), self.now)
        self.gather(name)
        return call

    def gather(self, name: str) -> None:
        for action in self.sites[name].take_output():
            match action:
                case Answer(call, reply):
                    assert call not in self.replies, "a call is answered once"
                    self.replies[call] = reply
                case SendNotice(_, body):
                    self.notices["ab".replace(name, "")].append(body)
                case VoidChunks(_, slave, ids):
                    self.voided.append(action)
                    for key_id in ids:
                        if key_id in self.keys:
                            self.keys[key_id][1].discard(slave)
                case _:
                    self.work[name].append(action)

    def do_work(self, name: str, position: int = 0) -> None:
        action = self.work[name].pop(position)
        if isinstance(action, PlaceOrder):
            self.sites[name].ordered(action.job, self._order(action), self.now)
        else:
            self.sites[name].fetched(action.job, self._fetch(action), self.now)
        self.gather(name)

    def _order(self, action: PlaceOrder) -> Outcome:
        order = action.order
        assert order.key_ids is not None and len(order.key_ids) == order.number
        assert not any(key_id in self.keys for key_id in order.key_ids), "no name is given to two keys"
        self.orders.append(action)
        if self.refuse is not None:
            return self.refuse
        if order.number > self.stock:
            return Refused(Reason.INSUFFICIENT, "too few")
        self.stock -= order.number
        made = []
        for key_id in order.key_ids:
            value = hashlib.sha256(b"value" + key_id).digest()[: order.size_bits // 8]
            self.keys[key_id] = (value, set(order.slaves))
            made.append(Key(key_id, value, GRADE))
        return Delivered(made)

    def _fetch(self, action: FetchChunk) -> Outcome:
        value, waiting = self.keys.get(action.key_id, (b"", set()))
        if action.caller not in waiting:
            return Refused(Reason.NOT_FOUND, "not found")
        waiting.discard(action.caller)
        return Delivered([Key(action.key_id, value, GRADE)])

    def bring(self, name: str, *, lose: bool = False) -> None:
        body = self.notices[name].popleft()
        if not lose:
            self.sites[name].heard(KME["ab".replace(name, "")], body, self.now)
            self.gather(name)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for name in "ab":
            self.sites[name].tick(self.now)
            self.gather(name)

    def settle(self) -> None:
        for _ in range(10_000):
            for name in "ab":
                while self.work[name]:
                    self.do_work(name)
                while self.notices[name]:
                    self.bring(name)
            if not any((*self.work.values(), *self.notices.values())):
                return
        raise AssertionError("the sites never come to rest")

    def keys_of(self, name: str) -> list[tuple[int, bytes]]:
        return [
            (reply.index or 0, reply.key)
            for call, reply in self.replies.items()
            if self.whose[call] == name and isinstance(reply, GetKeyReply) and reply.status is Status.OK
        ]


def connected(world: World, **qos: int | str) -> None:
    """Open both ends."""
    world.open("a", **qos)
    world.settle()
    world.open("b", **qos)
    world.settle()
