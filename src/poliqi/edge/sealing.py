"""Sealing of what lies on disk: AES-256-GCM under keys that each live for one purpose (docs/spec/keystore.md).

KEK (file or token) -> epoch key -> key of each segment (DEK) -> the segment's bits. A DEK seals one message only,
so its nonce is zero. An epoch key seals only in the process that drew it, so its nonces are a count.
NIST SP 800-38D, sections 8.2.1 (deterministic nonces) and 8.3 (limits).
"""

from __future__ import annotations

from itertools import count
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poliqi.base.errors import DataRefused
from poliqi.base.secret import SecretBytes

__all__ = ["KEY_BYTES", "EpochSeal", "open_payload", "place", "seal_payload"]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_FORMAT: Final = "poliqi keystore 1"
_encode: Final = msgspec.msgpack.Encoder().encode

Part = bytes | str | int


def place(kind: str, instance: bytes, *parts: Part) -> bytes:
    """What a sealed value is bound to, so that it opens nowhere else: MessagePack of these words, in this order."""
    return _encode((_FORMAT, kind, instance, *parts))


def seal_payload(dek: bytes, payload: bytes | bytearray | memoryview, bound_to: bytes) -> bytes:
    """Seal a segment under a DEK that was drawn for this one message."""
    return AESGCM(dek).encrypt(bytes(NONCE_BYTES), payload, bound_to)


def open_payload(dek: bytes, sealed: bytes, bound_to: bytes) -> SecretBytes:
    """The bits of a segment. Raises DataRefused where a bit of it, or of its place, was changed."""
    try:
        return SecretBytes(AESGCM(dek).decrypt(bytes(NONCE_BYTES), sealed, bound_to))
    except InvalidTag as error:
        raise DataRefused("a sealed segment does not open: it was changed on disk") from error


class EpochSeal:
    """Seals small values (DEKs, shared secrets, ciphers) under one epoch key.

    The nonce, a count from 1, stands before each sealed value. Whoever unwraps an epoch key from disk only opens
    with it: sealing with it again would repeat nonces.
    """

    __slots__ = ("_cipher", "_count", "_instance", "_key", "epoch")

    def __init__(self, instance: bytes, epoch: int, key: SecretBytes, *, fresh: bool) -> None:
        self.epoch: Final = epoch
        self._instance: Final = instance
        self._key: Final = key
        self._cipher: Final = AESGCM(key.view())
        self._count: Final = count(1) if fresh else None

    def seal(self, kind: str, value: bytes | memoryview, *parts: Part) -> bytes:
        """Seal `value`, bound to this store, epoch, kind and `parts`. Raises ValueError on an old epoch."""
        if self._count is None:
            raise ValueError(f"epoch {self.epoch} was begun by another process: it only opens")
        nonce = next(self._count).to_bytes(NONCE_BYTES, "big")
        return nonce + self._cipher.encrypt(nonce, value, place(kind, self._instance, self.epoch, *parts))

    def open(self, kind: str, sealed: bytes, *parts: Part) -> bytes:
        """The value that was sealed in this place. Raises DataRefused."""
        try:
            bound_to = place(kind, self._instance, self.epoch, *parts)
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
        except (InvalidTag, ValueError) as error:
            raise DataRefused(f"a sealed {kind} does not open: it was changed on disk") from error

    def close(self) -> None:
        """Wipe the key, as far as Python can: the cipher's own copy goes with this object."""
        self._key.close()
