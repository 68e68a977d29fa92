"""Names of keys: version and variant of RFC 9562, derivation by HMAC-SHA256, text."""

from __future__ import annotations

import hashlib
import hmac
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.ids import KmeId, LinkId
from poliqi.keys.keyid import as_version_8, derived_ids, parse_key_id
from poliqi.keys.segment import SegmentName

PLACE = (LinkId("leonardo-bovisa"), SegmentName(bytes(range(16)), 3), KmeId("leonardo"))


@given(st.binary(min_size=16, max_size=64))
def test_a_name_is_a_uuid_of_version_8_that_keeps_every_other_bit(data: bytes) -> None:
    name = as_version_8(data)
    read = uuid.UUID(bytes=name)
    assert read.version == 8 and read.variant == uuid.RFC_4122
    kept = (1 << 128) - 1 - (0xF << 76) - (3 << 62)  # RFC 9562, sections 4.1, 4.2: all but ver and var
    assert read.int & kept == int.from_bytes(data[:16], "big") & kept


def test_names_are_the_hmac_of_their_place() -> None:
    secret = bytes(range(100, 132))
    pool, name, owner = PLACE
    head = b"\x00\x0fleonardo-bovisa" + b"\x00\x10" + name.block + b"\x00\x08leonardo" + b"\x00\x00\x00\x03"
    expected = [
        hmac.new(secret, head + (32).to_bytes(4, "big") + at.to_bytes(4, "big"), hashlib.sha256).digest()
        for at in (64, 96, 128)
    ]
    names = list(derived_ids(secret, pool, name, owner, 64, 32, 3))
    assert names == [as_version_8(digest) for digest in expected]


def test_no_two_places_share_a_name() -> None:
    pool, name, owner = PLACE
    secrets = [bytes(32), bytes([1] * 32)]
    places = [
        (pool, name, owner, 64, 32, 4),
        (LinkId("leonardo-bovis"), name, owner, 64, 32, 4),
        (pool, SegmentName(name.block, 4), owner, 64, 32, 4),
        (pool, SegmentName(bytes(16), 3), owner, 64, 32, 4),
        (pool, name, KmeId("bovisa"), 64, 32, 4),
        (pool, name, owner, 64, 16, 4),
        (pool, name, owner, 65, 32, 4),
    ]
    names = [n for secret in secrets for place in places for n in derived_ids(secret, *place)]
    assert len(set(names)) == len(names) == 2 * 7 * 4


@given(st.binary(min_size=16, max_size=16))
def test_the_text_of_a_uuid_is_read_in_either_case(name: bytes) -> None:
    text = str(uuid.UUID(bytes=name))
    assert parse_key_id(text) == parse_key_id(text.upper()) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 32,
        "{00000000-0000-8000-8000-000000000000}",
        "urn:uuid:00000000-0000-8000-8000-000000000000",
        "00000000-0000-8000-8000-00000000000",
        "00000000-0000-8000-8000-0000000000000",
        "00000000-0000-8000-8000-000000000000\n",
        "00000000-0000-8000-8000-00000000000g",
        "٠0000000-0000-8000-8000-000000000000",
        "000000000-000-8000-8000-000000000000",
    ],
)
def test_anything_else_is_no_name(text: str) -> None:
    assert parse_key_id(text) is None


@given(st.text(max_size=60))
def test_no_text_is_read_that_is_not_a_uuid(text: str) -> None:
    name = parse_key_id(text)
    assert name is None or str(uuid.UUID(bytes=name)) == text.lower()
