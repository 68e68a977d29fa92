"""POLYVAL: the standard's vectors, two authenticated ciphers of OpenSSL as oracles, the definition, refusals."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.jit import Width, choose_width, widths
from poliqi.distill.kernels.definitions import polyval, polyval_dot
from poliqi.distill.kernels.polyval import PolyHash
from poliqi.distill.kernels.polyval_kernels import POWERS, POWERS_OF, UPDATE_OF

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "polyval" / "polyval.json").read_text())
EXTREMES = [bytes(16), b"\xff" * 16, b"\x01" + bytes(15), bytes(15) + b"\x80", b"\x55" * 16, b"\xaa" * 16]
sixteen = st.one_of(st.sampled_from(EXTREMES), st.binary(min_size=16, max_size=16))


def in_width(width: Width, key: bytes, data: bytes, start: bytes = bytes(16)) -> bytes:
    powers, state = np.empty(2 * POWERS, np.uint64), np.frombuffer(start, "<u8").astype(np.uint64)
    POWERS_OF[width](np.frombuffer(key, "<u8").astype(np.uint64), powers)
    UPDATE_OF[width](state, powers, np.frombuffer(data, np.uint8))
    return state.astype("<u8").tobytes()


def kernel_polyval(key: bytes, data: bytes) -> bytes:
    """By the widest kernel and all others, which must agree."""
    found = {in_width(width, key, data) for width in widths()}
    assert len(found) == 1
    return found.pop()


def aes(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


@pytest.mark.parametrize("case", VECTORS["polyval"], ids=lambda case: case["source"])
@pytest.mark.parametrize("function", [polyval, kernel_polyval])
def test_known_answers(case: dict[str, Any], function: Any) -> None:
    assert function(bytes.fromhex(case["key"]), bytes.fromhex(case["data"])).hex() == case["result"]


@settings(deadline=None)  # the first call compiles
@given(
    key=sixteen, nonce=st.binary(min_size=12, max_size=12), aad=st.binary(max_size=70), text=st.binary(max_size=70)
)
def test_it_is_the_hash_inside_aes_gcm_siv(key: bytes, nonce: bytes, aad: bytes, text: bytes) -> None:
    tag = AESGCMSIV(key).encrypt(nonce, text, aad)[-16:]
    derived = [aes(key, i.to_bytes(4, "little") + nonce)[:8] for i in range(4)]  # RFC 8452, section 4
    lengths = (8 * len(aad)).to_bytes(8, "little") + (8 * len(text)).to_bytes(8, "little")
    digest = kernel_polyval(derived[0] + derived[1], padded(aad) + padded(text) + lengths)
    blinded = bytes(a ^ b for a, b in zip(digest, nonce + bytes(4), strict=True))
    assert aes(derived[2] + derived[3], blinded[:15] + bytes([blinded[15] & 0x7F])) == tag


@settings(deadline=None)  # the first call compiles
@given(key=sixteen, data=st.binary(max_size=200))
def test_it_is_ghash_with_the_bytes_reversed(key: bytes, data: bytes) -> None:
    nonce = bytes(range(12))
    ghash = bytes(
        a ^ b for a, b in zip(AESGCM(key).encrypt(nonce, b"", data), aes(key, nonce + b"\0\0\0\1"), strict=True)
    )
    h = int.from_bytes(aes(key, bytes(16)), "big") << 1  # mulX_POLYVAL, RFC 8452, appendix A
    h ^= (h >> 128) * (1 << 128 | 1 << 127 | 1 << 126 | 1 << 121 | 1)
    blocks = padded(data) + (8 * len(data)).to_bytes(8, "big") + bytes(8)
    turned = b"".join(blocks[i : i + 16][::-1] for i in range(0, len(blocks), 16))
    assert kernel_polyval(h.to_bytes(16, "little"), turned)[::-1] == ghash


@settings(deadline=None)  # the first call compiles
@given(key=sixteen, blocks=st.lists(sixteen, max_size=6), count=st.integers(0, 100), state=sixteen)
@pytest.mark.parametrize("width", widths())
def test_every_width_equals_the_definition(
    key: bytes, blocks: list[bytes], count: int, state: bytes, width: Width
) -> None:
    data = b"".join(itertools.islice(itertools.cycle(blocks or [key]), count))
    assert in_width(width, key, data, state) == polyval(key, data, state)


@pytest.mark.parametrize("width", widths())
def test_a_width_that_was_chosen_runs(width: Width) -> None:
    choose_width(width)
    try:
        running = PolyHash(bytes(range(16)))
        running.update(bytes(range(256)) * 5)
    finally:
        choose_width(None)
    length = (8 * 1280).to_bytes(16, "little")
    assert running.digest_with_length() == polyval(bytes(range(16)), bytes(range(256)) * 5 + length)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, np.frombuffer])
def test_any_buffer_is_read_where_it_lies(kind: Any) -> None:
    data = bytes(range(240))
    running = PolyHash(b"k" * 16)
    running.update(kind(data) if kind is not np.frombuffer else np.frombuffer(data, np.uint8))
    assert running.digest_with_length() == polyval(b"k" * 16, data + (8 * 240).to_bytes(16, "little"))


def test_a_fresh_hash_has_the_key_and_nothing_else() -> None:
    running = PolyHash(b"k" * 16)
    running.update(b"a" * 64)
    fresh = running.fresh()
    fresh.update(b"b" * 16)
    assert fresh.digest_with_length() == polyval(b"k" * 16, b"b" * 16 + (128).to_bytes(16, "little"))
    assert (fresh.blocks, running.blocks) == (1, 4)


@pytest.mark.parametrize("i", range(128))
def test_every_bit_of_the_key_and_of_the_block_counts(i: int) -> None:
    bit = (1 << i).to_bytes(16, "little")
    ones = b"\xff" * 16
    assert kernel_polyval(bit, ones) == polyval(bit, ones)
    assert kernel_polyval(ones, bit) == polyval(ones, bit)


def test_the_product_has_its_unit() -> None:
    unit = 1 << 127 | 1 << 126 | 1 << 121 | 1  # x^128, RFC 8452, section 3
    assert polyval_dot(unit, 0x1234567890ABCDEF) == 0x1234567890ABCDEF


@settings(deadline=None)  # the first call compiles
@given(cuts=st.lists(st.integers(0, 40), max_size=5), key=sixteen, offset=st.integers(0, 9))
def test_streaming_does_not_change_the_digest(cuts: list[int], key: bytes, offset: int) -> None:
    data = np.random.default_rng(3).bytes(16 * 40 + offset)[offset:]
    parts = PolyHash(key)
    edges = [0, *sorted(cuts), 40]
    for start, stop in itertools.pairwise(edges):
        parts.update(memoryview(data)[16 * start : 16 * stop])
    length = (8 * len(data)).to_bytes(8, "little") + bytes(8)
    assert parts.digest_with_length() == polyval(key, data + length)


def test_long_data_in_pieces_have_the_same_digest() -> None:
    data, key = np.random.default_rng(4).bytes(3 * 65536 + 160), bytes(range(16))
    whole = PolyHash(key)
    whole.update(data)
    pieces = PolyHash(key)
    for start in range(0, len(data), 4000):
        pieces.update(data[start : start + 4000])
    assert whole.digest_with_length() == pieces.digest_with_length()
    assert whole.blocks == len(data) // 16


def test_a_digest_leaves_the_running_hash_as_it_was() -> None:
    running = PolyHash(b"k" * 16)
    running.update(b"a" * 32)
    first = running.digest_with_length()
    assert running.digest_with_length() == first
    running.update(b"b" * 16)
    assert running.digest_with_length() == polyval(
        b"k" * 16, b"a" * 32 + b"b" * 16 + (384).to_bytes(8, "little") + bytes(8)
    )


def test_zeros_at_the_end_change_the_tag() -> None:
    shorter, longer = PolyHash(b"k" * 16), PolyHash(b"k" * 16)
    shorter.update(b"a" * 16)
    longer.update(b"a" * 16 + bytes(16))
    assert shorter.digest_with_length() != longer.digest_with_length()


def test_epsilon_counts_the_length_block() -> None:
    running = PolyHash(b"k" * 16)
    running.update(bytes(16 * 9))
    assert running.epsilon == 10 / 2**128


@pytest.mark.parametrize("size", [1, 15, 17, 31])
def test_a_part_of_a_block_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes are not whole 16-byte blocks"):
        PolyHash(b"k" * 16).update(bytes(size))


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"not {size}"):
        PolyHash(bytes(size))


@pytest.mark.parametrize("bits", [-1, 0, 128, 257])
def test_a_length_outside_the_last_block_is_refused(bits: int) -> None:
    running = PolyHash(b"k" * 16)
    running.update(bytes(32))
    with pytest.raises(ValueError, match="do not end in the last"):
        running.digest_with_length(bits)
