"""What key a message takes, and when it will be there: said beforehand, and in every "key exhausted"."""

from __future__ import annotations

from typing import Final

from poliqi.apps.keysource import KeySource
from poliqi.base.errors import PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

__all__ = [
    "PAD_RECORD_BYTES",
    "TAG_KEY_BYTES",
    "key_bytes",
    "needed_bytes",
    "not_ready",
    "quantum_key_bytes",
    "tag_epsilon",
]

PAD_RECORD_BYTES: Final = 64 << 10
"""The most plaintext in one record under one-time pad."""
TAG_KEY_BYTES: Final = 32
"""Key of one one-time tag."""
_ANNOUNCED_MOST: Final = 128
"""The most keys that one announcement names."""
_OPENING_BYTES: Final = 1024
"""Of the handshake, the end, and what is kept for them, in one direction."""


def key_bytes(pad_bytes: int, most_bytes: int) -> int:
    """Bytes of keys, of `most_bytes` each, that give so many bytes of pad: the first 32 of a key are none."""
    return pad_bytes + TAG_KEY_BYTES * -(-pad_bytes // max(1, most_bytes - TAG_KEY_BYTES))


def needed_bytes(length: int, most_bytes: int = 512) -> int:
    """Key bytes that suffice for `length` bytes one way under one-time pad, the handshake and the end with them.

    `most_bytes` is the largest key that the site gives (Supply.most_bytes): a part of the last may be left over.
    Each record takes a tag's key, and at worst announcements of fresh keys (128 at once) with another each, and one
    key that is not used to its end.
    """
    records = max(1, -(-length // PAD_RECORD_BYTES))
    announced = 2 * TAG_KEY_BYTES * (length // (_ANNOUNCED_MOST * max(1, most_bytes - TAG_KEY_BYTES)))
    pad_bytes = length + 3 * TAG_KEY_BYTES * records + announced + _OPENING_BYTES
    return key_bytes(pad_bytes, most_bytes) + most_bytes


def quantum_key_bytes(length: int, rekey_bytes: int) -> int:
    """Key bytes that `length` bytes one way take in the modes quantum and hybrid, handshake included."""
    return 32 * (1 + max(0, -(-length // rekey_bytes) - 1))


def not_ready(source: KeySource, peer: SaeId, wanted_bytes: int, cause: KeysNotReady) -> KeysNotReady:
    """`cause`, with what is needed, what is there, and when the rest will be."""
    try:
        supply = source.supply(peer)
    except PoliqiError:
        return cause
    wait_s = supply.seconds_until(wanted_bytes)
    when = "nobody can say yet when the rest will be" if wait_s is None else f"the rest in about {wait_s:.3g} s"
    text = (
        f"no key to go on with {peer}: {wanted_bytes} bytes are needed, {supply.available_bytes} are there, "
        f"{when}; nothing more was sent ({cause})"
    )
    return KeysNotReady(text, wait_s or cause.retry_s)


def tag_epsilon(covered_bytes: int) -> float:
    """By what a one-time Poly1305 tag over so many bytes may be passed off (Bernstein, FSE 2005)."""
    return 8.0 * -(-covered_bytes // 16) / 2.0**106
