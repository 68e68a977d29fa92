"""Which parameters of a joint fit are held, and at what: the curves have to differ for a law to be fitted.

Energies need three temperatures, orders three pressures. What is held is told with where its value comes from.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.fitting import Parameter
from poliqi.lab.echem.polarisation.curve import Curve, Device

__all__ = ["HELD", "Held", "held_of"]

_LEAST_CONDITIONS: Final = 3
_SAME_K: Final = 0.5
_SAME_SHARE: Final = 0.01
_NEYERLIN: Final = "Neyerlin, Gu, Jorne and Gasteiger, J. Electrochem. Soc. 153 (2006) A1955"
_MEMBRANE: Final = "Nafion: Springer, Zawodzinski and Gottesfeld, J. Electrochem. Soc. 138 (1991) 2334"
HELD: Final[dict[Device, dict[str, str]]] = {
    Device.FUEL_CELL: {
        "oxygen_order": _NEYERLIN,
        "activation_energy": _NEYERLIN,
        "resistance_energy": _MEMBRANE,
        "transport_order": "assumed: a stack with three pressures at one temperature gave it; another 1.3",
        "transport_energy": "assumed: about half the heat of evaporation of water, with the sign of drying",
    },
    Device.PEM_ELECTROLYSER: {
        "pressure_order": "assumed: pressure acts by the reversible voltage alone",
        "activation_energy": "assumed",
        "resistance_energy": _MEMBRANE,
    },
    Device.ALKALINE_ELECTROLYSER: {
        "pressure_order": "assumed: pressure acts by the reversible voltage alone",
        "activation_energy": "assumed",
        "resistance_energy": "assumed",
    },
}
"""Parameters that may be held, by device: where the value comes from."""
_BY_TEMPERATURE: Final = ("activation_energy", "resistance_energy")
_BY_PRESSURE: Final = ("oxygen_order", "transport_order", "pressure_order")


@dataclass(frozen=True, slots=True)
class Held:
    """A parameter that was not fitted."""

    name: str
    value: float
    unit: str
    why: str


def held_of(
    curves: Sequence[Curve], model: Sequence[Parameter], hold: Mapping[str, float], free: Collection[str]
) -> tuple[Held, ...]:
    """Raises DataRefused for names that are no parameter, and values out of range."""
    known = {one.name: one for one in model}
    for name in (*hold, *free):
        if name not in known:
            raise DataRefused(f"{name!r} is no parameter of a {curves[0].device}; it has {', '.join(known)}")
    if both := sorted(set(hold) & set(free)):
        raise DataRefused(f"{both[0]} is to be held and fitted; choose")
    sources = HELD[curves[0].device]
    why = {name: f"{_few(curves, name)}; {source}" for name, source in sources.items() if _few(curves, name)}
    found: list[Held] = []
    for name, one in known.items():
        if name in hold:
            if not one.lower <= hold[name] <= one.upper:
                raise DataRefused(
                    f"{name} held at {hold[name]:g}, must be {one.lower:g} to {one.upper:g} {one.unit}"
                )
            found.append(Held(name, hold[name], one.unit, "as asked"))
        elif name in why and name not in free:
            found.append(Held(name, one.start, one.unit, why[name]))
    return tuple(found)


def _few(curves: Sequence[Curve], name: str) -> str:
    """Why the curves do not allow a law to be fitted; empty where they do."""
    if name == "transport_energy":
        return "never fitted unless asked: it trades with the other laws"
    if name in _BY_TEMPERATURE:
        there = _distinct([one.conditions.temperature_k for one in curves], _SAME_K)
        return "" if there >= _LEAST_CONDITIONS else f"curves at {there} temperature(s), 3 are needed"
    if name in _BY_PRESSURE:
        logs = [float(np.log(one.conditions.cathode_pressure_pa)) for one in curves]
        there = _distinct(logs, _SAME_SHARE)
        return "" if there >= _LEAST_CONDITIONS else f"curves at {there} pressure(s), 3 are needed"
    return ""


def _distinct(values: Sequence[float], same: float) -> int:
    ordered = sorted(values)
    return 1 + sum(after - before > same for before, after in itertools.pairwise(ordered))
