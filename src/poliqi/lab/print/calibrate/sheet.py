"""The sheet of a calibration: a line of CSV for each line printed, to be filled with its width and height."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import DataRefused

__all__ = ["COLUMNS", "MOST_BYTES", "Row", "read_sheet", "sheet_bytes"]

COLUMNS: Final = (
    "label", "x_um", "y_um", "z_um", "power_mw", "speed_mm_s", "width_um", "width_sigma_um", "height_um",
    "height_sigma_um",
)  # fmt: skip
_NEEDED: Final = ("power_mw", "speed_mm_s", "width_um")
MOST_BYTES: Final = 4 << 20
_MOST_ROWS: Final = 10_000
_LARGEST: Final = 1e6
_LIMITS: Final = {
    "power_mw": (1e-6, 1e6),
    "speed_mm_s": (1e-4, 1e6),
    "width_um": (1e-4, 1e4),
    "width_sigma_um": (1e-6, 1e4),
    "height_um": (1e-4, 1e4),
    "height_sigma_um": (1e-6, 1e4),
}
"""Least and most of what is above 0; those of a profile."""
_LABEL: Final = 40


@dataclass(frozen=True, slots=True)
class Row:
    """A line: its label, place of its middle, power and speed, and what was measured of it (None: nothing).

    A width of 0 says that nothing was printed.
    """

    label: str
    power_mw: float
    speed_mm_s: float
    width_um: float | None = None
    width_sigma_um: float | None = None
    height_um: float | None = None
    height_sigma_um: float | None = None
    x_um: float | None = None
    y_um: float | None = None
    z_um: float | None = None

    @property
    def dose(self) -> float:
        """Power squared by speed, mW^2 s/mm."""
        return self.power_mw**2 / self.speed_mm_s


def sheet_bytes(rows: Sequence[Row]) -> bytes:
    """The sheet as CSV; what was not measured stays empty."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = [getattr(row, name) for name in COLUMNS]
        writer.writerow(["" if value is None else value for value in values])
    return out.getvalue().encode()


def read_sheet(data: bytes, name: str = "sheet") -> list[Row]:
    """The rows of a sheet; `name` is told in errors. Raises DataRefused, naming the line and the column."""
    if len(data) > MOST_BYTES:
        raise DataRefused(f"{name}: more than {MOST_BYTES} bytes; a sheet of {_MOST_ROWS} lines is smaller")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataRefused(f"{name}: byte {error.start} is not UTF-8; save it as CSV in UTF-8") from None
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataRefused(f"{name}: not CSV ({error}); save it anew with commas between the columns") from None
    if not lines:
        raise DataRefused(f"{name}: empty; fill the sheet that `poliqi lab print calibrate array` wrote")
    head = [one.strip() for one in lines[0]]
    _check_head(head, name)
    body = [(at, line) for at, line in enumerate(lines[1:], 2) if any(cell.strip() for cell in line)]
    if len(body) > _MOST_ROWS:
        raise DataRefused(f"{name}: {len(body)} lines; at most {_MOST_ROWS}")
    return [_row(head, line, f"{name}: line {at}") for at, line in body]


def _check_head(head: list[str], name: str) -> None:
    if len(head) == 1 and ";" in head[0]:
        raise DataRefused(f"{name}: semicolons between the columns; save it with commas, and points in numbers")
    for column in head:
        if column not in COLUMNS:
            raise DataRefused(f"{name}: column {column!a:.60} is not known; known are {', '.join(COLUMNS)}")
    for column in _NEEDED:
        if column not in head:
            raise DataRefused(f"{name}: column {column} is missing; needed are {', '.join(_NEEDED)}")
    twice = [column for column in head if head.count(column) > 1]
    if twice:
        raise DataRefused(f"{name}: column {twice[0]} stands there twice; leave one out")


def _row(head: list[str], line: list[str], where: str) -> Row:
    if len(line) != len(head):
        raise DataRefused(f"{where}: {len(line)} values for {len(head)} columns")
    cells = {column: cell.strip() for column, cell in zip(head, line, strict=True)}
    numbers = {column: _number(cell, where, column) for column, cell in cells.items() if column != "label"}
    power, speed = numbers["power_mw"], numbers["speed_mm_s"]
    if power is None or speed is None or power <= 0 or speed <= 0:
        raise DataRefused(f"{where}: power_mw and speed_mm_s are above 0; fill them in")
    for column in ("width_um", "height_um"):
        value = numbers.get(column)
        if value is not None and value < 0:
            raise DataRefused(f"{where}: {column} {value:g} is below 0; 0 says that nothing was printed")
    for column in ("width_sigma_um", "height_sigma_um"):
        value = numbers.get(column)
        if value is not None and value <= 0:
            raise DataRefused(f"{where}: {column} {value:g} is not above 0; leave it empty where it is not known")
    for column, (least, most) in _LIMITS.items():
        value = numbers.get(column)
        if value is not None and value > 0 and not least <= value <= most:
            raise DataRefused(
                f"{where}: {column} {value:g} is outside {least:g} to {most:g}; check it and its unit"
            )
    rest = {column: value for column, value in numbers.items() if column not in ("power_mw", "speed_mm_s")}
    return Row(cells.get("label", "")[:_LABEL], power, speed, **rest)


def _number(cell: str, where: str, column: str) -> float | None:
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST:
        raise DataRefused(f"{where}: {column} {cell!a:.40} is not a number up to {_LARGEST:g}")
    return value
