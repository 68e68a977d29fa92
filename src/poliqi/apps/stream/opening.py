"""The bytes of a handshake (docs/spec/stream.md): hello, call, answer, refusal; the guard that a call carries."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from poliqi.apps.stream.terms import Mode
from poliqi.base.errors import AuthenticationError, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.keys.combine import lengthed
from poliqi.keys.etsi014 import is_sae_id

__all__ = [
    "CHALLENGE_BYTES",
    "HANDSHAKE_BYTES",
    "KEYS_MOST",
    "LABEL",
    "Call",
    "Frame",
    "Header",
    "Offer",
    "Refusal",
    "check_guard",
    "make_guard",
    "pack",
    "read_hello",
    "read_key_ids",
    "unpack",
    "write_hello",
]

LABEL: Final = b"poliqi stream 1"
CHALLENGE_BYTES: Final = 32
HANDSHAKE_BYTES: Final = 16 << 10
"""The longest body of a handshake's frame."""

KEYS_MOST: Final = 128
_LEAST_REKEY_BYTES: Final = 1 << 20
_LEAST_REKEY_S: Final = 1.0
_KEY_ID_MOST: Final = 64
_PURPOSE_MOST: Final = 200
_PARTS_MOST: Final = 8 + KEYS_MOST
_GUARD_BYTES: Final = 32
_LONGEST_MS: Final = 1 << 62


class Frame(IntEnum):
    """The first byte of what is sent; the body's length follows in three bytes, big-endian."""

    HELLO = 1
    CALL = 2
    ANSWER = 3
    REFUSAL = 4
    DATA = 16
    MORE = 17
    """A piece of a message that another follows (one-time pad only)."""
    ANNOUNCE = 18
    SWITCH = 19
    FINAL = 20
    ALERT = 21
    SIGNATURE = 22


class Refusal(IntEnum):
    """Why a call or a stream ends, in one byte: of a refusal in clear, of an alert sealed."""

    NOT_KNOWN = 1
    MODE = 2
    GRADE = 3
    KEY_NOT_FOUND = 4
    NO_KEYS = 5
    BROKEN = 6
    BUSY = 7
    NOT_SERVED = 8


def pack(parts: Sequence[bytes]) -> bytes:
    """Each part after its length in two bytes, big-endian."""
    return b"".join(struct.pack(">H", len(part)) + part for part in parts)


def unpack(data: bytes, most: int = _PARTS_MOST) -> list[bytes]:
    """The parts, at most `most`. Raises ProtocolError."""
    parts, place = list[bytes](), 0
    while place < len(data):
        end = place + 2
        end += int.from_bytes(data[place:end], "big")
        if end > len(data) or place + 2 > len(data) or len(parts) >= most:
            raise ProtocolError(f"a handshake's fields do not fit its {len(data)} bytes: hang up")
        parts.append(data[place + 2 : end])
        place = end
    return parts


def write_hello(challenge: bytes) -> bytes:
    """What the side that is called says first."""
    return LABEL + challenge


def read_hello(body: bytes) -> bytes:
    """The challenge. Raises ProtocolError."""
    if not body.startswith(LABEL) or len(body) != len(LABEL) + CHALLENGE_BYTES:
        raise ProtocolError(f"what was called does not speak {LABEL.decode()!r}: check the address")
    return body[len(LABEL) :]


@dataclass(frozen=True, slots=True)
class Header:
    """What a call says in clear; bound into every key."""

    mode: Mode
    caller: SaeId
    callee: SaeId
    challenge: bytes
    key_ids: tuple[str, ...]

    def pack(self) -> bytes:
        """Its bytes."""
        names = [self.mode.value, self.caller, self.callee]
        ids = [key_id.encode() for key_id in self.key_ids]
        return pack([LABEL, *(name.encode() for name in names), self.challenge, *ids])

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Raises ProtocolError."""
        parts = unpack(data)
        if len(parts) < 5 or parts[0] != LABEL or len(parts[4]) != CHALLENGE_BYTES:
            raise ProtocolError("the header of a call is none: hang up")
        try:
            mode, caller, callee = (part.decode() for part in parts[1:4])
            found = cls(Mode(mode), SaeId(caller), SaeId(callee), parts[4], read_key_ids(parts[5:]))
        except ValueError:
            raise ProtocolError("the header of a call holds a mode or a name that is none: hang up") from None
        if not (is_sae_id(caller) and is_sae_id(callee)) or bool(found.key_ids) == (found.mode is Mode.PQC):
            raise ProtocolError("the header of a call names an application or keys that cannot be: hang up")
        return found

    def prologue(self) -> bytes:
        """What Noise hashes first; the challenge in it is that of the hello."""
        return lengthed([LABEL, self.pack()])


def read_key_ids(parts: Sequence[bytes]) -> tuple[str, ...]:
    """Names of keys, printable, each once. Raises ProtocolError."""
    try:
        ids = tuple(part.decode("ascii") for part in parts)
    except UnicodeDecodeError:
        raise ProtocolError("a key's name is not ASCII: hang up") from None
    if not all(1 <= len(key_id) <= _KEY_ID_MOST and key_id.isprintable() for key_id in ids):
        raise ProtocolError(f"a key's name is not 1 to {_KEY_ID_MOST} printable characters: hang up")
    if len(set(ids)) != len(ids) or len(ids) > KEYS_MOST:
        raise ProtocolError(f"keys are named twice, or more than {KEYS_MOST}: hang up")
    return ids


@dataclass(frozen=True, slots=True)
class Offer:
    """The payload of each side's handshake message: how long a key may serve, and the caller's purpose."""

    rekey_bytes: int
    rekey_s: float
    purpose: str = ""

    def pack(self) -> bytes:
        """Its bytes. Raises ValueError for a purpose that is too long."""
        purpose = self.purpose.encode()
        if len(purpose) > _PURPOSE_MOST or not self.purpose.isprintable():
            raise ValueError(f"a purpose is at most {_PURPOSE_MOST} printable bytes, not {self.purpose[:80]!r}")
        time_ms = round(min(max(self.rekey_s * 1000, 1), _LONGEST_MS))
        return struct.pack(">QQ", self.rekey_bytes, time_ms) + purpose

    def lesser(self, theirs: Offer) -> Offer:
        """Of both, for each direction the shorter service; the purpose is whose says one.

        Raises ProtocolError where theirs is so short that it would burn this side's key: under the least that a
        setting can say, and under its own.
        """
        least = min(self.rekey_bytes, _LEAST_REKEY_BYTES), min(self.rekey_s, _LEAST_REKEY_S)
        if theirs.rekey_bytes < least[0] or theirs.rekey_s < least[1]:
            raise ProtocolError(
                f"the other side wants a fresh key after {theirs.rekey_bytes} bytes or {theirs.rekey_s:g} s; less "
                f"than {_LEAST_REKEY_BYTES} bytes or {_LEAST_REKEY_S:g} s is not taken: hang up"
            )
        size, time_s = min(self.rekey_bytes, theirs.rekey_bytes), min(self.rekey_s, theirs.rekey_s)
        return Offer(size, time_s, self.purpose or theirs.purpose)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Raises ProtocolError."""
        try:
            size, time_ms = struct.unpack_from(">QQ", data)
            purpose = data[16:].decode()
        except (struct.error, UnicodeDecodeError):
            raise ProtocolError("a handshake's payload is none: hang up") from None
        if not size or not time_ms or len(data) > 16 + _PURPOSE_MOST or not purpose.isprintable():
            raise ProtocolError("a handshake's payload is out of its limits: hang up")
        return cls(size, time_ms / 1000, purpose)


def make_guard(own: X25519PrivateKey, other: X25519PublicKey, header: Header, message: bytes) -> bytes:
    """32 bytes that show, before any key is fetched, that one of the two identities wrote this for this hello."""
    try:
        secret = own.exchange(other)
    except ValueError:  # a point of small order
        raise AuthenticationError("the peer's X25519 key gives no secret: exchange identities again") from None
    key = HKDF(SHA512(), 32, salt=header.challenge, info=LABEL + b" guard").derive(secret)
    return hmac.digest(key, lengthed([header.pack(), message]), "sha512")[:_GUARD_BYTES]


def check_guard(guard: bytes, expected: bytes) -> None:
    """Raises AuthenticationError."""
    if not hmac.compare_digest(guard, expected):
        raise AuthenticationError("a call was not made with the identity that it names, or not for this hello")


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller says: header, the handshake's message, the guard over both."""

    header: Header
    message: bytes
    guard: bytes

    def pack(self) -> bytes:
        """The frame's body."""
        return pack([self.header.pack(), self.message, self.guard])

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Raises ProtocolError."""
        parts = unpack(body, 3)
        if len(parts) != 3:
            raise ProtocolError("a call has not three parts: hang up")
        return cls(Header.read(parts[0]), parts[1], parts[2])
