"""One-time encryption and one-time authentication, both with key that is used once and never again.

The pad hides perfectly (Shannon 1949). The tag is Poly1305 (RFC 8439, section 2.5; Bernstein, FSE 2005) with all
of its 32-byte key drawn from the pool: whoever sees one message with its tag, and has unbounded means, passes off
another one with probability at most 8 ceil(L/16) / 2^106, L being the bytes under the tag. The tag is over the
cipher and stays outside it: it costs 32 bytes of key however long the message is, and a forgery is noticed before
anything is deciphered.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from poliqi.base.errors import AuthenticationError
from poliqi.base.secret import SecretBytes

__all__ = ["MAC_KEY_BYTES", "TAG_BYTES", "open_sealed", "seal", "xor_bytes"]

MAC_KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
_LABEL: Final = b"poliqi sealed\x00"

Octets = bytes | bytearray | memoryview


def xor_bytes(a: Octets, b: Octets) -> bytes:
    """The sum of two strings of one length. Raises ValueError where the lengths differ."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} bytes cannot be added to {len(b)}: the lengths must be equal")
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


def seal(plaintext: Octets, pad: Octets, mac_key: Octets, context: bytes) -> tuple[bytes, bytes]:
    """Cipher and tag. `pad` is as long as `plaintext`; neither it nor `mac_key` is ever used again."""
    cipher = xor_bytes(plaintext, pad)
    return cipher, _mac(mac_key, context, cipher).finalize()


def open_sealed(cipher: Octets, tag: bytes, pad: Octets, mac_key: Octets, context: bytes) -> SecretBytes:
    """The plaintext. Raises AuthenticationError where cipher, tag or context is not what was sealed."""
    if len(cipher) != len(pad):
        raise ValueError(f"a pad of {len(pad)} bytes does not open a cipher of {len(cipher)}: give one as long")
    try:
        _mac(mac_key, context, cipher).verify(tag)
    except InvalidSignature:
        message = f"the one-time tag of a sealed message of {len(cipher)} bytes is wrong: drop it, its key is spent"
        raise AuthenticationError(message) from None
    return SecretBytes(xor_bytes(cipher, pad))


def _mac(key: Octets, context: bytes, cipher: Octets) -> Poly1305:
    """Over the label, the context's length in 4 bytes, the context, the cipher."""
    if len(key) != MAC_KEY_BYTES:
        raise ValueError(f"a one-time tag takes a key of {MAC_KEY_BYTES} bytes, not {len(key)}")
    mac = Poly1305(bytes(key))
    mac.update(_LABEL + len(context).to_bytes(4, "big") + context)
    mac.update(cipher)
    return mac
