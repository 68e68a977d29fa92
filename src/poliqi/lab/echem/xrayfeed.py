"""From what X-rays found to what cells are designed with: particle radius, crystal density, places for lithium.

Each number keeps its standard deviation, whence it came, and what has to be assumed to use it so.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.formula import molar_mass_kg_mol
from poliqi.lab.echem.quantity import Quantity

if TYPE_CHECKING:
    from poliqi.lab.store.findings import Finding, Findings

__all__ = ["RADII", "Fed", "crystal_density", "crystallite_radius", "particle_radius", "site_concentration"]

RADII: Final = ("diameter_mean_volume", "diameter_d50_volume", "radius_mean", "diameter_mean_number")
"""Findings that tell a particle's radius where none is named, the first that is there."""
_METRES: Final = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "nm": 1e-9, "A": 1e-10, "Å": 1e-10, "Ang": 1e-10}
_AVOGADRO: Final = 6.02214076e23
_PER_DIAMETER: Final = 0.5
_PER_GYRATION: Final = math.sqrt(5 / 3)
"""R over the radius of gyration of a homogeneous sphere (Guinier and Fournet, Small-Angle Scattering, 1955)."""
_PER_COLUMN: Final = 2 / 3
"""R over the volume-weighted column length of spheres, 3 D / 4 (Langford and Wilson, J. Appl. Cryst. 11, 1978)."""


@dataclass(frozen=True, slots=True)
class Fed:
    """A number for a design and the finding that it comes from. `assumed` are sentences to be shown beside it."""

    quantity: Quantity
    finding: str
    assumed: tuple[str, ...]
    simulated: bool


def particle_radius(findings: Findings, name: str = "", *, source: str = "") -> Fed:
    """Radius in m of the spheres that a cell model has for active material.

    `name` is the finding to use: a diameter, a radius, a `crystallite_size@PHASE`; else the first of `RADII`.
    `source` is who says so, such as a dataset. Raises DataRefused where there is none, or it is no length.
    """
    if not name:
        there = {one.name for one in findings.findings}
        name = next((one for one in RADII if one in there), "")
        if not name:
            raise DataRefused(
                f"{source or 'findings'} {findings.title!r}: no {' or '.join(RADII)} among "
                f"{', '.join(sorted(there))[:300] or 'nothing'}; evaluate a small-angle curve by sizes, or name "
                "the finding to use"
            )
    found = findings.named(name)
    factor, assumed = _sphere(found, findings.title)
    return _fed(findings, found, factor * _metres(found, findings.title), "m", assumed, source)


def crystallite_radius(findings: Findings, phase: str, *, source: str = "") -> Fed:
    """Radius in m of spheres with the column length of a phase, for lithium that stops at their boundaries."""
    return particle_radius(findings, f"crystallite_size@{phase}", source=source)


def crystal_density(findings: Findings, phase: str, formula: str, formula_units: int, *, source: str = "") -> Fed:
    """Density in kg/m3 of a phase without pores, by the volume of its cell and Z formula units in it.

    Raises DataRefused where the volume is not known, or nothing solid is so dense.
    """
    cell = _cell(findings, phase, formula_units)
    density = formula_units * molar_mass_kg_mol(formula) / (_AVOGADRO * cell.value * 1e-30)
    if not 100 < density < 25_000:  # lithium has 534, osmium 22,590 kg/m3
        raise DataRefused(
            f"{phase}: {formula_units} {formula} in {cell.value:g} A3 have {density:.4g} kg/m3, which no solid "
            "has; check the formula and how many units of it the cell holds"
        )
    assumed = (f"{phase} is taken to be {formula} without vacancies, {formula_units} units a cell",)
    return _fed(findings, cell, density / cell.value, "kg/m3", assumed, source)


def site_concentration(
    findings: Findings, phase: str, formula_units: int, sites: float = 1.0, *, source: str = ""
) -> Fed:
    """Concentration in mol/m3 of places for lithium: `sites` a formula unit, by the volume of the phase's cell."""
    cell = _cell(findings, phase, formula_units)
    if not 0 < sites <= 12:  # Li15Si4 has fewer
        raise DataRefused(f"{phase}: {sites:g} places for lithium a formula unit, must be above 0 and at most 12")
    most = formula_units * sites / (_AVOGADRO * cell.value * 1e-30)
    assumed = (f"every formula unit of {phase} takes {sites:g} lithium, {formula_units} units a cell",)
    return _fed(findings, cell, most / cell.value, "mol/m3", assumed, source)


def _cell(findings: Findings, phase: str, formula_units: int) -> Finding:
    """The volume of a phase's cell in A3."""
    if not 1 <= formula_units <= 1000:  # far above any cell of an active material
        raise DataRefused(f"{phase}: {formula_units} formula units a cell, must be 1 to 1000")
    phases = sorted({one.name.partition("@")[2] for one in findings.findings if one.name.startswith("volume@")})
    if phase not in phases:
        raise DataRefused(
            f"findings {findings.title!r} hold no volume of the cell of {phase!r}; they hold that of "
            f"{', '.join(phases)[:300] or 'no phase'}; refine the lattice by poliqi lab xray xrd"
        )
    found = findings.named(f"volume@{phase}")
    if found.unit not in ("A3", "Å3") or found.value <= 0:
        raise DataRefused(f"{found.name} is {found.value:g} {found.unit!a:.20}, must be above 0, in A3")
    return found


def _sphere(found: Finding, title: str) -> tuple[float, tuple[str, ...]]:
    """What a finding is multiplied with for a radius, and what is assumed by that."""
    name = found.name.partition("@")[0]
    how = f" ({found.method})" if found.method else ""
    if name == "crystallite_size":
        return _PER_COLUMN, (
            f"particles are taken to be single crystallites: spheres of 4/3 the column length {found.name}",
        )
    if name == "radius_of_gyration":
        return _PER_GYRATION, (f"particles are taken to be equal homogeneous spheres{how}",)
    if re.match(r"(diameter_mean|diameter_d[0-9]+)", name):
        return _PER_DIAMETER, (f"every particle is taken to be a sphere of {found.name}{how}",)
    if name in ("radius", "radius_mean"):
        return 1.0, (f"every particle is taken to be a sphere of {found.name}{how}",)
    raise DataRefused(
        f"findings {title!r}: {found.name} is not the size of a particle; name a diameter, a radius or a "
        "crystallite size"
    )


def _metres(found: Finding, title: str) -> float:
    """Metres in the unit of a length."""
    if found.unit not in _METRES:
        raise DataRefused(
            f"findings {title!r}: {found.name} is in {found.unit!a:.20}, must be in {', '.join(_METRES)}"
        )
    return _METRES[found.unit]


def _fed(
    findings: Findings,
    found: Finding,
    factor: float,
    unit: str,
    assumed: tuple[str, ...],
    source: str,
) -> Fed:
    """The finding times a factor. What goes with 1 / finding has the same relative sigma, to first order."""
    if found.value <= 0:
        raise DataRefused(
            f"findings {findings.title!r}: {found.name} is {found.value:g} {found.unit}, must be above 0"
        )
    sigma = found.sigma
    if sigma is not None and sigma >= found.value:
        raise DataRefused(
            f"findings {findings.title!r}: {found.name} is {found.value:g} +- {sigma:g} {found.unit}, which is not "
            "told apart from 0; measure it better, or give the number by hand"
        )
    if sigma is None:
        assumed = (*assumed, f"nobody knows the doubt of {found.name}: it widens no band")
    elif found.sigma_covers:
        assumed = (*assumed, f"sigma of {found.name} covers {found.sigma_covers}")
    value = factor * found.value
    who = source or f"findings {findings.title!r}"
    quantity = Quantity(value, 0.0 if sigma is None else value * sigma / found.value, unit, f"{who}: {found.name}")
    return Fed(quantity, found.name, (*assumed, *findings.cautions), findings.simulated)
