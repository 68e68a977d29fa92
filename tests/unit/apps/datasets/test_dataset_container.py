"""Sealed files: what was sealed comes out, and nothing else ever does."""

from __future__ import annotations

import io

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from poliqi.apps.datasets.container import (
    CHUNK_BYTES,
    HEADER_BYTES,
    SEALED_BYTES,
    SealedReader,
    SealedWriter,
)
from poliqi.base.errors import AuthenticationError, DataRefused

KEY, NAME = bytes(range(32)), bytes(range(16))


def sealed(data: bytes, piece: int = 1 << 20, key: bytes = KEY) -> bytes:
    out = io.BytesIO()
    with SealedWriter(out, key, NAME) as writer:
        for at in range(0, len(data), piece):
            writer.write(data[at : at + piece])
    return out.getvalue()


def opened(data: bytes, key: bytes = KEY, name: bytes = NAME) -> bytes:
    return SealedReader(io.BytesIO(data), key, name).readall()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 300_000])
@pytest.mark.parametrize("piece", [10_240, 1 << 20])
def test_what_was_sealed_comes_out(size: int, piece: int) -> None:
    data = bytes(i * 7 % 251 for i in range(size))
    whole = sealed(data, piece)
    # a header of 32 bytes; 16 of tag for each 128 KiB begun, and for the empty file
    assert len(whole) == 32 + size + 16 * max(1, -(-size // 131072))
    assert opened(whole) == data


def test_each_chunk_is_aes_gcm_with_the_nonce_that_the_construction_says() -> None:
    data = b"a" * CHUNK_BYTES + b"b"
    whole = sealed(data)[HEADER_BYTES:]
    cipher = AESGCM(KEY)
    assert cipher.decrypt(bytes(12), whole[:SEALED_BYTES], NAME) == b"a" * CHUNK_BYTES
    assert cipher.decrypt(bytes(10) + b"\x01\x01", whole[SEALED_BYTES:], NAME) == b"b"


def chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    head, body = data[:HEADER_BYTES], data[HEADER_BYTES:]
    return head, [body[i : i + SEALED_BYTES] for i in range(0, len(body), SEALED_BYTES)]


def test_chunks_that_were_cut_moved_doubled_or_swapped_are_refused() -> None:
    head, parts = chunks(sealed(b"x" * (3 * CHUNK_BYTES + 5)))
    for wrong in (
        parts[:-1],
        parts[1:],
        parts[:1],
        [],
        [parts[1], parts[0], *parts[2:]],
        [parts[0], parts[0], *parts[2:]],
        [*parts, parts[-1]],
        [*parts[:-1], parts[-1][:-1]],
        [*parts[:-1], parts[-1] + b"\x00"],
        [parts[0], *parts[2:]],
    ):
        with pytest.raises(AuthenticationError):
            opened(head + b"".join(wrong))


@given(at=st.integers(0, 2_000), by=st.integers(1, 255))
def test_any_changed_byte_is_refused(at: int, by: int) -> None:
    whole = bytearray(sealed(b"y" * 1500))
    whole[at % len(whole)] ^= by
    with pytest.raises((AuthenticationError, DataRefused)):
        opened(bytes(whole))


def test_another_key_and_another_dataset_are_refused() -> None:
    whole = sealed(b"z")
    with pytest.raises(AuthenticationError):
        opened(whole, key=bytes(32))
    with pytest.raises(DataRefused):
        opened(whole, name=bytes(16))


def test_nothing_of_a_chunk_is_given_before_it_is_found_authentic() -> None:
    whole = bytearray(sealed(b"q" * (2 * CHUNK_BYTES)))
    whole[-1] ^= 1
    reader = SealedReader(io.BytesIO(bytes(whole)), KEY, NAME)
    assert reader.read(CHUNK_BYTES) == b"q" * CHUNK_BYTES
    with pytest.raises(AuthenticationError):
        reader.read(1)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises((AuthenticationError, DataRefused)):
        opened(data)
