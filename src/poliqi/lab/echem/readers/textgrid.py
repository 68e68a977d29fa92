"""Tables in text: where the names of columns stand, and what parts the fields.

Lines are those of the file, so that errors name them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.readers.naming import named

__all__ = ["Grid", "decoded", "grid_of", "head_lines"]

_SEPARATORS: Final = ("\t", ",", ";", "|")
_MOST_HEAD: Final = 2000
_HEAD_BYTES: Final = 1 << 20
_MOST_FIELDS: Final = 2000
_LEAST_KNOWN: Final = 2
_COMMA: Final = re.compile(r"\d,\d")
_POINT: Final = re.compile(r"\d\.\d")
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,3})?\s*")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table in text. `head_at` is the line of the names, counted from 0; -1 where there are none."""

    path: Path
    data: bytes
    names: tuple[str, ...]
    separator: str
    head_at: int
    comma: bool
    """Whether a comma is the decimal sign."""

    @property
    def first_line(self) -> int:
        """The line of the first row, counted from 1."""
        return self.head_at + 2


def head_lines(data: bytes) -> list[str]:
    """The first lines of a text, at most 2,000 of its first MiB."""
    lines = decoded(data[:_HEAD_BYTES]).split("\n", _MOST_HEAD)
    return [line.rstrip("\r") for line in lines[:_MOST_HEAD]]


def decoded(data: bytes) -> str:
    """UTF-8, or else Windows' Western one, which old programs write. A character cut at the end is left out."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 3:
            return data[: error.start].decode()
        return data.decode("cp1252", "replace")


def grid_of(path: Path, data: bytes, *, head_at: int | None = None) -> Grid:
    """Find the table. `head_at` is the line of its names, from 0, where the format says that.

    Otherwise it is the line with the most known names of columns, two or more, or the first of a table of numbers,
    whose columns are then named "1", "2" and so on. Raises DataRefused.
    """
    lines = head_lines(data)
    if head_at is not None:
        found = (head_at, max(_SEPARATORS, key=lines[head_at].count)) if head_at < len(lines) else None
    else:
        found = _named_line(lines) or _numbers_line(lines)
    if found is None:
        raise DataRefused(
            f"{path}: no table in its first {len(lines)} lines: neither a line with names of columns such as "
            "'Voltage / V', nor rows of numbers; export it with a line of names"
        )
    at, separator = found
    has_names = head_at is not None or not _is_numeric(lines[at].split(separator))
    fields = _fields(lines[at], separator)
    if len(fields) > _MOST_FIELDS:
        raise DataRefused(f"{path}: {len(fields)} columns; at most {_MOST_FIELDS} are read")
    comma = separator != "," and _has_decimal_commas(lines[at + has_names :])
    names = tuple(fields) if has_names else tuple(str(number + 1) for number in range(len(fields)))
    return Grid(path, data, names, separator, at if has_names else at - 1, comma)


def _fields(line: str, separator: str) -> list[str]:
    fields = [field.strip().strip('"').strip() for field in line.split(separator)]
    while len(fields) > 1 and not fields[-1]:
        fields.pop()
    return fields


def _has_decimal_commas(rows: Sequence[str]) -> bool:
    return any(_COMMA.search(row) for row in rows) and not any(_POINT.search(row) for row in rows)


def _named_line(lines: Sequence[str]) -> tuple[int, str] | None:
    """The line with the most known names, two or more: the first of those."""
    best, found = _LEAST_KNOWN - 1, None
    for at, line in enumerate(lines):
        for separator in _SEPARATORS:
            if not 0 < line.count(separator) < 2 * _MOST_FIELDS:
                continue
            if _is_numeric(line.split(separator)):
                continue
            known = {one.role for field in _fields(line, separator) if (one := named(field)) is not None}
            if len(known) > best:
                best, found = len(known), (at, separator)
    return found


def _numbers_line(lines: Sequence[str]) -> tuple[int, str] | None:
    """The first of two lines with equally many fields, three or more, half of them numbers.

    Or the line above it, where that has as many fields: names that nobody knows, but somebody can tell.
    """
    for at in range(len(lines) - 1):
        for separator in _SEPARATORS:
            fields = lines[at].split(separator)
            if len(fields) >= 3 and _is_numeric(fields) and lines[at + 1].count(separator) == len(fields) - 1:
                has_names = at > 0 and lines[at - 1].count(separator) == len(fields) - 1
                return at - has_names, separator
    return None


def _is_numeric(fields: Sequence[str]) -> bool:
    """Whether half of the fields or more are numbers."""
    if len(fields) > _MOST_FIELDS:
        return False
    return 2 * sum(_NUMBER.fullmatch(field[:60]) is not None for field in fields) >= len(fields)
