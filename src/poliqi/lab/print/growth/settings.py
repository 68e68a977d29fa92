"""What is to be grown: inlets, terminals, flow, pressure, distances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.lab.print.domain.primitive import LONGEST_UM
from poliqi.lab.print.network import Role

__all__ = ["MEDIUM_PA_S", "MOST_TERMINALS", "GrowthSettings", "Inlet"]

MEDIUM_PA_S: Final = 0.7e-3
"""Viscosity of culture medium at 37 degrees C."""
MOST_TERMINALS: Final = 1_000_000
_MOST_INLETS: Final = 64
_REALS: Final = (
    "flow_um3_s", "pressure_drop_pa", "terminal_pressure_pa", "viscosity_pa_s", "exponent", "wall_um", "gap_um",
    "on_surface_um",
)  # fmt: skip
_RANGES: Final = {
    "flow_um3_s": (1e-3, 1e18),
    "pressure_drop_pa": (1e-6, 1e9),
    "terminal_pressure_pa": (-1e9, 1e9),
    "viscosity_pa_s": (1e-6, 1e3),
    "on_surface_um": (1e-6, LONGEST_UM),
    "wall_um": (0.0, LONGEST_UM),
    "gap_um": (0.0, LONGEST_UM),
}
"""Wide enough for any tissue, narrow enough for every quotient of them."""
_EXPONENTS: Final = (2.2, 4.0)


@dataclass(frozen=True, slots=True)
class Inlet:
    """Where a tree is rooted.

    `point_um`: on the surface of the domain (within `GrowthSettings.on_surface_um`): the trunk then enters along
    the inward normal and pierces the wall by a stub; or inside, further from the wall than the trunk's radius and
    wall. `share`: the part of all terminals that this tree gets; None (then for all): each terminal goes to the
    tree of its role that costs least. `role`: an OUTLET roots a tree of veins, whose flow runs towards the port.
    `pressure_pa`: at the port; None: the terminal pressure plus (outlet: minus) the pressure drop.
    """

    point_um: tuple[float, float, float]
    share: float | None = None
    role: Role = Role.INLET
    pressure_pa: float | None = None


@dataclass(frozen=True, slots=True)
class GrowthSettings:
    """All that decides a growth, but for the domain.

    Each role that is there gets `terminals` of them. `flow_um3_s` is that of all inlets together, and as much that
    of all outlets, each terminal getting the same part. `wall_um` is kept between lumen and boundary, `gap_um`
    between the lumens of different vessels. `exponent` is Murray's g. Radii follow from flow, pressure drop and
    viscosity, and cannot be chosen; `least_radius_um` and `largest_radius_um` refuse what comes out beyond them.
    Raises ConfigError for what cannot be.
    """

    inlets: tuple[Inlet, ...]
    terminals: int = 200
    flow_um3_s: float = 1.67e7
    pressure_drop_pa: float = 1000.0
    terminal_pressure_pa: float = 500.0
    viscosity_pa_s: float = MEDIUM_PA_S
    exponent: float = 3.0
    wall_um: float = 10.0
    gap_um: float = 10.0
    least_radius_um: float | None = None
    largest_radius_um: float | None = None
    on_surface_um: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in _REALS:  # kernels are compiled for one type of each
            object.__setattr__(self, name, float(getattr(self, name)))
        for name, (low, high) in _RANGES.items():
            _number(name, getattr(self, name), low, high)
        for name in ("least_radius_um", "largest_radius_um"):
            if getattr(self, name) is not None:
                _number(name, getattr(self, name), 1e-3, LONGEST_UM)
        low, high = _EXPONENTS
        if not low <= self.exponent <= high:
            raise ConfigError(
                f"growth: exponent = {self.exponent!r}; Murray's g is from {low:g} to {high:g}, mostly 3: "
                "below, branches leave so steeply that they share a lumen for long, and no tree grows"
            )
        if not 1 <= len(self.inlets) <= _MOST_INLETS:
            raise ConfigError(f"growth: {len(self.inlets)} inlets; give from 1 to {_MOST_INLETS}")
        least = max(sum(inlet.role is role for inlet in self.inlets) for role in Role)
        if not least <= self.terminals <= MOST_TERMINALS:
            raise ConfigError(
                f"growth: terminals = {self.terminals}; give from {least} (one a tree) to {MOST_TERMINALS}"
            )
        if self.seed < 0:
            raise ConfigError(f"growth: seed = {self.seed}; give a whole number from 0")
        for at, inlet in enumerate(self.inlets):
            self._check_inlet(at, inlet)
        self._check_shares()

    def _check_inlet(self, at: int, inlet: Inlet) -> None:
        if len(inlet.point_um) != 3 or not all(math.isfinite(one) for one in inlet.point_um):
            raise ConfigError(f"growth: inlet {at + 1}: point_um = {inlet.point_um}; give three coordinates in um")
        if self.drop_pa(inlet) <= 0.0:
            raise ConfigError(
                f"growth: inlet {at + 1} ({inlet.role}): its pressure of {inlet.pressure_pa} Pa drives "
                f"no flow against "
                f"the {self.terminal_pressure_pa:g} Pa at the terminals; raise it (an outlet: lower it)"
            )
        _number(f"inlet {at + 1}: pressure to the terminals", self.drop_pa(inlet), *_RANGES["pressure_drop_pa"])

    def _check_shares(self) -> None:
        for role in Role:
            shares = [inlet.share for inlet in self.inlets if inlet.role is role]
            given = [share for share in shares if share is not None]
            if not given:
                continue
            if len(given) < len(shares):
                raise ConfigError(
                    f"growth: some {role}s have a share and some have none; give it for all or for none"
                )
            if min(given) <= 0.0 or not math.isclose(sum(given), 1.0, abs_tol=1e-6):
                raise ConfigError(f"growth: shares of the {role}s are {given}; give parts above 0 that sum to 1")

    def drop_pa(self, inlet: Inlet) -> float:
        """Pressure between the port of an inlet and its terminals, in Pa."""
        if inlet.pressure_pa is None:
            return self.pressure_drop_pa
        drop = inlet.pressure_pa - self.terminal_pressure_pa
        return drop if inlet.role is Role.INLET else -drop

    def port_pressure_pa(self, inlet: Inlet) -> float:
        """Pressure at the port of an inlet, in Pa."""
        return self.terminal_pressure_pa + (1.0 if inlet.role is Role.INLET else -1.0) * self.drop_pa(inlet)


def _number(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"growth: {name} = {value!r}; give a number from {low:g} to {high:g}")
