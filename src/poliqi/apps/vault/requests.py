"""What an owner asks a site, under one-time pad (docs/spec/vault.md): one MessagePack array each."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec

from poliqi.apps.vault.parcel import BLOCK_BYTES, SHARES_MOST
from poliqi.base.errors import ProtocolError
from poliqi.base.secret import Entropy

__all__ = [
    "DONE",
    "NAMES_MOST",
    "RECORD_ID_BYTES",
    "SIZE_MOST",
    "Commit",
    "Drop",
    "Entry",
    "Give",
    "Keep",
    "Listing",
    "Look",
    "Request",
    "Stage",
    "decode_listing",
    "decode_request",
    "encode",
    "encode_listing",
    "make_record_id",
    "numbers_of",
]

RECORD_ID_BYTES: Final = 16
SIZE_MOST: Final = 1 << 40
NAMES_MOST: Final = 16
DONE: Final = b"\x01"
_HEAD_BYTES: Final = 4
_LISTED: Final = 256

Id = Annotated[bytes, msgspec.Meta(min_length=RECORD_ID_BYTES, max_length=RECORD_ID_BYTES)]
Epoch = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
Block = Annotated[int, msgspec.Meta(ge=0, le=SIZE_MOST // BLOCK_BYTES)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Place = Annotated[int, msgspec.Meta(ge=1, le=SHARES_MOST)]
Count = Annotated[int, msgspec.Meta(ge=2, le=SHARES_MOST)]


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of all."""


class Stage(_Body, frozen=True, tag=0):
    """Prepare to keep parcels of an epoch of a record: share `place` of `count`, any `threshold` give `size` bytes.

    `base` is the epoch to which the parcels will be added, 0 for none.
    """

    record: Id
    epoch: Epoch
    base: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    place: Place
    count: Count
    threshold: Count
    size: Annotated[int, msgspec.Meta(ge=1, le=SIZE_MOST)]
    readers: Annotated[tuple[Name, ...], msgspec.Meta(max_length=NAMES_MOST)]


class Keep(_Body, frozen=True, tag=1):
    """The parcel of one block of a staged epoch."""

    record: Id
    epoch: Epoch
    block: Block
    parcel: Annotated[bytes, msgspec.Meta(max_length=1 << 17)]


class Commit(_Body, frozen=True, tag=2):
    """From now on this epoch counts; destroy those before it."""

    record: Id
    epoch: Epoch


class Drop(_Body, frozen=True, tag=3):
    """Destroy an epoch; 0: the whole record."""

    record: Id
    epoch: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class Look(_Body, frozen=True, tag=4):
    """What is kept for the caller, behind record `after`."""

    after: Annotated[bytes, msgspec.Meta(max_length=RECORD_ID_BYTES)]


class Give(_Body, frozen=True, tag=5):
    """The parcel of a block."""

    record: Id
    epoch: Epoch
    block: Block


Request = Stage | Keep | Commit | Drop | Look | Give


class Entry(_Body, frozen=True):
    """One epoch of one record, as a site keeps it; `is_whole`: every block is there."""

    record: Id
    epoch: Epoch
    owner: Name
    place: Place
    count: Count
    threshold: Count
    size: int
    is_whole: bool
    is_committed: bool


class Listing(_Body, frozen=True):
    """The answer to Look; `is_last`: nothing comes behind."""

    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=4096)]
    is_last: bool


_REQUEST: Final = msgspec.msgpack.Decoder(Request)
_LISTING: Final = msgspec.msgpack.Decoder(Listing)
_T = TypeVar("_T")


def make_record_id(threshold: int, count: int, entropy: Entropy) -> bytes:
    """A new id: threshold and count, a byte each, then random bytes. Who holds the id is told no other numbers."""
    return bytes([threshold, count]) + entropy.draw(RECORD_ID_BYTES - 2)


def numbers_of(record: bytes) -> tuple[int, int]:
    """Threshold and count, of which a record's id speaks. Raises ValueError where it is no id."""
    if len(record) != RECORD_ID_BYTES or not 2 <= record[0] <= record[1] <= SHARES_MOST:
        raise ValueError(
            f"{record.hex()[:60]!r} is no id of a record: {RECORD_ID_BYTES} bytes, the first two k and n"
        )
    return record[0], record[1]


def encode(request: Request) -> bytes:
    """As it stands under the pad."""
    return msgspec.msgpack.encode(request)


def decode_request(data: bytes) -> Request:
    """Raises ProtocolError."""
    request = _decode(_REQUEST, data)
    if isinstance(request, Stage) and not (
        request.threshold <= request.count
        and request.place <= request.count
        and request.base < request.epoch
        and request.record[:2] == bytes([request.threshold, request.count])
    ):
        raise ProtocolError(
            f"share {request.place} of {request.count}, {request.threshold} needed, epoch {request.epoch} on "
            f"{request.base} of record {request.record[:2].hex()}...: contradicts itself"
        )
    return request


def encode_listing(entries: list[Entry], size: int) -> bytes:
    """Exactly `size` bytes, with as many whole records as fit. Raises ProtocolError where not even one does."""
    for number in range(min(len(entries), _LISTED), -1, -1):
        if 0 < number < len(entries) and entries[number].record == entries[number - 1].record:
            continue  # the next page begins behind this record: it must not be cut
        body = msgspec.msgpack.encode(Listing(tuple(entries[:number]), number == len(entries)))
        if _HEAD_BYTES + len(body) <= size and (number or not entries):
            return (len(body).to_bytes(_HEAD_BYTES, "big") + body).ljust(size, b"\x00")
    raise ProtocolError(f"no listing fits into {size} bytes: ask for 512")


def decode_listing(data: bytes) -> Listing:
    """Raises ProtocolError."""
    end = _HEAD_BYTES + int.from_bytes(data[:_HEAD_BYTES], "big")
    if len(data) < _HEAD_BYTES or end > len(data) or any(data[end:]):
        raise ProtocolError(f"a listing of {len(data)} bytes whose length is told wrong")
    return _decode(_LISTING, data[_HEAD_BYTES:end])


def _decode(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{len(data)} bytes of the vault's protocol are not understood: {error}") from None
