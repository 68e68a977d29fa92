"""Alice's states in the format of docs/spec/timetags.md: half a byte a slot, in chunks whose place is known."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import MAX_LEVELS, MAX_SLOT, check_bytes
from poliqi.link.recording import Light, LinkFigures, check_light
from poliqi.link.timetags import container
from poliqi.link.timetags.container import RECORD, REMEDY, Record, padded

__all__ = ["MAGIC", "SLOTS_IN_CHUNK", "StateHeader", "StateTable", "StateWriting", "decode_head", "encode_head"]

MAGIC: Final = b"\x89POLIQS\n"
SLOTS_IN_CHUNK: Final = 1 << 21
_CHUNK_BYTES: Final = SLOTS_IN_CHUNK // 2
_MOST_SLOTS: Final = 1 << 44
_CHUNK, _END = b"STAT", b"SEND"
_WHAT: Final = "states"


@dataclass(frozen=True, slots=True)
class StateHeader:
    """What a file says of its states: origin, slots per second, number of intensities, the link's public
    figures."""

    origin: Origin
    clock_hz: float
    levels: int
    link: LinkFigures | None = None

    @property
    def light(self) -> Light:
        """The same as a recording says it."""
        return Light(self.origin, self.levels, self.clock_hz, self.link)


class _Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    clock_hz: float
    levels: int
    link: LinkFigures | None


def encode_head(header: StateHeader) -> bytes:
    """The header's bytes. Raises DataRefused where the description contradicts itself."""
    check_light(header.light)
    metadata = _Metadata(header.clock_hz, header.levels, header.link)
    return container.encode_header(MAGIC, header.origin, msgspec.json.encode(metadata))


def decode_head(data: bytes) -> StateHeader:
    """What a whole header says. Raises DataRefused."""
    origin, text = container.decode_header(data, _WHAT)
    found = container.decode_metadata(text, _Metadata, _WHAT)
    header = StateHeader(origin, found.clock_hz, found.levels, found.link)
    check_light(header.light)
    return header


class StateWriting:
    """Chunks and the end of a file of states, from `first_slot` on."""

    def __init__(self, levels: int, first_slot: int = 0) -> None:
        if not (1 <= levels <= MAX_LEVELS and 0 <= first_slot < MAX_SLOT):
            raise DataRefused(f"states: {levels} levels from slot {first_slot}; 1 to {MAX_LEVELS}, from 0 to 2^62")
        self._below = levels << 2
        self._first = first_slot
        self._next = first_slot
        self._waiting = np.empty(0, np.uint8)

    def add(self, states: NDArray[np.uint8]) -> list[bytes]:
        """The next states, uint8 [n]: the bytes of the chunks that they fill. Raises DataRefused."""
        check_bytes(states, states.size, self._below, "states")
        waiting = np.concatenate([self._waiting, states])
        parts: list[bytes] = []
        whole = waiting.size // SLOTS_IN_CHUNK * SLOTS_IN_CHUNK
        for start in range(0, whole, SLOTS_IN_CHUNK):
            parts += self._chunk(waiting[start : start + SLOTS_IN_CHUNK])
        self._waiting = waiting[whole:]
        return parts

    def end(self) -> list[bytes]:
        """What is left, and the end record. Raises DataRefused where there was no state at all."""
        parts = self._chunk(self._waiting) if self._waiting.size else []
        slots = self._next - self._first
        if not 1 <= slots <= min(_MOST_SLOTS, MAX_SLOT - self._first):
            raise DataRefused(f"states: {slots} slots from {self._first}; must be 1 to {_MOST_SLOTS}, below 2^62")
        return [*parts, container.encode_record(Record(_END, 0, self._first, slots))]

    def _chunk(self, states: NDArray[np.uint8]) -> list[bytes]:
        even = np.append(states, np.uint8(0)) if states.size % 2 else states
        packed = even[0::2] | even[1::2] << np.uint8(4)
        payload = packed.tobytes().ljust(padded(packed.size), b"\0")
        record = Record(_CHUNK, states.size, self._next, 0, zlib.crc32(payload))
        self._next += states.size
        return [container.encode_record(record), payload]


class StateTable:
    """States of any slots, from a whole file as a buffer (a mapped one); each chunk is checked when first
    touched."""

    def __init__(self, buffer: bytes | memoryview) -> None:
        self._data: Final = memoryview(buffer).cast("B").toreadonly()
        start = bytes(self._data[: container.HEADER_START])
        self._at: Final = container.header_length_of(start, MAGIC, _WHAT)
        self.header: Final = decode_head(bytes(self._data[: self._at]))
        if bytes(self._data[-RECORD:][:4]) != _END:
            raise DataRefused(f"states: no end record at the end: cut short, or more stands behind it; {REMEDY}")
        end = self._record(len(self._data) - RECORD)
        self.first_slot: Final = end.first
        self.slots: Final = end.last
        if not (0 <= end.first < MAX_SLOT and 1 <= end.last <= min(_MOST_SLOTS, MAX_SLOT - end.first)):
            raise DataRefused(f"states: {end.last} slots from slot {end.first}; at most {_MOST_SLOTS}; {REMEDY}")
        chunks = -(-self.slots // SLOTS_IN_CHUNK)
        last = self.slots - (chunks - 1) * SLOTS_IN_CHUNK
        length = self._place(chunks - 1) + RECORD + padded(-(-last // 2)) + RECORD
        if length != len(self._data):
            raise DataRefused(f"states: {len(self._data)} bytes, {self.slots} slots take {length}; {REMEDY}")
        self._checked: Final = np.zeros(chunks, np.bool_)
        self._raw: Final = np.frombuffer(self._data, np.uint8)

    def states(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The states of `slots` (strictly increasing): uint8 of the same length, as `Transmitter.states`.

        Raises DataRefused for a slot that the file does not hold, and where a chunk is corrupt.
        """
        if slots.size == 0:
            return np.empty(0, np.uint8)
        offset = slots - self.first_slot
        if int(offset[0]) < 0 or int(offset[-1]) >= self.slots:
            bad = int(slots[0] if offset[0] < 0 else slots[-1])
            until = self.first_slot + self.slots - 1
            held = f"the file holds {self.first_slot} to {until}"
            raise DataRefused(f"states: slot {bad} asked, {held}; record longer")
        chunk = offset // SLOTS_IN_CHUNK
        for number in np.unique(chunk[np.flatnonzero(~self._checked[chunk])]):
            self._check(int(number))
        packed = self._raw[offset // 2 + (self._at + RECORD) + chunk * RECORD]
        return (packed >> ((offset & 1) << 2).astype(np.uint8)) & np.uint8(15)

    def check(self) -> None:
        """Check all of the file, a pass over it. Raises DataRefused."""
        for number in range(self._checked.size):
            self._check(number)

    def _place(self, chunk: int) -> int:
        return self._at + chunk * (RECORD + _CHUNK_BYTES)

    def _record(self, at: int) -> Record:
        return container.decode_record(bytes(self._data[max(at, 0) : max(at, 0) + RECORD]), _CHUNK, _END, _WHAT)

    def _check(self, number: int) -> None:
        first = number * SLOTS_IN_CHUNK
        count = min(SLOTS_IN_CHUNK, self.slots - first)
        at = self._place(number)
        record = self._record(at)
        said = (record.mark, record.count, record.first, record.last)
        if said != (_CHUNK, count, self.first_slot + first, 0):
            told = f"{record.count} slots from {record.first}, must be {count} from {self.first_slot + first}"
            raise DataRefused(f"states: chunk {number} says {told}; {REMEDY}")
        payload = self._data[at + RECORD : at + RECORD + padded(-(-count // 2))]
        if zlib.crc32(payload) != record.payload_crc32:
            raise DataRefused(f"states: chunk {number} has another checksum than its record says; {REMEDY}")
        if any(payload[-(-count // 2) :]) or (count % 2 and payload[count // 2] >> 4):
            raise DataRefused(f"states: padding behind chunk {number} is not zero; {REMEDY}")
        packed = np.frombuffer(payload, np.uint8)
        most = self.header.levels << 2
        if most <= 15 and max(int((packed & 15).max()), int((packed >> 4).max())) >= most:
            levels = self.header.levels
            raise DataRefused(f"states: chunk {number} has an intensity beyond its {levels} levels; {REMEDY}")
        self._checked[number] = True
