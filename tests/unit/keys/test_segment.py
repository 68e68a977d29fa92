"""Cutting, owning and comparing segments, against a Poly1305 and an HMAC written out here."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.segment import (
    HEAD_BYTES,
    SEGMENT_BYTES,
    SegmentName,
    block_of_number,
    comparison_tag,
    cut,
    first_usable,
    owner_of,
)

A, B = KmeId("a"), KmeId("b")


def poly1305(key: bytes, message: bytes) -> bytes:
    """RFC 8439, section 2.5.1, in whole numbers."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for start in range(0, len(message), 16):
        total = (total + int.from_bytes(message[start : start + 16] + b"\x01", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104."""
    block = key.ljust(64, b"\x00")
    inner = hashlib.sha256(bytes(x ^ 0x36 for x in block) + message).digest()
    return hashlib.sha256(bytes(x ^ 0x5C for x in block) + inner).digest()


GRADE = Grade(KeyOrigin.PHOTONS, "a proof", 1e-10, ())


def context(pool: str, name: SegmentName, size: int) -> bytes:
    return (
        b"poliqi segment\x00"
        + len(pool.encode()).to_bytes(2, "big")
        + pool.encode()
        + name.block
        + name.part.to_bytes(4, "big")
        + size.to_bytes(4, "big")
        + b"\x00\x07photons\x00\x07a proof\x00\x06proven"
    )


def test_the_poly1305_written_here_gives_the_tag_of_rfc_8439() -> None:
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    tag = poly1305(key, b"Cryptographic Forum Research Group")
    assert tag.hex() == "a8061dc1305136c6c22b8baf0c0127a9"  # section 2.5.2


@given(st.binary(min_size=1024, max_size=1400), st.integers(0, 1 << 20), st.sampled_from(["a-b", "città", "x"]))
def test_a_long_segment_is_compared_by_a_one_time_poly1305_under_its_own_head(
    bits: bytes, part: int, pool: str
) -> None:
    name = SegmentName(block_of_number(7), part)
    told = comparison_tag(SecretBytes(bits), LinkId(pool), name, GRADE, b"")
    assert told == poly1305(bits[:32], context(pool, name, len(bits)) + bits[32:])


@given(st.binary(min_size=1, max_size=1023), st.binary(min_size=32, max_size=32))
def test_a_short_segment_is_compared_by_hmac_under_the_pools_secret(bits: bytes, secret: bytes) -> None:
    name = SegmentName(block_of_number(7), 0)
    told = comparison_tag(SecretBytes(bits), LinkId("a-b"), name, GRADE, secret)
    assert told == hmac_sha256(secret, context("a-b", name, len(bits)) + bits)[:16]


@pytest.mark.parametrize(("size", "first"), [(40, 0), (1100, HEAD_BYTES)])
def test_every_word_of_a_segments_place_and_every_byte_of_its_key_is_compared(size: int, first: int) -> None:
    bits = hashlib.shake_128(b"segment").digest(size)
    name = SegmentName(block_of_number(7), 1)
    secret = bytes(32)
    tags = {
        comparison_tag(SecretBytes(bits), LinkId("a-b"), name, GRADE, secret),
        comparison_tag(SecretBytes(bits), LinkId("a-c"), name, GRADE, secret),
        comparison_tag(SecretBytes(bits), LinkId("a-b"), SegmentName(name.block, 2), GRADE, secret),
        comparison_tag(SecretBytes(bits), LinkId("a-b"), SegmentName(block_of_number(8), 1), GRADE, secret),
        *(
            comparison_tag(
                SecretBytes(bytes([*bits[:i], bits[i] ^ 1, *bits[i + 1 :]])), LinkId("a-b"), name, GRADE, secret
            )
            for i in range(first, size)
        ),
    }
    for other in (
        replace(GRADE, origin=KeyOrigin.SIMULATED),
        replace(GRADE, proof="b"),
        replace(GRADE, epsilon=None),
    ):
        tags.add(comparison_tag(SecretBytes(bits), LinkId("a-b"), name, other, secret))
    assert len(tags) == 7 + size - first


@given(st.integers(1, 1 << 22))
def test_a_block_is_cut_without_gaps_into_parts_of_bounded_and_equal_size(size: int) -> None:
    edges = cut(size)
    assert edges[0][0] == 0 and edges[-1][1] == size
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    sizes = [end - start for start, end in edges]
    assert max(sizes) <= SEGMENT_BYTES and max(sizes) - min(sizes) <= 1
    assert len(sizes) % 2 == 0 or size < 4096


@given(st.binary(min_size=16, max_size=16), st.integers(0, 1000))
def test_both_ends_name_the_same_owner_and_neighbours_go_to_both(block: bytes, part: int) -> None:
    owner = owner_of(SegmentName(block, part), A, B)
    assert owner == owner_of(SegmentName(block, part), B, A)
    assert {owner, owner_of(SegmentName(block, part + 1), A, B)} == {A, B}


def test_only_segments_of_a_kibibyte_pay_with_their_head() -> None:
    assert [first_usable(size) for size in (1, 1023, 1024, 1 << 16)] == [0, 0, HEAD_BYTES, HEAD_BYTES]
