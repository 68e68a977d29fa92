"""Two sites of a key stream under a network that loses and delays: both read the same, nobody reads twice."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.etsi004 import Streams
from poliqi.keys.etsi004_messages import (
    Close,
    GetKey,
    GetKeyReply,
    OpenConnect,
    OpenConnectReply,
    Qos,
    Reply,
    Status,
    read_reply_frame,
    read_request_frame,
    sae_of,
)
from poliqi.keys.etsi004_notices import read_notice
from poliqi.keys.etsi004_stream import nearest
from poliqi.keys.etsi004_table import Answer, FetchChunk, PlaceOrder, SendNotice, VoidChunks
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.policy import KeyLimits
from poliqi.keys.requests import Delivered, Key, Outcome, Reason, Refused, StockReport

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

    def __post_init__(self) -> None:
        for i, name in enumerate("ab"):
            self.sites[name] = Streams(KME[name], Drawn(self.start + i))

    def call(self, name: str) -> int:
        number = len(self.whose)
        self.whose[number] = name
        return number

    def open(self, name: str, *, stream: UUID | None = STREAM, timeout_ms: int = 0, **qos: int) -> int:
        call, other = self.call(name), "ab".replace(name, "")
        report = StockReport(
            KME[name], KME[other], SAE[name], SAE[other], 256, self.stock, 10**9, 128, 4096, 64, 0, True, (GRADE,)
        )
        asked = OpenConnect("qkd://sae-a", "qkd://sae-b", Qos(timeout_ms=timeout_ms, **qos), stream)
        self.sites[name].open_connect(call, SAE[name], asked, report, KeyLimits(), self.now)
        self.gather(name)
        return call

    def get(self, name: str, index: int | None = None, stream: UUID = STREAM) -> int:
        call = self.call(name)
        self.sites[name].get_key(call, SAE[name], GetKey(stream, index), self.now)
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


class StreamMachine(RuleBasedStateMachine):
    """Opens, reads, closes, loses notices, restarts nothing; chunks are unique values, so a repeat shows."""

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        self.world = World(start=seed)

    names = st.sampled_from("ab")

    @rule(name=names, timeout_ms=st.sampled_from((0, 0, 1000)))
    def open(self, name: str, timeout_ms: int) -> None:
        self.world.open(name, timeout_ms=timeout_ms)

    @rule(name=names, index=st.one_of(st.none(), st.none(), st.integers(0, 12), st.just(0xFFFFFFFF)))
    def get(self, name: str, index: int | None) -> None:
        self.world.get(name, index)

    @rule(name=names)
    def close(self, name: str) -> None:
        self.world.close(name)

    @rule(name=names, position=st.integers(0, 3))
    def work(self, name: str, position: int) -> None:
        if self.world.work[name]:
            self.world.do_work(name, min(position, len(self.world.work[name]) - 1))

    @rule(name=names, lose=st.booleans())
    def bring(self, name: str, lose: bool) -> None:
        if self.world.notices[name]:
            self.world.bring(name, lose=lose)

    @rule(seconds=st.sampled_from((0.05, 0.6, 3.0, 4000.0)))
    def wait(self, seconds: float) -> None:
        self.world.tick(seconds)

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @invariant()
    def nobody_reads_a_value_twice(self) -> None:
        if hasattr(self, "world"):
            for name in "ab":
                values = [value for _, value in self.world.keys_of(name)]
                assert len(values) == len(set(values))

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.settle()
        for _ in range(40):
            world.tick(2.0)
            world.settle()
        assert set(world.replies) == set(world.whose), "every call was answered"
        for site in world.sites.values():
            site.stop()


StreamMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestStreamMachine = StreamMachine.TestCase


def connected(world: World, **qos: int) -> None:
    world.open("a", **qos)
    world.settle()
    world.open("b", **qos)
    world.settle()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.one_of(st.none(), st.integers(0, 40))), max_size=40))
def test_the_same_index_is_the_same_chunk_at_both_ends(reads: list[tuple[str, int | None]]) -> None:
    world = World()
    connected(world)
    for name, index in reads:
        world.get(name, index)
        world.settle()
    a, b = dict(world.keys_of("a")), dict(world.keys_of("b"))
    assert len(a) == len(world.keys_of("a")) and len(b) == len(world.keys_of("b"))
    assert all(a[index] == b[index] for index in a.keys() & b.keys())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8))
def test_indices_wrap_and_chunks_go_on(before: int) -> None:
    world = World()
    connected(world)
    first = (1 << 32) - before
    for site in world.sites.values():  # as if so many chunks had been read already
        stream = site._table.streams[STREAM.bytes]
        stream.ordered = stream.wanted = stream.expired = first
        for end in stream.ends.values():
            end.wipe()
            end.next = first
    for _ in range(12):
        world.get("a")
        world.get("b")
        world.settle()
    indices = [index for index, _ in world.keys_of("a")]
    assert indices == [(first + i) % (1 << 32) for i in range(12)]
    assert world.keys_of("a") == world.keys_of("b")
    assert len({value for _, value in world.keys_of("a")}) == 12


@given(st.integers(0, (1 << 32) - 1), st.integers(0, 1 << 40))
def test_an_index_names_the_nearest_number(index: int, around: int) -> None:
    number = nearest(index, around)
    assert number >= 0 and number % (1 << 32) == index
    assert abs(number - around) <= 1 << 31 or around < 1 << 31


@given(st.binary(max_size=300))
def test_hostile_bytes_are_refused(data: bytes) -> None:
    for read in (read_request_frame, read_reply_frame, read_notice):
        try:
            read(data)
        except ProtocolError:
            pass
    world = World()
    try:
        world.sites["a"].heard(KME["b"], data, 0.0)
    except ProtocolError:
        pass


@given(st.text(max_size=80))
def test_any_uri_has_a_name_or_none(uri: str) -> None:
    name = sae_of(uri)
    assert name is None or name


def test_an_open_reply_names_the_stream() -> None:
    world = World()
    reply = world.replies[world.open("a", stream=None)]
    assert isinstance(reply, OpenConnectReply) and reply.stream_id is not None
    assert reply.stream_id.version == 8
