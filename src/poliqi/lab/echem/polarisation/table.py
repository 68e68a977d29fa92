"""The text of a polarisation curve: what lines of "#" state, and a table whose columns are known quantities.

Every quantity is turned into SI by the unit that is written with it, and by none else.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ConfigError, DataRefused

__all__ = ["UNITS", "YES", "Column", "ReadAs", "columns_of", "parts_of", "read_as", "stated_number"]

_MOST_ROWS: Final = 200_000
_MOST_COLUMNS: Final = 64
_SHOWN: Final = 60
_LONGEST: Final = 200
"""Of a heading, a value or a name, in characters: patterns are matched against no longer ones."""
_LONGEST_LINE: Final = 10_000
_KELVIN: Final = 273.15

_PRESSURE: Final = {"Pa": 1.0, "kPa": 1e3, "MPa": 1e6, "bar": 1e5, "mbar": 1e2, "atm": 101325.0}
_SHARE: Final = {"1": 1.0, "%": 0.01}
_DENSITY: Final = {"A/m2": 1.0, "A/cm2": 1e4, "mA/cm2": 10.0, "kA/m2": 1e3}
UNITS: Final[dict[str, Mapping[str, float]]] = {
    "temperature": {"K": 1.0, "degC": 1.0},
    "pressure": _PRESSURE,
    "anode_pressure": _PRESSURE,
    "cathode_pressure": _PRESSURE,
    "anode_humidity": _SHARE,
    "cathode_humidity": _SHARE,
    "anode_stoichiometry": {"1": 1.0},
    "cathode_stoichiometry": {"1": 1.0},
    "hydrogen_fraction": _SHARE,
    "oxygen_fraction": _SHARE,
    "flows_constant_below": _DENSITY,
    "koh_mass_fraction": _SHARE,
    "area": {"m2": 1.0, "cm2": 1e-4, "mm2": 1e-6},
    "cells": {"1": 1.0},
    "current_density": _DENSITY,
    "current": {"A": 1.0, "mA": 1e-3, "kA": 1e3},
    "voltage": {"V": 1.0, "mV": 1e-3},
    "stack_voltage": {"V": 1.0, "mV": 1e-3},
}
YES: Final = {"yes": True, "true": True, "no": False, "false": False}
_WORDS: Final = ("device", "cell", "curve", "source", "note", "simulated")
_HEADING: Final = re.compile(r"\s*(.+?)\s*(?:\s/\s*(\S+)|\[\s*([^\[\]]*?)\s*\])?\s*")
_STATED: Final = re.compile(r"\s*([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(\S*)\s*")
_SAID: Final = re.compile(r"([a-z_]+)\s*=\s*(.+?)\s*")


@dataclass(frozen=True, slots=True)
class ReadAs:
    """What somebody says of files: `stated` as in lines of "#", `columns` a heading (with its unit) by quantity."""

    stated: Mapping[str, str]
    columns: Mapping[str, str]


def read_as(stated: Sequence[str], columns: Sequence[str]) -> ReadAs:
    """From words such as "temperature=65 degC" and "current_density=j [mA/cm2]". Raises ConfigError."""
    found: list[dict[str, str]] = []
    for option, known, words in (
        ("--set", {*UNITS, *_WORDS}, stated),
        ("--column", {*UNITS, "curve"}, columns),
    ):
        said: dict[str, str] = {}
        for word in words:
            match = _SAID.fullmatch(word) if len(word) <= _LONGEST and word.isprintable() else None
            if match is None or match[1] not in known:
                raise ConfigError(
                    f"{option} {word!a:.80}: write NAME=VALUE with one of the names {', '.join(sorted(known))}"
                )
            if match[1] in said:
                raise ConfigError(f"{option} {match[1]}: is said twice")
            said[match[1]] = match[2]
        found.append(said)
    return ReadAs(*found)


@dataclass(frozen=True, slots=True)
class Column:
    """One column by its quantity; `values` in SI, nan where the cell is empty, or the words of `curve`."""

    quantity: str
    heading: str
    values: list[float]
    words: list[str]


def parts_of(lines: list[str], file: str, said: ReadAs) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """What lines of "#" state, and the other lines with their numbers."""
    stated: dict[str, str] = {}
    table: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if len(text) > _LONGEST_LINE:
            raise DataRefused(f"{file}, line {number}: {len(text)} characters, at most {_LONGEST_LINE} are read")
        if text.startswith("#"):
            name, colon, value = text.lstrip("# ").partition(":")
            name, value = name.strip(), value.strip()
            if not colon:
                continue
            if name not in UNITS and name not in _WORDS:
                raise DataRefused(
                    f"{file}, line {number}: {name!a:.{_SHOWN}} is no quantity that is known; write one of "
                    f"{', '.join((*_WORDS, *UNITS))}, or put other words under 'note'"
                )
            if not value.isprintable() or len(value) > _LONGEST:
                raise DataRefused(
                    f"{file}, line {number}: {name} has {len(value)} characters, must be at most {_LONGEST}, "
                    "printable; shorten it"
                )
            if name in stated and name != "note":
                raise DataRefused(f"{file}, line {number}: {name} is stated twice; leave one")
            stated[name] = value
        elif text:
            table.append((number, line))
        if len(table) > _MOST_ROWS:
            raise DataRefused(f"{file}: more than {_MOST_ROWS} rows; give the polarisation curve alone")
    _check_simulated(stated, said, file)
    return stated | dict(said.stated), table


def _check_simulated(stated: Mapping[str, str], said: ReadAs, file: str) -> None:
    """What a file says of itself as simulated stays so, whatever is said of it."""
    own, other = stated.get("simulated", "no"), said.stated.get("simulated", "yes")
    if YES.get(own.lower(), True) and not YES.get(other.lower(), True):
        raise DataRefused(
            f"{file}: simulated is {own!a:.{_SHOWN}} there, and --set simulated={other} cannot take that back; "
            "leave it out, or give measured curves"
        )


def columns_of(table: list[tuple[int, str]], file: str, said: ReadAs) -> tuple[dict[str, Column], list[int]]:
    """Columns by quantity, and the number of the line of each row."""
    (first, heading_line), *body = table
    divider = max(",;\t", key=heading_line.count)
    headings = [cell.strip() for cell in next(csv.reader([heading_line], delimiter=divider))]
    if max(map(len, headings)) > _LONGEST:
        raise DataRefused(f"{file}, line {first}: a heading of more than {_LONGEST} characters; shorten it")
    if len(headings) > _MOST_COLUMNS:
        raise DataRefused(f"{file}, line {first}: {len(headings)} columns, at most {_MOST_COLUMNS} are read")
    named = [_named(heading, said, f"{file}, line {first}") for heading in headings]
    columns: dict[str, Column] = {}
    takes: list[tuple[int, Column, float, float]] = []
    for at, (quantity, unit) in enumerate(named):
        if not quantity:
            continue
        if quantity in columns:
            raise DataRefused(
                f"{file}, line {first}: {columns[quantity].heading!r} and {headings[at]!r} are both {quantity}; "
                "name one of them with --column"
            )
        columns[quantity] = Column(quantity, headings[at], [], [])
        factor, offset = (1.0, 0.0) if quantity == "curve" else _unit(quantity, unit, f"{file}, line {first}")
        takes.append((at, columns[quantity], factor, offset))
    missing = [quantity for quantity in said.columns if quantity not in columns]
    if missing:
        raise DataRefused(
            f"{file}, line {first}: no column {said.columns[missing[0]]!a:.{_SHOWN}} (for {missing[0]}); it has "
            f"{', '.join(headings)[:400]}"
        )
    rows: list[int] = []
    for number, line in body:
        try:
            cells = next(csv.reader([line], delimiter=divider))
        except (csv.Error, StopIteration) as error:
            raise DataRefused(
                f"{file}, line {number}: {error}; write numbers, divided like the headings"
            ) from error
        if len(cells) != len(headings):
            raise DataRefused(f"{file}, line {number}: {len(cells)} values under {len(headings)} headings; mend it")
        rows.append(number)
        for at, column, factor, offset in takes:
            if column.quantity == "curve":
                column.words.append(_name(cells[at].strip(), f"{file}, line {number}"))
            else:
                column.values.append(_number(cells[at], column.heading, f"{file}, line {number}") * factor + offset)
    if not rows:
        raise DataRefused(f"{file}: headings, and no row below; give measured points")
    return columns, rows


def _named(heading: str, said: ReadAs, where: str) -> tuple[str, str]:
    """Quantity and unit of a heading; no quantity where the column is none of ours."""
    for quantity, text in said.columns.items():
        match = _HEADING.fullmatch(text)
        name, unit = (match[1], match[2] or match[3] or "") if match is not None else (text, "")
        if heading in (name, text):
            return quantity, unit or _unit_within(heading)
    match = _HEADING.fullmatch(heading)
    if match is None:
        raise DataRefused(f"{where}: a column has no name; name each")
    ours = match[1] in {*UNITS, "curve"} and match[1] not in said.columns
    return (match[1], match[2] or match[3] or "") if ours else ("", "")


def _unit_within(heading: str) -> str:
    match = _HEADING.fullmatch(heading)
    return (match[2] or match[3] or "") if match is not None else ""


def _unit(quantity: str, unit: str, where: str) -> tuple[float, float]:
    """What makes SI of a quantity: factor and offset."""
    units = UNITS[quantity]
    written = unit.replace("²", "2").replace("^", "").replace("°C", "degC")
    if not written and tuple(units) in (("1",), ("1", "%")):
        return 1.0, 0.0
    if not written:
        raise DataRefused(f"{where}: {quantity} has no unit; write one of {', '.join(units)}")
    if written.endswith("g") and written[:-1] in units and quantity.endswith("pressure"):
        raise DataRefused(f"{where}: {quantity} in {unit}, which is over ambient; state it absolute, in bar or kPa")
    if written not in units:
        raise DataRefused(f"{where}: {quantity} in {unit!a:.20}; write one of {', '.join(units)}")
    return units[written], _KELVIN if written == "degC" else 0.0


def _name(text: str, where: str) -> str:
    if not text.isprintable() or len(text) > _LONGEST:
        raise DataRefused(
            f"{where}: the curve's name has {len(text)} characters, must be at most {_LONGEST} printable"
        )
    return text


def _number(text: str, name: str, where: str) -> float:
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataRefused(
            f"{where}: {name} is {text.strip()!a:.{_SHOWN}}, no number; write it with a point, or remove the row"
        )
    return value


def stated_number(quantity: str, text: str, file: str) -> float:
    match = _STATED.fullmatch(text)
    if match is None:
        raise DataRefused(f"{file}: {quantity} is {text!a:.{_SHOWN}}; write a number and its unit, such as 65 degC")
    factor, offset = _unit(quantity, match[2], file)
    return _number(match[1], quantity, file) * factor + offset
