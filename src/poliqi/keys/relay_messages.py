"""What sites say to each other when trusted nodes carry key: the order, its parcels, parities (docs/spec/relay.md).

MessagePack arrays that begin with the number of their type, each the body of one `ParcelMessage`. Unlike the other
messages between sites they refuse unknown fields: everything in them stands under a one-time tag.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId
from poliqi.keys.grade import Authenticity, Grade, KeyOrigin
from poliqi.keys.onetime import TAG_BYTES
from poliqi.keys.shares import MAX_SHARES

__all__ = [
    "MAX_HOPS",
    "MAX_SECRET_BYTES",
    "MIN_SECRET_BYTES",
    "VERSION",
    "HopGrade",
    "PadRange",
    "Parity",
    "ParityCall",
    "RelayMessage",
    "RelayOrder",
    "RelayParcel",
    "RelayReady",
    "RelayRefusal",
    "RelayStored",
    "Scheme",
    "bound_context",
    "decode_relay",
    "encode_relay",
    "hop_grade",
    "path_of",
    "total_bytes",
]

VERSION: Final = 1
MAX_HOPS: Final = 8
MIN_SECRET_BYTES: Final = 1024
"""A shorter block would have no one-time confirmation (keys/segment.py)."""
MAX_SECRET_BYTES: Final = 1 << 16
_BODY_BYTES: Final = 1 << 18

Id16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Small = Annotated[int, msgspec.Meta(ge=0, le=255)]
Natural = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]
Epsilon = Annotated[float, msgspec.Meta(ge=0, le=1)]
Bits = Annotated[bytes, msgspec.Meta(max_length=MAX_SECRET_BYTES)]
Tag = Annotated[bytes, msgspec.Meta(max_length=TAG_BYTES)]
Path = Annotated[tuple[Name, ...], msgspec.Meta(min_length=2, max_length=MAX_HOPS + 1)]


class Scheme(StrEnum):
    """How the secret is shared over the paths: not at all, all of n (exclusive or), k of n (Shamir)."""

    SINGLE = "single"
    XOR = "xor"
    SHAMIR = "shamir"


class _Facts(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of the parts of messages."""


class PadRange(_Facts, frozen=True):
    """`size` bytes from `offset` on of a segment of the pool of the hop; its owner is the segment's."""

    block: Id16
    part: Natural
    offset: Natural
    size: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]


Pads = Annotated[tuple[PadRange, ...], msgspec.Meta(min_length=1, max_length=64)]


class HopGrade(_Facts, frozen=True):
    """The weakest words over the hops that a share has behind it, epsilons added."""

    origin: KeyOrigin
    proof: Text
    epsilon: Epsilon | None
    authenticity: Authenticity


class RelayOrder(_Facts, frozen=True, tag=0):
    """A block that is to appear at both ends of a virtual pool; announced by its origin to its destination.

    `paths` have both ends in them; path i carries share i + 1; `threshold` shares give the secret.
    """

    version: Annotated[int, msgspec.Meta(ge=VERSION, le=VERSION)]
    block: Id16
    pool: Name
    origin: Name
    destination: Name
    scheme: Scheme
    threshold: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARES)]
    paths: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1, max_length=MAX_SHARES)]
    size: Annotated[int, msgspec.Meta(ge=MIN_SECRET_BYTES, le=MAX_SECRET_BYTES)]


class RelayParcel(_Facts, frozen=True, tag=1):
    """A share on its way to site number `hop` of its path, under a one-time pad and a one-time tag.

    The bytes of `pads`, one range after the other, are 32 bytes of tag key and then the pad. `behind` is the
    grade of the hops before this one, None on the first.
    """

    order: RelayOrder
    share: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARES)]
    hop: Annotated[int, msgspec.Meta(ge=1, le=MAX_HOPS)]
    pads: Pads
    behind: HopGrade | None
    cipher: Bits
    tag: Tag


class Parity(_Facts, frozen=True, tag=2):
    """Relay number `place` of a path, to the destination: the sum of the keys of the hops into and out of it.

    `into` and `out` are the ranges in the two pools, `incoming` the grade of the hop into the relay. `mac_key`
    names 32 bytes of the pool between relay and destination; where it is empty so is `tag`.
    """

    order: RelayOrder
    share: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARES)]
    place: Annotated[int, msgspec.Meta(ge=1, lt=MAX_HOPS)]
    into: Pads
    out: Pads
    incoming: HopGrade
    parity: Bits
    mac_key: Annotated[tuple[PadRange, ...], msgspec.Meta(max_length=4)]
    tag: Tag


class RelayRefusal(_Facts, frozen=True, tag=3):
    """To the origin, from site to site: this share will not arrive; share 0: the destination wants none."""

    block: Id16
    share: Small
    site: Name
    reason: Text


class RelayReady(_Facts, frozen=True, tag=4):
    """Destination to origin: the order is accepted, parcels may leave."""

    block: Id16


class RelayStored(_Facts, frozen=True, tag=5):
    """Destination to origin: the block is durable there, and this is known of it.

    Only now does the origin store its own copy, with the same grade, and tell its segments' tags.
    """

    block: Id16
    behind: HopGrade


class ParityCall(_Facts, frozen=True, tag=6):
    """From site to next site of a path: `pads` are the range of this hop, send your parity to the destination."""

    order: RelayOrder
    share: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARES)]
    hop: Annotated[int, msgspec.Meta(ge=1, le=MAX_HOPS)]
    pads: Pads


RelayMessage = RelayOrder | RelayParcel | Parity | RelayRefusal | RelayReady | RelayStored | ParityCall

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(RelayMessage)


def encode_relay(message: RelayMessage) -> bytes:
    """The body of a `ParcelMessage`."""
    return _ENCODER.encode(message)


def decode_relay(body: bytes | memoryview) -> RelayMessage:
    """The message in a body. Raises ProtocolError for what is too long or not understood."""
    if len(body) > _BODY_BYTES:
        raise ProtocolError(f"a relay message has {len(body)} bytes; at most {_BODY_BYTES} are allowed")
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"a relay message of {len(body)} bytes is not understood: {error}") from None


def bound_context(message: RelayParcel | Parity) -> bytes:
    """What the tag of a message binds beside its payload: all of its other fields, encoded."""
    if isinstance(message, RelayParcel):
        return _ENCODER.encode(msgspec.structs.replace(message, cipher=b"", tag=b""))
    return _ENCODER.encode(msgspec.structs.replace(message, parity=b"", tag=b""))


def hop_grade(grade: Grade) -> HopGrade:
    """The words of a pad's grade that travel. Raises ValueError where the pad itself came by relay."""
    if not grade.is_direct:
        raise ValueError(f"pads of a hop come from its own fibre, not by way of {', '.join(sorted(grade.relays))}")
    return HopGrade(grade.origin, grade.proof[:1024], grade.epsilon, grade.authenticity)


def path_of(order: RelayOrder, share: int) -> tuple[KmeId, ...]:
    """The sites of a share's path. Raises ProtocolError where the order has no such share."""
    if not 1 <= share <= len(order.paths):
        raise ProtocolError(f"share {share} of relay order {order.block.hex()}, which has {len(order.paths)}")
    return tuple(KmeId(site) for site in order.paths[share - 1])


def total_bytes(pads: tuple[PadRange, ...]) -> int:
    """Bytes that ranges name together."""
    return sum(pad.size for pad in pads)
