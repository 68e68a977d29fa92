"""The symmetric half of the Noise Protocol Framework, revision 34 (section 5): cipher, chaining key, hash."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poliqi.base.errors import AuthenticationError, ProtocolError

__all__ = ["CipherState", "SymmetricState"]

_NONCES: Final = (1 << 64) - 1


class CipherState:
    """AES-256-GCM with a counter (section 5.1): the nonce is 4 zero bytes and the counter, big-endian."""

    __slots__ = ("_cipher", "_nonce")

    def __init__(self, key: bytes) -> None:
        self._cipher: Final = AESGCM(key)
        self._nonce = 0

    def encrypt(self, data: bytes, associated: bytes) -> bytes:
        """EncryptWithAd."""
        return self._cipher.encrypt(self._next(), data, associated)

    def decrypt(self, data: bytes, associated: bytes) -> bytes:
        """DecryptWithAd. Raises AuthenticationError."""
        try:
            return self._cipher.decrypt(self._next(), data, associated)
        except InvalidTag:
            message = "a handshake message is not what the peer's keys and the named quantum key make: hang up"
            raise AuthenticationError(message) from None

    def _next(self) -> bytes:
        if self._nonce >= _NONCES:
            raise ProtocolError("a Noise cipher has no nonce left: open a new stream")
        nonce = self._nonce.to_bytes(12, "big")
        self._nonce += 1
        return nonce


class SymmetricState:
    """Chaining key, handshake hash and the cipher of the moment (section 5.2)."""

    __slots__ = ("_chain", "_cipher", "_hash", "hash")

    def __init__(self, protocol: str) -> None:
        self._hash: Final = protocol.rpartition("_")[2].lower()
        size = hashlib.new(self._hash).digest_size
        name = protocol.encode()
        self.hash = name.ljust(size, b"\x00") if len(name) <= size else hashlib.new(self._hash, name).digest()
        self._chain = self.hash
        self._cipher: CipherState | None = None

    def mix_hash(self, data: bytes) -> None:
        """MixHash."""
        self.hash = hashlib.new(self._hash, self.hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        """MixKey."""
        self._chain, key = self._hkdf(secret, 2)
        self._cipher = CipherState(key[:32])

    def mix_key_and_hash(self, secret: bytes) -> None:
        """MixKeyAndHash."""
        self._chain, mixed, key = self._hkdf(secret, 3)
        self.mix_hash(mixed)
        self._cipher = CipherState(key[:32])

    def encrypt_and_hash(self, data: bytes) -> bytes:
        """EncryptAndHash."""
        sealed = data if self._cipher is None else self._cipher.encrypt(data, self.hash)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, data: bytes) -> bytes:
        """DecryptAndHash. Raises AuthenticationError."""
        opened = data if self._cipher is None else self._cipher.decrypt(data, self.hash)
        self.mix_hash(data)
        return opened

    def split(self) -> tuple[bytes, bytes]:
        """Two keys of 32 bytes: of the initiator's direction, of the responder's."""
        first, second = self._hkdf(b"", 2)
        return first[:32], second[:32]

    def _hkdf(self, secret: bytes, number: int) -> list[bytes]:
        """HKDF of section 4.3 (RFC 5869 with empty info)."""
        key, block, blocks = hmac.digest(self._chain, secret, self._hash), b"", list[bytes]()
        for place in range(1, number + 1):
            block = hmac.digest(key, block + bytes([place]), self._hash)
            blocks.append(block)
        return blocks
