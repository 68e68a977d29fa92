"""What key a message takes, and when it will be there: said beforehand, and in every "key exhausted"."""

from __future__ import annotations

from typing import Final

from poliqi.apps.keysource import KeySource
from poliqi.base.errors import PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["PAD_RECORD_BYTES", "TAG_KEY_BYTES", "needed_bytes", "not_ready", "quantum_key_bytes"]

PAD_RECORD_BYTES: Final = 64 << 10
"""The most plaintext in one record under one-time pad."""
TAG_KEY_BYTES: Final = 32
"""Key of one one-time tag."""
_OPENING_BYTES: Final = 1024
"""Of the handshake, the end, and what is kept for them, in one direction."""


def needed_bytes(length: int, most_bytes: int = 512) -> int:
    """Key bytes that suffice for `length` bytes one way under one-time pad, the handshake and the end with them.

    `most_bytes` is the largest key that the site gives (Supply.most_bytes): a part of the last may be left over.
    Each record takes a tag's key, and at worst an announcement of fresh keys with another.
    """
    records = max(1, -(-length // PAD_RECORD_BYTES))
    return length + 2 * TAG_KEY_BYTES * records + _OPENING_BYTES + most_bytes


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
