"""What peers say is read back as it was said, and nothing else is read."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import ProtocolError
from poliqi.keys import messages as m
from poliqi.keys.grade import Combiner, Grade, KeyOrigin

NAME = st.text(min_size=1, max_size=128)
ID16 = st.binary(min_size=16, max_size=16)
NATURAL = st.integers(0, (1 << 48) - 1)
POSITIVE = st.integers(1, (1 << 32) - 1)
NUMBER = st.integers(0, (1 << 63) - 1)
PLACES = st.lists(st.tuples(NAME, ID16, NATURAL), min_size=1, max_size=3)
GRADES = st.one_of(st.none(), st.just(Grade(KeyOrigin.PHOTONS, "a proof", 1e-9, (("a", "b"),))))  # type: ignore[arg-type]
PROMISED = st.builds(
    m.Promised,
    NUMBER,
    NAME,
    ID16,
    NATURAL,
    NATURAL,
    POSITIVE,
    POSITIVE,
    NAME,
    st.lists(NAME, min_size=1, max_size=3),
    st.binary(max_size=64),
    st.binary(max_size=64),
    st.binary(max_size=16),
    GRADES,
    st.sampled_from(Combiner),
    NATURAL,
)
MESSAGES = st.one_of(
    st.builds(
        m.Hello,
        POSITIVE,
        POSITIVE,
        NAME,
        ID16,
        NATURAL,
        st.lists(ID16, min_size=1, max_size=4),
        st.lists(st.tuples(NAME, st.binary(max_size=32)), max_size=3),
    ),
    st.builds(m.PoolSecret, NAME, st.binary(min_size=32, max_size=32)),
    st.builds(
        m.Offers, st.lists(st.builds(m.Offer, NAME, ID16, NATURAL, POSITIVE, NAME, ID16, NATURAL), max_size=3)
    ),
    st.builds(m.Gone, PLACES),
    st.builds(m.Promise, NUMBER, st.lists(PROMISED, min_size=1, max_size=2)),
    st.builds(m.PromiseAnswer, NUMBER, st.lists(st.tuples(NATURAL, st.text(max_size=300)), max_size=3)),
    st.builds(
        m.Use,
        NUMBER,
        st.lists(NUMBER, max_size=3),
        st.lists(st.builds(m.Used, NUMBER, st.binary(max_size=64), st.booleans()), max_size=3),
    ),
    st.builds(m.UseAnswer, NUMBER, st.lists(NATURAL, max_size=3)),
    st.builds(m.Void, st.lists(NUMBER, min_size=1, max_size=3)),
    st.builds(m.VoidAnswer, st.lists(NUMBER, max_size=3), st.lists(NUMBER, max_size=3)),
    st.builds(m.Ask, NAME, POSITIVE),
    st.builds(m.Give, PLACES),
    st.builds(m.Notice, NAME, st.binary(max_size=64)),
    st.builds(m.ParcelMessage, st.binary(max_size=64)),
    st.builds(m.KemMessage, POSITIVE, NATURAL, st.binary(max_size=64)),
)
TAGS = {
    m.Hello: 0, m.PoolSecret: 1, m.Offers: 2, m.Gone: 3, m.Promise: 4, m.PromiseAnswer: 5, m.Use: 6,
    m.UseAnswer: 7, m.Void: 8, m.VoidAnswer: 9, m.Ask: 10, m.Give: 11, m.Notice: 12, m.ParcelMessage: 13,
    m.KemMessage: 14,
}  # fmt: skip


@given(MESSAGES)
def test_a_message_is_an_array_that_begins_with_its_type_and_is_read_back(message: m.Message) -> None:
    frame = m.encode(message)
    assert msgspec.msgpack.decode(frame)[0] == TAGS[type(message)]
    assert m.decode(frame) == m.decode(memoryview(frame)) == message


def read(frame: bytes) -> object:
    """The message, or None where the frame is refused or of a later version."""
    try:
        return m.decode(frame)
    except ProtocolError:
        return None


@given(st.binary(max_size=200))
def test_hostile_bytes_are_refused_in_words(frame: bytes) -> None:
    message = read(frame)
    assert message is None or m.decode(m.encode(message)) == message  # type: ignore[arg-type]


@given(MESSAGES, st.data())
def test_a_spoiled_message_is_refused_or_is_another_whole_one(message: m.Message, data: st.DataObject) -> None:
    frame = bytearray(m.encode(message))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    other = read(bytes(frame))
    assert other is None or m.decode(m.encode(other)) == other  # type: ignore[arg-type]


@given(MESSAGES, st.data())
def test_a_message_that_is_cut_short_is_refused(message: m.Message, data: st.DataObject) -> None:
    frame = m.encode(message)
    with pytest.raises(ProtocolError):
        m.decode(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(MESSAGES, st.lists(st.one_of(st.integers(), st.binary(max_size=8)), min_size=1, max_size=3))
def test_fields_that_only_a_later_version_knows_are_passed_over(message: m.Message, more: list[object]) -> None:
    fields = msgspec.msgpack.decode(m.encode(message), type=list[msgspec.Raw])
    if any(not isinstance(x, bytes) and abs(x) >= 1 << 63 for x in more):  # type: ignore[arg-type]
        more = [b"more"]
    assert m.decode(msgspec.msgpack.encode([*fields, *more])) == message


@pytest.mark.parametrize("kind", [15, 16, 1000, 65_535])
def test_types_that_only_a_later_version_knows_are_passed_over(kind: int) -> None:
    assert m.decode(msgspec.msgpack.encode([kind, "something", {"new": 1}])) is None


@pytest.mark.parametrize("value", [-1, 1 << 16, 1.0, "0", None, [0], {}, b"0"])
def test_a_type_that_no_version_can_have_is_refused(value: object) -> None:
    with pytest.raises(ProtocolError):
        m.decode(msgspec.msgpack.encode([value, 1, 2]))


def test_a_frame_has_a_largest_size() -> None:
    with pytest.raises(ProtocolError, match="1048577 bytes; at most 1048576"):
        m.decode(bytes(m.FRAME_BYTES + 1))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ProtocolError):
        m.decode(b"\x91" * 100_000)


def entry(**changes: object) -> bytes:
    """A promise of one run, with some fields of it changed."""
    fields: dict[str, object] = {
        "number": 1,
        "pool": "a-b",
        "block": bytes(16),
        "part": 0,
        "offset": 32,
        "size": 32,
        "count": 1,
        "master": "m",
        "slaves": ["s"],
    }
    return msgspec.msgpack.encode([4, 1, [list((fields | changes).values())]])


def test_a_promise_within_the_limits_is_read() -> None:
    assert isinstance(m.decode(entry()), m.Promise)


@pytest.mark.parametrize(
    "change",
    [
        {"number": 1 << 63},
        {"number": -1},
        {"pool": ""},
        {"pool": "x" * 129},
        {"block": bytes(15)},
        {"block": bytes(17)},
        {"offset": 1 << 48},
        {"offset": -1},
        {"size": 0},
        {"count": 0},
        {"count": 1 << 32},
        {"master": ""},
        {"slaves": []},
        {"slaves": ["s"] * 65},
        {"slaves": [""]},
    ],
)
def test_a_promise_beyond_the_limits_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        m.decode(entry(**change))
