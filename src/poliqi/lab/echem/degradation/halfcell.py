"""Half cells: the potential of one electrode against lithium, by how much lithium it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.pybammdoor import pybamm
from poliqi.lab.echem.unittable import Stated, Wanted, read_unit_table

__all__ = ["COLUMN_OPTION", "FIELDS", "HalfCell", "half_cells_of_set", "read_half_cell"]

Floats = NDArray[np.float64]
FIELDS: Final = ("lithium", "potential")
COLUMN_OPTION: Final = "--half-cell-column"
_POINTS: Final = 2000
_FEWEST: Final = 20
_EDGE: Final = 5e-4
_RISE_V: Final = 0.01
_WINDOW_V: Final = (-0.5, 6.0)
_TABLE: Final = {
    "potential": Wanted(
        ("potential", "voltage", "ocp", "ocv", "ewe", "e", "v", "u"), {"V": 1.0, "mV": 1e-3}
    ),
    "lithium": Wanted(
        ("stoichiometry", "sto", "x", "lithium", "capacity", "charge", "q"),
        {"1": 1.0, "-": 1.0, "%": 0.01, "Ah": 1.0, "mAh": 1.0, "mAh/g": 1.0, "C": 1.0},
    ),
}  # fmt: skip
_CHARGE_UNITS: Final = ("Ah", "mAh", "mAh/g", "C")


@dataclass(frozen=True, slots=True)
class HalfCell:
    """`lithium` (n,) rising: stoichiometry, or share of the charge of its curve; `potential_v` (n,) falling."""

    lithium: Floats
    potential_v: Floats
    source: str
    is_stoichiometry: bool
    notes: tuple[str, ...] = ()
    simulated: bool = False

    def __post_init__(self) -> None:
        """Raises DataRefused for curves that are none of an electrode."""
        x, v = self.lithium, self.potential_v
        if x.size < _FEWEST or v.shape != x.shape:
            raise DataRefused(f"{self.source}: {x.size} points of a half cell; give {_FEWEST} at least")
        if not bool(np.all(x[1:] > x[:-1])):
            at = int(np.argmin(x[1:] > x[:-1])) + 1
            raise DataRefused(f"{self.source}: lithium does not rise from point {at} to {at + 1}; sort the curve")
        if x[0] < 0 or x[-1] > 1:
            raise DataRefused(f"{self.source}: lithium from {x[0]:g} to {x[-1]:g}, must lie in 0 to 1")
        if not _WINDOW_V[0] < float(v.min()) <= float(v.max()) < _WINDOW_V[1]:
            raise DataRefused(
                f"{self.source}: potentials from {v.min():g} to {v.max():g} V against lithium, must lie within "
                f"{_WINDOW_V[0]} to {_WINDOW_V[1]} V; look at the unit"
            )
        rise = float(np.max(v - np.minimum.accumulate(v)))
        if rise > _RISE_V:
            raise DataRefused(
                f"{self.source}: the potential rises by {1e3 * rise:.0f} mV while lithium goes in, which no "
                "electrode "
                f"does at rest (more than {1e3 * _RISE_V:.0f} mV); give one sweep, smoothed"
            )

    def at(self, lithium: Floats) -> Floats:
        """Potential in V, linear between points; outside them the end's."""
        return np.interp(lithium, self.lithium, self.potential_v)

    def slope(self, lithium: Floats) -> Floats:
        """dU/dx in V, of the piece that each point lies in."""
        pieces = np.diff(self.potential_v) / np.diff(self.lithium)
        return pieces[np.clip(np.searchsorted(self.lithium, lithium, side="right") - 1, 0, pieces.size - 1)]


def read_half_cell(path: Path, stated: dict[str, Stated] | None = None) -> HalfCell:
    """A table of lithium content (stoichiometry / 1, or a charge in Ah, mAh, mAh/g, C) and potential / V.

    A charge is made a share of the curve's whole charge. Which end is full of lithium is where the potential is
    lowest: that the potential falls as lithium goes in is thermodynamics. Raises DataRefused.
    """
    table = read_unit_table(path, _TABLE, stated, COLUMN_OPTION)
    x, v, unit = table.columns["lithium"], table.columns["potential"], table.units["lithium"]
    notes: list[str] = []
    if x.size < _FEWEST:
        raise DataRefused(f"{path}: {x.size} points of a half cell; give {_FEWEST} at least")
    steps = np.sign(np.diff(x))
    if not (bool(np.all(steps > 0)) or bool(np.all(steps < 0))):
        at = int(np.argmax(steps != steps[0])) + 1
        raise DataRefused(
            f"{path}: {'charge' if unit in _CHARGE_UNITS else 'stoichiometry'} turns back or repeats at row "
            f"{table.rows[at]}; give one sweep"
        )
    if x[0] > x[-1]:
        x, v = x[::-1], v[::-1]
    if unit in _CHARGE_UNITS:
        x = (x - x[0]) / (x[-1] - x[0])
        notes.append(f"lithium is counted as a share of the {path.name}'s own charge")
        if v[-1] > v[0]:
            x, v = 1 - x[::-1], v[::-1]
            notes.append(f"the charge of {path.name} counts lithium that leaves: taken from its other end")
    return HalfCell(x, v, path.name, unit not in _CHARGE_UNITS, tuple(notes), table.simulated)


def half_cells_of_set(name: str, temperature_k: float | None = None) -> tuple[HalfCell, HalfCell]:
    """Negative and positive electrode of a parameter set of PyBaMM, such as Chen2020, on 2,000 points.

    Raises ConfigError for what is no set, DataRefused for sets of other cells (composite, half cells, lead-acid).
    """
    pb = pybamm()
    if name not in set(pb.parameter_sets):
        raise ConfigError(f"--half-cells {name!a:.60}: sets of PyBaMM are {', '.join(sorted(pb.parameter_sets))}")
    values: Any = pb.ParameterValues(name)
    return _of_values(values, "Negative", name, temperature_k), _of_values(values, "Positive", name, temperature_k)


def _of_values(values: Any, side: str, name: str, temperature_k: float | None) -> HalfCell:
    pb, key = pybamm(), f"{side} electrode OCP [V]"
    ocp = values.get(key)
    if not callable(ocp):
        raise DataRefused(
            f"parameter set {name} has no {key!r} of one material that depends on lithium alone; name another "
            "set or give files of both half cells"
        )
    x = np.linspace(_EDGE, 1 - _EDGE, _POINTS)
    function: Any = ocp
    v = np.asarray(values.process_symbol(function(pb.Vector(x))).evaluate(), dtype=np.float64).ravel()
    reference = float(values["Reference temperature [K]"])
    entropic: Any = values.get(f"{side} electrode OCP entropic change [V.K-1]")
    if temperature_k is not None and temperature_k != reference and entropic is not None:
        change: Any = entropic(pb.Vector(x)) if callable(entropic) else pb.Scalar(entropic)
        v = v + (temperature_k - reference) * np.asarray(values.process_symbol(change).evaluate()).ravel()
    keep, is_cut = _falling(x, v)
    x, v, electrode = x[keep], v[keep], f"{side.lower()} electrode"
    notes = (f"{name}: the OCP of its {electrode} is used from {x[0]:.4f} to {x[-1]:.4f}, where it falls",)
    return HalfCell(x, v, f"PyBaMM parameter set {name}, {electrode}", True, notes if is_cut else ())


def _falling(x: Floats, v: Floats) -> tuple[slice, bool]:
    """The widest part in reach of a cell without a rise above the limit: fitted curves may turn at their ends."""
    inside = (v > _WINDOW_V[0]) & (v < _WINDOW_V[1])
    low = high = x.size // 2
    least = most = float(v[low])
    while high + 1 < x.size and inside[high + 1] and v[high + 1] <= least + _RISE_V / 2:
        high += 1
        least = min(least, float(v[high]))
    while low > 0 and inside[low - 1] and v[low - 1] >= most - _RISE_V / 2:
        low -= 1
        most = max(most, float(v[low]))
    return slice(low, high + 1), low > 0 or high + 1 < x.size
