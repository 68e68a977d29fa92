"""The event format of docs/spec/events.md over buffers: a header, then three columns ready for use in place."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np

from poliqi.base.errors import DataRefused, words_of
from poliqi.base.ids import Origin
from poliqi.link.device import MAX_SLOT
from poliqi.link.recording import MAX_EVENTS, Light, LinkFigures, Recording, check_light, check_recording

__all__ = ["MAGIC", "Columns", "Header", "columns_of", "decode_recording", "encode_header", "metadata_of"]

MAGIC: Final = b"\x89POLIQI\n"
VERSION: Final = 1

_ALIGN: Final = 64
_MOST_METADATA: Final = 1 << 16
_ORIGINS: Final = {1: Origin.PHOTONS, 2: Origin.SIMULATED, 3: Origin.REPLAY}
_CODES: Final = {origin: code for code, origin in _ORIGINS.items()}

_FIXED: Final = struct.Struct("<8sHBBIQQQdQQQIIIII")
_CRC: Final = struct.Struct("<I")
_METADATA: Final = _FIXED.size + _CRC.size
_REMEDY: Final = "copy the file again from where it was made, or record again"


class _Fields(NamedTuple):
    """The header's fixed part but for its checksum, in the order of the specification."""

    magic: bytes
    version: int
    origin: int
    levels: int
    header_length: int
    file_length: int
    pulses: int
    events: int
    clock_hz: float
    slots_offset: int
    states_offset: int
    outcomes_offset: int
    slots_crc32: int
    states_crc32: int
    outcomes_crc32: int
    metadata_length: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns lie in the file, in bytes; follows from the two lengths alone."""

    header_length: int
    slots: int
    states: int
    outcomes: int
    file_length: int


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the columns; `checksums` are the CRC-32 of slots, states and outcomes."""

    light: Light
    pulses: int
    events: int
    checksums: tuple[int, int, int]


def columns_of(metadata_length: int, events: int) -> Columns:
    """The layout of a file with so many bytes of metadata and so many events."""
    header_length = _aligned(_METADATA + metadata_length)
    states = _aligned(header_length + 8 * events)
    outcomes = _aligned(states + events)
    return Columns(header_length, header_length, states, outcomes, outcomes + events)


def metadata_of(link: LinkFigures | None) -> bytes:
    """The metadata's JSON."""
    return msgspec.json.encode(link)


def encode_header(header: Header) -> bytes:
    """The header's bytes, padding included. Raises DataRefused where the description contradicts itself."""
    light = header.light
    check_light(light)
    metadata = metadata_of(light.link)
    at = columns_of(len(metadata), header.events)
    fixed = _FIXED.pack(
        *_Fields(
            magic=MAGIC,
            version=VERSION,
            origin=_CODES[light.origin],
            levels=light.levels,
            header_length=at.header_length,
            file_length=at.file_length,
            pulses=header.pulses,
            events=header.events,
            clock_hz=light.clock_hz or 0.0,
            slots_offset=at.slots,
            states_offset=at.states,
            outcomes_offset=at.outcomes,
            slots_crc32=header.checksums[0],
            states_crc32=header.checksums[1],
            outcomes_crc32=header.checksums[2],
            metadata_length=len(metadata),
            reserved=0,
        )
    )
    rest = metadata.ljust(at.header_length - _METADATA, b"\0")
    return fixed + _CRC.pack(zlib.crc32(rest, zlib.crc32(fixed))) + rest


def decode_recording(buffer: bytes | bytearray | memoryview) -> Recording:
    """Read a whole recording; its arrays are views of `buffer`, which they keep alive.

    Every byte is checked, at the pace of memory: 1.5e7 events in about .15 s. Raises DataRefused as the
    specification lists.
    """
    data = memoryview(buffer).cast("B").toreadonly()
    header, at = _decode_header(data)
    ends = (at.slots + 8 * header.events, at.states + header.events, at.file_length)
    named = zip(("slots", "states", "outcomes"), (at.slots, at.states, at.outcomes), ends, strict=True)
    for (name, start, end), checksum in zip(named, header.checksums, strict=True):
        if zlib.crc32(data[start:end]) != checksum:
            raise DataRefused(f"recording: column {name} has another checksum than its header says; {_REMEDY}")
    _check_padding(data, [(ends[0], at.states), (ends[1], at.outcomes)])
    raw = np.frombuffer(data, np.uint8)
    slots = np.require(
        raw[at.slots : ends[0]].view("<i8"), np.int64, "A"
    )  # copied where the buffer is at an odd address
    slots.flags.writeable = False
    recording = Recording(header.light, header.pulses, slots, raw[at.states : ends[1]], raw[at.outcomes : ends[2]])
    check_recording(recording)
    return recording


def _decode_header(data: memoryview) -> tuple[Header, Columns]:
    fields = _read_fields(data)
    at = _check_layout(fields)
    if fields.origin not in _ORIGINS:
        raise DataRefused(f"recording: origin {fields.origin} is not known; known: {', '.join(map(str, _ORIGINS))}")
    end = _METADATA + fields.metadata_length
    _check_padding(data, [(end, fields.header_length)])
    light = Light(
        origin=_ORIGINS[fields.origin],
        levels=fields.levels,
        clock_hz=None if fields.clock_hz == 0 else fields.clock_hz,
        link=_decode_metadata(data[_METADATA:end]),
    )
    checksums = fields.slots_crc32, fields.states_crc32, fields.outcomes_crc32
    return Header(light, fields.pulses, fields.events, checksums), at


def _read_fields(data: memoryview) -> _Fields:
    """The fixed part, once it is known that this is a whole file of this version with a sound header."""
    start = bytes(data[: len(MAGIC)])
    if start != MAGIC:
        found, magic = start.hex(" ") or "nothing", MAGIC.hex(" ")
        raise DataRefused(f"recording: it starts with {found}, not with {magic}: not a file of poliqi events")
    if len(data) < _METADATA:
        raise DataRefused(f"recording: {len(data)} bytes, its header alone has {_METADATA}: cut short; {_REMEDY}")
    fields = _Fields._make(_FIXED.unpack_from(data))
    if fields.version != VERSION:
        raise DataRefused(f"recording: version {fields.version}, this program reads version {VERSION}; update it")
    if fields.file_length != len(data):
        what = "cut short" if fields.file_length > len(data) else "more was written behind its end"
        raise DataRefused(f"recording: {len(data)} bytes, its header says {fields.file_length}: {what}; {_REMEDY}")
    length, metadata = fields.header_length, fields.metadata_length
    if metadata > _MOST_METADATA or length != columns_of(metadata, 0).header_length or length > len(data):
        told = f"a header of {length} bytes with {metadata} of metadata in a file of {len(data)}"
        raise DataRefused(f"recording: {told}; at most {_MOST_METADATA} of metadata; {_REMEDY}")
    (checksum,) = _CRC.unpack_from(data, _FIXED.size)
    if zlib.crc32(data[_METADATA:length], zlib.crc32(data[: _FIXED.size])) != checksum:
        raise DataRefused(f"recording: the header has another checksum than it says; {_REMEDY}")
    return fields


def _check_layout(fields: _Fields) -> Columns:
    events, pulses = fields.events, fields.pulses
    if events > MAX_EVENTS or not events <= pulses <= MAX_SLOT:
        raise DataRefused(f"recording: {events} events of {pulses} pulses; at most {MAX_EVENTS} events; {_REMEDY}")
    at = columns_of(fields.metadata_length, events)
    said = (fields.slots_offset, fields.states_offset, fields.outcomes_offset, fields.file_length)
    follows = (at.slots, at.states, at.outcomes, at.file_length)
    if said != follows:
        raise DataRefused(f"recording: columns and end at {said}, {events} events put them at {follows}; {_REMEDY}")
    if fields.reserved != 0:
        raise DataRefused(f"recording: the reserved field is {fields.reserved}, must be 0; {_REMEDY}")
    return at


def _decode_metadata(text: memoryview) -> LinkFigures | None:
    try:
        return msgspec.json.decode(text, type=LinkFigures | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataRefused(f"recording: metadata: {words_of(error)}; {_REMEDY}") from None


def _check_padding(data: memoryview, gaps: Sequence[tuple[int, int]]) -> None:
    for start, end in gaps:
        if any(data[start:end]):
            raise DataRefused(f"recording: bytes {start} to {end - 1} are padding and must be zero; {_REMEDY}")


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN
