"""Curves from files of any kind: NXcanSAS, or columns of text as .dat, .txt, .csv, .chi and .xye have them.

Text: the longest stretch of lines with the same number (two or more) of numbers is the table; what stands before it
is its header. Columns: x, intensity, sigma, width of x; further ones are left alone, and so is a fourth one that
cannot be a width (larger than half of x). Sigma is 0 everywhere where there are two columns alone: not known.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit, Step
from poliqi.lab.xray.nxcansas import read_curves
from poliqi.lab.xray.points import curve_of_points, unit_refused

__all__ = ["curve_from_text", "read_curve_file"]

_MOST_BYTES: Final = 64 << 20
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_HEADER_READ: Final = 20_000

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eEdD][+-]?\d{1,4})?")
_NO_NUMBER: Final = frozenset(
    ("nan", "+nan", "-nan", "inf", "+inf", "-inf", "1.#ind", "-1.#ind", "1.#inf", "-1.#inf", "1.#qnan", "-1.#qnan")
)
_SPLIT: Final = re.compile(r"[\s;,]+")
_SPLIT_BUT_COMMA: Final = re.compile(r"[\s;]+")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_UNITS: Final = {
    Axis.Q_PER_NM: re.compile(r"1\s*/\s*nm|nm\s*\^?\s*\{?\(?-1|nm⁻¹|inverse\s+nano|per\s+nanomet", re.IGNORECASE),
    Axis.Q_PER_ANGSTROM: re.compile(
        r"1\s*/\s*(?:a\b|å|\u212b|ang)|\b(?:a|å|\u212b|ang|angstroms?)\s*\^\s*\{?\(?-1|_a\^-1|å⁻¹|\ba-1\b|inverse\s+ang"
        r"|per\s+ang",
        re.IGNORECASE,
    ),
    Axis.TWO_THETA_DEG: re.compile(r"2\s*-?\s*theta|two\s*-?\s*theta|2th|2θ", re.IGNORECASE),
}
_PER_CM: Final = re.compile(r"1\s*/\s*cm\b|\bcm\s*\^?\s*\{?\(?-1|cm⁻¹|inverse\s+cent", re.IGNORECASE)
_SIMULATED: Final = re.compile(r"\bsimulat|\bdata generated for model", re.IGNORECASE)


def read_curve_file(path: Path, *, unit: Axis | None = None) -> list[Curve]:
    """All curves of a file; `unit` is what x is in where the file does not say.

    Raises ConfigError (cannot be opened, package not installed), DataRefused (see `curve_from_text` and
    `nxcansas.read_curves`).
    """
    try:
        with path.open("rb") as file:
            data = file.read(len(_HDF5))
            if data == _HDF5:
                return read_curves(path, unit=unit)
            data += file.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}; name a file with a curve") from error
    if len(data) > _MOST_BYTES:
        raise DataRefused(f"{path} has more than {_MOST_BYTES} bytes, which no table of a curve has; split it")
    return [curve_from_text(data, path, unit=unit)]


def curve_from_text(data: bytes, path: Path, *, unit: Axis | None = None) -> Curve:
    """The curve in a file of text; `path` is told in errors, and its ending `.xye` says 2theta.

    Raises DataRefused: not text, no table, unit of x neither given nor in the header, negative sigma.
    """
    if b"\0" in data[:4096]:
        raise DataRefused(f"{path} is no text; give columns of numbers, or an NXcanSAS file")
    header, table = _longest_table(data.decode("utf-8", "replace"))
    if len(table) < 2:
        raise DataRefused(f"{path}: no table of two or more columns of numbers in it; give x, intensity and sigma")
    numbers = np.array(table, np.float64)
    axis = unit or _axis_said(path, header)
    x, intensity = numbers[:, 0], numbers[:, 1]
    sigma = numbers[:, 2] if numbers.shape[1] > 2 else None
    width = _width(numbers)
    per_cm = axis is not Axis.TWO_THETA_DEG and _PER_CM.search(header) is not None
    columns = {"columns": int(numbers.shape[1]), "columns_used": 2 + (sigma is not None) + (width is not None)}
    curve = curve_of_points(
        path,
        axis,
        (x, intensity, sigma, width),
        intensity_unit=IntensityUnit.PER_CM if per_cm else IntensityUnit.ARBITRARY,
        steps=(Step("columns", columns),),
        title=path.stem,
    )
    return replace(curve, simulated=_SIMULATED.search(header) is not None)


def _axis_said(path: Path, header: str) -> Axis:
    said = [axis for axis, words in _UNITS.items() if words.search(header)]
    if len(said) == 1:
        return said[0]
    if not said and path.suffix.lower() == ".xye":
        return Axis.TWO_THETA_DEG
    raise unit_refused(path, " and ".join(axis.value for axis in said))


def _width(numbers: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The fourth column, where it can be a width of x: positive somewhere, nowhere above half of x."""
    if numbers.shape[1] < 4:
        return None
    x, width = numbers[:, 0], numbers[:, 3]
    fits = np.isfinite(width) & (width >= 0) & (width <= np.abs(x) / 2)
    return width if bool(np.all(fits)) and bool(np.any(width > 0)) else None


def _longest_table(text: str) -> tuple[str, list[list[float]]]:
    """What stands before the longest run of rows of equally many numbers, and the run.

    Empty lines and comments in a run do not end it. Each stretch of blanks before it becomes one: the patterns of
    units would try every way to share them out.
    """
    best: list[list[float]] = []
    run: list[list[float]] = []
    best_at = run_at = at = 0
    for line in text.splitlines(keepends=True):
        stripped = line.strip()
        row = _row(stripped)
        if row is not None and run and len(row) == len(run[0]):
            run.append(row)
        elif row is not None or (stripped and stripped[0] not in "#!%'\""):
            run = [] if row is None else [row]
            run_at = at
        if len(run) > len(best):
            best, best_at = run, run_at
        at += len(line)
    return " ".join(text[:best_at][-_HEADER_READ:].split()), best


def _row(line: str) -> list[float] | None:
    """The numbers of a line of nothing but numbers, two or more."""
    words = _SPLIT_BUT_COMMA.split(line.strip(";"))
    if all(_DECIMAL_COMMA.fullmatch(word) for word in words):
        words = [word.replace(",", ".") for word in words]
    else:
        words = [word for word in _SPLIT.split(line) if word]
    if len(words) < 2:
        return None
    row: list[float] = []
    for word in words:
        if _NUMBER.fullmatch(word):
            row.append(float(word.replace("D", "e").replace("d", "e")))
        elif word.lower() in _NO_NUMBER:
            row.append(np.nan)
        else:
            return None
    return row
