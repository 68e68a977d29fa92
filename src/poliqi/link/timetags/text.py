"""Tags as comma-separated text: `time_ps,channel` in the first line, then one tag a line.

Two readers of lines stand here, as for events (`poliqi.link.csv`): `read_lines` takes them one by one, says what is
wrong with which, and defines what a line means; `read_arrays` reads a stretch as arrays and gives up where anything
is odd.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.link.csv import whole_numbers
from poliqi.link.timetags.tags import Tags

__all__ = ["HEADER", "MAX_BYTES", "TagText", "encode_lines", "read_arrays", "read_lines"]

HEADER: Final = "time_ps,channel"
MAX_BYTES: Final = 1 << 34

_LONGEST_LINE: Final = 64
_MOST_DIGITS: Final = (18, 3)
_COMMA, _LINE_FEED, _RETURN = b",\n\r"


@dataclass(slots=True)
class TagText:
    """Reads a text that comes in pieces of any size; `line` is the number of the next line, for errors."""

    line: int = 1
    last_ps: int = 0
    _rest: bytes = b""
    _empty: int = 0

    def feed(self, piece: bytes, *, last: bool = False) -> Tags:
        """The tags of the lines that are whole by now (`last`: of all that is left). Raises DataRefused."""
        text = self._rest + piece
        if last and text and not text.endswith(b"\n"):
            text += b"\n"
        end = text.rfind(b"\n") + 1
        whole, self._rest = text[:end], text[end:]
        if len(self._rest) > _LONGEST_LINE:
            at = self.line + whole.count(b"\n")
            raise DataRefused(f"tags, line {at}: more than {_LONGEST_LINE} characters; is it a CSV of tags?")
        if self.line == 1 and whole:
            first, _, whole = whole.partition(b"\n")
            _check_header(first)
            self.line = 2
        whole = self._without_empty_end(whole, last=last)
        if not whole:
            if last and self.line == 1:
                raise DataRefused(f"tags, line 1: nothing; the first line must be {HEADER}")
            return Tags(np.empty(0, np.int64), np.empty(0, np.uint8))
        tags = read_arrays(whole, self.last_ps)
        if tags is None:
            tags = read_lines(whole, self.line, self.last_ps)
        self.line += tags.times_ps.size
        self.last_ps = int(tags.times_ps[-1])
        return tags

    def _without_empty_end(self, whole: bytes, *, last: bool) -> bytes:
        """Empty lines may stand at the very end alone: they wait until it is known to be one."""
        kept = whole.rstrip(b"\r\n")
        if self._empty and kept:
            raise DataRefused(f"tags, line {self.line}: it is empty, and tags follow; remove it")
        if not kept:
            self._empty += bool(whole)
            return b""
        end = whole.find(b"\n", len(kept)) + 1
        self._empty += len(whole) > end and not last
        return whole[:end]


def read_lines(text: bytes, line: int, after_ps: int) -> Tags:
    """Read whole lines one by one: the definition. `line` is the number of the first, for errors."""
    times: list[int] = []
    channels: list[int] = []
    for number, content in enumerate(text.removesuffix(b"\n").split(b"\n"), line):
        fields = content.removesuffix(b"\r").decode("latin-1")[:_LONGEST_LINE].split(",")
        if len(fields) != 2:
            raise DataRefused(f"tags, line {number}: {','.join(fields)!r}; must be two whole numbers, {HEADER}")
        values = [_whole(field, most, number) for field, most in zip(fields, _MOST_DIGITS, strict=True)]
        time, channel = values
        if channel > 255:
            raise DataRefused(f"tags, line {number}: channel is {channel}, must be 0 to 255")
        if time < after_ps:
            raise DataRefused(
                f"tags, line {number}: time_ps is {time} after {after_ps}; tags must be in order of time. Sort them"
            )
        after_ps = time
        times.append(time)
        channels.append(channel)
    return Tags(np.array(times, np.int64), np.array(channels, np.uint8))


def read_arrays(text: bytes, after_ps: int) -> Tags | None:
    """Read whole lines, each ended by a line feed, as arrays; None where anything is odd."""
    raw = np.frombuffer(text, np.uint8)
    stops = np.flatnonzero((raw == _COMMA) | (raw == _LINE_FEED))
    if stops.size == 0 or stops.size % 2:
        return None
    starts = np.append(0, stops[:-1] + 1)
    commas, ends = stops[0::2], stops[1::2]
    if (raw[commas] != _COMMA).any() or (raw[ends] != _LINE_FEED).any():
        return None
    widths = ends - starts[1::2] - (raw[ends - 1] == _RETURN)
    if int(widths.max()) > _MOST_DIGITS[1]:
        return None
    times = whole_numbers(raw, starts[0::2], commas - starts[0::2])
    channels = whole_numbers(raw, starts[1::2], widths)
    if times is None or channels is None or int(channels.max()) > 255:
        return None
    if int(times[0]) < after_ps or (times[1:] < times[:-1]).any():
        return None
    return Tags(times, channels.astype(np.uint8))


def encode_lines(chunks: Iterable[Tags]) -> Iterable[bytes]:
    """The text of these tags, in pieces."""
    yield f"{HEADER}\n".encode()
    for tags in chunks:
        rows = zip(tags.times_ps.tolist(), tags.channels.tolist(), strict=True)
        yield "".join(f"{time},{channel}\n" for time, channel in rows).encode()


def _check_header(line: bytes) -> None:
    found = line.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r")
    if found != HEADER.encode():
        raise DataRefused(f"tags, line 1: {found[:40].decode('latin-1')!r}, must be {HEADER}; name the columns so")


def _whole(text: str, digits: int, line: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= digits):
        raise DataRefused(f"tags, line {line}: {text[:40]!r} must be a whole number of at most {digits} digits")
    return int(text)
