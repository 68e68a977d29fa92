"""Record ciphers to compare with: three AEADs with counter nonces, and the one-time pad.

A record is one octet (1: final), the ciphertext and a tag of 16 octets. The nonce is the record's number, which is
not sent; so a record that is not the next one does not open (RFC 5116, section 3.2: a counter never repeats).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305
from cryptography.hazmat.primitives.poly1305 import Poly1305

from poliqi.apps.testbench.seams import KeySupply, Octets, Opened, RecordEncryptor, RecordEnd, Side
from poliqi.base.errors import AuthenticationError, ProtocolError

__all__ = ["CIPHERS", "AeadCipher", "OneTimePad"]

_KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16
_HEAD_BYTES: Final = 1
_LARGEST_BYTES: Final = 1 << 20


class _Aead(Protocol):
    """What is used of an AEAD of `cryptography`."""

    def encrypt_into(self, nonce: bytes, data: Octets, associated_data: bytes, buf: memoryview) -> int: ...
    def decrypt_into(self, nonce: bytes, data: Octets, associated_data: bytes, buf: memoryview) -> int: ...


class _Order:
    """What both kinds of end share: numbers of the next records, and the end that comes once."""

    __slots__ = ("_is_closed", "_is_ended", "_received", "_sent")

    def __init__(self) -> None:
        self._sent = 0
        self._received = 0
        self._is_closed = False
        self._is_ended = False

    def _check_seal(self, plaintext: Octets) -> None:
        if self._is_closed:
            raise ValueError("the final record was sealed already: open another pair of ends")
        if len(plaintext) > _LARGEST_BYTES:
            raise ValueError(f"{len(plaintext)} bytes are too long for a record: at most {_LARGEST_BYTES}")

    def _check_open(self, record: Octets) -> int:
        """The first octet."""
        if self._is_ended:
            raise ProtocolError("a record came after the final one: drop the connection")
        if not _HEAD_BYTES + _TAG_BYTES <= len(record) <= _LARGEST_BYTES + _HEAD_BYTES + _TAG_BYTES:
            raise ProtocolError(f"a record of {len(record)} bytes is none: drop the connection")
        if record[0] > 1:
            raise ProtocolError(f"a record begins with {record[0]}, not 0 or 1: drop the connection")
        return record[0]

    def _refused(self) -> AuthenticationError:
        return AuthenticationError(f"record {self._received} is not what was sealed: drop the connection")

    def _was_opened(self, head: int, size: int) -> Opened:
        self._received += 1
        self._is_ended = head == 1
        return Opened(size, self._is_ended)


class _AeadEnd(_Order):
    __slots__ = ("_receiving", "_sending")

    def __init__(self, sending: _Aead, receiving: _Aead) -> None:
        super().__init__()
        self._sending = sending
        self._receiving = receiving

    def seal(self, plaintext: Octets, out: memoryview, *, is_final: bool = False) -> int:
        """As RecordEnd."""
        self._check_seal(plaintext)
        head = b"\x01" if is_final else b"\x00"
        end = _HEAD_BYTES + len(plaintext) + _TAG_BYTES
        out[:_HEAD_BYTES] = head
        self._sending.encrypt_into(self._sent.to_bytes(12, "big"), plaintext, head, out[_HEAD_BYTES:end])
        self._sent += 1
        self._is_closed = is_final
        return end

    def open(self, record: Octets, out: memoryview) -> Opened:
        """As RecordEnd."""
        head = self._check_open(record)
        size = len(record) - _HEAD_BYTES - _TAG_BYTES
        nonce = self._received.to_bytes(12, "big")
        try:
            self._receiving.decrypt_into(nonce, memoryview(record)[_HEAD_BYTES:], bytes((head,)), out[:size])
        except InvalidTag:
            raise self._refused() from None
        return self._was_opened(head, size)


class AeadCipher:
    """One AEAD of `cryptography` as a RecordEncryptor."""

    overhead_bytes = _HEAD_BYTES + _TAG_BYTES
    largest_bytes = _LARGEST_BYTES

    def __init__(self, name: str, description: str, make: Callable[[bytes], _Aead]) -> None:
        self.name: Final = name
        self.description: Final = description
        self._make: Final = make

    def open_end(self, side: Side, sending: KeySupply, receiving: KeySupply) -> RecordEnd:  # noqa: ARG002  # two keys
        """As RecordEncryptor."""
        return _AeadEnd(*(self._make(bytes(supply.take(_KEY_BYTES))) for supply in (sending, receiving)))


class _PadEnd(_Order):
    __slots__ = ("_receiving", "_sending")

    def __init__(self, sending: KeySupply, receiving: KeySupply) -> None:
        super().__init__()
        self._sending = sending
        self._receiving = receiving

    def seal(self, plaintext: Octets, out: memoryview, *, is_final: bool = False) -> int:
        """As RecordEnd; takes 32 bytes of key and as many as the plaintext has, in one piece."""
        self._check_seal(plaintext)
        size = len(plaintext)
        key = self._sending.take(_KEY_BYTES + size)
        end = _HEAD_BYTES + size
        out[0] = is_final
        _add(plaintext, key[_KEY_BYTES:], out[_HEAD_BYTES:end])
        out[end : end + _TAG_BYTES] = self._tag(key, self._sent, out[:end]).finalize()
        self._sent += 1
        self._is_closed = is_final
        return end + _TAG_BYTES

    def open(self, record: Octets, out: memoryview) -> Opened:
        """As RecordEnd. A record that is refused has spent key: the connection cannot go on."""
        head = self._check_open(record)
        size = len(record) - _HEAD_BYTES - _TAG_BYTES
        key = self._receiving.take(_KEY_BYTES + size)
        sealed = memoryview(record)[:-_TAG_BYTES]
        try:
            self._tag(key, self._received, sealed).verify(bytes(record[-_TAG_BYTES:]))
        except InvalidSignature:
            self._is_ended = True
            raise self._refused() from None
        _add(sealed[_HEAD_BYTES:], key[_KEY_BYTES:], out[:size])
        return self._was_opened(head, size)

    def _tag(self, key: memoryview, number: int, sealed: memoryview) -> Poly1305:
        mac = Poly1305(key[:_KEY_BYTES])
        mac.update(number.to_bytes(8, "big"))
        mac.update(sealed)
        return mac


class OneTimePad:
    """One-time pad, with a one-time tag of Poly1305 over number, first octet and ciphertext (RFC 8439, 2.5)."""

    name = "one-time-pad"
    description = "one-time pad and one-time Poly1305: as much key as data, and 32 bytes for each record"
    overhead_bytes = _HEAD_BYTES + _TAG_BYTES
    largest_bytes = _LARGEST_BYTES

    def open_end(self, side: Side, sending: KeySupply, receiving: KeySupply) -> RecordEnd:  # noqa: ARG002  # two keys
        """As RecordEncryptor."""
        return _PadEnd(sending, receiving)


def _add(a: Octets, b: memoryview, out: memoryview) -> None:
    np.bitwise_xor(np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8), out=np.frombuffer(out, np.uint8))


CIPHERS: Final[tuple[RecordEncryptor, ...]] = (
    AeadCipher("aes-256-gcm", "AES-256-GCM of OpenSSL by `cryptography`, counter nonces", AESGCM),
    AeadCipher(
        "chacha20-poly1305", "ChaCha20-Poly1305 of OpenSSL by `cryptography`, counter nonces", ChaCha20Poly1305
    ),
    AeadCipher("aes-256-gcm-siv", "AES-256-GCM-SIV (RFC 8452): a nonce used twice tells only equality", AESGCMSIV),
    OneTimePad(),
)
"""What is measured beside every record encryptor."""
