"""Calibrants: the spacings of the planes of a powder, from pyFAI's tables or from a .D file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.calibration.outside import package

__all__ = ["LARGEST_FILE", "MOST_SPACINGS", "Calibrant", "is_calibrant_file", "load_calibrant", "parse_spacings"]

LARGEST_FILE: Final = 1 << 20
"""Bytes of the largest .D file that is read."""
MOST_SPACINGS: Final = 20_000
_RANGE_A: Final = (0.05, 10_000.0)


@dataclass(frozen=True, slots=True)
class Calibrant:
    """Spacings in angstrom, falling strictly: the first one is the innermost ring."""

    name: str
    spacings_a: NDArray[np.float64]

    def two_theta(self, wavelength_m: float) -> NDArray[np.float64]:
        """Angles (rad) of the rings that this wavelength has, rising. Bragg: lambda = 2 d sin(theta)."""
        sine = wavelength_m * 1e10 / 2 / self.spacings_a
        return 2 * np.arcsin(sine[sine < 1.0])


def load_calibrant(name: str) -> Calibrant:
    """A calibrant by its name in pyFAI's tables (AgBh, LaB6, CeO2, Si, ...) or the path of a .D file.

    Raises ConfigError where there is no such name or file, DataRefused where the file is none.
    """
    if is_calibrant_file(name):
        return _from_file(Path(name))
    tables = package("pyFAI.calibrant")
    known: dict[str, str] = {str(n).lower(): str(n) for n in tables.names()}
    found = known.get(name.lower())
    if found is None:
        raise ConfigError(
            f"--calibrant {name!r}: there is no such calibrant and no such file; give AgBh, LaB6, CeO2, Si,"
            f" another of pyFAI's ({', '.join(sorted(known.values()))}) or a file that ends in .D"
        )
    return Calibrant(found, _in_order(np.asarray(tables.get_calibrant(found).dspacing, np.float64)))


def is_calibrant_file(name: str) -> bool:
    """Whether this names a file, not one of pyFAI's tables."""
    path = Path(name)
    return path.suffix.lower() == ".d" or path.is_file()


def _from_file(path: Path) -> Calibrant:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"--calibrant {path}: cannot be read ({error.strerror})") from None
    return Calibrant(path.stem, parse_spacings(content, path.name))


def parse_spacings(content: bytes, name: str = "calibrant") -> NDArray[np.float64]:
    """Spacings in angstrom, falling strictly, of a .D file: one a line, `#` begins a comment.

    What follows the spacing on its line must be a comment. Raises DataRefused, with the line's number, for anything
    else: a word, a spacing outside of 0.05 to 10,000 A, no spacing at all, a file of more than a mebibyte.
    """
    if len(content) > LARGEST_FILE:
        raise DataRefused(f"{name}: a .D file of more than {LARGEST_FILE} bytes; it holds one spacing a line")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataRefused(f"{name}: is no text at byte {error.start}; a .D file holds one spacing a line") from None
    spacings: list[float] = []
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        spacings.append(_spacing(said, f"{name}, line {number}"))
        if len(spacings) > MOST_SPACINGS:
            raise DataRefused(f"{name}: more than {MOST_SPACINGS} spacings")
    if not spacings:
        raise DataRefused(f"{name}: holds no spacing; write one a line, in angstrom")
    return _in_order(np.array(spacings, np.float64))


def _spacing(said: str, place: str) -> float:
    try:
        value = float(said)
    except ValueError:
        raise DataRefused(
            f"{place}: {said[:40]!r} is no spacing; write one number (angstrom), what follows it after a #"
        ) from None
    low, high = _RANGE_A
    if not math.isfinite(value) or not low <= value <= high:
        raise DataRefused(f"{place}: a spacing of {value} A; it must lie within {low:g} to {high:g} A")
    return value


def _in_order(spacings_a: NDArray[np.float64]) -> NDArray[np.float64]:
    """Falling, and those that agree to one part in ten million joined."""
    falling = np.sort(spacings_a)[::-1]
    kept = np.concatenate([[True], falling[1:] < falling[:-1] * (1 - 1e-7)])
    return np.ascontiguousarray(falling[kept])
