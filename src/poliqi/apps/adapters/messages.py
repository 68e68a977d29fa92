"""What the two ends of a rotation say to each other (docs/spec/rotation.md): JSON, one message in one record."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from poliqi.base.errors import ProtocolError

__all__ = [
    "MESSAGE_BYTES",
    "PURPOSE",
    "Done",
    "Held",
    "Message",
    "Offer",
    "Refused",
    "Switch",
    "Used",
    "decode",
    "encode",
]

PURPOSE: Final = "rotate 1"
MESSAGE_BYTES: Final = 4096
"""Longer ones are refused unread."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_KeyId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Reason = Annotated[str, msgspec.Meta(max_length=500)]


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="say", tag=str.lower):
    """Messages name themselves in the member `say`."""


class Offer(_Said, frozen=True):
    """First to second: this key is next. `starts`: the first can begin a session."""

    tunnel: _Name
    kind: _Name
    key_id: _KeyId
    starts: bool


class Held(_Said, frozen=True):
    """Second to first: it is installed here. `starts`: the second can begin a session."""

    key_id: _KeyId
    starts: bool


class Switch(_Said, frozen=True):
    """First to second: it is installed here, too. `starter`: the second is to begin the session."""

    key_id: _KeyId
    starter: bool


class Used(_Said, frozen=True):
    """Second to first: a session of it began."""

    key_id: _KeyId


class Done(_Said, frozen=True):
    """First to second: here, too; forget the one before."""

    key_id: _KeyId


class Refused(_Said, frozen=True):
    """Either: no. The key is dropped."""

    key_id: _KeyId
    reason: _Reason


Message = Offer | Held | Switch | Used | Done | Refused

_DECODER: Final = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """The record that says it."""
    return msgspec.json.encode(message)


def decode(data: bytes | memoryview) -> Message:
    """What a record says. Raises ProtocolError."""
    if len(data) > MESSAGE_BYTES:
        raise ProtocolError(f"rotation: a message of {len(data)} bytes; at most {MESSAGE_BYTES} are read")
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProtocolError("rotation: a message that is none of 'rotate 1'; is the other end as new?") from None
