"""The file of a vehicle and a battery that `poliqi lab echem stack --plant` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.ops.toml_file import toml_of

if TYPE_CHECKING:
    from poliqi.lab.echem.stack.hybrid import Battery
    from poliqi.lab.echem.stack.load import Vehicle

__all__ = ["Plant", "read_plant"]

_MOST_BYTES: Final = 1 << 20


class _Vehicle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mass_kg: float
    drag_area_m2: float
    rolling_coefficient: float
    drivetrain_efficiency: float
    regeneration: float
    auxiliary_w: float
    air_density_kg_m3: float


class _Battery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    capacity_wh: float
    lowest_charge: float
    highest_charge: float
    start_charge: float
    most_charge_w: float
    most_discharge_w: float
    charge_efficiency: float
    discharge_efficiency: float


class _Stack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ramp_w_s: float


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    vehicle: _Vehicle | None = None
    battery: _Battery | None = None
    stack: _Stack | None = None


class Plant(msgspec.Struct, frozen=True):
    """What a load is taken from and shared with; None where the file does not tell."""

    vehicle: Vehicle | None = None
    battery: Battery | None = None
    ramp_w_s: float | None = None


def read_plant(path: Path) -> Plant:
    """Raises ConfigError, naming file and field."""
    from poliqi.lab.echem.stack.hybrid import Battery
    from poliqi.lab.echem.stack.load import Vehicle

    try:
        told = msgspec.convert(toml_of(path, _MOST_BYTES, "vehicle, battery and ramp as TOML"), _File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--plant {path}: {str(error)[:300]}; see `poliqi lab echem stack --help`") from None
    if told.stack is not None and not 0 < told.stack.ramp_w_s < float("inf"):
        raise ConfigError(f"--plant {path}: stack.ramp_w_s is {told.stack.ramp_w_s:g}, must be above 0")
    try:
        return Plant(
            None if told.vehicle is None else Vehicle(**msgspec.structs.asdict(told.vehicle)),
            None if told.battery is None else Battery(**msgspec.structs.asdict(told.battery)),
            None if told.stack is None else told.stack.ramp_w_s,
        )
    except DataRefused as error:
        raise ConfigError(f"--plant {path}: {error}") from error
