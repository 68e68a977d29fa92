"""A spectrum out of a file, or the reason why not, with field, file and row."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.eis.columns import Column, Kind, column_of, columns_of
from poliqi.lab.echem.eis.layouts import LAYOUTS, Block
from poliqi.lab.echem.eis.palmsens import is_palmsens, palmsens_blocks
from poliqi.lab.echem.spectrum import Spectrum

__all__ = ["FORMATS", "check_density", "read_spectrum", "sweeps_of"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
_Points = tuple[Floats, Complexes, NDArray[np.int64]]

FORMATS: Final = (*(one.name for one in LAYOUTS), "palmsens", "mpr")
_MOST_BYTES: Final = 32 << 20
_MOST_POINTS: Final = 100_000
_MOST_LINES: Final = 10 * _MOST_POINTS
"""A format has nine lines a point."""
_ENDS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What str.splitlines takes for the end of a line."""
_LEAST_POINTS: Final = 6
_MOST_EVALUATED: Final = 2000
_LEAST_A_DECADE: Final = 3.0
_SAME: Final = 1e-4
"""Frequencies nearer to each other than this share are the same one."""
_SHEETS: Final = (".xlsx", ".xls", ".ods")
_NO_END: Final = "the last line has no end: should the file be cut off there, its last number is short"
_COMPLEX: Final = (Kind.REAL, Kind.IMAGINARY)
_POLAR: Final = (Kind.MODULUS, Kind.PHASE)


def read_spectrum(
    path: Path,
    *,
    columns: Sequence[str] = (),
    sweep: int | None = None,
    limits_hz: tuple[float, float] | None = None,
) -> Spectrum:
    """The spectrum of a file of any known format, frequencies falling.

    `columns` are heads with units in place of those in the file, such as ("frequency/Hz", "Re(Z)/Ohm",
    "-Im(Z)/Ohm"). `sweep` counts from 1 where the file holds several. `limits_hz` keeps a part. Raises DataRefused
    that names field, file and row; ConfigError for `columns` that say nothing.
    """
    found, source = _blocks(path, tuple(columns))
    spectra = [one for block in found for one in sweeps_of(block, str(path))]
    if sweep is None and len(spectra) > 1:
        told = "; ".join(f"{at}: {one.frequency_hz.size} points" for at, one in enumerate(spectra[:9], 1))
        raise DataRefused(f"{path}: {len(spectra)} sweeps of frequency ({told}); choose one with --sweep")
    if not 1 <= (sweep or 1) <= len(spectra):
        raise DataRefused(f"{path}: --sweep {sweep} of {len(spectra)}; give 1 to {len(spectra)}")
    spectrum = replace(spectra[(sweep or 1) - 1], title=path.name, source_format=source)
    return spectrum if limits_hz is None else _within(spectrum, limits_hz)


def check_density(spectrum: Spectrum) -> None:
    """Refuse what is too thin to be evaluated (6 points, 3 a decade), or has more than 2,000 (DataRefused)."""
    f = spectrum.frequency_hz
    if not _LEAST_POINTS <= f.size <= _MOST_EVALUATED:
        wanted = f"{_LEAST_POINTS} or more" if f.size < _LEAST_POINTS else f"{_MOST_EVALUATED} at most"
        raise DataRefused(f"{spectrum.title}: {f.size} frequencies; give {wanted}")
    gaps = np.log10(f[:-1] / f[1:])
    each = (f.size - 1) / float(gaps.sum())
    at = int(np.argmax(gaps))
    if each < _LEAST_A_DECADE or gaps[at] > 1:
        raise DataRefused(
            f"{spectrum.title}: {each:.2g} points a decade, the widest gap from {f[at]:g} to {f[at + 1]:g} Hz; "
            f"measure {_LEAST_A_DECADE:g} a decade or more, or leave a part out with --range"
        )


def sweeps_of(block: Block, name: str) -> list[Spectrum]:
    """The spectra of a table: a new one where a cycle is counted up, or where frequency returns.

    Raises DataRefused for missing columns or units, cells that are no numbers, and frequencies that are not
    positive or come twice. All are simulated where the column of that name says so in any row.
    """
    f, z, rows, cycle, simulated = _numbers(block, name)
    notes = list(block.notes)
    if block.with_direct and bool(np.any(f == 0)):
        notes.append(f"{int(np.sum(f == 0))} rows at 0 Hz are none of the sweep and were left out")
        kept = f != 0
        f, z, rows, cycle = f[kept], z[kept], rows[kept], cycle[kept]
    if not f.size:
        raise DataRefused(f"{name}: the table holds no point; name a file of impedance")
    if not bool(np.all(f > 0)):
        at = int(np.argmin(f > 0))
        raise DataRefused(
            f"{name}: row {rows[at]}: frequency {f[at]:g} Hz; frequencies are positive: take the row out"
        )
    found = [_sorted(part, name, tuple(notes)) for part in _parted(f, z, rows, cycle)]
    return [replace(one, simulated=True) for one in found] if simulated else found


def _parted(f: Floats, z: Complexes, rows: NDArray[np.int64], cycle: Floats) -> list[_Points]:
    """One part a cycle, and a new one where a frequency comes again, as in a second sweep or on the way back."""
    parts: list[_Points] = []
    for one in dict.fromkeys(cycle.tolist()):
        inside = np.flatnonzero(cycle == one)
        cuts, seen = [0], set[int]()
        logs = np.log(f[inside])
        for at, place in enumerate(np.round(logs / _SAME).astype(np.int64).tolist()):
            if place in seen and not _is_twice(logs, at):
                cuts.append(at)
                seen.clear()
            seen.add(place)
        cuts.append(inside.size)
        parts += [(f[part], z[part], rows[part]) for part in (inside[a:b] for a, b in itertools.pairwise(cuts))]
    return parts


def _is_twice(logs: Floats, at: int) -> bool:
    """Whether a point repeats the one before it, and the sweep does not turn there."""
    if logs[at] != logs[at - 1]:
        return False
    turns = 1 < at < logs.size - 1 and (logs[at + 1] - logs[at]) * (logs[at - 1] - logs[at - 2]) < 0
    return not turns


def _sorted(points: _Points, name: str, notes: tuple[str, ...]) -> Spectrum:
    order = np.argsort(-points[0], kind="stable")
    f, z, rows = points[0][order], points[1][order], points[2][order]
    same = np.flatnonzero(f[1:] == f[:-1])
    if same.size:
        at = int(same[0])
        raise DataRefused(
            f"{name}: rows {rows[at]} and {rows[at + 1]} are both at {f[at]:g} Hz; a frequency comes once in a "
            "sweep: take one out"
        )
    return Spectrum(f, z, title=name, notes=notes, is_rising=bool(points[0][0] < points[0][-1]))


def _numbers(block: Block, name: str) -> tuple[Floats, Complexes, NDArray[np.int64], Floats, bool]:
    """Frequency, impedance (of Re Z and Im Z, else of |Z| and phase), rows, cycle; whether they are simulated."""
    found, lacking = columns_of(block.heads, block.units)
    wanted = next((pair for pair in (_COMPLEX, _POLAR) if all(kind in found for kind in pair)), None)
    if Kind.FREQUENCY not in found or wanted is None:
        missing = [kind.value for kind in (Kind.FREQUENCY, *(() if wanted else _COMPLEX)) if kind not in found] or [
            "Re Z and Im Z"
        ]
        units = f"; no unit of Hz or ohm is told with {', '.join(lacking[:4])}" if lacking else ""
        heads = ", ".join(f"{head.strip()!a:.24}" for head in block.heads[:12])
        raise DataRefused(
            f"{name}: no column of {', '.join(missing)} among {heads}{units}; say what they are with --columns, "
            "such as frequency/Hz,Re(Z)/Ohm,-Im(Z)/Ohm"
        )
    if len(block.rows) > _MOST_POINTS:
        raise DataRefused(f"{name}: {len(block.rows)} rows; a file of impedance has at most {_MOST_POINTS}")
    kinds = [Kind.FREQUENCY, *wanted, *(kind for kind in (Kind.CYCLE, Kind.SIMULATED) if kind in found)]
    table = np.empty((len(block.rows), len(kinds)))
    for line, (cells, row) in enumerate(zip(block.rows, block.numbers, strict=True)):
        for at, kind in enumerate(kinds):
            table[line, at] = _number(cells, found[kind][0], name, row, kind, is_last=line == len(block.rows) - 1)
    table *= np.array([found[kind][1] for kind in kinds])
    first, second = table[:, 1], table[:, 2]
    z = np.empty(first.size, dtype=np.complex128)
    if wanted is _COMPLEX:
        z.real, z.imag = first, second
    else:
        z.real, z.imag = first * np.cos(np.radians(second)), first * np.sin(np.radians(second))
    further = dict(zip(kinds[3:], table.T[3:], strict=True))
    cycle = further.get(Kind.CYCLE, np.zeros(len(block.rows)))
    simulated = bool(np.any(further.get(Kind.SIMULATED, False)))
    return table[:, 0], z, np.array(block.numbers, dtype=np.int64), cycle, simulated


def _number(cells: Sequence[str], at: int, name: str, row: int, kind: Kind, *, is_last: bool) -> float:
    if at >= len(cells):
        cut = ": the file is truncated" if is_last else "; mend it"
        raise DataRefused(f"{name}: row {row} ends before its {kind.value}{cut}")
    try:
        value = float(cells[at])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataRefused(
            f"{name}: row {row}: {kind.value} is {cells[at]!a:.40}, no number; mend it or take it out"
        )
    return value


def _within(spectrum: Spectrum, limits_hz: tuple[float, float]) -> Spectrum:
    low, high = min(limits_hz), max(limits_hz)
    kept = (spectrum.frequency_hz >= low) & (spectrum.frequency_hz <= high)
    if not bool(kept.any()):
        raise DataRefused(f"{spectrum.title}: no point from {low:g} to {high:g} Hz; give another --range")
    left = int(np.sum(~kept))
    note = (f"{left} points outside {low:g} to {high:g} Hz were left out",) if left else ()
    return replace(
        spectrum,
        frequency_hz=spectrum.frequency_hz[kept],
        impedance_ohm=spectrum.impedance_ohm[kept],
        notes=(*spectrum.notes, *note),
    )


def _blocks(path: Path, columns: tuple[str, ...]) -> tuple[list[Block], str]:
    """The tables of a file and what wrote it."""
    name = str(path)
    if path.suffix.lower() in _SHEETS:
        raise DataRefused(f"{name}: a workbook may hold several sheets; save the one with the spectrum as .csv")
    if path.suffix.lower() == ".mpr":
        return [_mpr(path)], "BioLogic .mpr"
    text = _text(path)
    if is_palmsens(text):
        return palmsens_blocks(text, name), "PalmSens .pssession"
    if sum(map(text.count, _ENDS)) - text.count("\r\n") > _MOST_LINES:
        raise DataRefused(f"{name}: more than {_MOST_LINES:,} lines; a spectrum has fewer")
    lines = text.splitlines()
    if columns:
        found, source = [_as_told(lines, columns, name)], "a table with columns as told"
    else:
        layout = next(one for one in LAYOUTS if one.fits(lines))
        found, source = layout.blocks(lines, name), layout.words
    ends = text.endswith(("\n", "\r"))
    return found if ends else [_ended(one, len(lines)) for one in found], source


def _ended(block: Block, last: int) -> Block:
    """With a note where its last row is the last line, which has no end."""
    if not block.numbers or block.numbers[-1] != last:
        return block
    return replace(block, notes=(*block.notes, _NO_END))


def _as_told(lines: Sequence[str], columns: tuple[str, ...], name: str) -> Block:
    """Rows of numbers with the columns that are told; lines before the first such row are its head."""
    found, lacking = columns_of(columns)
    if lacking or Kind.FREQUENCY not in found:
        what = f"{', '.join(lacking)} without a unit" if lacking else "no frequency"
        raise ConfigError(f"--columns: {what}; write frequency/Hz,Re(Z)/Ohm,-Im(Z)/Ohm, and x for what is not used")
    rows: list[list[str]] = []
    numbers: list[int] = []
    above: list[str] = []
    for at, line in enumerate(lines, 1):
        separator = next((one for one in ("\t", ";", ",") if one in line), None)
        cells = [cell.strip() for cell in line.split(separator)]
        if not any(cells) or (not rows and not _is_number(cells[0])):
            above = cells if any(cells) else above
            continue
        rows.append(cells)
        numbers.append(at)
    if rows and len(rows[0]) < len(columns):
        raise DataRefused(f"{name}: row {numbers[0]} has {len(rows[0])} columns; --columns names {len(columns)}")
    return Block(_with_simulated(columns, above), rows, numbers)


def _with_simulated(columns: tuple[str, ...], above: Sequence[str]) -> Sequence[str]:
    """The columns as told, and the one by which the line above the numbers says that they are simulated."""
    said = (column_of(cell) for cell in above)
    at = next((at for at, one in enumerate(said) if isinstance(one, Column) and one.kind is Kind.SIMULATED), None)
    if at is None:
        return columns
    heads = [*columns, *("x" for _ in range(at + 1 - len(columns)))]
    heads[at] = above[at]
    return heads


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror or error}; name a file of impedance") from error
    if len(data) > _MOST_BYTES:
        raise DataRefused(f"{path}: more than {_MOST_BYTES >> 20} MiB; a spectrum is smaller")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # what instruments in western Europe write; degree and micro signs


def _mpr(path: Path) -> Block:
    """The table of a binary file of EC-Lab, by galvani."""
    try:
        from galvani import BioLogic
    except ImportError as error:
        raise ConfigError(f'{path}: .mpr needs galvani (GPL); run: pip install "poliqi[biologic]"') from error
    reader: Any = BioLogic  # it carries no annotations
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                raise DataRefused(f"{path}: more than {_MOST_BYTES >> 20} MiB; a spectrum is smaller")
            data: Any = reader.MPRfile(file).data
    except DataRefused:
        raise
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror or error}; name a file of impedance") from error
    except Exception as error:  # it raises what it meets: ValueError, AssertionError, struct.error, KeyError ...
        raise DataRefused(
            f"{path}: no .mpr that can be read ({type(error).__name__}); export it as .mpt"
        ) from error
    heads: list[str] = list(data.dtype.names or ())
    if "freq/Hz" not in heads:
        raise DataRefused(f"{path}: its columns are {', '.join(heads)[:200]}; name a file of impedance")
    rows = [[repr(float(cell)) for cell in row] for row in data[: _MOST_POINTS + 1].tolist()]
    return Block(heads, rows, list(range(1, len(rows) + 1)), with_direct=True)
