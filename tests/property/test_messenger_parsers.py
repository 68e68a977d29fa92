"""Whatever bytes arrive: the messenger and the vault read them, or refuse them as a protocol error."""

from __future__ import annotations

import contextlib
import queue
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealed_talk import TalkChannel, Wire

from bench.played_keys import PlayedSite
from poliqi.apps.envelope.call import Caller, answer_calls
from poliqi.apps.envelope.rule import PadRule
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.messenger.letter import (
    HEAD_BYTES,
    Letter,
    Verdict,
    decode_answer,
    decode_letter,
    dummy,
    encode_answer,
    encode_letter,
)
from poliqi.apps.stream.terms import Mode
from poliqi.apps.vault.parcel import Parcel, parcel_bytes
from poliqi.apps.vault.requests import (
    Commit,
    Drop,
    Entry,
    Give,
    Keep,
    Look,
    Request,
    Stage,
    decode_listing,
    decode_request,
    encode,
    encode_listing,
)
from poliqi.base.errors import DataRefused, ProtocolError
from poliqi.ops.message_text import plain

ids = st.binary(min_size=16, max_size=16)
texts = st.text(st.characters(codec="utf-8"), max_size=200)
letters = st.builds(
    Letter,
    line=ids,
    letter_id=ids,
    sequence=st.integers(1, (1 << 63) - 1),
    at_s=st.integers(0, 1 << 32).map(float),
    text=texts,
)
epochs = st.integers(1, 1 << 40)
RULE = PadRule(replace(GradeDemand(), information_theoretic=True), is_hybrid=True)


@settings(deadline=None)
@given(letters, st.integers(0, 300))
def test_a_letter_comes_back_and_has_the_size_that_was_asked(letter: Letter, room: int) -> None:
    size = HEAD_BYTES + len(letter.text.encode()) + room
    data = encode_letter(letter, size)
    assert len(data) == size
    assert decode_letter(data) == letter


@settings(deadline=None)
@given(letters, st.data())
def test_a_letter_of_other_bytes_is_another_letter_or_refused(letter: Letter, data: st.DataObject) -> None:
    encoded = bytearray(encode_letter(letter, HEAD_BYTES + len(letter.text.encode()) + 8))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ProtocolError):
        assert decode_letter(bytes(encoded)) != letter


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_letter_a_dummy_or_refused(data: bytes) -> None:
    try:
        found = decode_letter(data)
    except ProtocolError:
        return
    if found is None:
        assert data == dummy(len(data))
    else:
        assert encode_letter(found, len(data)) == data or found.at_s * 1000 % 1


@settings(deadline=None)
@given(st.binary(max_size=32))
def test_any_bytes_are_a_verdict_or_refused(data: bytes) -> None:
    try:
        verdict, last = decode_answer(data)
    except ProtocolError:
        return
    assert encode_answer(verdict, last) == data


def test_verdicts_come_back() -> None:
    for verdict in Verdict:
        assert decode_answer(encode_answer(verdict, 1 << 62)) == (verdict, 1 << 62)


requests = st.one_of(
    st.builds(lambda r, e, k, n: Stage(bytes([min(k, n + 2), n + 2]) + r[2:], e + 1, e, n, n + 2, min(k, n + 2),
                                       70_000, ("aria",)),
              ids, epochs.filter(lambda e: e < 1 << 40), st.integers(2, 16), st.integers(1, 14)),
    st.builds(Keep, ids, epochs, st.integers(0, 99), st.binary(max_size=300)),
    st.builds(Commit, ids, epochs),
    st.builds(Drop, ids, st.integers(0, 9)),
    st.builds(Look, st.binary(max_size=16)),
    st.builds(Give, ids, epochs, st.integers(0, 99)),
)  # fmt: skip


@settings(deadline=None)
@given(requests)
def test_requests_come_back(request: Request) -> None:
    assert decode_request(encode(request)) == request


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=100), requests.map(encode).flatmap(lambda b: st.integers(0, len(b)).map(lambda n: b[:n]))
    )
)
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert decode_request(encode(decode_request(data))) == decode_request(data)


@pytest.mark.parametrize(
    "wrong",
    [
        Stage(bytes([3, 5, *range(14)]), 1, 1, 1, 5, 3, 9, ()),
        Stage(bytes([3, 5, *range(14)]), 2, 0, 6, 5, 3, 9, ()),
        Stage(bytes([5, 3, *range(14)]), 2, 0, 1, 3, 5, 9, ()),
        Stage(bytes([2, 5, *range(14)]), 2, 0, 1, 5, 3, 9, ()),
        Stage(bytes([3, 4, *range(14)]), 2, 0, 1, 5, 3, 9, ()),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(wrong: Stage) -> None:
    with pytest.raises(ProtocolError, match="contradicts"):
        decode_request(encode(wrong))


entries = st.builds(Entry, ids, epochs, st.just("leonardo"), st.integers(1, 16), st.integers(2, 16),
                    st.integers(2, 16), st.integers(1, 1 << 40), st.booleans(), st.booleans())  # fmt: skip


@settings(deadline=None)
@given(st.lists(entries, max_size=40), st.integers(512, 4096))
def test_listings_come_back_as_far_as_they_fit(told: list[Entry], size: int) -> None:
    data = encode_listing(told, size)
    assert len(data) == size
    listing = decode_listing(data)
    assert list(listing.entries) == told[: len(listing.entries)]
    assert listing.is_last == (len(listing.entries) == len(told))
    assert listing.entries or not told


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_listing_or_refused(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode_listing(data)


@settings(deadline=None)
@given(st.binary(max_size=600), st.integers(2, 5), st.data())
def test_any_bytes_are_a_parcel_or_refused(data: bytes, count: int, more: st.DataObject) -> None:
    share, place = more.draw(st.integers(1, 300)), more.draw(st.integers(1, count))
    if len(data) != parcel_bytes(share, count):
        with pytest.raises(ProtocolError, match="a parcel of"):
            Parcel.decode(data, place, count, share)
        data = data.ljust(parcel_bytes(share, count), b"x")[: parcel_bytes(share, count)]
    assert Parcel.decode(data, place, count, share).encode() == data


def ends() -> tuple[TalkChannel, TalkChannel, queue.Queue[bytes | None], queue.Queue[bytes | None]]:
    there, back = queue.Queue(), queue.Queue()
    one = TalkChannel("anna", "bruno", "test 1", Mode.HYBRID, Wire(), back, there)
    other = TalkChannel("bruno", "anna", "test 1", Mode.HYBRID, Wire(), there, back)
    return one, other, there, back


wire = st.one_of(
    st.binary(max_size=100),
    st.recursive(
        st.one_of(st.integers(-(1 << 63), (1 << 64) - 1), st.binary(max_size=20), st.text(max_size=40), st.none()),
        lambda inner: st.lists(inner, max_size=6),
        max_leaves=10,
    ).map(msgspec.msgpack.encode),
    st.tuples(st.just(0), st.lists(st.text(max_size=3), max_size=3), st.integers(0, 1 << 18),
              st.binary(max_size=10), st.binary(min_size=15, max_size=17)).map(msgspec.msgpack.encode),
)  # fmt: skip


@settings(deadline=None)
@given(wire)
def test_any_bytes_to_a_service_are_answered_or_refused(data: bytes) -> None:
    """No such key exists, so nothing is ever handled."""
    _one, other, there, back = ends()
    there.put(data)
    there.put(None)
    try:
        answer_calls(other, PlayedSite().keys("bruno"), RULE, lambda _q: pytest.fail("was handled"))
    except ProtocolError:
        return
    assert msgspec.msgpack.decode(back.get_nowait())[0] == 2


@settings(deadline=None)
@given(wire)
def test_any_bytes_to_a_caller_are_no_answer(data: bytes) -> None:
    one, _other, _there, back = ends()
    back.put(data)
    with pytest.raises((ProtocolError, DataRefused)):
        Caller(one, PlayedSite().keys("anna"), RULE).ask(b"question", 16)


@settings(deadline=None)
@given(st.text(max_size=100))
def test_what_is_shown_moves_no_cursor(text: str) -> None:
    shown = plain(text)
    assert len(shown) == len(text)
    assert all(c.isprintable() or c in "\n\t" for c in shown)


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x9b2J", "\r", "\b", "\x07", "\u202e", "\u200b"])
def test_control_characters_are_not_shown(hostile: str) -> None:
    assert plain(f"a{hostile}b") == "a" + "\ufffd" + plain(hostile[1:]) + "b"
