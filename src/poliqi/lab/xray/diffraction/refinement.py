"""Whole-pattern fits by rietx: Rietveld, Le Bail and Pawley.

Sigmas are rietx's: of the counts, times the root of chi squared per degree of freedom where that is above one,
times the factor for correlated residuals of J.-F. Berar and P. Lelann (J. Appl. Cryst. 24 (1991) 1). They hold no
doubt about wavelength, zero of the goniometer beyond what the pattern tells, temperature, or the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.diffraction.packages import rietx_package
from poliqi.lab.xray.diffraction.pattern import Pattern
from poliqi.lab.xray.diffraction.rietxmodel import (
    failures_told,
    instrument_for,
    pattern_data,
    phases_of,
    with_widths,
)

__all__ = ["SIGMA_COVERS", "Fit", "FittedPhase", "Method", "Quantity", "fit_of", "refine", "run_fit"]

SIGMA_COVERS: Final = "counting statistics, inflated for misfit and for correlated residuals"
_LENGTHS: Final = ("a", "b", "c")
_CELL: Final = (*_LENGTHS, "alpha", "beta", "gamma")
_MOST_TOLD: Final = 12
_QUIET: Final = frozenset(("CAPILLARY_OFFSET_UNAVAILABLE", "LEBAIL_ALTERNATION_STOPPED"))


class Method(StrEnum):
    """Where the intensities of reflections come from."""

    RIETVELD = "rietveld"
    """From the structure."""
    LEBAIL = "lebail"
    """From the pattern itself, shared out again and again: no structure is believed."""
    PAWLEY = "pawley"
    """From the pattern, each a parameter with its sigma."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """`sigma` is one standard deviation; None where symmetry or the method fixes the value."""

    value: float
    sigma: float | None


@dataclass(frozen=True, slots=True)
class FittedPhase:
    """`lattice`: the free cell parameters by name, lengths in angstroms, angles in degrees."""

    name: str
    lattice: dict[str, Quantity]
    volume_angstrom3: Quantity
    weight_fraction: Quantity | None
    r_bragg: float | None
    ticks_deg: NDArray[np.float64]
    broadening: dict[str, Quantity]
    """Width of the sample: `lor_size`, `lor_strain` (deg), `gauss_size`, `gauss_strain` (deg^2)."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Arrays are of the points that were fitted, shape (n,)."""

    method: Method
    usable: bool
    """Whether it converged without an error that forbids reading values from it."""
    rwp: float
    rexp: float
    goodness: float
    esd_inflation: float | None
    phases: tuple[FittedPhase, ...]
    cautions: tuple[str, ...]
    two_theta_deg: NDArray[np.float64]
    observed: NDArray[np.float64]
    calculated: NDArray[np.float64]
    background: NDArray[np.float64]
    sigma: NDArray[np.float64]
    title: str = ""
    simulated: bool = False


def refine(
    pattern: Pattern,
    cifs: Sequence[Path],
    method: Method = Method.RIETVELD,
    *,
    structure: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Fit:
    """Fit lattices, widths, background and zero; with `structure` also coordinates and displacements.

    A Le Bail fit comes first, whatever the method: it brings lattice and widths near. Raises ConfigError,
    DataRefused.
    """
    rietx = rietx_package()
    phases, names, cautions = phases_of(cifs)
    data = pattern_data(pattern)
    tell: Callable[[str], None] = progress or _silent
    with failures_told(f"{pattern.title}: the fit failed"):
        instrument = with_widths(instrument_for(pattern), pattern)
        instrument.background = rietx.auto_background(data, kind="chebyshev", seed=True).background
        refinement = rietx.Refinement(phases, instrument, history=False)
        tell("Le Bail")
        plan = rietx.RefinementPlan.profile_only()
        if method is Method.LEBAIL:
            plan.lebail_passes = 8
        result = run_fit(refinement, data, mode="lebail", plan=plan)
        match method:
            case Method.RIETVELD:
                tell("Rietveld")
                plan_name = "mccusker_structural" if structure else "mccusker_default"
                result = run_fit(refinement, data, mode="rietveld", plan=plan_name)
            case Method.PAWLEY:
                tell("Pawley")
                result = run_fit(refinement, data, mode="pawley", plan="pawley_default")
            case Method.LEBAIL:
                pass
        fit = fit_of(result, refinement, names, method)
    told = (*pattern.cautions, *cautions, *fit.cautions)
    return replace(fit, cautions=told, title=pattern.title, simulated=pattern.simulated)


def _silent(_: str) -> None:
    pass


def run_fit(refinement: Any, data: Any, **settings: Any) -> Any:
    """A fit of rietx that keeps no record of its own on disk."""
    return refinement.fit(data, telemetry=False, **settings)


def fit_of(result: Any, refinement: Any, names: Sequence[str], method: Method) -> Fit:
    """rietx's result in our words. Raises DataRefused where the fit ran away."""
    statistics = result.statistics
    if not np.isfinite(statistics.rwp) or result.status == "diverged":
        raise DataRefused("the fit diverged: look at the pattern, its wavelength, and whether each phase is in it")
    rows = {str(row.path): row for row in refinement.parameters()}
    cautions = _cautions(result, statistics)
    return Fit(
        method=method,
        usable=bool(result.usable),
        rwp=float(statistics.rwp),
        rexp=float(statistics.rexp),
        goodness=float(statistics.gof),
        esd_inflation=None if statistics.esd_inflation is None else float(statistics.esd_inflation),
        phases=tuple(_phase(result, rows, index, name) for index, name in enumerate(names)),
        cautions=tuple(cautions),
        two_theta_deg=np.asarray(result.two_theta, np.float64),
        observed=np.asarray(result.y_obs, np.float64),
        calculated=np.asarray(result.y_calc, np.float64),
        background=np.asarray(result.y_background, np.float64),
        sigma=np.asarray(result.sigma, np.float64),
    )


def _phase(result: Any, rows: dict[str, Any], index: int, name: str) -> FittedPhase:
    lattice = {
        word: Quantity(float(row.value), _sigma(row.esd))
        for word in _CELL
        if (row := rows.get(f"phases.{index}.cell.{word}")) is not None and row.vary
    }
    if not lattice:
        lattice = {
            word: Quantity(float(rows[f"phases.{index}.cell.{word}"].value), None)
            for word in _LENGTHS
            if f"phases.{index}.cell.{word}" in rows
        }
    volume = next(each for each in result.cell_volumes if each.phase_index == index)
    shares: list[Any] = [] if result.qpa is None else result.qpa.phases
    share = shares[index] if len(shares) > 1 and index < len(shares) else None
    agreement = next((each for each in result.phase_agreement or () if each.name == name), None)
    broadening = {
        word: Quantity(float(row.value), _sigma(row.esd))
        for word in ("lor_size", "lor_strain", "gauss_size", "gauss_strain")
        if (row := rows.get(f"phases.{index}.{word}")) is not None and row.vary
    }
    return FittedPhase(
        name=name,
        lattice=lattice,
        volume_angstrom3=Quantity(float(volume.volume), _sigma(volume.stderr)),
        weight_fraction=None
        if share is None or share.weight_fraction is None
        else Quantity(float(share.weight_fraction), _sigma(share.weight_fraction_stderr)),
        r_bragg=None if agreement is None or agreement.r_bragg is None else float(agreement.r_bragg),
        ticks_deg=np.asarray(result.ticks.get(name, ()), np.float64),
        broadening=broadening,
    )


def _is_expected(diagnostic: Any) -> bool:
    """A width of a kind that the sample does not have comes to rest at zero: that is its value."""
    where = " ".join(str(path) for path in diagnostic.where)
    return diagnostic.code == "FLOOR_HIT" and any(word in where for word in (".gauss_", ".lor_", ".axial_"))


def _sigma(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _cautions(result: Any, statistics: Any) -> list[str]:
    """What rietx warns of, and a fit that is far from the noise."""
    found: list[str] = []
    if statistics.gof is not None and statistics.gof > 2:
        found.append(
            f"the model misses the data by {statistics.gof:.1f} times the noise (goodness of fit): what is missing "
            f"is not in any sigma"
        )
    found += [
        f"{each.message}"[:300]
        for each in result.diagnostics
        if each.level in ("warning", "error") and each.code not in _QUIET and not _is_expected(each)
    ]
    left = len(found) - _MOST_TOLD
    return [*found[:_MOST_TOLD], f"and {left} more"] if left > 0 else found
