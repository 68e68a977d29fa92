"""What the two ends of a key device say to each other (docs/spec/key-devices.md): pure bytes in and out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from poliqi.base.errors import ProtocolError
from poliqi.link.keydevice import LONGEST_NAME

__all__ = [
    "FRAME_BYTES",
    "MOST_KEYS",
    "NONCE_BYTES",
    "TAG_BYTES",
    "VERSION",
    "Announce",
    "Have",
    "Hello",
    "Message",
    "Settle",
    "Welcome",
    "decode",
    "encode",
    "is_name",
    "pack_bits",
    "printable",
    "unpack_bits",
    "untagged",
]

VERSION: Final = 1
MOST_KEYS: Final = 1024
"""Names in one announcement."""
NONCE_BYTES: Final = 16
TAG_BYTES: Final = 24
_LONGEST_REASON: Final = 300

_Nonce = Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
_Tag = Annotated[bytes, Meta(max_length=TAG_BYTES)]
_Number = Annotated[int, Meta(ge=0, lt=1 << 62)]
_Reason = Annotated[str, Meta(max_length=_LONGEST_REASON)]
_Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]


class _Message(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """One message of the line."""


class Hello(_Message, frozen=True, tag=0):
    """Who speaks, of which pairing, and up to which block. `answers` is empty in the leader's."""

    version: int
    link_id: Annotated[str, Meta(min_length=1, max_length=64)]
    pair_id: Annotated[bytes, Meta(min_length=8, max_length=8)]
    nonce: _Nonce
    answers: Annotated[bytes, Meta(max_length=NONCE_BYTES)]
    number: _Number
    tag: _Tag = b""


class Welcome(_Message, frozen=True, tag=1):
    """The leader is here now."""

    answers: _Nonce
    tag: _Tag = b""


class Announce(_Message, frozen=True, tag=2):
    """The leader has keys of these names."""

    number: _Number
    names: Annotated[list[_Name], Meta(min_length=1, max_length=MOST_KEYS)]


class Have(_Message, frozen=True, tag=3):
    """Which of them the follower keeps, a bit each; a tag over their bits where it keeps any.

    `is_later`: none can be kept now, and the same ones may be announced again.
    """

    number: _Number
    kept: Annotated[bytes, Meta(min_length=1, max_length=MOST_KEYS // 8)]
    is_later: bool
    reason: _Reason
    tag: _Tag = b""


class Settle(_Message, frozen=True, tag=4):
    """Whether the leader stored the block."""

    number: _Number
    is_stored: bool
    reason: _Reason
    tag: _Tag = b""


Message = Hello | Welcome | Announce | Have | Settle
Tagged = TypeVar("Tagged", Hello, Welcome, Have, Settle)
M = TypeVar("M", bound=Message)

FRAME_BYTES: Final[dict[type[Message], int]] = {
    Hello: 1024,
    Welcome: 1024,
    Announce: 1 << 18,
    Have: 4096,
    Settle: 4096,
}
"""The longest frame where a message of this kind is due."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """The frame of a message."""
    return _ENCODER.encode(message)


def untagged(message: Tagged) -> bytes:
    """The frame of a message with an empty tag: what its tag stands for."""
    return _ENCODER.encode(msgspec.structs.replace(message, tag=b""))


def decode(frame: bytes, kind: type[M]) -> M:
    """Read a frame that has to be of this kind. Raises ProtocolError."""
    if len(frame) > FRAME_BYTES[kind]:
        raise ProtocolError(f"a frame of {len(frame)} bytes; {FRAME_BYTES[kind]} are allowed here")
    try:
        message = _DECODER.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        why = f"{type(error).__name__} in {len(frame)} bytes"
        raise ProtocolError(f"not a message of a key device's other end: {why}") from None
    if not isinstance(message, kind):
        raise ProtocolError(f"{type(message).__name__.lower()} came where {kind.__name__.lower()} was due")
    if isinstance(message, Announce) and not _are_names(message.names):
        raise ProtocolError("an announcement with a name twice, or with one that is not printable without blanks")
    if isinstance(message, Have | Settle) and not message.reason.isprintable():
        raise ProtocolError("a reason that cannot be printed")
    return message


def _are_names(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names) and all(is_name(name) for name in names)


def is_name(name: str) -> bool:
    """Whether a key may be called so: 1 to 128 printable characters, none of them blank."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and not any(c.isspace() for c in name)


def printable(text: str) -> str:
    """Text as a reason may hold it."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST_REASON])


def pack_bits(kept: Sequence[bool]) -> bytes:
    """A bit each, least significant first."""
    number = sum(1 << i for i, is_kept in enumerate(kept) if is_kept)
    return number.to_bytes(-(-len(kept) // 8), "little")


def unpack_bits(data: bytes, count: int) -> Collection[int]:
    """The places of the bits that are set. Raises ProtocolError for another length, or padding that is not zero."""
    number = int.from_bytes(data, "little")
    if len(data) != -(-count // 8) or number >> count:
        raise ProtocolError(f"{len(data)} bytes do not say which of {count} keys are kept")
    return [i for i in range(count) if number >> i & 1]
