"""AES-256-GCM records of one direction: the nonce is the number; head, number and direction are under the tag."""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidTag

from poliqi.apps.stream.schedule import DirectionKeys
from poliqi.apps.stream.wire import FRAME_BYTES, HEAD_BYTES
from poliqi.base.errors import AuthenticationError, ProtocolError
from poliqi.base.secret import SecretBytes

__all__ = ["RECORD_BYTES", "TAG_BYTES", "Octets", "RecordOpener", "RecordSealer", "associated", "head_word"]

RECORD_BYTES: Final = 256 << 10
"""The most plaintext in one record, and so in one message."""
TAG_BYTES: Final = 16
_HEAD: Final = struct.Struct(">I")
_NONCE: Final = struct.Struct(">IQ")
_ASSOCIATED: Final = struct.Struct(">BQI")

Octets = bytes | bytearray | memoryview


def head_word(kind: int, body_bytes: int) -> int:
    """A frame's head as one number: type, then the body's length in three bytes."""
    return kind << 24 | body_bytes


def associated(direction: int, sequence: int, word: int) -> bytes:
    """What a record's tag covers beside its text, 13 bytes."""
    return _ASSOCIATED.pack(direction, sequence, word)


class RecordSealer:
    """Records on their way out."""

    __slots__ = ("_frame", "_keys", "_sequence")

    def __init__(self, keys: DirectionKeys) -> None:
        self._keys: Final = keys
        self._frame: Final = memoryview(bytearray(FRAME_BYTES))
        self._sequence = 0

    def seal(self, kind: int, data: Octets) -> memoryview:
        """The whole frame, valid until the next call."""
        size = len(data) + TAG_BYTES
        word, end = head_word(kind, size), HEAD_BYTES + size
        _HEAD.pack_into(self._frame, 0, word)
        nonce = _NONCE.pack(0, self._sequence)
        covered = associated(self._keys.direction, self._sequence, word)
        self._keys.cipher.encrypt_into(nonce, data, covered, self._frame[HEAD_BYTES:end])
        self._sequence += 1
        return self._frame[:end]

    def ratchet(self, key_id: str, key: SecretBytes) -> None:
        """Go on with a fresh quantum key; numbers go on, too."""
        self._keys.ratchet(key_id, key)

    def close(self) -> None:
        """Wipe what can be wiped."""
        self._keys.close()


class RecordOpener:
    """Records on their way in."""

    __slots__ = ("_keys", "_sequence")

    def __init__(self, keys: DirectionKeys) -> None:
        self._keys: Final = keys
        self._sequence = 0

    def open(self, head: memoryview, body: memoryview, buffer: memoryview) -> int:
        """The plaintext's size; it lies at the start of `buffer`, of which nothing is left where the tag is wrong.

        Raises AuthenticationError, ProtocolError.
        """
        size = len(body) - TAG_BYTES
        if size < 0:
            raise ProtocolError(f"a record of {len(body)} bytes is shorter than its tag: hang up")
        (word,) = _HEAD.unpack(head)
        nonce = _NONCE.pack(0, self._sequence)
        covered = associated(self._keys.direction, self._sequence, word)
        try:
            self._keys.cipher.decrypt_into(nonce, body, covered, buffer[:size])
        except InvalidTag:
            buffer[:size] = bytes(size)
            message = f"record {self._sequence} is not what the peer sent in this place: hang up"
            raise AuthenticationError(message) from None
        self._sequence += 1
        return size

    def ratchet(self, key_id: str, key: SecretBytes) -> None:
        """As of the sealer."""
        self._keys.ratchet(key_id, key)

    def close(self) -> None:
        """Wipe what can be wiped."""
        self._keys.close()
