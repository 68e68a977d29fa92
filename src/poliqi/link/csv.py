"""Events as comma-separated text: one line per detected slot, both ends' view of it in seven columns.

Two readers of lines stand here. `read_lines` takes them one by one, says what is wrong with which, and
defines what a line means. `read_arrays` reads a stretch of lines as arrays, some twenty times faster,
and gives up where anything is odd: the stretch then goes to `read_lines`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Origin
from poliqi.link.device import MAX_LEVELS
from poliqi.link.recording import Light, Recording, check_recording

__all__ = ["COLUMNS", "MAX_BYTES", "Events", "decode_csv", "read_arrays", "read_lines", "whole_numbers"]

COLUMNS: Final = ("qubit_id", "tx_state", "tx_basis", "decoy_level", "rx_state", "rx_basis", "matching_basis")
MAX_BYTES: Final = 1 << 30
"""A longer file belongs in the binary format: half the size, and read in place."""

_LARGEST: Final = {"tx_state": 1, "tx_basis": 1, "decoy_level": 9, "rx_state": 1, "rx_basis": 1}
_TRUTH: Final = {"0": 0, "1": 1, "false": 0, "true": 1}
_LONGEST_ID: Final = 18  # digits; stays below 2^62
_LONGEST_LINE: Final = 200
_STRETCH: Final = 1 << 18  # bytes: the arrays of one stretch stay in cache
_COMMA, _LINE_FEED, _RETURN, _ZERO, _CAPITAL = b",\n\r0 "


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Lines read: `slots` int64 [n]; `bits` uint8 [n, 5] of tx_state, tx_basis, decoy_level, rx_state, rx_basis."""

    slots: NDArray[np.int64]
    bits: NDArray[np.uint8]


def decode_csv(buffer: bytes | bytearray | memoryview) -> Recording:
    """Read a whole file; decoy levels become intensity indexes in ascending order.

    The recording covers slots 0 to the last `qubit_id`; its origin is REPLAY (the file does not say), its
    clock and link are None. Raises DataRefused with the number of the line that is wrong.
    """
    data = memoryview(buffer).cast("B")
    if len(data) > MAX_BYTES:
        raise DataRefused(f"events CSV: {len(data)} bytes, at most {MAX_BYTES}; split it, or use the binary format")
    parts = list(_read(data))
    if not parts:
        raise DataRefused("events CSV: no line of events behind the header; give at least one")
    slots = np.concatenate([part.slots for part in parts])
    tx_state, tx_basis, level, rx_state, rx_basis = np.concatenate([part.bits for part in parts]).T
    index, levels = _intensity_indexes(level)
    recording = Recording(
        light=Light(Origin.REPLAY, levels, clock_hz=None, link=None),
        pulses=int(slots[-1]) + 1,
        slots=slots,
        states=tx_state | tx_basis << 1 | index << 2,
        outcomes=rx_state | rx_basis << 1,
    )
    for column in (recording.slots, recording.states, recording.outcomes):
        column.flags.writeable = False
    check_recording(recording)
    return recording


def read_lines(text: bytes, order: Sequence[int], line: int, after: int) -> Events:
    """Read whole lines one by one: the definition. `order[k]` is the place of `COLUMNS[k]` in a line.

    `line` is the number of the first, for errors; `after` the qubit_id before it. Raises DataRefused.
    """
    slots: list[int] = []
    bits: list[list[int]] = []
    for number, content in enumerate(text.removesuffix(b"\n").split(b"\n"), line):
        where = f"events CSV, line {number}"
        fields = content.removesuffix(b"\r").decode("latin-1")[:_LONGEST_LINE].split(",")
        if len(fields) != len(COLUMNS):
            raise DataRefused(f"{where}: {len(fields)} fields, must be {len(COLUMNS)}: {','.join(fields)[:60]!r}")
        named = {name: fields[place] for name, place in zip(COLUMNS, order, strict=True)}
        slot = _whole(named["qubit_id"], _LONGEST_ID, f"{where}: qubit_id")
        if slot <= after:
            raise DataRefused(
                f"{where}: qubit_id is {slot} after {after}, must increase; sort the lines, drop repeats"
            )
        values = [_whole(named[name], 1, f"{where}: {name}", largest) for name, largest in _LARGEST.items()]
        match = _TRUTH.get(named["matching_basis"].lower())
        if match is None:
            raise DataRefused(f"{where}: matching_basis is {named['matching_basis'][:40]!r}, must be True or False")
        if match != (values[1] == values[4]):
            bases = f"tx_basis is {values[1]} and rx_basis {values[4]}"
            raise DataRefused(f"{where}: matching_basis is {named['matching_basis']}, but {bases}; mend the line")
        after = slot
        slots.append(slot)
        bits.append(values)
    return Events(np.array(slots, np.int64), np.array(bits, np.uint8))


def read_arrays(text: bytes, order: Sequence[int], after: int) -> Events | None:
    """Read whole lines, each ended by a line feed, as arrays; None where anything is odd."""
    raw = np.frombuffer(text, np.uint8)
    stops = np.flatnonzero((raw == _COMMA) | (raw == _LINE_FEED))
    if stops.size == 0 or stops.size % len(COLUMNS):
        return None
    starts = np.append(0, stops[:-1] + 1).reshape(-1, len(COLUMNS)).T[order]
    ends = stops.reshape(-1, len(COLUMNS)).T.copy()
    if (raw[ends[-1]] != _LINE_FEED).any() or np.count_nonzero(raw == _LINE_FEED) != ends.shape[1]:
        return None
    ends[-1] -= raw[ends[-1] - 1] == _RETURN
    widths = ends[order] - starts
    slots = whole_numbers(raw, starts[0], widths[0])
    digits = raw[starts[1:6]] - np.uint8(_ZERO)
    largest = np.array(list(_LARGEST.values()), np.uint8)[:, None]
    match = _read_truth(raw, starts[6], widths[6])
    if slots is None or match is None or (widths[1:6] != 1).any() or (digits > largest).any():
        return None
    if slots[0] <= after or (slots[1:] <= slots[:-1]).any() or (match != (digits[1] == digits[4])).any():
        return None
    return Events(slots, np.ascontiguousarray(digits.T))


def _read(data: memoryview) -> Iterator[Events]:
    tail = bytes(data[-_LONGEST_LINE:])
    stop = len(data) - len(tail) + len(tail.rstrip(b"\r\n"))
    order, start = _read_header(bytes(data[: min(stop, 2 * _LONGEST_LINE)]))
    line, after = 2, -1
    while start < stop:
        text = bytes(data[start : min(start + _STRETCH, stop)])
        if start + len(text) == stop:
            text += b"\n"
        end = text.rfind(b"\n") + 1
        if end == 0:
            raise DataRefused(
                f"events CSV, line {line}: more than {_LONGEST_LINE} characters; is it a CSV of events?"
            )
        events = read_arrays(text[:end], order, after)
        if events is None:
            events = read_lines(text[:end], order, line, after)
        yield events
        start, line, after = start + end, line + events.slots.size, int(events.slots[-1])


def _read_header(text: bytes) -> tuple[list[int], int]:
    """The place of each of `COLUMNS` in a line, and where the second line starts."""
    first = text.split(b"\n", 1)[0]
    names = first.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r").decode("latin-1").split(",")
    if sorted(names) != sorted(COLUMNS):
        unknown = [name[:40] for name in names if name not in COLUMNS][:8]
        missing = [name for name in COLUMNS if name not in names]
        twice = [name for name in COLUMNS if names.count(name) > 1]
        faults = (("unknown", unknown), ("missing", missing), ("more than once", twice))
        told = "; ".join(f"{fault}: {', '.join(map(repr, found))}" for fault, found in faults if found)
        raise DataRefused(f"events CSV, line 1: columns {told}. The first line must name {', '.join(COLUMNS)}")
    return [names.index(name) for name in COLUMNS], len(first) + 1


def whole_numbers(
    raw: NDArray[np.uint8], start: NDArray[np.int64], width: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Whole numbers of 1 to 18 digits that begin at `start` in `raw`, `width` bytes each; None where one is not."""
    longest = int(width.max())
    if int(width.min()) < 1 or longest > _LONGEST_ID:
        return None
    value = np.zeros(start.size, np.int64)
    for place in range(longest):
        live = place < width
        digit = raw[np.where(live, start + place, start)] - np.uint8(_ZERO)
        if (digit > 9).any():
            return None
        value = np.where(live, value * 10 + digit, value)
    return value


def _read_truth(
    raw: NDArray[np.uint8], start: NDArray[np.int64], width: NDArray[np.int64]
) -> NDArray[np.bool_] | None:
    value = np.zeros(start.size, np.bool_)
    known = np.zeros(start.size, np.bool_)
    for word, truth in _TRUTH.items():
        rows = np.flatnonzero(width == len(word))
        same = np.ones(rows.size, np.bool_)
        for place, letter in enumerate(word.encode()):
            lower = raw[start[rows] + place] | (_CAPITAL if len(word) > 1 else 0)
            same &= lower == letter
        known[rows] |= same
        value[rows] |= same & bool(truth)
    return value if known.all() else None


def _intensity_indexes(level: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Levels as intensity indexes, and how many there are: 0 is the signal and the brightest."""
    present = np.flatnonzero(np.bincount(level, minlength=10))
    named = ", ".join(map(str, present))
    if present[0] != 0:
        raise DataRefused(f"events CSV: decoy_level has {named} and no 0, which is the signal; renumber the levels")
    if present.size > MAX_LEVELS:
        raise DataRefused(f"events CSV: decoy_level has {present.size} levels ({named}), at most {MAX_LEVELS}")
    table = np.zeros(10, np.uint8)
    table[present] = np.arange(present.size)
    return table[level], int(present.size)


def _whole(text: str, digits: int, what: str, largest: int | None = None) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= digits) or int(text) > (largest or 10**digits):
        top = f"0 to {largest}" if largest is not None else f"of at most {digits} digits"
        raise DataRefused(f"{what} is {text[:40]!r}, must be a whole number {top}")
    return int(text)
