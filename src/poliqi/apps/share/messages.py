"""What the two ends of a transfer say to each other (docs/spec/transfer.md): kinds, forms, limits. No IO."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec

from poliqi.apps.share.facts import GROUP, GroupState
from poliqi.apps.stream.channel import RECORD_BYTES
from poliqi.base.errors import DataRefused, ProtocolError

__all__ = [
    "ENTRIES_MOST",
    "GROUPS_MOST",
    "ITEM",
    "PURPOSE",
    "SMALL_BYTES",
    "Begin",
    "Item",
    "Kind",
    "Offer",
    "Partial",
    "Prefix",
    "Refusal",
    "RefusalCode",
    "Refused",
    "Summary",
    "pack",
    "pack_begin",
    "pack_groups",
    "pack_left_out",
    "read_begin",
    "read_groups",
    "read_index",
    "read_json",
    "split",
]

PURPOSE: Final = "send 1"
ENTRIES_MOST: Final = 4_000_000
LIST_BYTES_MOST: Final = 1 << 30
_SIZE_MOST: Final = (1 << 62) - 1
_GROUP: Final = struct.Struct("<IQ32s")
GROUPS_MOST: Final = 4096
_BEGIN: Final = struct.Struct("<IBQqQ")
ITEM: Final = struct.Struct("<IBqI")
"""Before each small file in a batch: index, executable or not, mtime in ns, size in bytes."""
SMALL_BYTES: Final = 128 << 10
"""Files up to this size travel in batches."""
_INDEX: Final = struct.Struct("<I")


class Kind(IntEnum):
    """The first byte of each message but list and file data."""

    OFFER = 1
    SEND_LIST = 2
    PARTIAL = 3
    GROUPS = 4
    GO = 5
    BATCH = 6
    BEGIN = 7
    LEFT_OUT = 8
    END = 9
    RECEIPT = 10
    REFUSED = 11


class RefusalCode(StrEnum):
    """Why the receiver takes no more."""

    NO_SPACE = "no-space"
    """`needed_bytes` more are wanted than the disk has; what came is kept."""
    TOO_LARGE = "too-large"
    """Beyond `limit` bytes for unfinished transfers of one peer."""
    TOO_MANY = "too-many"
    """Beyond `limit` files or unfinished transfers."""
    DIFFERS = "differs"
    """What both ends know of the files differs: begin another stream, and groups that differ are sent anew."""
    STORE_FAILED = "store-failed"
    """Its disk failed; what came is kept."""
    CLOSING = "closing"
    """It is being stopped, or a newer stream took over."""


Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=_SIZE_MOST)]


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What would be sent. `clock_ns` is the sender's wall clock, for the receipt alone."""

    transfer: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    entries: Annotated[int, msgspec.Meta(ge=1, le=ENTRIES_MOST)]
    files: Annotated[int, msgspec.Meta(ge=0, le=ENTRIES_MOST)]
    size_bytes: Count
    list_bytes: Annotated[int, msgspec.Meta(ge=1, le=LIST_BYTES_MOST)]
    list_sha256: Digest
    clock_ns: Annotated[int, msgspec.Meta(ge=0, le=_SIZE_MOST)]


class Partial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The receiver has the first `size_bytes` of entry `index`; None: of none."""

    index: Annotated[int, msgspec.Meta(ge=0, lt=ENTRIES_MOST)] | None = None
    size_bytes: Count = 0


class Prefix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Over what the receiver has of that entry."""

    blake3: Digest | None = None


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sender's manifest, and SHA-256 over it."""

    sha256: Digest
    files: Count
    folders: Count
    size_bytes: Count
    left_out: Count


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See RefusalCode; sizes in bytes."""

    code: RefusalCode
    needed_bytes: Count = 0
    limit: Count = 0


class Refused(DataRefused):
    """The receiver takes no more, and why."""

    def __init__(self, peer: str, refusal: Refusal) -> None:
        super().__init__(_said(peer, refusal))
        self.refusal: Final = refusal


def _said(peer: str, r: Refusal) -> str:
    match r.code:
        case RefusalCode.NO_SPACE:
            why = f"has no room: {r.needed_bytes:,} bytes more are needed there"
        case RefusalCode.TOO_LARGE:
            why = f"takes at most {r.limit:,} bytes of one sender's unfinished transfers"
        case RefusalCode.TOO_MANY:
            why = f"takes at most {r.limit:,} files or unfinished transfers of one sender"
        case RefusalCode.DIFFERS:
            why = "has other bytes than were sent"
        case RefusalCode.STORE_FAILED:
            why = "could not write to its disk"
        case RefusalCode.CLOSING:
            why = "is being stopped"
    return f"{peer} {why}; what it has already is kept: send again once that is mended, and the rest follows"


@dataclass(frozen=True, slots=True)
class Begin:
    """A file's data follow, from `offset` to `size_bytes`, in as many messages as the sender likes."""

    index: int
    is_executable: bool
    size_bytes: int
    mtime_ns: int
    offset: int


@dataclass(frozen=True, slots=True)
class Item:
    """A small file in a batch; `data` is valid as long as the message is."""

    index: int
    is_executable: bool
    mtime_ns: int
    data: memoryview


_S = TypeVar("_S")


def pack(kind: Kind, body: Any = None) -> bytes:
    """A message with a JSON body, or with none."""
    return bytes([kind]) + (b"" if body is None else msgspec.json.encode(body))


def split(message: memoryview, *allowed: Kind) -> tuple[Kind, memoryview]:
    """Kind and body. Raises ProtocolError unless it is one of `allowed`."""
    kind = message[0] if len(message) else 0
    if kind not in allowed:
        raise ProtocolError(f"a message of kind {kind} has no place here: drop the stream")
    return Kind(kind), message[1:]


def read_json(body: memoryview, form: type[_S]) -> _S:
    """Raises ProtocolError."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"a message is not in its form ({error}): drop the stream") from None


def pack_groups(groups: Iterable[GroupState]) -> Iterator[bytes]:
    """Messages that say which files are there."""
    waiting: list[bytes] = []
    for group in groups:
        waiting.append(_GROUP.pack(group.number, group.done, group.digest))
        if len(waiting) == GROUPS_MOST:
            yield bytes([Kind.GROUPS]) + b"".join(waiting)
            waiting = []
    if waiting:
        yield bytes([Kind.GROUPS]) + b"".join(waiting)


def read_groups(body: memoryview, entries: int) -> list[GroupState]:
    """Raises ProtocolError, also where a group is beyond the list."""
    if not len(body) or len(body) % _GROUP.size or len(body) > GROUPS_MOST * _GROUP.size:
        raise ProtocolError(f"a message of groups has {len(body)} bytes: drop the stream")
    groups = [GroupState(*fields) for fields in _GROUP.iter_unpack(body)]
    if any(group.number * GROUP >= entries for group in groups):
        raise ProtocolError("a group is beyond the end of the list: drop the stream")
    return groups


def pack_begin(b: Begin) -> bytes:
    """The message before a file's data."""
    return bytes([Kind.BEGIN]) + _BEGIN.pack(b.index, b.is_executable, b.size_bytes, b.mtime_ns, b.offset)


def read_begin(body: memoryview) -> Begin:
    """Raises ProtocolError."""
    if len(body) != _BEGIN.size:
        raise ProtocolError("the beginning of a file is not in its form: drop the stream")
    index, executable, size, mtime, offset = _BEGIN.unpack(body)
    if executable > 1 or size > _SIZE_MOST or offset > size:
        raise ProtocolError("the beginning of a file is not in its form: drop the stream")
    return Begin(index, bool(executable), size, mtime, offset)


def pack_left_out(index: int) -> bytes:
    """The message in place of a file that cannot be sent."""
    return bytes([Kind.LEFT_OUT]) + _INDEX.pack(index)


def read_index(body: memoryview) -> int:
    """Raises ProtocolError."""
    if len(body) != _INDEX.size:
        raise ProtocolError("an index is not in its form: drop the stream")
    return int(_INDEX.unpack(body)[0])


def read_batch(body: memoryview) -> Iterator[Item]:
    """The files of a batch. Raises ProtocolError."""
    at, end = 0, len(body)
    while at < end:
        if end - at < ITEM.size:
            raise ProtocolError("a batch ends inside a file: drop the stream")
        index, executable, mtime, size = ITEM.unpack_from(body, at)
        at += ITEM.size
        if executable > 1 or size > end - at:
            raise ProtocolError("a batch ends inside a file: drop the stream")
        yield Item(index, bool(executable), mtime, body[at : at + size])
        at += size


assert 1 + ITEM.size + SMALL_BYTES <= RECORD_BYTES
assert 1 + GROUPS_MOST * _GROUP.size <= RECORD_BYTES
