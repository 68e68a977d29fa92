"""What the two binary formats of docs/spec/timetags.md share: a header with metadata, and records before
payloads."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from poliqi.base.errors import DataRefused, words_of
from poliqi.base.ids import Origin

__all__ = [
    "HEADER_START",
    "LONGEST_HEADER",
    "RECORD",
    "REMEDY",
    "Record",
    "decode_header",
    "decode_metadata",
    "decode_record",
    "encode_header",
    "encode_record",
    "header_length_of",
    "padded",
]

T = TypeVar("T")

VERSION: Final = 1
RECORD: Final = 32
"""Bytes of a record."""
HEADER_START: Final = 24
"""Bytes of a header before its metadata."""
REMEDY: Final = "copy the file again from where it was made, or record again"

_ALIGN: Final = 64
_MOST_METADATA: Final = 1 << 16
LONGEST_HEADER: Final = -(-(HEADER_START + _MOST_METADATA) // _ALIGN) * _ALIGN
_ORIGINS: Final = {1: Origin.PHOTONS, 2: Origin.SIMULATED, 3: Origin.REPLAY}
_CODES: Final = {origin: code for code, origin in _ORIGINS.items()}
_FIXED: Final = struct.Struct("<8sHBBII")
_CRC: Final = struct.Struct("<I")
_RECORD: Final = struct.Struct("<4sIqqI")


@dataclass(frozen=True, slots=True)
class Record:
    """What stands before a payload, or at the end: a mark of four letters, and what that mark makes of the rest."""

    mark: bytes
    count: int
    first: int
    last: int
    payload_crc32: int = 0


def padded(length: int) -> int:
    """`length` rounded up to a multiple of 8."""
    return -(-length // 8) * 8


def header_length_of(start: bytes, magic: bytes, what: str) -> int:
    """How long the whole header is, from its first 24 bytes. Raises DataRefused."""
    if not start.startswith(magic):
        found, wanted = start[: len(magic)].hex(" ") or "nothing", magic.hex(" ")
        raise DataRefused(f"{what}: it starts with {found}, not with {wanted}: not a file of this kind")
    if len(start) < HEADER_START:
        raise DataRefused(f"{what}: {len(start)} bytes, its header alone has more: cut short; {REMEDY}")
    _, version, _, _, header, metadata = _FIXED.unpack_from(start)
    if version != VERSION:
        raise DataRefused(f"{what}: version {version}, this program reads version {VERSION}; update it")
    if not 1 <= metadata <= _MOST_METADATA or header != _aligned(HEADER_START + metadata):
        told = f"a header of {header} bytes with {metadata} of metadata"
        raise DataRefused(f"{what}: {told}; at most {_MOST_METADATA} of metadata; {REMEDY}")
    return int(header)


def decode_header(data: bytes, what: str) -> tuple[Origin, bytes]:
    """Origin and metadata of a whole header, as long as `header_length_of` says. Raises DataRefused."""
    _, _, origin, reserved, length, metadata = _FIXED.unpack_from(data)
    (checksum,) = _CRC.unpack_from(data, _FIXED.size)
    if len(data) != length:
        raise DataRefused(f"{what}: {len(data)} bytes of a header of {length}: cut short; {REMEDY}")
    if zlib.crc32(data[HEADER_START:], zlib.crc32(data[: _FIXED.size])) != checksum:
        raise DataRefused(f"{what}: the header has another checksum than it says; {REMEDY}")
    if origin not in _ORIGINS:
        raise DataRefused(f"{what}: origin {origin} is not known; known: {', '.join(map(str, _ORIGINS))}")
    if reserved != 0 or any(data[HEADER_START + metadata :]):
        raise DataRefused(f"{what}: a reserved byte of the header is not zero; {REMEDY}")
    return _ORIGINS[origin], data[HEADER_START : HEADER_START + metadata]


def encode_header(magic: bytes, origin: Origin, metadata: bytes) -> bytes:
    """The header's bytes, padding included."""
    length = _aligned(HEADER_START + len(metadata))
    fixed = _FIXED.pack(magic, VERSION, _CODES[origin], 0, length, len(metadata))
    rest = metadata.ljust(length - HEADER_START, b"\0")
    return fixed + _CRC.pack(zlib.crc32(rest, zlib.crc32(fixed))) + rest


def decode_metadata(text: bytes, kind: type[T], what: str) -> T:
    """The metadata's JSON as a struct. Raises DataRefused."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataRefused(f"{what}: metadata: {words_of(error)}; {REMEDY}") from None


def encode_record(record: Record) -> bytes:
    """The 32 bytes of a record."""
    fixed = _RECORD.pack(record.mark, record.count, record.first, record.last, record.payload_crc32)
    return fixed + _CRC.pack(zlib.crc32(fixed))


def decode_record(data: bytes, chunk: bytes, end: bytes, what: str) -> Record:
    """The record in 32 bytes, of a chunk or of the end. Raises DataRefused."""
    if len(data) < RECORD:
        raise DataRefused(f"{what}: {len(data)} bytes of a record of {RECORD}, no end: cut short; {REMEDY}")
    mark, count, first, last, payload = _RECORD.unpack_from(data)
    (checksum,) = _CRC.unpack_from(data, _RECORD.size)
    if zlib.crc32(data[: _RECORD.size]) != checksum:
        raise DataRefused(f"{what}: the record has another checksum than it says; {REMEDY}")
    if mark not in (chunk, end):
        raise DataRefused(f"{what}: a record is marked {mark!r}, not {chunk!r} or {end!r}; {REMEDY}")
    if mark == end and (count != 0 or payload != 0):
        raise DataRefused(f"{what}: the end record counts {count} entries of checksum {payload}, not 0; {REMEDY}")
    return Record(mark, count, first, last, payload)


def _aligned(length: int) -> int:
    return -(-length // _ALIGN) * _ALIGN
