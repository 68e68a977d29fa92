"""What is said over a stream of purpose "dataset 1" (docs/spec/dataset.md): MessagePack, one message a record."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec

from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import ProtocolError

__all__ = ["Ask", "Done", "Entry", "Listing", "Offer", "Refusal", "expect", "say"]

_MESSAGE_BYTES: Final = 64 << 10
_Text = Annotated[str, msgspec.Meta(max_length=400)]
_Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=str.lower):
    """Base of the messages."""


class Ask(_Message, frozen=True):
    """From the recipient: what is there for me (`id` empty), or this dataset from byte `start` of its container."""

    id: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")] = ""
    start: _Size = 0


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dataset in a listing."""

    id: _Id
    name: _Text
    files: _Size
    plain_bytes: _Size
    made_s: float


class Listing(_Message, frozen=True):
    """What is there."""

    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=100)]


class Offer(_Message, frozen=True):
    """The dataset, and its key wrapped: 32 bytes under a one-time pad and a one-time tag (keys/onetime.py)."""

    id: _Id
    name: _Text
    sealed_bytes: _Size
    digest: _Digest
    key_id: Annotated[str, msgspec.Meta(max_length=64)]
    cipher: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    tag: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class Done(_Message, frozen=True):
    """From the recipient: all of it is there and was authentic. `signature`: ML-DSA-65 over `receipt_bytes`."""

    signature: Annotated[bytes, msgspec.Meta(max_length=4096)]


class Refusal(_Message, frozen=True):
    """Not for you; nothing says whether it exists."""

    reason: _Text


_T = TypeVar("_T", bound=_Message)
_encode: Final = msgspec.msgpack.Encoder().encode


def say(channel: Channel, message: _Message) -> None:
    """Send one message."""
    channel.send(_encode(message))


def expect(channel: Channel, kind: type[_T]) -> _T | Refusal:
    """The next message, of this kind or a refusal. Raises ProtocolError on anything else."""
    data = channel.receive()
    if data is None or len(data) > _MESSAGE_BYTES:
        raise ProtocolError(f"{channel.peer}: a message of {kind.__name__} was due, and there is none")
    try:
        return msgspec.msgpack.decode(data, type=kind | Refusal)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{channel.peer}: a message of {kind.__name__} was due: {error}") from None
