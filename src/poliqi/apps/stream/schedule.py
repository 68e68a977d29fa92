"""The keys of a direction: from the handshake, and from one quantum key to the next (docs/spec/stream.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from poliqi.apps.stream.opening import LABEL, Header
from poliqi.base.secret import SecretBytes
from poliqi.keys.combine import lengthed

__all__ = ["CALLEE", "CALLER", "DirectionKeys"]

CALLER: Final = 1
"""The direction of what the caller sends."""
CALLEE: Final = 2
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class _Context:
    header: Header
    transcript: bytes
    direction: int

    def info(self, label: bytes, *more: bytes) -> bytes:
        header = self.header
        names = [name.encode() for name in (header.mode.value, header.caller, header.callee, *header.key_ids)]
        return lengthed([LABEL + label, bytes([self.direction]), self.transcript, *more, *names])


class DirectionKeys:
    """AES-256-GCM key of the moment, and what the next one is made from."""

    __slots__ = ("_chain", "_context", "_epoch", "cipher")

    def __init__(self, header: Header, transcript: bytes, direction: int, secret: bytes) -> None:
        """`secret` is the direction's key of Noise's Split, `transcript` the handshake hash."""
        self._context: Final = _Context(header, transcript, direction)
        self._epoch = 0
        self._chain = SecretBytes(b"")
        self.cipher = self._derive(b"", secret, self._context.info(b" keys"))

    @property
    def direction(self) -> int:
        """CALLER or CALLEE."""
        return self._context.direction

    def ratchet(self, key_id: str, key: SecretBytes) -> None:
        """Go on with a fresh quantum key; the one before is wiped, as far as Python can."""
        self._epoch += 1
        info = self._context.info(b" rekey", self._epoch.to_bytes(8, "big"), key_id.encode())
        self.cipher = self._derive(self._chain.take(), key.take(), info)

    def _derive(self, salt: bytes, secret: bytes, info: bytes) -> AESGCM:
        both = HKDF(SHA512(), 2 * _KEY_BYTES, salt=salt, info=info).derive(secret)
        self._chain = SecretBytes(both[_KEY_BYTES:])
        return AESGCM(both[:_KEY_BYTES])

    def close(self) -> None:
        """Wipe what can be wiped."""
        self._chain.close()
