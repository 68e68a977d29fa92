"""One-time encryption and tags against a plain Poly1305 in whole numbers."""

from __future__ import annotations

import pytest
from relay_city import stretch

from poliqi.base.errors import AuthenticationError
from poliqi.keys.onetime import open_sealed, seal, xor_bytes

KEY, PAD, TEXT = stretch("key", 32), stretch("pad", 2000), stretch("text", 2000)


def poly1305(key: bytes, message: bytes) -> bytes:
    """RFC 8439, section 2.5.1."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i : i + 16] + b"\x01", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


def test_the_plain_poly1305_of_these_tests_gives_the_vector_of_rfc_8439() -> None:
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    tag = poly1305(key, b"Cryptographic Forum Research Group")
    assert tag.hex() == "a8061dc1305136c6c22b8baf0c0127a9"


@pytest.mark.parametrize("size", [0, 1, 16, 1024, 1025, 2000])
def test_the_cipher_is_the_sum_and_the_tag_is_over_context_and_cipher(size: int) -> None:
    cipher, tag = seal(TEXT[:size], PAD[:size], KEY, b"context")
    assert cipher == bytes(a ^ b for a, b in zip(TEXT[:size], PAD[:size], strict=True))
    assert tag == poly1305(KEY, b"poliqi sealed\x00" + bytes([0, 0, 0, 7]) + b"context" + cipher)


def test_what_was_sealed_opens() -> None:
    cipher, tag = seal(TEXT, PAD, KEY, b"context")
    assert open_sealed(cipher, tag, PAD, KEY, b"context").take() == TEXT


def refused(cipher: bytes, tag: bytes, key: bytes, context: bytes) -> bool:
    try:
        open_sealed(cipher, tag, bytes(len(cipher)), key, context)
    except AuthenticationError:
        return True
    return False


def test_every_flipped_bit_is_refused() -> None:
    cipher, tag = seal(TEXT[:40], PAD[:40], KEY, b"context")
    whole = cipher + tag + b"context"
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(changed[:40]), bytes(changed[40:56]), KEY, bytes(changed[56:]))


def test_bytes_cannot_move_between_context_and_cipher() -> None:
    cipher, tag = seal(TEXT[:40], PAD[:40], KEY, b"context")
    assert refused(cipher[1:], tag, KEY, b"context" + cipher[:1])
    assert refused(b"t" + cipher, tag, KEY, b"contex")


@pytest.mark.parametrize("tag", [b"", bytes(15), bytes(17), bytes(32)])
def test_a_tag_of_another_length_is_refused(tag: bytes) -> None:
    assert refused(TEXT, tag, KEY, b"")


def test_another_key_does_not_open() -> None:
    cipher, tag = seal(TEXT, PAD, KEY, b"")
    assert refused(cipher, tag, stretch("another", 32), b"")


def test_sizes_that_do_not_fit_are_mistakes_of_the_caller() -> None:
    with pytest.raises(ValueError, match="lengths"):
        seal(TEXT, PAD[1:], KEY, b"")
    with pytest.raises(ValueError, match="32 bytes"):
        seal(TEXT, PAD, KEY[1:], b"")
    with pytest.raises(ValueError, match="pad of 3"):
        open_sealed(TEXT, bytes(16), b"pad", KEY, b"")
    with pytest.raises(ValueError, match="lengths"):
        xor_bytes(b"", b"a")
