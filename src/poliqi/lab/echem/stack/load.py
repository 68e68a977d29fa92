"""What a stack has to give over time: a profile of power, or a drive cycle and a vehicle.

Files are tables with time and either speed or power, units in the headings: `Time(s)`, `speed / km/h`.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = ["DriveCycle", "Load", "Vehicle", "load_of", "profile_from", "read_profile"]

Floats = NDArray[np.float64]
_MOST_BYTES: Final = 16 << 20
_MOST_ROWS: Final = 200_000
_MOST_COLUMNS: Final = 64
_LONGEST: Final = 10_000
_LONGEST_HEADING: Final = 100
_MOST_SPEED_M_S: Final = 150.0
_GRAVITY_M_S2: Final = 9.80665
_HEADING: Final = re.compile(r"([A-Za-z_ ]+?)\s*(?:\(\s*([^()]*?)\s*\)|\[\s*([^\[\]]*?)\s*\]|/\s*(\S+))?")
_UNITS: Final = {
    "time": {"s": 1.0, "min": 60.0, "h": 3600.0},
    "speed": {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704},
    "power": {"W": 1.0, "kW": 1e3, "MW": 1e6},
}
_NAMES: Final = {"time": "time", "test time": "time", "speed": "speed", "velocity": "speed", "power": "power"}


@dataclass(frozen=True, slots=True)
class DriveCycle:
    """`time_s` (n,) rising, `speed_m_s` (n,)."""

    title: str
    time_s: Floats
    speed_m_s: Floats


@dataclass(frozen=True, slots=True)
class Load:
    """Power (n,) in W, constant over spans of `duration_s` (n,); below 0 where braking gives some back."""

    title: str
    duration_s: Floats
    power_w: Floats
    distance_m: float | None = None

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.duration_s.sum())


@dataclass(frozen=True, slots=True)
class Vehicle:
    """What turns speed into electric power. Its mass is that which is accelerated, with its rotating parts."""

    mass_kg: float
    drag_area_m2: float
    """Drag coefficient times frontal area."""
    rolling_coefficient: float
    drivetrain_efficiency: float
    """From the electric bus to the wheel, and back."""
    regeneration: float
    """Share of the braking power at the wheels that the drivetrain takes: 0 to 1."""
    auxiliary_w: float
    air_density_kg_m3: float

    def __post_init__(self) -> None:
        """Raises DataRefused for values out of range."""
        for name, low, high in (
            ("mass_kg", 1.0, 1e6),
            ("drag_area_m2", 0.0, 100.0),
            ("rolling_coefficient", 0.0, 0.5),
            ("drivetrain_efficiency", 0.05, 1.0),
            ("regeneration", 0.0, 1.0),
            ("auxiliary_w", 0.0, 1e7),
            ("air_density_kg_m3", 0.0, 3.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise DataRefused(f"vehicle: {name} is {getattr(self, name):g}, must be {low:g} to {high:g}")


def load_of(cycle: DriveCycle, vehicle: Vehicle) -> Load:
    """Electric power over the spans between the cycle's points, on a flat road.

    Mean speed and constant acceleration in a span, so that kinetic energy is kept exactly.
    """
    span = np.diff(cycle.time_s)
    speed = (cycle.speed_m_s[1:] + cycle.speed_m_s[:-1]) / 2
    acceleration = np.diff(cycle.speed_m_s) / span
    rolling = np.where(speed > 0, vehicle.rolling_coefficient * vehicle.mass_kg * _GRAVITY_M_S2, 0.0)
    drag = 0.5 * vehicle.air_density_kg_m3 * vehicle.drag_area_m2 * speed**2
    wheel = (vehicle.mass_kg * acceleration + rolling + drag) * speed
    drive = vehicle.drivetrain_efficiency
    electric = np.where(wheel > 0, wheel / drive, wheel * drive * vehicle.regeneration)
    return Load(cycle.title, span, electric + vehicle.auxiliary_w, float(np.sum(speed * span)))


def read_profile(path: Path) -> DriveCycle | Load:
    """A drive cycle or a profile of power. Raises DataRefused, naming file, field and row."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror or error}; name a table of a load") from error
    return profile_from(data, path.name)


def profile_from(data: bytes, file: str) -> DriveCycle | Load:
    """As `read_profile`, from bytes."""
    if len(data) > _MOST_BYTES:
        raise DataRefused(f"{file}: more than {_MOST_BYTES} bytes; give a shorter profile")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataRefused(f"{file}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error
    numbered = [(at, line) for at, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    if len(numbered) < 3 or len(numbered) > _MOST_ROWS:
        raise DataRefused(f"{file}: {len(numbered)} lines; headings and 2 to {_MOST_ROWS} rows are needed")
    if too_long := next((at for at, line in numbered if len(line) > _LONGEST), None):
        raise DataRefused(f"{file}, line {too_long}: more than {_LONGEST} characters; give a table")
    (first, head), *body = numbered
    divider = max("\t,;", key=head.count)
    heads = head.split(divider)
    found = _headings(heads, f"{file}, line {first}")
    columns = {name: np.empty(len(body)) for name in found}
    for row, (number, line) in enumerate(body):
        try:
            cells = _cells(line, divider, len(heads))
            for name, (at, factor) in found.items():
                columns[name][row] = (float(cells[at]) if "_" not in cells[at] else math.nan) * factor
        except (csv.Error, StopIteration, IndexError, ValueError):
            raise DataRefused(
                f"{file}, line {number}: {line.strip()!a:.60} are not the numbers of a row; mend it"
            ) from None
    rows = [number for number, _ in body]
    _check(columns, rows, file)
    title = Path(file).stem
    if "speed" in columns:
        return DriveCycle(title, columns["time"], columns["speed"])
    return Load(title, np.diff(columns["time"]), columns["power"][:-1])


def _cells(line: str, divider: str, most: int) -> list[str]:
    cells = next(csv.reader([line], delimiter=divider))
    if any(cell.strip() for cell in cells[most:]):
        raise ValueError(f"{len(cells)} values under {most} headings")
    return cells


def _headings(cells: list[str], where: str) -> dict[str, tuple[int, float]]:
    """Where each quantity stands, and what makes SI of it."""
    if len(cells) > _MOST_COLUMNS:
        raise DataRefused(f"{where}: {len(cells)} columns, at most {_MOST_COLUMNS} are read")
    found: dict[str, tuple[int, float]] = {}
    for at, cell in enumerate(cells):
        match = _HEADING.fullmatch(cell.strip()) if len(cell) <= _LONGEST_HEADING else None
        name = _NAMES.get(match[1].strip().lower(), "") if match is not None else ""
        if match is None or not name:
            continue
        unit = match[2] or match[3] or match[4] or ""
        if name in found:
            raise DataRefused(f"{where}: two columns of {name}; leave one")
        if unit not in _UNITS[name]:
            raise DataRefused(f"{where}: {name} in {unit!a:.20}; write its unit, one of {', '.join(_UNITS[name])}")
        found[name] = (at, _UNITS[name][unit])
    if "time" not in found or ("speed" in found) == ("power" in found):
        has = ", ".join(found) or "none of them"
        raise DataRefused(
            f"{where}: a load has time and either speed or power; there is {has}: 'time / s, power / kW'"
        )
    return found


def _check(columns: dict[str, Floats], rows: list[int], file: str) -> None:
    for name, values in columns.items():
        if not bool(np.all(np.isfinite(values))):
            raise DataRefused(
                f"{file}, line {rows[int(np.argmin(np.isfinite(values)))]}: {name} is no number; mend it"
            )
    rising = np.diff(columns["time"]) > 0
    if not bool(rising.all()):
        at = int(np.argmin(rising)) + 1
        raise DataRefused(f"{file}, line {rows[at]}: time does not rise ({columns['time'][at]:g} s); mend the file")
    speed = columns.get("speed", np.zeros(1))
    if bool(np.any((speed < 0) | (speed > _MOST_SPEED_M_S))):
        at = int(np.argmax((speed < 0) | (speed > _MOST_SPEED_M_S)))
        raise DataRefused(
            f"{file}, line {rows[at]}: speed {speed[at]:.4g} m/s, must be 0 to {_MOST_SPEED_M_S:g} m/s"
        )
