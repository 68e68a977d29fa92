"""Streams under hostile bytes and odd sizes: only the project's errors, nothing handed over but what was sent."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from played_channels import CALLEE, CALLER, channel_pair, identity
from stream_ends import FixedKeys, fed, heard, padded_receiver, sealed_session

from bench.played_keys import PlayedSite
from poliqi.apps.stream.channel import accept, connect
from poliqi.apps.stream.opening import Call, Frame, Header, Offer, pack, read_key_ids, unpack
from poliqi.apps.stream.terms import Mode, Policy, StreamRule
from poliqi.base.errors import PoliqiError, ProtocolError
from poliqi.base.ids import SaeId

KEY = bytes(range(32))
LATER = {"key-2": KEY, "key-3": bytes(32)}
OUTCOMES = {"end", "LinkDown", "ProtocolError", "AuthenticationError", "KeysNotReady"}
SENT = [b"one", b"", b"three" * 50, b"four"]


def frames() -> list[bytes]:
    """Messages and the end, a fresh key among them, as a caller sends them."""
    session = sealed_session(FixedKeys(LATER), is_caller=True, offer=Offer(100, 3600.0))
    out = [bytes(frame) for message in SENT for frame in session.outgoing.message(message)]
    return [*out, bytes(session.outgoing.seal(Frame.FINAL, b""))]


FRAMES = frames()


def listen(data: bytes) -> tuple[list[bytes], str]:
    session = sealed_session(FixedKeys(LATER), is_caller=False, offer=Offer(100, 3600.0))
    return heard(fed(session, data))


def test_the_frames_are_whole() -> None:
    assert listen(b"".join(FRAMES)) == (SENT, "end")


@pytest.mark.parametrize("count", range(len(FRAMES)))
def test_a_cut_after_any_record_is_noticed(count: int) -> None:
    messages, outcome = listen(b"".join(FRAMES[:count]))
    assert outcome == "LinkDown"
    assert messages == SENT[: len(messages)]


@given(st.integers(0, sum(map(len, FRAMES)) - 1), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    data = bytearray(b"".join(FRAMES))
    data[place] ^= change
    messages, outcome = listen(bytes(data))
    assert outcome in OUTCOMES - {"end"}
    assert messages == SENT[: len(messages)]


@given(st.lists(st.sampled_from(range(len(FRAMES))), max_size=2 * len(FRAMES)))
@settings(max_examples=60, deadline=None)
def test_records_in_any_other_order_are_noticed(order: list[int]) -> None:
    messages, outcome = listen(b"".join(FRAMES[place] for place in order))
    assert messages == SENT[: len(messages)]
    assert (outcome == "end") == (order[: len(FRAMES)] == list(range(len(FRAMES))))


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
@example(b"\x10\x00\x00\x10" + bytes(16))
@example(b"\x15\x00\x00\x00")
def test_hostile_records_are_errors(data: bytes) -> None:
    messages, outcome = listen(data)
    assert messages == []
    assert outcome in OUTCOMES - {"end"}
    messages, outcome = heard(fed(padded_receiver(FixedKeys({"pad-1": KEY * 8}), "pad-1"), data))
    assert messages == []
    assert outcome in OUTCOMES - {"end"}


@given(st.binary(max_size=400), st.sampled_from([0, 1, 2, 3, 4, 16]))
@settings(max_examples=60, deadline=None)
def test_a_hostile_handshake_is_an_error_on_either_side(data: bytes, kind: int) -> None:
    said = bytes([kind]) + len(data).to_bytes(3, "big") + data if kind else data
    contacts = {CALLER: (identity(CALLER).contact, StreamRule())}
    site = FixedKeys({"key-1": KEY})
    for end in ("called", "caller"):
        one, other = socket.socketpair()
        with one:
            one.sendall(said)
            one.shutdown(socket.SHUT_WR)
            with pytest.raises(PoliqiError):
                if end == "called":
                    accept(other, identity(CALLEE), contacts, site, timeout_s=2.0)
                else:
                    contact = identity(CALLEE).contact
                    connect(other, identity(CALLER), contact, site, StreamRule(), "test 1", timeout_s=2.0)
    assert site.asked == []


@given(st.binary(max_size=600))
@settings(deadline=None)
def test_the_parsers_of_a_handshake_raise_protocol_errors_alone(data: bytes) -> None:
    for parse in (unpack, Header.read, Call.read, Offer.read, lambda d: read_key_ids(unpack(d))):
        try:
            parse(data)
        except ProtocolError:
            continue


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_fields_are_read_as_they_were_written(parts: list[bytes]) -> None:
    assert unpack(pack(parts)) == parts


@given(
    st.sampled_from(list(Mode)),
    st.lists(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64),
        min_size=1,
        unique=True,
    ),
    st.binary(min_size=32, max_size=32),
)
def test_a_header_is_read_as_it_was_written(mode: Mode, ids: list[str], challenge: bytes) -> None:
    header = Header(mode, SaeId("a"), SaeId("b"), challenge, () if mode is Mode.PQC else tuple(ids))
    assert Header.read(header.pack()) == header


@given(
    st.sampled_from([Policy.STRICT, Policy.ITS]),
    st.lists(st.integers(0, 5000) | st.sampled_from([65536, 65537, 262144]), max_size=8),
    st.integers(1, 100_000),
    st.sampled_from([96, 512, 4096]),
)
@settings(max_examples=25, deadline=None)
def test_both_ends_agree_for_any_sizes_and_budgets(
    policy: Policy, sizes: list[int], rekey_bytes: int, most_bytes: int
) -> None:
    site = PlayedSite(most_bytes=most_bytes)
    caller, callee = channel_pair(policy, site, rule=StreamRule(rekey_bytes=rekey_bytes), over_tcp=False)
    sent = [bytes([place + 1]) * size for place, size in enumerate(sizes)]

    def receive() -> list[bytes]:
        got: list[bytes] = []
        while (message := callee.receive()) is not None:
            got.append(bytes(message))
        return got

    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(receive)
        for message in sent:
            caller.send(message)
        caller.finish()
        assert received.result() == sent
    used = callee.usage.key_ids
    assert len(used) == len(set(used))
    assert site.delivered[: len(used)] == list(used) or policy is Policy.ITS
    caller.close()
    callee.close()
