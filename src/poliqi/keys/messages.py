"""What two key management entities say to each other on their stream (docs/spec/peers.md).

Each frame is one message in MessagePack: an array whose first member is the number of its type. Fields are only
ever added at an array's end, and a reader passes over those it does not know, so sites one version apart
understand each other.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from poliqi.base.errors import ProtocolError
from poliqi.keys.grade import Combiner, Grade

__all__ = [
    "FRAME_BYTES",
    "VERSION",
    "Ask",
    "Give",
    "Gone",
    "Hello",
    "KemMessage",
    "Message",
    "Notice",
    "Offer",
    "Offers",
    "ParcelMessage",
    "PoolSecret",
    "Promise",
    "PromiseAnswer",
    "Promised",
    "Use",
    "UseAnswer",
    "Used",
    "Void",
    "VoidAnswer",
    "decode",
    "encode",
]

VERSION: Final = 1
FRAME_BYTES: Final = 1 << 20
"""Largest frame, in bytes."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Id16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Natural = Annotated[int, msgspec.Meta(ge=0, lt=1 << 48)]
Positive = Annotated[int, msgspec.Meta(ge=1, lt=1 << 32)]
Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Bits = Annotated[bytes, msgspec.Meta(max_length=1 << 16)]


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of every message."""


class Hello(_Message, frozen=True, tag=0):
    """First on every connection, from both ends. `boots` ends with the present start."""

    lowest: Positive
    highest: Positive
    kme: Name
    instance: Id16
    generation: Natural
    boots: Annotated[list[Id16], msgspec.Meta(min_length=1, max_length=64)]
    pools: Annotated[
        list[tuple[Name, Annotated[bytes, msgspec.Meta(max_length=32)]]], msgspec.Meta(max_length=1024)
    ]
    """Each pool shared with the reader and a digest of its secret (empty: none yet)."""


class PoolSecret(_Message, frozen=True, tag=1):
    """The end whose name sorts first gives the secret that names keys and compares unproven segments."""

    pool: Name
    secret: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]

    def __repr__(self) -> str:
        return f"<PoolSecret of {self.pool}>"


class Offer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A segment that the sender holds: its comparison tag and how far it is leased or used."""

    pool: Name
    block: Id16
    part: Natural
    size: Positive
    owner: Name
    tag: Id16
    leased: Natural


class Offers(_Message, frozen=True, tag=2):
    """Segments that the sender holds."""

    entries: Annotated[list[Offer], msgspec.Meta(max_length=4096)]


class Gone(_Message, frozen=True, tag=3):
    """Segments that the sender no longer holds, or was asked about and destroyed: (pool, block, part)."""

    entries: Annotated[list[tuple[Name, Id16, Natural]], msgspec.Meta(max_length=4096)]


class Promised(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One run, as its owner makes it. `tag` authenticates `cipher` under the 32 bytes before `offset`."""

    number: Number
    pool: Name
    block: Id16
    part: Natural
    offset: Natural
    size: Positive
    count: Positive
    master: Name
    slaves: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=64)]
    ids: Annotated[bytes, msgspec.Meta(max_length=1 << 16)] = b""
    cipher: Annotated[bytes, msgspec.Meta(max_length=1 << 16)] = b""
    tag: Annotated[bytes, msgspec.Meta(max_length=16)] = b""
    grade: Grade | None = None
    combiner: Combiner = Combiner.NONE
    kem_epoch: Natural = 0


class Promise(_Message, frozen=True, tag=4):
    """Runs to be made durable at the reader."""

    batch: Number
    runs: Annotated[list[Promised], msgspec.Meta(min_length=1, max_length=4096)]


class PromiseAnswer(_Message, frozen=True, tag=5):
    """Every run of the batch is durable but these: (place in the batch, reason)."""

    batch: Number
    refused: Annotated[
        list[tuple[Natural, Annotated[str, msgspec.Meta(max_length=300)]]], msgspec.Meta(max_length=4096)
    ]


class Used(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Keys of a run that the reader owns: a bit mask, little-endian. `again`: asked before, without an answer."""

    number: Number
    mask: Bits
    again: bool = False


class Use(_Message, frozen=True, tag=6):
    """The sender is about to deliver these keys: may it? Of the reader's runs in `done` it has delivered all."""

    batch: Number
    done: Annotated[list[Number], msgspec.Meta(max_length=4096)]
    entries: Annotated[list[Used], msgspec.Meta(max_length=4096)]


class UseAnswer(_Message, frozen=True, tag=7):
    """All are marked used at the owner but the entries at these places."""

    batch: Number
    refused: Annotated[list[Natural], msgspec.Meta(max_length=4096)]


class Void(_Message, frozen=True, tag=8):
    """The owner takes runs back."""

    numbers: Annotated[list[Number], msgspec.Meta(min_length=1, max_length=4096)]


class VoidAnswer(_Message, frozen=True, tag=9):
    """What became of the runs taken back: destroyed whole, or (`late`) some key was delivered before."""

    voided: Annotated[list[Number], msgspec.Meta(max_length=4096)]
    late: Annotated[list[Number], msgspec.Meta(max_length=4096)]


class Ask(_Message, frozen=True, tag=10):
    """The sender's share of a pool runs low: please give about this many bytes of yours."""

    pool: Name
    size: Positive


class Give(_Message, frozen=True, tag=11):
    """Segments that now belong to the reader, untouched: (pool, block, part)."""

    entries: Annotated[list[tuple[Name, Id16, Natural]], msgspec.Meta(min_length=1, max_length=4096)]


class Notice(_Message, frozen=True, tag=12):
    """Something for another part of the site, such as the opening of a key stream."""

    kind: Name
    body: Annotated[bytes, msgspec.Meta(max_length=1 << 16)]


class ParcelMessage(_Message, frozen=True, tag=13):
    """A parcel of the relay (docs/spec/relay.md)."""

    body: Annotated[bytes, msgspec.Meta(max_length=1 << 18)]


class KemMessage(_Message, frozen=True, tag=14):
    """A step of the post-quantum key agreement (docs/explanation/hybrid.md)."""

    epoch: Positive
    step: Natural
    body: Annotated[bytes, msgspec.Meta(max_length=1 << 13)]


Message = (
    Hello
    | PoolSecret
    | Offers
    | Gone
    | Promise
    | PromiseAnswer
    | Use
    | UseAnswer
    | Void
    | VoidAnswer
    | Ask
    | Give
    | Notice
    | ParcelMessage
    | KemMessage
)

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Message)
_TYPES: Final = frozenset(range(15))


def encode(message: Message) -> bytes:
    """One frame's payload."""
    return _ENCODER.encode(message)


def decode(frame: bytes | memoryview) -> Message | None:
    """The message in a frame; None for a type that only a later version knows. Raises ProtocolError."""
    if len(frame) > FRAME_BYTES:
        raise ProtocolError(f"a peer's frame has {len(frame)} bytes; at most {FRAME_BYTES} are allowed")
    try:
        return _DECODER.decode(frame)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        if _is_later(frame):
            return None
        raise ProtocolError(f"a peer's frame of {len(frame)} bytes is not understood: {error}") from None


def _is_later(frame: bytes | memoryview) -> bool:
    """True for an array whose first member is a number that no message of this version has."""
    try:
        head = msgspec.msgpack.decode(frame, type=list[msgspec.Raw])
        kind = msgspec.msgpack.decode(head[0], type=int)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, IndexError):
        return False
    return 0 <= kind < 1 << 16 and kind not in _TYPES
