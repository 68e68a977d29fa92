"""Tables of text whose header says what each column is and in which unit: "E / V", "I (mA)", "Ewe/V", "time [s]".

A column without a unit is refused unless the caller states it: no unit is ever assumed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.readers.filebytes import text_bytes

__all__ = ["Stated", "UnitTable", "Wanted", "read_stated", "read_unit_table", "unit_table"]

Floats = NDArray[np.float64]
_OPTION: Final = "--column"
_MOST_BYTES: Final = 64 << 20
_MOST_HEAD_LINES: Final = 300
_MOST_LINES: Final = 1_000_000
_MOST_COLUMNS: Final = 1000
_LONGEST_HEAD: Final = 200
_SIMULATED: Final = "simulated"
_SEPARATORS: Final = ("\t", ";", ",", None)
_BRACKETS: Final = re.compile(r"(.*?)\s*[(\[]([^()\[\]]{0,40})[)\]]\s*")
_SLASH: Final = re.compile(r"([^/]*?)\s*/\s*(.{1,40}?)\s*")
_STATED: Final = re.compile(r"([a-z_ ]{1,40}?)\s*=\s*(.{1,100}?)\s*\[([^\[\]]{1,20})\]\s*")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_MAYBE_NUMBER: Final = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d{1,3})?")
_DECIMAL_COMMA: Final = re.compile(r"\d,\d")
_DECIMAL_POINT: Final = re.compile(r"\d\.\d")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column: the names it goes by, in lower case, and its units with the factor to the unit wanted."""

    names: tuple[str, ...]
    units: Mapping[str, float]
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Stated:
    """What the caller says of a column: its name in the header or its number from 1, and its unit."""

    column: str
    unit: str


@dataclass(frozen=True, slots=True)
class UnitTable:
    """`columns` by field, each (n,), in the unit wanted; `rows` (n,) lines of the file, counted from 1."""

    columns: Mapping[str, Floats]
    units: Mapping[str, str]
    """What the file has, such as "mA"."""
    rows: NDArray[np.int64]
    title: str
    remarks: tuple[str, ...] = ()
    """Lines before the header."""
    simulated: bool = False
    """Whether the column "Simulated / 1" that POLIQI writes beside calculated data says so in any row."""


@dataclass(frozen=True, slots=True)
class _Text:
    """Lines, where the numbers begin, what parts the columns, whether a comma is the decimal sign."""

    lines: Sequence[str]
    first: int
    separator: str | None
    has_comma: bool
    title: str

    def cells(self, at: int) -> list[str]:
        """Fields of a line; an empty one that a separator at its end leaves is none."""
        return _cells(self.lines[at], self.separator)


def read_stated(texts: Iterable[str], fields: Iterable[str], option: str = _OPTION) -> dict[str, Stated]:
    """FIELD=COLUMN [unit], such as "potential=2 [V]" or "current=I total [mA]". Raises ConfigError."""
    known, found = tuple(fields), dict[str, Stated]()
    for text in texts:
        said = _STATED.fullmatch(text.strip())
        if said is None or said[1] not in known:
            raise ConfigError(
                f"{option} {text!a:.80}: give FIELD=NAME or NUMBER [unit], such as '{known[0]}=1 [V]'; fields: "
                f"{', '.join(known)}"
            )
        found[said[1]] = Stated(said[2], said[3])
    return found


def read_unit_table(
    path: Path,
    wanted: Mapping[str, Wanted],
    stated: Mapping[str, Stated] | None = None,
    option: str = _OPTION,
) -> UnitTable:
    """The columns of a file of text. Raises ConfigError, DataRefused naming file, column and row.

    `option` is by which `stated` is said, for errors.
    """
    return unit_table(text_bytes(path, _MOST_BYTES), wanted, stated, str(path), option)


def unit_table(
    data: bytes,
    wanted: Mapping[str, Wanted],
    stated: Mapping[str, Stated] | None = None,
    title: str = "table",
    option: str = _OPTION,
) -> UnitTable:
    """The columns of a text with comma, semicolon, tab or spaces between. Raises DataRefused."""
    text = _text(data, title)
    width = len(text.cells(text.first))
    head = _names(text, width)
    places: dict[str, int] = {}
    units: dict[str, str] = {}
    for field, one in wanted.items():
        found = _place(field, one, head, (stated or {}).get(field), title, option)
        if found is not None:
            places[field], units[field] = found
            if found[0] >= width:
                raise DataRefused(f"{title}: {field} is said to be column {found[0] + 1} of {width}")
    at = next((at for at, name in enumerate(head) if _head(name) in ((_SIMULATED, "1"), (_SIMULATED, ""))), None)
    flag = {} if at is None else {_SIMULATED: at}
    values, rows = _numbers(text, places | flag, width)
    columns = {field: values[field] * wanted[field].units[units[field]] for field in places}
    remarks = tuple(text.lines[: max(text.first - 1, 0)])
    return UnitTable(columns, units, rows, title, remarks, bool(flag) and bool(np.any(values[_SIMULATED])))


def _text(data: bytes, title: str) -> _Text:
    """Raises DataRefused where no line of numbers is near the top, or lines are too many."""
    if data.count(b"\n") > _MOST_LINES:
        raise DataRefused(f"{title}: more than {_MOST_LINES:,} lines; leave out what is not evaluated")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        whole = data.decode("cp1252", "replace")  # what older Windows programs write
    lines = [line.rstrip("\r") for line in whole.split("\n")]
    for at, line in enumerate(lines[:_MOST_HEAD_LINES]):
        for separator in _SEPARATORS:
            cells = _cells(line, separator)
            filled = [cell for cell in cells if cell]
            if not filled or not 1 < len(cells) <= _MOST_COLUMNS or not all(map(_MAYBE_NUMBER.fullmatch, filled)):
                continue
            has_comma = separator != "," and _has_decimal_commas(lines[at : at + _MOST_HEAD_LINES])
            if has_comma or all(map(_NUMBER.fullmatch, filled)):
                return _Text(lines, at, separator, has_comma, title)
    raise DataRefused(
        f"{title}: no row of numbers in its first {min(len(lines), _MOST_HEAD_LINES)} lines; give a table "
        "with a line "
        "of names with units, and commas, semicolons, tabs or spaces between the columns"
    )


def _has_decimal_commas(rows: Sequence[str]) -> bool:
    """Whether a comma is the decimal sign of rows, of which the first may be of whole numbers."""
    return any(map(_DECIMAL_COMMA.search, rows)) and not any(map(_DECIMAL_POINT.search, rows))


def _cells(line: str, separator: str | None) -> list[str]:
    """Fields of a line; of one with too many, the last is all the rest."""
    cells = [cell.strip().strip('"') for cell in line.split(separator, _MOST_COLUMNS)]
    return cells[:-1] if separator is not None and len(cells) > 1 and not cells[-1] else cells


def _names(text: _Text, width: int) -> list[str]:
    """The line above the numbers where it has as many fields, else nothing."""
    above = next((at for at in range(text.first - 1, -1, -1) if text.lines[at].strip()), None)
    if above is None:
        return []
    names = _cells(text.lines[above].strip().lstrip("#"), text.separator)
    if len(names) != width and text.separator is None:
        names = re.split(r"\s{2,}", text.lines[above].strip().lstrip("#").strip())  # with single spaces in them
    return names if len(names) == width else []


def _place(
    field: str, wanted: Wanted, head: Sequence[str], stated: Stated | None, title: str, option: str
) -> tuple[int, str] | None:
    """Column and unit of a field; None where it is not there and not needed."""
    if stated is not None:
        return _stated_at(field, stated.column, head, title, option), _unit(field, stated.unit, wanted, title)
    parsed, example = [_head(name) for name in head], next(iter(wanted.units))
    for name in wanted.names:
        hits = [at for at, (said, _) in enumerate(parsed) if said == name]
        if len(hits) > 1:
            raise DataRefused(
                f"{title}: {len(hits)} columns are named {head[hits[0]]!a:.60}; say which: {option} "
                f"'{field}=NUMBER [{example}]'"
            )
        if hits and not parsed[hits[0]][1]:
            raise DataRefused(
                f"{title}: column {head[hits[0]]!a:.60} states no unit; name it '{head[hits[0]][:40]} / "
                f"{example}', or "
                f"say: {option} '{field}={hits[0] + 1} [{example}]'"
            )
        if hits:
            return hits[0], _unit(field, parsed[hits[0]][1], wanted, title)
    if not wanted.is_needed:
        return None
    there = ", ".join(head)[:200] or "no names"
    raise DataRefused(
        f"{title}: no column of {field} ({', '.join(wanted.names[:6])}; there: {there!a}); say which: {option} "
        f"'{field}=NUMBER [{example}]'"
    )


def _head(name: str) -> tuple[str, str]:
    """Name in lower case and unit, "" where none is written: "Ewe/V vs. RHE" is ("ewe", "V").

    A heading of more than 200 characters is nobody's column.
    """
    if len(name) > _LONGEST_HEAD:
        return "", ""
    found = _BRACKETS.fullmatch(name.strip()) or _SLASH.fullmatch(name.strip())
    words, unit = (name, "") if found is None else (found[1], found[2])
    return words.strip().lower().strip("<>|"), unit.split(" vs")[0].strip()


def _stated_at(field: str, column: str, head: Sequence[str], title: str, option: str) -> int:
    if re.fullmatch(r"[0-9]{1,4}", column) and int(column) > 0:
        return int(column) - 1
    hits = [at for at, name in enumerate(head) if name == column or _head(name)[0] == column.lower()]
    if len(hits) != 1:
        raise DataRefused(
            f"{title}: {len(hits) or 'no'} columns are named {column!a:.60}, which {option} says for {field}; "
            "give its "
            f"number (there: {', '.join(head)[:200]!a})"
        )
    return hits[0]


def _unit(field: str, unit: str, wanted: Wanted, title: str) -> str:
    spelled = _spelled(unit)
    for known in wanted.units:
        if spelled == _spelled(known):
            return known
    raise DataRefused(f"{title}: {field} is in {unit!a:.40}; units that are read: {', '.join(wanted.units)}")


def _spelled(unit: str) -> str:
    """Without what programs write differently: mA/cm2, mA cm-2, mA·cm^-2."""
    for old, new in (("²", "2"), ("µ", "u"), ("μ", "u"), ("^", ""), ("·", ""), (".", ""), (" ", ""), ("-", "")):
        unit = unit.replace(old, new)
    return unit.replace("/", "")


def _numbers(text: _Text, places: Mapping[str, int], width: int) -> tuple[dict[str, Floats], NDArray[np.int64]]:
    read: dict[str, list[float]] = {field: [] for field in places}
    rows: list[int] = []
    last = max(at for at, line in enumerate(text.lines) if line.strip())
    for at in range(text.first, last + 1):
        if not text.lines[at].strip():
            continue
        cells = text.cells(at)
        if len(cells) <= max(places.values()):
            why = "the file is cut off there" if at == last else "mend it"
            raise DataRefused(f"{text.title}: row {at + 1} has {len(cells)} columns, the first has {width}: {why}")
        for field, place in places.items():
            cell = cells[place].replace(",", ".") if text.has_comma else cells[place]
            value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
            if not math.isfinite(value):
                raise DataRefused(
                    f"{text.title}: {field} in row {at + 1} is {cells[place]!a:.40}, must be a number"
                )
            read[field].append(value)
        rows.append(at + 1)
    return {field: np.array(column) for field, column in read.items()}, np.array(rows, dtype=np.int64)
