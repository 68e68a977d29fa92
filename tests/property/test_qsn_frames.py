"""Whatever arrives at a QSN-d-1's driver or at an emulated device is read, or refused with a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qsn_rig import SMALL, CountedEntropy

from poliqi.base.errors import ProtocolError
from poliqi.base.secret import SecretBytes
from poliqi.link.qsn.client import ClientCore, GetNamed
from poliqi.link.qsn.device import PARTNER
from poliqi.link.qsn.emulated import Role, emulated
from poliqi.link.qsn.frames import MOST_FRAME_BYTES, FrameReader, encode_frame
from poliqi.link.qsn.partner import read_partner
from poliqi.link.qsn.replies import Keys, encode_key, encode_keys, read_reply
from poliqi.link.qsn.requests import GetAttribute, GetKey, GetKeys, read_envelope, read_request

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "qsn"
FRAMES = {
    name: [bytes.fromhex(case["frame"]) for case in json.loads((VECTORS / f"{name}.json").read_text())]
    for name in ("requests", "replies", "partner")
}
DEEP = b"[" * 999
KEY_ID = "fd7a80b4-b98e-43cb-b860-53d44b4e296b"
ASKED = st.sampled_from([GetKey(), GetKeys(2), GetNamed((KEY_ID,)), GetAttribute("QBER"), None])


@st.composite
def mutated(draw: st.DrawFn, frames: list[bytes]) -> bytes:
    """Frames of the vectors, with some bytes changed, cut out or put in; mostly with a length that still fits."""
    payload = bytearray(draw(st.sampled_from(frames))[4:])
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(payload)))
        kind = draw(st.sampled_from(["change", "cut", "insert", "repeat"]))
        if kind == "change":
            payload[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "cut":
            del payload[at : at + draw(st.integers(1, 20))]
        elif kind == "insert":
            payload[at:at] = draw(st.sampled_from([b"{", b"}", b"[", b"]", b",", b'"', b"0", b"-", b"\x00", DEEP]))
        else:
            payload[at:at] = payload[: draw(st.integers(0, 50))]
    length = len(payload) if draw(st.integers(0, 9)) else draw(st.integers(0, (1 << 32) - 1))
    return length.to_bytes(4, "big") + bytes(payload)


@given(st.lists(st.binary(max_size=40) | mutated(FRAMES["replies"]), max_size=6), ASKED)
def test_a_driver_reads_or_refuses_whatever_comes(parts: list[bytes], request: Any) -> None:
    core = ClientCore()
    if request is not None:
        core.ask(request)
    try:
        for part in parts:
            core.receive(part)
    except ProtocolError:
        core.connected()
    assert core.promised <= 2
    for key in core.take_fresh(99):
        assert 1 <= len(key.bits) <= 8191 and len(key.name) == 36


@given(st.lists(mutated(FRAMES["requests"] + FRAMES["partner"]), max_size=8), st.sampled_from(Role))
def test_a_device_outlives_whatever_comes(frames: list[bytes], role: Role) -> None:
    device = emulated(role, SMALL, CountedEntropy(), 0.0)
    device.partner_up(0.0)
    for number, frame in enumerate(frames):
        try:
            for payload in FrameReader().receive(frame):
                device.receive(number, payload, 0.1 * number)
        except ProtocolError:
            device.closed(number)
        device.tick(0.1 * number)
    assert all(FrameReader().receive(encode_frame(each.payload)) for each in device.take_output())


@given(st.data(), st.integers(0, 10))
def test_a_device_in_the_middle_of_a_key_outlives_whatever_comes(data: st.DataObject, steps: int) -> None:
    """What a partner says is made of a real key's messages, in any order, with any number changed."""
    ends = {role: emulated(role, SMALL, CountedEntropy(), 0.0) for role in Role}
    heard: list[dict[str, Any]] = []
    for end in ends.values():
        end.partner_up(0.0)
    for step in range(steps):
        for role, end in ends.items():
            end.tick(0.01 * step)
            other = ends[Role.BOB if role is Role.ALICE else Role.ALICE]
            for outgoing in end.take_output():
                if outgoing.to == PARTNER:
                    heard.append(json.loads(outgoing.payload))
                    other.receive(0, outgoing.payload, 0.01 * step)
    for _ in range(4):
        message = dict(data.draw(st.sampled_from(heard or [{"command": "start", "value": {"ID": KEY_ID}}])))
        value = dict(message["value"]) if isinstance(message["value"], dict) else {}
        for name in value:
            if isinstance(value[name], list) and data.draw(st.booleans()):
                value[name] = value[name][: data.draw(st.integers(0, 9))] + data.draw(
                    st.lists(st.integers(-1, 1 << 31), max_size=3)
                )
        for end in ends.values():
            try:
                end.receive(1, json.dumps({**message, "value": value}).encode(), 0.5)
            except ProtocolError:
                continue
            end.tick(0.5)


@given(st.binary(max_size=300) | st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"{ [" * 50_000]))
def test_any_bytes_are_a_message_or_refused(payload: bytes) -> None:
    for read in (read_reply, lambda p: read_request(read_envelope(p)), lambda p: read_partner(read_envelope(p))):
        try:
            read(payload)
        except ProtocolError:
            continue


@given(st.lists(st.tuples(st.uuids(), st.binary(min_size=1, max_size=80)), max_size=5, unique_by=lambda k: k[0]))
def test_keys_come_back_as_they_went(keys: list[tuple[Any, bytes]]) -> None:
    reply = read_reply(encode_keys(encode_key(7, str(name), SecretBytes(key)) for name, key in keys))
    assert isinstance(reply, Keys)
    assert [(r.time_ms, r.key_id, r.key.take()) for r in reply.records] == [(7, str(n), k) for n, k in keys]


@pytest.mark.parametrize("size", [MOST_FRAME_BYTES + 1, (1 << 32) - 1])
def test_a_length_over_the_limit_is_refused_before_its_bytes_come(size: int) -> None:
    with pytest.raises(ProtocolError, match="announced"):
        FrameReader().receive(size.to_bytes(4, "big"))


HOSTILE = "\x1b[2J\nFAKE LINE " + "deadbeef" * 1000


@pytest.mark.parametrize(
    "read",
    [
        lambda: read_reply(json.dumps({HOSTILE: 1}).encode()),
        lambda: read_reply(json.dumps([{HOSTILE: 1}]).encode()),
        lambda: read_envelope(json.dumps({HOSTILE: 1}).encode()),
        lambda: read_request(read_envelope(json.dumps({"command": "Get keys", "value": {HOSTILE: 1}}).encode())),
        lambda: read_partner(read_envelope(json.dumps({"command": "start", "value": {HOSTILE: 1}}).encode())),
    ],
)
def test_a_refusal_holds_nothing_of_what_came(read: Any) -> None:
    """A device that puts key into a member's name, or a terminal's commands, must not have them logged."""
    with pytest.raises(ProtocolError) as caught:
        read()
    words = str(caught.value)
    assert len(words) < 200
    assert words.isprintable()
    assert "deadbeef" not in words
    assert caught.value.__cause__ is None
