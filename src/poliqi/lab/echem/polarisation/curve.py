"""One polarisation curve: voltage of a cell against its current density, with the conditions it was taken at."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.polarisation.water import saturation_pa

__all__ = ["Conditions", "Curve", "Device", "amount_words", "condition_words", "needed"]

Floats = NDArray[np.float64]
_LIMITS: Final = {
    "temperature_k": (273.16, 473.15),
    "anode_pressure_pa": (1e4, 2e7),
    "cathode_pressure_pa": (1e4, 2e7),
    "anode_humidity": (0.0, 1.2),
    "cathode_humidity": (0.0, 1.2),
    "anode_stoichiometry": (1.0, 1000.0),
    "cathode_stoichiometry": (1.0, 1000.0),
    "hydrogen_fraction": (0.01, 1.0),
    "oxygen_fraction": (0.01, 1.0),
    "least_flow_a_m2": (0.0, 1e5),
    "koh_mass_fraction": (0.0, 0.5),
}
_KELVIN: Final = 273.15


class Device(StrEnum):
    """What was measured."""

    FUEL_CELL = "PEM fuel cell"
    PEM_ELECTROLYSER = "PEM electrolyser"
    ALKALINE_ELECTROLYSER = "alkaline electrolyser"

    @property
    def gives_power(self) -> bool:
        """Whether its voltage lies below the reversible one."""
        return self is Device.FUEL_CELL


_NEEDED: Final = {
    Device.FUEL_CELL: (
        "temperature_k",
        "anode_pressure_pa",
        "cathode_pressure_pa",
        "anode_humidity",
        "cathode_humidity",
        "anode_stoichiometry",
        "cathode_stoichiometry",
        "hydrogen_fraction",
        "oxygen_fraction",
    ),
    Device.PEM_ELECTROLYSER: ("temperature_k", "anode_pressure_pa", "cathode_pressure_pa"),
    Device.ALKALINE_ELECTROLYSER: (
        "temperature_k",
        "anode_pressure_pa",
        "cathode_pressure_pa",
        "koh_mass_fraction",
    ),
}


def condition_words(name: str, value: float) -> str:
    """A condition as people say it: "temperature_k", 338.15 is "temperature 65 degC"."""
    bare = name.removesuffix("_k").removesuffix("_pa").replace("_", " ")
    return f"{'flows constant below' if name == 'least_flow_a_m2' else bare} {amount_words(name, value)}"


def amount_words(name: str, value: float) -> str:
    """The value of a condition with a unit that people use."""
    if name == "temperature_k":
        return f"{value - _KELVIN:.5g} degC"
    if name.endswith("_pa"):
        return f"{value / 1e5:.5g} bar"
    return f"{value / 1e4:.4g} A/cm2" if name.endswith("_a_m2") else f"{value:.4g}"


def needed(device: Device) -> tuple[str, ...]:
    """The conditions that a curve of this device has to state."""
    return _NEEDED[device]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Absolute pressures; humidities relative to saturation at the cell's temperature; fractions of the dry gas.

    Where flows do not follow the current all the way down, `least_flow_a_m2` is the current density below which
    they stay. What a device does not know (humidities of an electrolyser) is nan.
    """

    temperature_k: float
    anode_pressure_pa: float
    cathode_pressure_pa: float
    anode_humidity: float = math.nan
    cathode_humidity: float = math.nan
    anode_stoichiometry: float = math.nan
    cathode_stoichiometry: float = math.nan
    hydrogen_fraction: float = math.nan
    oxygen_fraction: float = math.nan
    least_flow_a_m2: float = 0.0
    koh_mass_fraction: float = math.nan

    def check(self, device: Device, name: str) -> None:
        """Raises DataRefused for a condition that is missing or out of its range."""
        for field in fields(self):
            value: float = getattr(self, field.name)
            if math.isnan(value):
                if field.name in _NEEDED[device]:
                    raise DataRefused(f"{name}: {field.name} is not stated; a curve of a {device} needs it")
                continue
            low, high = _LIMITS[field.name]
            if not low <= value <= high:
                raise DataRefused(
                    f"{name}: {condition_words(field.name, value)}; must be {amount_words(field.name, low)} to "
                    f"{amount_words(field.name, high)}"
                )
        if device is Device.FUEL_CELL:
            self._check_gas(name)

    def _check_gas(self, name: str) -> None:
        if self.cathode_stoichiometry <= 1.0 or self.anode_stoichiometry < 1.0:
            raise DataRefused(
                f"{name}: stoichiometries {self.anode_stoichiometry:g} (anode) and {self.cathode_stoichiometry:g} "
                "(cathode): the cathode's must be above 1, or no oxygen is left at the outlet"
            )
        vapour = float(saturation_pa(np.array(self.temperature_k)))
        for side in ("anode", "cathode"):
            pressure: float = getattr(self, f"{side}_pressure_pa")
            if pressure <= vapour * 1.02:
                raise DataRefused(
                    f"{name}: {side} at {pressure:g} Pa, and water at {self.temperature_k:g} K boils at "
                    f"{vapour:.4g} Pa: no room for gas; state the absolute pressure"
                )


@dataclass(frozen=True, slots=True)
class Curve:
    """`current_density_a_m2` (n,) in the device's own direction, 0 or more; `voltage_v` (n,) of one cell.

    `rows` (n,) are the rows of the file, for errors; None where they are 1, 2, 3 ...
    """

    device: Device
    name: str
    conditions: Conditions
    current_density_a_m2: Floats
    voltage_v: Floats
    rows: NDArray[np.int64] | None = None
    cell: str = ""
    file: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    simulated: bool = False

    def __post_init__(self) -> None:
        """Raises DataRefused for conditions, points or a direction that no such device has."""
        i, v = self.current_density_a_m2, self.voltage_v
        if i.ndim != 1 or v.shape != i.shape or not i.size:
            raise DataRefused(f"{self.where}: {i.shape} current densities and {v.shape} voltages; give pairs")
        bad = ~(np.isfinite(i) & np.isfinite(v))
        if bool(bad.any()):
            raise DataRefused(f"{self.where}, row {self.row(int(np.argmax(bad)))}: no number; mend or remove it")
        if bool((i < 0).any()):
            at = int(np.argmax(i < 0))
            raise DataRefused(
                f"{self.where}, row {self.row(at)}: current density {i[at]:g} A/m2 is below 0; write it positive "
                f"where the {self.device} works"
            )
        self.conditions.check(self.device, self.where)
        self._check_direction()

    def _check_direction(self) -> None:
        low, high = int(np.argmin(self.current_density_a_m2)), int(np.argmax(self.current_density_a_m2))
        span = float(self.current_density_a_m2[high] - self.current_density_a_m2[low])
        rise = float(self.voltage_v[high] - self.voltage_v[low])
        if span > 0 and (rise > 0 if self.device.gives_power else rise < 0):
            raise DataRefused(
                f"{self.where}: voltage goes from {self.voltage_v[low]:g} to {self.voltage_v[high]:g} V while the "
                f"current grows (rows {self.row(low)} and {self.row(high)}); that of a {self.device} does not: "
                "check the device, and which column is which"
            )

    @property
    def where(self) -> str:
        """File and name, for errors."""
        return f"{self.file or 'curve'} {self.name!r}".strip()

    def row(self, point: int) -> int:
        """The row of the file that a point comes from, counted from 1."""
        return point + 1 if self.rows is None else int(self.rows[point])
