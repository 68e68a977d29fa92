"""What is known of a machine and its material: each group of figures says where they are from."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any, Final, cast, get_args, get_type_hints

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.lab.print.focus import check_na, zipfel_w_xy_um, zipfel_w_z_um

__all__ = [
    "Action",
    "Focus",
    "Hatching",
    "Laser",
    "Material",
    "Measured",
    "Objective",
    "Profile",
    "Scanner",
    "profile_from",
]

_LONGEST_SOURCE: Final = 2000
_MOST_MEASURED: Final = 10_000


class Action(StrEnum):
    """What light does to the material."""

    SOLIDIFY = "solidify"
    """Resin hardens where it is lit: the tissue is scanned, the lumen stays dark."""
    DEGRADE = "degrade"
    """Gel is cut where it is lit: the lumen is scanned."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The lens. `field_um` is the side of the square (or the diameter, `is_round`) that the scanner reaches."""

    na: float
    immersion_index: float
    wavelength_nm: float
    working_distance_um: float
    field_um: float
    source: str
    is_round: bool = False

    def __post_init__(self) -> None:
        _check_source("objective", self.source)
        _check("objective", "immersion_index", self.immersion_index, 1.0, 4.0)
        _check("objective", "wavelength_nm", self.wavelength_nm, 100.0, 20_000.0)
        _check("objective", "working_distance_um", self.working_distance_um, 1.0, 1e6)
        _check("objective", "field_um", self.field_um, 0.1, 1e6)
        check_na(self.na, self.immersion_index)

    @property
    def side_um(self) -> float:
        """Side of the largest square in the field."""
        return self.field_um / math.sqrt(2) if self.is_round else self.field_um


@dataclass(frozen=True, slots=True)
class Scanner:
    """What moves the focus. A line takes length/speed + `line_overhead_us`, or what `acceleration_mm_s2` asks for.

    `foci` points of light write at the same time, in so many places; `stage` says in words what moves tiles.
    """

    speed_mm_s: float
    max_speed_mm_s: float
    layer_overhead_ms: float
    tile_overhead_s: float
    stage: str
    source: str
    line_overhead_us: float = 0.0
    acceleration_mm_s2: float | None = None
    foci: int = 1

    def __post_init__(self) -> None:
        _check_source("scanner", self.source)
        _check("scanner", "max_speed_mm_s", self.max_speed_mm_s, 1e-4, 1e6)
        _check("scanner", "layer_overhead_ms", self.layer_overhead_ms, 0.0, 1e7)
        _check("scanner", "tile_overhead_s", self.tile_overhead_s, 0.0, 1e5)
        _check("scanner", "line_overhead_us", self.line_overhead_us, 0.0, 1e8)
        _check("scanner", "foci", self.foci, 1, 1_000_000)
        if self.acceleration_mm_s2 is not None:
            _check("scanner", "acceleration_mm_s2", self.acceleration_mm_s2, 1e-3, 1e12)
        _check("scanner", "speed_mm_s", self.speed_mm_s, 1e-4, self.max_speed_mm_s, "max_speed_mm_s")


@dataclass(frozen=True, slots=True)
class Laser:
    """Mean power at the sample; pulses are told for the record, no calculation needs them."""

    power_mw: float
    max_power_mw: float
    source: str
    pulse_fs: float | None = None
    repetition_mhz: float | None = None

    def __post_init__(self) -> None:
        _check_source("laser", self.source)
        _check("laser", "max_power_mw", self.max_power_mw, 1e-6, 1e6)
        _check("laser", "power_mw", self.power_mw, 1e-6, self.max_power_mw, "max_power_mw")
        if self.pulse_fs is not None:
            _check("laser", "pulse_fs", self.pulse_fs, 1.0, 1e9)
        if self.repetition_mhz is not None:
            _check("laser", "repetition_mhz", self.repetition_mhz, 1e-6, 1e6)


@dataclass(frozen=True, slots=True)
class Focus:
    """1/e radii of the squared intensity; where left out, Zipfel's formulas stand in, unmeasured."""

    source: str
    w_xy_um: float | None = None
    w_z_um: float | None = None
    is_measured: bool = False

    def __post_init__(self) -> None:
        _check_source("focus", self.source)
        for name in ("w_xy_um", "w_z_um"):
            value: float | None = getattr(self, name)
            if value is not None:
                _check("focus", name, value, 1e-3, 1e3)
            elif self.is_measured:
                raise ConfigError(f"profile: [focus] is_measured says that it was measured, and {name} is left out")


@dataclass(frozen=True, slots=True)
class Measured:
    """A line that was printed and looked at: its width, and its height along the light where that was seen."""

    power_mw: float
    speed_mm_s: float
    width_um: float
    height_um: float | None = None

    def __post_init__(self) -> None:
        _check("material.measured", "power_mw", self.power_mw, 1e-6, 1e6)
        _check("material.measured", "speed_mm_s", self.speed_mm_s, 1e-4, 1e6)
        _check("material.measured", "width_um", self.width_um, 0.0, 1e4)
        if self.height_um is not None:
            _check("material.measured", "height_um", self.height_um, 0.0, 1e4)


@dataclass(frozen=True, slots=True)
class Material:
    """What is printed. `threshold` is the dose at which it acts, as a part of the mean dose within a solid that the
    profile's own power, speed, pitch and layer give.

    `line_threshold_mw2_s_mm` (power^2/speed at which a lone line begins to print) is what a calibration finds; a
    job's threshold then follows from its power, speed, hatch and layer.
    """

    name: str
    action: Action
    threshold: float
    min_wall_um: float
    source: str
    line_threshold_mw2_s_mm: float | None = None
    line_threshold_sigma_mw2_s_mm: float | None = None
    measured: tuple[Measured, ...] = ()

    def __post_init__(self) -> None:
        _check_source("material", self.source)
        if not self.name.strip():
            raise ConfigError("profile: [material] name is empty; say what is printed")
        _check("material", "threshold", self.threshold, 0.01, 0.99)
        _check("material", "min_wall_um", self.min_wall_um, 0.0, 1e4)
        for name in ("line_threshold_mw2_s_mm", "line_threshold_sigma_mw2_s_mm"):
            value: float | None = getattr(self, name)
            if value is not None:
                _check("material", name, value, 1e-12, 1e12)
        if len(self.measured) > _MOST_MEASURED:
            raise ConfigError(f"profile: [[material.measured]] has {len(self.measured)}; at most {_MOST_MEASURED}")


@dataclass(frozen=True, slots=True)
class Hatching:
    """Distance between lines and between layers, and how far neighbouring tiles overlap."""

    pitch_um: float
    layer_um: float
    overlap_um: float
    source: str

    def __post_init__(self) -> None:
        _check_source("hatch", self.source)
        _check("hatch", "pitch_um", self.pitch_um, 1e-3, 1e3)
        _check("hatch", "layer_um", self.layer_um, 1e-3, 1e3)
        _check("hatch", "overlap_um", self.overlap_um, 0.0, 1e4)


@dataclass(frozen=True, slots=True)
class Profile:
    """A machine with its material. Raises ConfigError for figures that cannot be, or have no source."""

    name: str
    objective: Objective
    scanner: Scanner
    laser: Laser
    focus: Focus
    material: Material
    hatch: Hatching

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ConfigError("profile: name is empty; name the machine")
        if self.hatch.overlap_um >= self.objective.field_um:
            raise ConfigError(
                f"profile: [hatch] overlap_um {self.hatch.overlap_um:g} is not below [objective] field_um "
                f"{self.objective.field_um:g}; tiles would not advance"
            )

    @property
    def w_xy_um(self) -> float:
        """1/e radius of the squared intensity across the light: as told, or by Zipfel's formula."""
        told = self.focus.w_xy_um
        return zipfel_w_xy_um(self.objective.na, self.objective.wavelength_nm) if told is None else told

    @property
    def w_z_um(self) -> float:
        """1/e half length of the squared intensity along the light: as told, or by Zipfel's formula."""
        one, told = self.objective, self.focus.w_z_um
        return zipfel_w_z_um(one.na, one.wavelength_nm, one.immersion_index) if told is None else told

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader of results from this profile has to know."""
        said: list[str] = []
        if not self.focus.is_measured:
            said.append(
                f"the focus of profile {self.name!r} is not measured ({self.w_xy_um:.3g} x {self.w_z_um:.3g} um); "
                "its length may be off by two: poliqi lab print calibrate"
            )
        if self.is_simulated:
            said.append(f"profile {self.name!r} rests on a calibration that was calculated, not measured")
        if _is_guessed(self.material.source) and self.material.line_threshold_mw2_s_mm is None:
            said.append(f"profile {self.name!r} assumes its material: {self.material.source}")
        return tuple(said)

    @property
    def is_simulated(self) -> bool:
        """Whether focus or threshold come from a sheet that was calculated; their sources tell."""
        return any("simulated" in source.lower() for source in (self.focus.source, self.material.source))

    def assumed(self, group: str, what: str) -> list[str]:
        """A caution where the source of `group` says that its figures are assumed, which `what` rests on."""
        source: str = getattr(self, group).source
        if not _is_guessed(source):
            return []
        return [f"profile {self.name!r} assumes its {group}, which {what} rests on: {source}"]

    @property
    def record(self) -> dict[str, Any]:
        """All figures with their sources, JSON-able; `profile_from` takes it back."""
        return _record(self)

    def threshold_for(
        self,
        power_mw: float | None = None,
        speed_mm_s: float | None = None,
        pitch_um: float | None = None,
        layer_um: float | None = None,
    ) -> float:
        """Threshold as a part of the mean dose within a solid printed so; what is left out is the profile's own.

        Of a calibrated material K_th/((P^2/v) pi w_xy w_z/(pitch layer)): lines a pitch and layers a layer apart
        give so much on the mean for each P^2/v in the middle of a lone line. Else the profile's `threshold`, in
        the inverse ratio of P^2/(v pitch layer) to the profile's own.
        Raises ConfigError where the dose would not reach the threshold.
        """
        power = self.laser.power_mw if power_mw is None else power_mw
        speed = self.scanner.speed_mm_s if speed_mm_s is None else speed_mm_s
        pitch = self.hatch.pitch_um if pitch_um is None else pitch_um
        layer = self.hatch.layer_um if layer_um is None else layer_um
        dose = power**2 / (speed * pitch * layer)
        constant = self.material.line_threshold_mw2_s_mm
        if constant is None:
            own = self.laser.power_mw**2 / (self.scanner.speed_mm_s * self.hatch.pitch_um * self.hatch.layer_um)
            found = self.material.threshold * (own / dose)
        else:
            found = constant / (dose * math.pi * self.w_xy_um * self.w_z_um)
        if found >= 1.0:
            least = power * math.sqrt(found)
            is_given = least < self.laser.max_power_mw
            remedy = f"more than {least:.3g} mW" if is_given else f"a speed below {speed / found:.3g} mm/s"
            raise ConfigError(
                f"profile: {power:g} mW at {speed:g} mm/s gives {1 / found:.2g} of the dose at which "
                f"{self.material.name} acts, with lines {pitch:g} and layers {layer:g} um apart; give {remedy}, or "
                "lines closer together"
            )
        return found

    def scaled(self, power_mw: float, speed_mm_s: float, pitch_um: float, layer_um: float) -> list[str]:
        """A caution where the threshold of a job is the stated one, carried to another dose by calculation."""
        one = self.hatch
        own = (self.laser.power_mw, self.scanner.speed_mm_s, one.pitch_um, one.layer_um)
        asked = (power_mw, speed_mm_s, pitch_um, layer_um)
        if self.material.line_threshold_mw2_s_mm is not None or asked == own:
            return []
        said = (
            f"the threshold {self.material.threshold:g} of profile {self.name!r} is stated at {own[0]:g} mW, "
            f"{own[1]:g} mm/s, lines {own[2]:g} and layers {own[3]:g} um apart; scaled by the dose it is "
            f"{self.threshold_for(*asked):.3g} here: poliqi lab print calibrate"
        )
        return [said]


def profile_from(table: Mapping[str, Any], where: str = "profile") -> Profile:
    """A profile from the values of a TOML file, or from `Profile.record`.

    Raises ConfigError, which names key, value and limit; `where` the values are from is told in it.
    """
    _check_keys(table, Profile, where, "")
    try:
        return msgspec.convert(dict(table), Profile)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}; docs/reference/print-profile-toml.md has every key") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _is_guessed(source: str) -> bool:
    return any(word in source.lower() for word in ("illustrative", "assumed"))


def _check_source(group: str, source: str) -> None:
    if not source.strip():
        raise ConfigError(f"profile: [{group}] has an empty source; say where its figures are from")
    if len(source) > _LONGEST_SOURCE:
        raise ConfigError(f"profile: [{group}] source has {len(source)} letters; at most {_LONGEST_SOURCE}")


def _check(group: str, name: str, value: float, least: float, most: float, by: str = "") -> None:
    if not least <= value <= most:  # what is not a number is refused too
        named = f"{by} {most:g}" if by else f"{most:g}"
        raise ConfigError(f"profile: [{group}] {name} = {value:g}; from {least:g} to {named} is possible")


def _check_keys(table: object, kind: type, where: str, path: str) -> None:
    """Refuse keys that a group does not have; what is no table is left to the conversion."""
    if not isinstance(table, Mapping):
        return
    hints = get_type_hints(kind)
    for key, value in cast("Mapping[str, object]", table).items():
        if key not in hints:
            group = f"[{path}] " if path else ""
            raise ConfigError(f"{where}: {group}{key!a:.60} is not known; known are {', '.join(sorted(hints))}")
        inner, below = hints[key], f"{path}.{key}" if path else key
        if is_dataclass(inner) and isinstance(inner, type):
            _check_keys(value, inner, where, below)
        elif isinstance(inner, types.GenericAlias) and isinstance(value, list | tuple):
            for one in cast("Sequence[object]", value):
                _check_keys(one, get_args(inner)[0], where, below)


def _record(value: Any) -> Any:
    """Plain values; what is left out of the profile is left out here."""
    if is_dataclass(value):
        pairs = ((one.name, getattr(value, one.name)) for one in fields(value))
        return {name: _record(inner) for name, inner in pairs if inner is not None}
    if isinstance(value, tuple):
        return [_record(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return str(value) if isinstance(value, StrEnum) else value
