"""What the two sites of a key stream tell each other: notices, which may be lost and are then said again.

A notice never carries key. docs/spec/streams.md has the table.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from poliqi.base.errors import ProtocolError

__all__ = ["NOTICE_KIND", "Closed", "Notice", "Opened", "Upto", "Want", "notice_of", "read_notice"]

NOTICE_KIND: Final = "etsi004"
_NOTICE_BYTES: Final = 2048

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Sixteen = Annotated[bytes, Meta(min_length=16, max_length=16)]
Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Size = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]


class Opened(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """An application opened its end. `life` names this life of the stream; `home` orders its chunks.

    `met` says that both ends were open before, `next` is the first chunk that the sender still has to read, and
    `ask` wants an answer.
    """

    stream: Sixteen
    life: Sixteen
    home: bool
    met: bool
    opener: Name
    other: Name
    chunk_bytes: Size
    ttl_s: Size
    next: Number
    ask: bool


class Closed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """The sender's end is closed (or unknown); it read the chunks before `next`."""

    stream: Sixteen
    life: Sixteen
    next: Number


class Want(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """To the home: somebody waits for the chunks before `upto`."""

    stream: Sixteen
    life: Sixteen
    upto: Number


class Upto(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4):
    """From the home: the chunks before `upto` exist; `short` says that more was asked and could not be had."""

    stream: Sixteen
    life: Sixteen
    upto: Number
    short: bool


Notice = Opened | Closed | Want | Upto

_decoder: Final = msgspec.msgpack.Decoder(Opened | Closed | Want | Upto)


def notice_of(notice: Notice) -> bytes:
    """The body of a notice."""
    return msgspec.msgpack.encode(notice)


def read_notice(body: bytes) -> Notice:
    """Read a notice's body. Raises ProtocolError."""
    if len(body) > _NOTICE_BYTES:
        raise ProtocolError(f"ETSI 004: a notice of {len(body)} bytes came; at most {_NOTICE_BYTES} are allowed")
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ProtocolError(f"ETSI 004: a notice was not understood: {error}") from error
