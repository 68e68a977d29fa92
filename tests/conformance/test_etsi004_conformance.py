"""ETSI GS QKD 004 v2.1.1 from its tables: each call, each field of QoS, each of the nine statuses."""

from __future__ import annotations

import json
import uuid

import msgspec
import pytest
from stream_world import KME, STREAM, World, connected

from poliqi.base.ids import SaeId
from poliqi.keys.etsi004_messages import (
    Close,
    CloseReply,
    GetKey,
    GetKeyReply,
    OpenConnect,
    OpenConnectReply,
    Qos,
    Status,
    frame_of,
    json_of,
    read_json,
    read_reply_frame,
    read_request_frame,
    sae_of,
)
from poliqi.keys.etsi004_stream import chunk_id
from poliqi.keys.requests import Reason, Refused, StockReport

NAMES = (
    "Key_chunk_size",
    "Max_bps",
    "Min_bps",
    "Jitter",
    "Priority",
    "Timeout",
    "TTL",
    "Metadata_mimetype",
)


def opened(world: World, call: int) -> OpenConnectReply:
    reply = world.replies[call]
    assert isinstance(reply, OpenConnectReply)
    return reply


def key(world: World, call: int) -> GetKeyReply:
    reply = world.replies[call]
    assert isinstance(reply, GetKeyReply)
    return reply


def closed(world: World, call: int) -> Status:
    reply = world.replies[call]
    assert isinstance(reply, CloseReply)
    return reply.status


# the messages


def test_the_nine_statuses() -> None:
    assert [status.value for status in Status] == list(range(9))


def test_qos_has_the_standards_eight_fields() -> None:
    assert tuple(json.loads(msgspec.json.encode(Qos()))) == NAMES


def test_the_json_binding_uses_the_standards_names() -> None:
    asked = OpenConnect("qkd://a", "qkd://b", Qos(32, 8, 4, 2, 1, 1000, 60, "application/json"), STREAM)
    body = json.loads(json_of(asked))
    assert list(body) == ["source", "destination", "QoS", "Key_stream_ID"]
    assert body["Key_stream_ID"] == str(STREAM)
    assert list(body["QoS"].values()) == [32, 8, 4, 2, 1, 1000, 60, "application/json"]
    assert list(json.loads(json_of(GetKey(STREAM, 7, 100)))) == ["Key_stream_ID", "index", "Metadata_size"]
    reply = json.loads(json_of(GetKeyReply(Status.OK, 7, b"\0\1", 2, "{}")))
    assert reply == {
        "status": 0,
        "index": 7,
        "Key_buffer": "AAE=",
        "Metadata_size": 2,
        "Metadata_buffer": "{}",
    }


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (
            OpenConnect("a", "b", Qos(32), None),
            ["OPEN_CONNECT", "a", "b", [32, 0, 0, 0, 0, 0, 0, ""], None],
        ),
        (GetKey(STREAM, 5), ["GET_KEY", STREAM.bytes, 5, None]),
        (Close(STREAM), ["CLOSE", STREAM.bytes]),
        (OpenConnectReply(Status.OK, STREAM, Qos()), ["OPENED", 0, STREAM.bytes, [0, 0, 0, 0, 0, 0, 0, ""]]),
        (GetKeyReply(Status.OK, 5, b"key", 2, "{}"), ["KEY", 0, 5, b"key", 2, "{}"]),
        (CloseReply(Status.NO_CONNECTION), ["CLOSED", 4]),
    ],
)
def test_the_frames_are_these_arrays(message: object, frame: list[object]) -> None:
    payload = msgspec.msgpack.encode(frame)
    assert frame_of(message) == payload  # type: ignore[arg-type]
    read = read_request_frame if isinstance(message, OpenConnect | GetKey | Close) else read_reply_frame
    assert read(payload) == message
    assert read_json(json_of(message), type(message)) == message  # type: ignore[arg-type, type-var]


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("sae-a", "sae-a"),
        ("qkd://sae-a", "sae-a"),
        ("qkd://sae-a/app?x=1#y", "sae-a"),
        ("sae://sae%20a", "sae a"),
        ("qkd://", None),
        ("https://sae-a", "https://sae-a"),
    ],
)
def test_source_and_destination_are_uris(uri: str, name: str | None) -> None:
    assert sae_of(uri) == name


def test_chunk_names_are_the_documented_uuids() -> None:
    stream, life = bytes(range(16)), bytes(range(16, 32))
    name = uuid.UUID(bytes=chunk_id(stream, life, 1))
    assert (name.version, name.variant) == (8, uuid.RFC_4122)
    assert str(name) == CHUNK_1
    assert len({chunk_id(stream, life, n) for n in range(1000)}) == 1000


CHUNK_1 = "cce97ba0-92c5-8194-ac0e-6fffb1027eec"  # by another program, from docs/spec/streams.md

# OPEN_CONNECT


def test_status_1_then_0() -> None:
    world = World()
    first = opened(world, world.open("a"))
    assert (first.status, first.stream_id) == (Status.PEER_NOT_CONNECTED_YET, STREAM)
    world.settle()
    assert opened(world, world.open("b")).status is Status.OK


def test_the_site_gives_a_stream_id_where_there_is_none() -> None:
    for none in (None, uuid.UUID(int=0)):
        world = World()
        reply = opened(world, world.open("a", stream=none, timeout_ms=1000))
        assert reply.status is Status.PEER_NOT_CONNECTED_YET  # nobody else can know the id yet
        assert reply.stream_id not in (None, uuid.UUID(int=0))


def test_the_granted_qos_comes_back_whole() -> None:
    world = World()
    asked = Qos(16, 1000, 100, 5, 3, 0, 60, "application/json")
    values = msgspec.structs.asdict(asked)
    assert opened(world, world.open("a", **values)).qos == asked


def test_what_qos_leaves_open_the_site_fills_in() -> None:
    world = World()
    qos = opened(world, world.open("a")).qos
    assert qos == Qos(chunk_bytes=32, max_bps=0xFFFFFFFF, ttl_s=3600)


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ({"chunk_bytes": 7}, {"chunk_bytes": 8}),
        ({"chunk_bytes": 513}, {"chunk_bytes": 512}),
        ({"min_bps": 4_000_000_000, "max_bps": 1000}, {"min_bps": 1000}),
        ({"ttl_s": 3601}, {"ttl_s": 3600}),
        ({"metadata_type": "text/xml"}, {"metadata_type": "application/json"}),
    ],
)
def test_status_7_offers_what_would_be_met(asked: dict[str, int], offered: dict[str, int]) -> None:
    world = World()
    reply = opened(world, world.open("a", **asked))
    assert reply.status is Status.QOS_NOT_MET and reply.qos is not None
    assert {name: getattr(reply.qos, name) for name in offered} == offered
    again = world.open("a", **msgspec.structs.asdict(reply.qos))
    assert opened(world, again).status is Status.PEER_NOT_CONNECTED_YET


def test_min_bps_is_held_against_the_stock() -> None:
    world = World(stock=1000)  # 256,000 bits for ten seconds
    assert opened(world, world.open("a", min_bps=25_601)).qos.min_bps == 25_600  # type: ignore[union-attr]
    assert opened(world, world.open("a", min_bps=20_000)).status is Status.PEER_NOT_CONNECTED_YET
    second = opened(world, world.open("a", min_bps=10_000, stream=uuid.UUID(int=7)))
    assert second.status is Status.QOS_NOT_MET
    assert second.qos is not None and second.qos.min_bps == 5_600


def test_the_second_end_has_the_first_ones_chunk_size() -> None:
    world = World()
    world.open("a", chunk_bytes=16)
    world.settle()
    other = opened(world, world.open("b", chunk_bytes=32))
    assert other.status is Status.QOS_NOT_MET
    assert other.qos is not None and other.qos.chunk_bytes == 16
    assert opened(world, world.open("b")).qos.chunk_bytes == 16  # type: ignore[union-attr]


def test_status_4_without_a_way_or_a_part_in_it() -> None:
    world = World()
    assert opened(world, world.open("a", ends=("qkd://sae-c", "qkd://sae-b"))).status is Status.NO_CONNECTION
    assert opened(world, world.open("a", ends=("sae-a", "qkd://sae-a"))).status is Status.NO_CONNECTION
    world.report = Refused(Reason.NO_ROUTE, "no way")
    assert opened(world, world.open("a")).status is Status.NO_CONNECTION
    world.report = None
    assert opened(world, world.open("a")).status is Status.PEER_NOT_CONNECTED_YET


def test_status_4_while_the_other_site_is_not_connected() -> None:
    world = World()
    world.report = StockReport(
        KME["a"], KME["b"], SaeId("sae-a"), SaeId("sae-b"), 256, 9, 9, 9, 4096, 64, 0, False, ()
    )
    assert opened(world, world.open("a")).status is Status.NO_CONNECTION


def test_status_5_for_a_stream_that_is_in_use() -> None:
    world = World()
    connected(world)
    assert opened(world, world.open("a")).status is Status.KSID_IN_USE
    others = world.open("b", ends=("qkd://sae-c", "qkd://sae-b"))
    assert opened(world, others).status is Status.KSID_IN_USE


def test_status_6_when_the_peer_does_not_come_in_time() -> None:
    world = World()
    call = world.open("a", timeout_ms=1000)
    world.tick(0.9)
    assert call not in world.replies
    world.tick(0.2)
    assert opened(world, call).status is Status.TIMEOUT
    assert key(world, world.get("a")).status is Status.NO_CONNECTION


def test_an_open_that_waits_ends_when_the_peer_comes() -> None:
    world = World()
    call = world.open("a", timeout_ms=1000)
    world.settle()
    world.open("b")
    world.settle()
    assert opened(world, call).status is Status.OK


# GET_KEY


def test_both_ends_get_the_same_chunks_of_the_size_agreed() -> None:
    world = World()
    connected(world, chunk_bytes=16)
    for index in (None, None, 5, None, 3):
        for name in "ab":
            world.get(name, index)
            world.settle()
    assert [index for index, _ in world.keys_of("a")] == [0, 1, 5, 6, 3]
    assert world.keys_of("a") == world.keys_of("b")
    assert {len(value) for _, value in world.keys_of("a")} == {16}


def test_a_chunk_is_given_once_to_each_end() -> None:
    world = World()
    connected(world)
    for name in "ab":
        world.get(name, 0)
        world.settle()
        again = world.get(name, 0)
        world.settle()
        assert key(world, again).status is Status.INSUFFICIENT_KEY


def test_nothing_is_ordered_before_both_ends_are_open() -> None:
    world = World()
    world.open("a")
    world.settle()
    assert key(world, world.get("a")).status is Status.PEER_NOT_CONNECTED
    assert not world.orders and not world.work["a"]


def test_status_2_when_key_is_short_and_0_when_it_is_back() -> None:
    world = World()
    connected(world)
    world.refuse = Refused(Reason.INSUFFICIENT, "too few")
    calls = [world.get(name, 5) for name in "ab"]
    world.settle()
    assert [key(world, call).status for call in calls] == [Status.INSUFFICIENT_KEY] * 2
    world.refuse = None
    world.tick(1.0)
    calls = [world.get(name, 5) for name in "ab"]
    world.settle()
    assert [key(world, call).status for call in calls] == [Status.OK] * 2


def test_with_a_timeout_short_key_is_waited_for() -> None:
    world = World()
    connected(world, timeout_ms=2000)
    world.refuse = Refused(Reason.INSUFFICIENT, "too few")
    call = world.get("a", 5)
    world.settle()
    assert call not in world.replies
    world.refuse = None
    world.tick(1.0)
    world.settle()
    assert key(world, call).status is Status.OK


def test_status_6_when_key_does_not_come_in_time() -> None:
    world = World()
    connected(world, timeout_ms=500)
    world.refuse = Refused(Reason.INSUFFICIENT, "too few")
    call = world.get("a", 5)
    world.settle()
    world.tick(0.6)
    assert key(world, call).status is Status.TIMEOUT


@pytest.mark.parametrize("reason", [Reason.PEER_DOWN, Reason.NO_ROUTE, Reason.UNAVAILABLE, Reason.NOT_PERMITTED])
def test_status_4_when_the_connection_is_gone(reason: Reason) -> None:
    world = World()
    connected(world, timeout_ms=5000)
    world.refuse = Refused(reason, "gone")
    call = world.get("a", 5)
    world.settle()
    assert key(world, call).status is Status.NO_CONNECTION


def test_status_8_says_the_size_and_takes_nothing() -> None:
    world = World()
    connected(world, metadata_type="application/json")
    for name in "ab":
        small = world.get(name, metadata_bytes=3)
        world.settle()
        refused = key(world, small)
        assert refused.status is Status.METADATA_TOO_SMALL and refused.key == b""
        enough = world.get(name, metadata_bytes=refused.metadata_bytes)
        world.settle()
        reply = key(world, enough)
        assert (reply.status, reply.index) == (Status.OK, 0)
        assert len(reply.metadata) == refused.metadata_bytes
        assert json.loads(reply.metadata)["origin"] == "simulated"


def test_without_a_mimetype_there_is_no_metadata() -> None:
    world = World()
    connected(world)
    call = world.get("a", metadata_bytes=5)
    world.settle()
    assert (key(world, call).status, key(world, call).metadata) == (Status.OK, "")


def test_max_bps_paces_the_reader() -> None:
    world = World()
    connected(world, max_bps=256, chunk_bytes=32)
    statuses = []
    for _ in range(3):
        call = world.get("a")
        world.settle()
        statuses.append(key(world, call).status)
        world.tick(0.5)
    assert statuses == [Status.OK, Status.INSUFFICIENT_KEY, Status.OK]


def test_with_a_timeout_the_pace_is_waited_for() -> None:
    world = World()
    connected(world, max_bps=256, chunk_bytes=32, timeout_ms=2000)
    world.get("a")
    world.settle()
    call = world.get("a")
    world.settle()
    assert call not in world.replies
    world.tick(1.1)
    world.settle()
    assert key(world, call).status is Status.OK


def test_chunks_older_than_their_ttl_are_gone_at_both_ends() -> None:
    world = World()
    connected(world, ttl_s=10)
    world.get("a", 3)
    world.settle()
    world.tick(11.0)
    for name in "ab":
        old = world.get(name, 1)
        world.settle()
        assert key(world, old).status is Status.INSUFFICIENT_KEY
    fresh = [world.get(name) for name in "ab"]
    world.settle()
    assert key(world, fresh[0]) == key(world, fresh[1])
    assert (key(world, fresh[0]).index or 0) >= 4


def test_an_end_that_is_far_ahead_has_to_wait_for_the_other() -> None:
    world = World()
    connected(world)
    far = world.get("b", 100_000)
    world.settle()
    assert key(world, far).status is Status.INSUFFICIENT_KEY
    assert sum(order.order.number for order in world.orders) < 10


# CLOSE


def test_close_and_what_follows() -> None:
    world = World()
    connected(world)
    world.get("a", 2)
    world.settle()
    assert closed(world, world.close("a")) is Status.OK
    assert closed(world, world.close("a")) is Status.NO_CONNECTION
    assert key(world, world.get("a")).status is Status.NO_CONNECTION
    world.settle()
    assert [self_status(world, world.get("b")) for _ in range(3)] == [Status.OK] * 3  # what was ordered before
    while self_status(world, world.get("b")) is Status.OK:
        continue
    assert self_status(world, world.get("b")) is Status.PEER_NOT_CONNECTED
    assert closed(world, world.close("b")) is Status.OK
    world.settle()
    assert world.sites["a"].count == world.sites["b"].count == 0


def self_status(world: World, call: int) -> Status:
    world.settle()
    return key(world, call).status


def test_what_nobody_read_is_taken_back() -> None:
    world = World()
    connected(world)
    world.get("a", 3)
    world.get("b", 0)
    world.settle()
    world.close("b")
    world.settle()
    world.close("a")
    world.settle()
    (voided,) = world.voided
    assert (voided.master, voided.slave) == ("sae-a", "sae-b")
    made = [key_id for order in world.orders for key_id in order.order.key_ids or ()]
    assert list(voided.key_ids) == made[1:]


def test_an_end_that_comes_back_goes_on() -> None:
    world = World()
    connected(world)
    for _ in range(2):
        world.get("a"), world.get("b")
        world.settle()
    world.close("b")
    world.settle()
    assert opened(world, world.open("b")).status is Status.OK
    world.settle()
    world.get("a"), world.get("b")
    world.settle()
    assert world.keys_of("a") == world.keys_of("b")
    assert [index for index, _ in world.keys_of("b")] == [0, 1, 2]


# lost notices, both ends first, and sites that start anew


def test_a_lost_notice_is_said_again() -> None:
    world = World()
    world.open("a")
    world.notices["b"].clear()
    world.open("b")
    world.notices["a"].clear()
    world.tick(1.0)
    world.get("a")
    world.settle()
    calls = [world.get(name) for name in "ab"]
    world.settle()
    assert [key(world, call).status for call in calls] == [Status.OK] * 2
    assert world.keys_of("a") == world.keys_of("b")


def test_two_who_open_at_once_have_one_stream() -> None:
    world = World()
    calls = [world.open(name, timeout_ms=1000) for name in "ab"]
    world.settle()
    assert [opened(world, call).status for call in calls] == [Status.OK] * 2
    for _ in range(3):
        world.get("a"), world.get("b")
        world.settle()
    assert len(world.keys_of("a")) == 3 and world.keys_of("a") == world.keys_of("b")
    assert len({order.order.master for order in world.orders}) == 1


def test_two_who_open_at_once_with_other_chunks_have_none() -> None:
    world = World()
    world.open("a", chunk_bytes=16), world.open("b", chunk_bytes=32)
    world.settle()
    assert [self_status(world, world.get(name)) for name in "ab"] == [Status.PEER_NOT_CONNECTED] * 2
    assert not world.orders


@pytest.mark.parametrize("restarted", ["a", "b"])
def test_a_site_that_starts_anew_has_forgotten_its_streams(restarted: str) -> None:
    world, other = World(), "ab".replace(restarted, "")
    connected(world)
    for _ in range(3):
        world.get("a"), world.get("b")
        world.settle()
    world.restart(restarted)
    assert self_status(world, world.get(restarted)) is Status.NO_CONNECTION
    world.open(restarted)
    world.settle()
    if restarted == "a":  # the home is new, and so is the stream: the other end has to open it anew
        assert self_status(world, world.get(other)) is Status.PEER_NOT_CONNECTED
        world.close(other)
        assert opened(world, world.open(other)).status is Status.OK
        world.settle()
    before = len(world.keys_of("a")), len(world.keys_of("b"))
    for _ in range(4):
        world.get("a"), world.get("b")
        world.settle()
    new_a, new_b = world.keys_of("a")[before[0] :], world.keys_of("b")[before[1] :]
    assert len(new_a) == 4 and new_a == new_b
    assert len({value for _, value in world.keys_of("a")}) == 7
