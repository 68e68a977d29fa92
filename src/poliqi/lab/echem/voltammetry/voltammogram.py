"""A voltammogram: current against potential, swept up and down; its sweeps, its scan rate.

An anodic current (oxidation) is positive. Potentials are against the reversible hydrogen electrode: the caller says
what has to be added to the file's for that.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.unittable import Stated, Wanted, read_unit_table

__all__ = ["FIELDS", "Sweep", "Voltammogram", "read_voltammogram", "sweeps"]

Floats = NDArray[np.float64]
FIELDS: Final = ("time", "potential", "current")
_TABLE: Final = {
    "potential": Wanted(
        ("potential", "e", "ewe", "voltage", "v", "we(1).potential", "we", "u", "potential applied"),
        {"V": 1.0, "mV": 1e-3},
    ),
    "current": Wanted(
        ("current", "i", "we(1).current", "im", "j", "current density"),
        {
            "A": 1.0, "mA": 1e-3, "uA": 1e-6, "nA": 1e-9,
            "A/cm2": 1.0, "mA/cm2": 1e-3, "uA/cm2": 1e-6, "A/m2": 1e-4,
        },
    ),
    "time": Wanted(
        ("time", "t", "elapsed time", "test time", "corrected time"), {"s": 1.0, "min": 60.0, "ms": 1e-3}, False
    ),
}  # fmt: skip
_FEWEST: Final = 20
_WINDOW_V: Final = (-3.0, 5.0)
_AGREE: Final = 0.03
_TURN: Final = 0.05


@dataclass(frozen=True, slots=True)
class Voltammogram:
    """`potential_v` (n,) against RHE, `current_a` (n,) anodic positive, in the order of the measurement."""

    potential_v: Floats
    current_a: Floats
    scan_rate_v_s: float
    scan_rate_from: str
    area_cm2: float | None
    """Geometric area of the electrode, where it is stated."""
    offset_v: float
    """What was added to the file's potentials."""
    rows: NDArray[np.int64]
    title: str
    simulated: bool = False

    def __post_init__(self) -> None:
        """Raises DataRefused for what is no voltammogram."""
        e = self.potential_v
        if e.size < _FEWEST:
            raise DataRefused(f"{self.title}: {e.size} points of a voltammogram; give {_FEWEST} at least")
        if not _WINDOW_V[0] < float(e.min()) < float(e.max()) < _WINDOW_V[1]:
            raise DataRefused(
                f"{self.title}: potentials from {e.min():.4g} to {e.max():.4g} V against RHE, must vary within "
                f"{_WINDOW_V[0]:g} to {_WINDOW_V[1]:g} V; look at the unit and the offset"
            )
        if not self.scan_rate_v_s > 0:
            raise DataRefused(f"{self.title}: scan rate {self.scan_rate_v_s} V/s: give a number above 0")
        if self.area_cm2 is not None and not self.area_cm2 > 0:
            raise DataRefused(f"{self.title}: area {self.area_cm2} cm2: give a number above 0")


@dataclass(frozen=True, slots=True)
class Sweep:
    """One way of a voltammogram: `potential_v` (n,) rising, whichever way it was swept."""

    potential_v: Floats
    current_a: Floats
    is_up: bool
    first: int
    last: int
    """Points of the voltammogram, both included."""

    def between(self, low_v: float, high_v: float, points: int = 0) -> tuple[Floats, Floats]:
        """Potential and current from `low_v` to `high_v`, with both ends put in between points.

        `points` > 0: on that many equally spaced potentials instead.
        """
        if points:
            e: Floats = np.linspace(low_v, high_v, points)
        else:
            inside = self.potential_v[(self.potential_v > low_v) & (self.potential_v < high_v)]
            e = np.concatenate((np.array([low_v]), inside, np.array([high_v])))
        return e, np.interp(e, self.potential_v, self.current_a)


def read_voltammogram(
    path: Path,
    *,
    offset_v: float,
    scan_rate_v_s: float | None = None,
    area_cm2: float | None = None,
    stated: Mapping[str, Stated] | None = None,
    simulated: bool = False,
) -> Voltammogram:
    """A table with potential and current, and time where there is one; the file may say that it is simulated.

    `offset_v` makes potentials against RHE. A current density needs `area_cm2`. The scan rate is stated, or follows
    from the times; where both are there they have to agree within 3 %. Raises ConfigError, DataRefused.
    """
    table = read_unit_table(path, _TABLE, stated)
    e, i = table.columns["potential"] + offset_v, table.columns["current"]
    unit = table.units["current"]
    if "/" in unit:
        if area_cm2 is None:
            raise DataRefused(f"{path}: the current is in {unit}: state the electrode's area (--area-cm2)")
        i = i * area_cm2
    seen = _scan_rate(e, table.columns["time"], table.rows, str(path)) if "time" in table.columns else None
    if scan_rate_v_s is None and seen is None:
        raise DataRefused(f"{path}: no column of time tells the scan rate; state it (--scan-rate, in mV/s)")
    if scan_rate_v_s is not None and seen is not None and abs(seen / scan_rate_v_s - 1) > _AGREE:
        raise DataRefused(
            f"{path}: {1e3 * seen:.4g} mV/s by its times, {1e3 * scan_rate_v_s:.4g} mV/s stated; which is right?"
        )
    rate = scan_rate_v_s if scan_rate_v_s is not None else seen
    assert rate is not None
    source = "stated" if scan_rate_v_s is not None else "by the times of the file"
    return Voltammogram(e, i, rate, source, area_cm2, offset_v, table.rows, path.name, simulated or table.simulated)


def _scan_rate(e: Floats, t: Floats, rows: NDArray[np.int64], title: str) -> float | None:
    """Median of |dE/dt|. Raises DataRefused where time does not rise."""
    steps = np.diff(t)
    if not bool(np.all(steps > 0)):
        at = int(np.argmax(steps <= 0)) + 1
        how = "repeats the time before" if t[at] == t[at - 1] else "goes back in time"
        raise DataRefused(f"{title}: row {rows[at]} {how} ({t[at]:.6g} s); time has to rise")
    moving = np.abs(np.diff(e)) > 0
    return float(np.median(np.abs(np.diff(e))[moving] / steps[moving])) if bool(moving.any()) else None


def sweeps(one: Voltammogram) -> list[Sweep]:
    """Ways up and down in their order; a turn by less than a twentieth of the whole range ends none."""
    e = one.potential_v
    least = _TURN * float(e.max() - e.min())
    turns = [0]
    extreme, way = 0, 0
    low = high = 0
    for at, value in enumerate(e.tolist()):
        if way == 0:
            low, high = (at if value < e[low] else low), (at if value > e[high] else high)
            if e[high] - e[low] >= least:
                way = 1 if high > low else -1
                turns = [min(low, high)]
                extreme = max(low, high)
        elif way * (value - e[extreme]) > 0:
            extreme = at
        elif way * (e[extreme] - value) >= least:
            turns.append(extreme)
            way, extreme = -way, at
    turns.append(extreme)
    return [
        _sweep(one, begin, end, first=at == 0)
        for at, (begin, end) in enumerate(itertools.pairwise(turns))
        if end - begin + 1 >= _FEWEST // 2
    ]


def _sweep(one: Voltammogram, begin: int, end: int, *, first: bool) -> Sweep:
    """Without what repeats a potential or goes back a little; a turning point is the earlier sweep's last."""
    begin = begin if first else begin + 1
    e, i = one.potential_v[begin : end + 1], one.current_a[begin : end + 1]
    is_up = bool(e[-1] > e[0])
    order = np.argsort(e, kind="stable")
    e, i = e[order], i[order]
    values, where, counts = np.unique(e, return_index=True, return_counts=True)
    return Sweep(values, np.add.reduceat(i, where) / counts, is_up, begin, end)
