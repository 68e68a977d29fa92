"""What X-rays found, as variables of a design with their doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.design.run import Doubt
from poliqi.lab.echem.xrayfeed import RADII, Fed, crystal_density, particle_radius, site_concentration

if TYPE_CHECKING:
    from poliqi.lab.store.findings import Findings

__all__ = ["Asked", "Inflow", "inflow_of", "inflow_of_values"]

_NANO_UM: Final = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What of findings is used, and of which electrode it is. Empty names are left out."""

    electrode: str
    """"positive" or "negative"."""
    particle: str = ""
    """The finding that tells the radius; else the first of `poliqi.lab.echem.xrayfeed.RADII`."""
    phase: str = ""
    formula: str = ""
    formula_units: int = 0
    lithium: float = 0.0
    """Places for lithium in a formula unit; 0: the set's concentration stays."""


@dataclass(frozen=True, slots=True)
class Inflow:
    """Values, their doubts, and what is assumed by using them."""

    chosen: Mapping[str, float]
    doubts: tuple[Doubt, ...]
    assumed: tuple[str, ...]
    simulated: bool = False


def inflow_of_values(values: Mapping[str, tuple[float, float]]) -> Inflow:
    """Values with one standard deviation each, given by hand; 0 is none."""
    doubts = tuple(Doubt(f"{name} as given", {name: sigma}) for name, (_, sigma) in values.items() if sigma > 0)
    return Inflow({name: value for name, (value, _) in values.items()}, doubts, ())


def inflow_of(several: Sequence[tuple[str, Findings]], asked: Asked) -> Inflow:
    """Particle radius and crystal of an electrode from findings, each with who says so.

    What goes by one finding has one doubt: density and places for lithium move together with the cell's volume.
    Raises ConfigError where nothing can be used or a name lacks, DataRefused.
    """
    fed: list[tuple[str, float, Fed]] = []
    radius = _radius(several, asked.particle)
    if radius is not None:
        fed.append((f"{asked.electrode}_radius_um", 1e6, radius))
    if asked.phase:
        if not asked.formula or asked.formula_units < 1:
            raise ConfigError("--phase: give its --formula and --formula-units too, such as LiFePO4 and 4")
        source, findings = _holding(several, f"volume@{asked.phase}", asked.phase)
        args = (findings, asked.phase)
        density = crystal_density(*args, asked.formula, asked.formula_units, source=source)
        fed.append((f"{asked.electrode}_density_kg_m3", 1.0, density))
        if asked.lithium > 0:
            places = site_concentration(*args, asked.formula_units, asked.lithium, source=source)
            fed.append((f"{asked.electrode}_sites_mol_m3", 1.0, places))
    if not fed:
        raise ConfigError(
            f"the findings tell no particle size ({', '.join(RADII)}) and no --phase is named; name a --particle "
            "or a --phase of theirs"
        )
    moves: dict[str, dict[str, float]] = {}
    for name, factor, one in fed:
        if one.quantity.sigma > 0:
            moves.setdefault(one.quantity.source, {})[name] = one.quantity.sigma * factor
    assumed = [line for _, _, one in fed for line in one.assumed]
    if radius is not None and radius.quantity.value * 1e6 < _NANO_UM:
        assumed.append(
            f"particles of {2e9 * radius.quantity.value:.3g} nm across are taken to be wetted one by one: where "
            "they are grains of larger ones, the larger ones count"
        )
    return Inflow(
        {name: one.quantity.value * factor for name, factor, one in fed},
        tuple(Doubt(source, dict(by)) for source, by in moves.items()),
        tuple(dict.fromkeys(assumed)),
        any(one.simulated for _, _, one in fed),
    )


def _radius(several: Sequence[tuple[str, Findings]], name: str) -> Fed | None:
    """By the finding of that name, else by the first of the usual ones; None where there is none of these."""
    for wanted in (name,) if name else RADII:
        for source, findings in several:
            if any(one.name == wanted for one in findings.findings):
                return particle_radius(findings, wanted, source=source)
    if name:
        raise DataRefused(f"--particle {name}: none of the findings has it; they hold {_held(several)}")
    return None


def _holding(several: Sequence[tuple[str, Findings]], name: str, phase: str) -> tuple[str, Findings]:
    for source, findings in several:
        if any(one.name == name for one in findings.findings):
            return source, findings
    raise DataRefused(f"--phase {phase}: no finding {name}; they hold {_held(several)}")


def _held(several: Sequence[tuple[str, Findings]]) -> str:
    names = [one.name for _, findings in several for one in findings.findings]
    return ", ".join(names)[:400] or "nothing"
