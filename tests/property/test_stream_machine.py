"""Two sites of a key stream under a network that loses and delays: both read the same, nobody reads twice."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from stream_world import KME, STREAM, World, connected

from poliqi.base.errors import ProtocolError
from poliqi.keys.etsi004_messages import OpenConnectReply, read_reply_frame, read_request_frame, sae_of
from poliqi.keys.etsi004_notices import Closed, Notice, Opened, Upto, Want, notice_of, read_notice
from poliqi.keys.etsi004_stream import nearest


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
        with suppress(ProtocolError):
            read(data)
    world = World()
    with suppress(ProtocolError):
        world.sites["a"].heard(KME["b"], data, 0.0)


@given(st.text(max_size=80))
def test_any_uri_has_a_name_or_none(uri: str) -> None:
    name = sae_of(uri)
    assert name is None or name


def test_an_open_reply_names_the_stream() -> None:
    world = World()
    reply = world.replies[world.open("a", stream=None)]
    assert isinstance(reply, OpenConnectReply) and reply.stream_id is not None
    assert reply.stream_id.version == 8


NUMBERS = st.one_of(st.integers(0, 300), st.sampled_from((1 << 31, 1 << 32, (1 << 63) - 1)))
NOTICES = st.one_of(
    st.builds(
        Opened,
        st.just(STREAM.bytes),
        st.sampled_from((bytes(16), bytes(range(16)))),
        st.booleans(),
        st.booleans(),
        st.sampled_from(("sae-b", "sae-a", "sae-c")),
        st.sampled_from(("sae-b", "sae-a", "sae-c")),
        st.sampled_from((1, 32, 0xFFFFFFFF)),
        st.sampled_from((1, 3600, 0xFFFFFFFF)),
        NUMBERS,
        st.booleans(),
    ),
    *(
        st.builds(kind, st.just(STREAM.bytes), st.just(b"own"), NUMBERS, *more)
        for kind, more in ((Closed, ()), (Want, ()), (Upto, (st.booleans(),)))
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(NOTICES, st.sampled_from(("open", "get", "close", "tick"))), max_size=25))
def test_a_lying_site_neither_breaks_nor_fills_ours(steps: list[Notice | str]) -> None:
    world = World()
    for step in steps:
        site = world.sites["a"]
        match step:
            case "open":
                world.open("a")
            case "get":
                world.get("a")
            case "close":
                world.close("a")
            case "tick":
                world.tick(0.6)
            case _:
                known = site._table.streams.get(STREAM.bytes)
                life = known.life if known is not None else bytes(16)
                notice = msgspec.structs.replace(step, life=life) if step.life == b"own" else step  # type: ignore[union-attr]
                site.heard(KME["b"], notice_of(notice), world.now)
                world.gather("a")
        while world.work["a"]:
            world.do_work("a")
        for stream in site._table.streams.values():
            assert sum(len(end.held) for end in stream.ends.values()) <= 256
    values = [value for _, value in world.keys_of("a")]
    assert len(values) == len(set(values))
    world.tick(10.0)
    assert {call for call in world.whose if call not in world.replies} == set()
