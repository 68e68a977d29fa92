"""Relay messages on the wire: bytes as the page says, bounds, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from relay_city import make_order

from poliqi.base.errors import ProtocolError
from poliqi.base.secret import SecretBytes
from poliqi.keys.relay import open_parcel, send_share
from poliqi.keys.relay_messages import RelayParcel, RelayRefusal, decode_relay, encode_relay

FOLDER = Path(__file__).parents[2] / "vectors" / "relay"
VECTORS = json.loads((FOLDER / "messages.json").read_text())
SEALED = json.loads((FOLDER / "sealed.json").read_text())


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["name"])
def test_a_message_of_the_vectors_is_read_and_written_byte_for_byte(case: dict[str, str]) -> None:
    body = bytes.fromhex(case["body"])
    message = decode_relay(body)
    assert type(message).__name__ == case["type"]
    assert encode_relay(message) == body
    assert json.loads(msgspec.json.encode(message)) == case["fields"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["name"])
def test_a_message_that_breaks_a_bound_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        decode_relay(bytes.fromhex(case["body"]))


@pytest.mark.parametrize("case", SEALED, ids=lambda case: case["name"])
def test_a_sealed_parcel_of_the_vectors_opens(case: dict[str, str]) -> None:
    parcel = decode_relay(bytes.fromhex(case["body"]))
    assert isinstance(parcel, RelayParcel)
    assert open_parcel(parcel, SecretBytes(bytes.fromhex(case["key"]))).take().hex() == case["share"]


def test_the_origins_parcel_of_the_vectors_is_made_byte_for_byte() -> None:
    case = SEALED[0]
    parcel = decode_relay(bytes.fromhex(case["body"]))
    assert isinstance(parcel, RelayParcel)
    share, key = (SecretBytes(bytes.fromhex(case[name])) for name in ("share", "key"))
    site, made = send_share(parcel.order, 1, share, parcel.pads, key)
    assert (site, encode_relay(made).hex()) == ("centro", case["body"])


def test_a_message_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(ProtocolError, match="at most 262144"):
        decode_relay(bytes((1 << 18) + 1))


def test_a_refusal_comes_back_as_it_was() -> None:
    refusal = RelayRefusal(make_order("ACB").block, 1, "C", "pads are low")
    assert decode_relay(encode_relay(refusal)) == refusal
