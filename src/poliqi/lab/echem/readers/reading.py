"""Any file of a cycler or potentiostat as one record: the table of formats, and what all of them are held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.readers import (
    arbin_access,
    biologic_binary,
    biologic_text,
    delimited,
    maccor,
    neware,
    parquet,
    spreadsheet,
)
from poliqi.lab.echem.readers.capacities import check_charges
from poliqi.lab.echem.readers.choosing import Chosen, choose
from poliqi.lab.echem.readers.naming import Role
from poliqi.lab.echem.readers.options import ReadOptions
from poliqi.lab.echem.readers.ordering import in_order
from poliqi.lab.echem.readers.signs import signed
from poliqi.lab.echem.readers.table import Floats, Table
from poliqi.lab.echem.readers.timeline import Row, check_counter, check_gaps, check_numbers, kept_points
from poliqi.lab.echem.readers.windows import check_window
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["FORMATS", "Format", "read_record"]

T = TypeVar("T", bound=np.generic)
_HEAD: Final = 1 << 16
_S_PER_H: Final = 3600.0
_LARGEST_COUNT: Final = 2**53


@dataclass(frozen=True, slots=True)
class Format:
    """One format of file: by what it is known, and what reads it."""

    name: str
    endings: tuple[str, ...]
    is_it: Callable[[bytes, str], bool]
    """By the first 64 KiB and the ending, in lower case."""
    read: Callable[[Path, ReadOptions], Table]


FORMATS: Final = (
    Format(
        "BioLogic EC-Lab, binary (galvani)",
        (".mpr",),
        lambda head, _: head.startswith(biologic_binary.MAGIC),
        biologic_binary.read_biologic_binary,
    ),
    Format(
        "BioLogic EC-Lab, text",
        (".mpt",),
        lambda head, _: head.startswith(biologic_text.MAGIC),
        biologic_text.read_biologic_text,
    ),
    Format(
        "Neware (NewareNDA)",
        (".nda", ".ndax"),
        lambda head, ending: head.startswith(neware.NDA_MAGIC) or ending in (".nda", ".ndax"),
        neware.read_neware,
    ),
    Format(
        "Arbin database",
        (".res",),
        lambda head, _: head.startswith(arbin_access.MAGIC),
        arbin_access.read_arbin_access,
    ),
    Format("Excel", (".xlsx",), lambda head, _: head.startswith(spreadsheet.MAGIC), spreadsheet.read_spreadsheet),
    Format("Parquet, BDF", (".parquet",), lambda head, _: head.startswith(parquet.MAGIC), parquet.read_parquet),
    Format("Maccor text", (".txt", ".001"), lambda head, _: maccor.is_maccor(head), maccor.read_maccor),
    Format(
        "text with columns: BDF, Arbin csv, public archives, your own",
        (".csv", ".bdf", ".txt", ".tsv", ".dat", ".gz"),
        lambda _head, _ending: True,
        delimited.read_delimited,
    ),
)
"""In the order in which they are tried."""


def read_record(path: Path, options: ReadOptions | None = None) -> CyclingRecord:
    """The record in a file of any of `FORMATS`, its current positive where the cell is charged.

    Raises ConfigError (the file cannot be opened, a package is missing, an option names what is not there) and
    DataRefused: time, voltage or current missing, unit or sign not stated or contradicted by the data, time that
    goes back or repeats, gaps, counters that fall, voltage outside a window, a file that is cut off.
    """
    said = options or ReadOptions()
    return _record(choose(_table(path, said), said), said)


def _table(path: Path, options: ReadOptions) -> Table:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}; name a file of a cycler or potentiostat"
        ) from error
    ending = path.suffix.lower()
    if not head:
        raise DataRefused(f"{path} is empty; copy it again")
    table = next(one for one in FORMATS if one.is_it(head, ending)).read(path, options)
    if options.sheet and not table.source_format.endswith(".xlsx"):
        raise ConfigError(f"--sheet {options.sheet!r}: {path} is {table.source_format}, which has no sheets")
    return table


def _record(chosen: Chosen, options: ReadOptions) -> CyclingRecord:
    """Columns in SI, checked one after another, and put together."""
    chosen = in_order(chosen)
    table = chosen.table
    where = str(table.path)
    time_s, voltage_v = (_required(chosen, role) for role in (Role.TIME, Role.VOLTAGE))
    numbers = chosen.numbers(Role.NUMBER)
    notes = (*table.notes, *_taken(chosen), *check_numbers(where, numbers, options, _row(table, None)))
    current_a, how = _current(chosen, time_s)
    time_s, kept, told = kept_points(where, time_s, options.repeated, _row(table, None))
    raw_s = time_s if kept is None else _required(chosen, Role.TIME)
    rows = table.rows
    current_a, by_sign = signed(chosen, current_a, voltage_v, rows, options)
    notes = (*notes, *how, *told, *by_sign)
    if not options.ignore_counters:
        notes += check_charges(chosen, raw_s, current_a)
    row = _row(table, kept)
    if kept is not None:
        voltage_v, current_a = voltage_v[kept], current_a[kept]
    cycle, step = (_thin(_counted(chosen, role), kept) for role in (Role.CYCLE, Role.STEP))
    notes += check_gaps(where, time_s, current_a, options, row)
    if Role.CYCLE in chosen:
        notes += check_counter(where, chosen.name(Role.CYCLE), cycle, options, row)
    if options.window_v is not None:
        check_window(where, voltage_v, options.window_v, options.window_of, row)
    temperature, of_surface = _temperature(chosen)
    return CyclingRecord(
        time_s,
        voltage_v,
        current_a,
        _thin(temperature, kept),
        cycle,
        step,
        _thin(rows, kept) if rows is not None else None if kept is None else kept.astype(np.int64) + 1,
        _started(chosen),
        table.path.name,
        table.source_format,
        (*notes, *of_surface),
        simulated=_simulated(chosen),
    )


def _taken(chosen: Chosen) -> tuple[str, ...]:
    """Which column of the voltage was taken, where there are several."""
    others = chosen.others(Role.VOLTAGE)
    if not others:
        return ()
    return (f"the voltage is {chosen.name(Role.VOLTAGE)!r}; left aside: {', '.join(map(repr, others[:4]))}",)


def _row(table: Table, kept: NDArray[np.int64] | None) -> Row:
    """Says where a point of those that are kept stands."""

    def said(point: int) -> str:
        at = point if kept is None else int(kept[point])
        return f"{table.row_word} {at + 1 if table.rows is None else table.rows[at]}"

    return said


def _required(chosen: Chosen, role: Role) -> Floats:
    """A column without holes. Raises DataRefused."""
    numbers = chosen.numbers(role)
    assert numbers is not None  # choosing refuses a table without it
    if not bool(np.isfinite(numbers.sum())) and not bool(np.all(np.isfinite(numbers))):
        at = int(np.argmin(np.isfinite(numbers)))
        raise DataRefused(
            f"{chosen.table.path}: {_row(chosen.table, None)(at)}: no number in column {chosen.name(role)!r} (the "
            f"{role}); mend the row, or leave it out"
        )
    return numbers


def _current(chosen: Chosen, time_s: Floats) -> tuple[Floats, tuple[str, ...]]:
    """The current, or what the charge of each interval says of its mean."""
    if Role.CURRENT in chosen:
        return _required(chosen, Role.CURRENT), ()
    moved = _required(chosen, Role.MOVED)
    step = np.diff(time_s, prepend=time_s[0])
    if bool(np.any((step == 0) & (moved != 0))):
        at = int(np.argmax((step == 0) & (moved != 0)))
        raise DataRefused(
            f"{chosen.table.path}: {_row(chosen.table, None)(at)}: charge moved in no time, and no column of the "
            "current is in it; export it with the current"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        current = np.where(step == 0, 0.0, moved * _S_PER_H / step)
    said = "no column of the current: it is the mean over the interval before each point, by"
    return current, (f"{said} {chosen.name(Role.MOVED)!r}",)


def _counted(chosen: Chosen, role: Role) -> NDArray[np.int64] | None:
    """A counter of the cycler's; None where it is not one of whole numbers."""
    numbers = chosen.numbers(role)
    if numbers is None or not bool(np.all(np.abs(numbers) < _LARGEST_COUNT)):
        return None
    counted = numbers.astype(np.int64)
    return counted if bool(np.all(counted == numbers)) else None


def _temperature(chosen: Chosen) -> tuple[Floats | None, tuple[str, ...]]:
    """Of the cell's surface, None where the file leaves it empty; and whether that is an assumption."""
    numbers = chosen.numbers(Role.TEMPERATURE)
    if numbers is None or not bool(np.any(np.isfinite(numbers))):
        return None, ()
    name = chosen.name(Role.TEMPERATURE)
    said = any(word in name.lower() for word in ("surface", "cell", "t1"))
    return numbers, () if said else (f"{name!r} was taken for the temperature of the cell's surface",)


def _started(chosen: Chosen) -> float | None:
    """The wall clock at time 0, to the microsecond, where the file tells it in seconds of Unix."""
    unix, time_s = chosen.numbers(Role.UNIX), chosen.numbers(Role.TIME)
    if unix is None or time_s is None or not bool(np.isfinite(unix[0])):
        return None
    return round(float(unix[0] - time_s[0]), 6)


def _simulated(chosen: Chosen) -> bool:
    numbers = chosen.numbers(Role.SIMULATED)
    return numbers is not None and bool(np.any(numbers != 0))


def _thin(values: NDArray[T] | None, kept: NDArray[np.int64] | None) -> NDArray[T] | None:
    return values if values is None or kept is None else values[kept]
