"""Bob's tags in the format of docs/spec/timetags.md: bytes to arrays and back, chunk by chunk."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.recording import Light, LinkFigures, check_light
from poliqi.link.timetags import container
from poliqi.link.timetags.container import RECORD, REMEDY, Record, padded
from poliqi.link.timetags.tags import (
    MAX_TIME_PS,
    Channel,
    Meaning,
    Tagging,
    Tags,
    check_tagging,
    check_tags,
    code_table,
)

__all__ = [
    "MAGIC",
    "MOST_IN_CHUNK",
    "TagHeader",
    "TagWriting",
    "check_end",
    "decode_chunk",
    "decode_head",
    "decode_record",
    "decode_tags",
    "encode_head",
    "payload_length",
]

MAGIC: Final = b"\x89POLIQT\n"
MOST_IN_CHUNK: Final = 1 << 20
MAX_TAGS: Final = 1 << 40
CHUNK, END = b"TAGS", b"TEND"
_WHAT: Final = "tags"


@dataclass(frozen=True, slots=True)
class TagHeader:
    """What a file says of its tags; `link` holds the link's public figures, None where they are not known."""

    origin: Origin
    tagging: Tagging
    link: LinkFigures | None = None


class _Channel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    meaning: Meaning
    delay_ps: int


class _Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    clock_hz: float
    bins: int
    gate_ps: float | None
    channels: list[_Channel]
    link: LinkFigures | None


def encode_head(header: TagHeader) -> bytes:
    """The header's bytes. Raises DataRefused where the description contradicts itself."""
    _check_header(header)
    tagging = header.tagging
    table = [_Channel(c.number, c.meaning, c.delay_ps) for c in tagging.channels]
    metadata = _Metadata(tagging.clock_hz, tagging.bins, tagging.gate_ps, table, header.link)
    return container.encode_header(MAGIC, header.origin, msgspec.json.encode(metadata))


def decode_head(data: bytes) -> TagHeader:
    """What a whole header says (`container.header_length_of` says how long it is). Raises DataRefused."""
    origin, text = container.decode_header(data, _WHAT)
    found = container.decode_metadata(text, _Metadata, _WHAT)
    channels = tuple(Channel(c.number, c.meaning, c.delay_ps) for c in found.channels)
    header = TagHeader(origin, Tagging(found.clock_hz, channels, found.bins, found.gate_ps), found.link)
    _check_header(header)
    return header


def decode_record(data: bytes) -> Record:
    """The record of a chunk or of the end (`mark` tells). Raises DataRefused."""
    record = container.decode_record(data, CHUNK, END, _WHAT)
    if record.mark == CHUNK and not 1 <= record.count <= MOST_IN_CHUNK:
        raise DataRefused(f"tags: a chunk of {record.count} tags, must be 1 to {MOST_IN_CHUNK}; {REMEDY}")
    return record


def payload_length(record: Record) -> int:
    """Bytes of a chunk behind its record."""
    return padded(9 * record.count)


def decode_chunk(record: Record, payload: memoryview) -> Tags:
    """The tags of a chunk, as views of its payload; `check_tags` checks the rest. Raises DataRefused."""
    n = record.count
    if len(payload) != payload_length(record):
        raise DataRefused(f"tags: {len(payload)} bytes of a chunk of {payload_length(record)}: cut short; {REMEDY}")
    if zlib.crc32(payload) != record.payload_crc32:
        raise DataRefused(f"tags: a chunk of {n} tags has another checksum than its record says; {REMEDY}")
    if any(payload[9 * n :]):
        raise DataRefused(f"tags: padding behind a chunk of {n} tags is not zero; {REMEDY}")
    raw = np.frombuffer(payload, np.uint8)
    times = np.require(raw[: 8 * n].view("<i8"), np.int64, "A")
    if (int(times[0]), int(times[-1])) != (record.first, record.last):
        told = f"a chunk runs from {times[0]} to {times[-1]} ps, its record says {record.first} to {record.last}"
        raise DataRefused(f"tags: {told}; {REMEDY}")
    return Tags(times, raw[8 * n : 9 * n])


class TagWriting:
    """Chunks and the end of a file, one after the other; keeps count."""

    def __init__(self, tagging: Tagging) -> None:
        self._table = code_table(tagging)
        self._last = 0
        self.tags = 0

    def chunk(self, tags: Tags) -> list[bytes]:
        """The bytes of these tags, checked: none for none, several chunks for many. Raises DataRefused."""
        check_tags(tags, self._table, self._last, self.tags)
        parts: list[bytes] = []
        for start in range(0, tags.times_ps.size, MOST_IN_CHUNK):
            times = np.ascontiguousarray(tags.times_ps[start : start + MOST_IN_CHUNK], "<i8")
            channels = np.ascontiguousarray(tags.channels[start : start + MOST_IN_CHUNK])
            payload = (times.tobytes() + channels.tobytes()).ljust(padded(9 * times.size), b"\0")
            self._last = int(times[-1])
            self.tags += times.size
            record = Record(CHUNK, times.size, int(times[0]), self._last, zlib.crc32(payload))
            parts += [container.encode_record(record), payload]
        return parts

    def end(self, end_ps: int | None = None) -> bytes:
        """The end record; `end_ps` is how long the tagger listened (None: to the last tag)."""
        until = self._last if end_ps is None else end_ps
        if not self._last <= until < MAX_TIME_PS:
            most = MAX_TIME_PS - 1
            raise DataRefused(f"tags: the measurement ends at {until} ps, must be {self._last} to {most}")
        return container.encode_record(Record(END, 0, self.tags, until))


def check_end(record: Record, tags: int, last_ps: int) -> None:
    """Refuse an end that does not fit the chunks before it (DataRefused)."""
    if record.first != tags or not last_ps <= record.last < MAX_TIME_PS or tags > MAX_TAGS:
        told = f"the end says {record.first} tags until {record.last} ps, there are {tags} until {last_ps} ps"
        raise DataRefused(f"tags: {told}; {REMEDY}")


def decode_tags(buffer: bytes | bytearray | memoryview) -> tuple[TagHeader, Tags, int]:
    """A whole file in memory: its header, all its tags, and the end of the measurement (ps). Raises DataRefused."""
    data = memoryview(buffer).cast("B").toreadonly()
    at = container.header_length_of(bytes(data[: container.HEADER_START]), MAGIC, _WHAT)
    header = decode_head(bytes(data[:at]))
    table, parts, total, last = code_table(header.tagging), list[Tags](), 0, 0
    while True:
        record = decode_record(bytes(data[at : at + RECORD]))
        at += RECORD
        if record.mark == END:
            break
        tags = decode_chunk(record, data[at : at + payload_length(record)])
        check_tags(tags, table, last, total)
        at, total, last = at + payload_length(record), total + record.count, record.last
        parts.append(tags)
    check_end(record, total, last)
    if at != len(data):
        raise DataRefused(f"tags: {len(data) - at} bytes behind the end; {REMEDY}")
    times = np.concatenate([np.empty(0, np.int64), *(part.times_ps for part in parts)])
    channels = np.concatenate([np.empty(0, np.uint8), *(part.channels for part in parts)])
    return header, Tags(times, channels), record.last


def _check_header(header: TagHeader) -> None:
    check_tagging(header.tagging)
    if header.link is not None:
        check_light(Light(header.origin, len(header.link.intensities), header.tagging.clock_hz, header.link))
