"""Crystallite size and strain from the whole pattern, against an instrument that a standard told.

Widths of single peaks, plotted against the angle (Williamson-Hall), are biased where peaks overlap and where tails
are cut; here every point of the pattern takes part. The sample's line is a Voigt function: of size with breadths
that go as 1 / cos(theta), of strain with tan(theta). Sizes are volume-weighted column lengths
L = lambda / (beta cos(theta)) of the integral breadth beta (A. R. Stokes and A. J. C. Wilson, Proc. Phys. Soc. 56
(1944) 174): no shape factor is in them. Spheres of one diameter D have L = 3 D / 4. Strain is
e = beta / (4 tan(theta)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.diffraction.instrumentprofile import InstrumentProfile
from poliqi.lab.xray.diffraction.packages import rietx_package
from poliqi.lab.xray.diffraction.pattern import Pattern
from poliqi.lab.xray.diffraction.radiation import Geometry
from poliqi.lab.xray.diffraction.refinement import Fit, FittedPhase, Method, Quantity, fit_of, run_fit
from poliqi.lab.xray.diffraction.rietxmodel import (
    failures_told,
    instrument_for,
    instrument_of_profile,
    pattern_data,
    phases_of,
    strongest_widths,
    with_widths,
)

__all__ = ["Microstructure", "measure_profile", "size_and_strain"]

_GAUSS_BREADTH: Final = math.sqrt(math.pi / (4 * math.log(2)))
"""Integral breadth of a Gaussian over its FWHM; a Lorentzian's is pi / 2."""
_SIGNIFICANT: Final = 3.0
_LEBAIL_PASSES: Final = 8


@dataclass(frozen=True, slots=True)
class Microstructure:
    """Of one phase. `size_nm` and `strain` are None where the pattern shows none; then the limit stands."""

    phase: str
    size_nm: Quantity | None
    """Volume-weighted column length."""
    size_above_nm: float | None
    """Where no size shows: the pattern would have shown a smaller one (3 sigma)."""
    strain: Quantity | None
    strain_below: float | None


def measure_profile(
    pattern: Pattern, standard: Path, *, progress: Callable[[str], None] | None = None
) -> tuple[InstrumentProfile, Fit]:
    """The instrument's widths from the pattern of a standard; its certified lattice is the CIF's and stays.

    Intensities are the pattern's own (Le Bail), so that texture and absorption of the standard do no harm. Raises
    ConfigError, DataRefused (also where the standard's lines lie where its lattice does not put them).
    """
    rietx = rietx_package()
    phases, names, cautions = phases_of([standard])
    data = pattern_data(pattern)
    if progress:
        progress("standard")
    with failures_told(f"{pattern.title}: the fit of the standard failed"):
        instrument = with_widths(instrument_for(pattern), pattern)
        instrument.profile.shape = "voigt"
        instrument.background = rietx.auto_background(data, kind="chebyshev", seed=True).background
        refinement = rietx.Refinement(phases, instrument, history=False)
        result = run_fit(refinement, data, mode="lebail", plan=_standard_plan(rietx, pattern))
        fit = fit_of(result, refinement, names, Method.LEBAIL)
    if not fit.usable:
        raise DataRefused(f"{pattern.title}: the fit of the standard did not converge: {'; '.join(fit.cautions)}")
    if fit.rwp > 0.5:
        raise DataRefused(
            f"{pattern.title}: the lines are not where {names[0]} has them (Rwp {fit.rwp:.2f}); name the structure "
            f"of this standard, with its certified lattice"
        )
    profile = _profile(pattern, refinement.instrument, names[0], fit)
    told = (*pattern.cautions, *cautions, *fit.cautions)
    return profile, replace(fit, cautions=told, title=pattern.title, simulated=pattern.simulated)


def size_and_strain(
    pattern: Pattern,
    cifs: Sequence[Path],
    profile: InstrumentProfile,
    method: Method = Method.PAWLEY,
    *,
    progress: Callable[[str], None] | None = None,
) -> tuple[tuple[Microstructure, ...], Fit]:
    """Size and strain of each phase, with its lattice. Raises ConfigError, DataRefused.

    Pawley's method does not believe the structure's intensities, and its sigmas hold that they were free.
    """
    profile.check_for(pattern.radiation, pattern.geometry)
    pattern = _within(pattern, profile)
    rietx = rietx_package()
    phases, names, cautions = phases_of(cifs)
    data = pattern_data(pattern)
    if progress:
        progress("size and strain")
    with failures_told(f"{pattern.title}: the fit failed"):
        instrument = instrument_of_profile(profile, pattern.polarised_share)
        instrument.background = rietx.auto_background(data, kind="chebyshev", seed=True).background
        start = _excess_deg(pattern, profile)
        for phase in phases.phases:
            phase.lor_size.value = start
        refinement = rietx.Refinement(phases, instrument, history=False)
        plan = _sample_plan(rietx, pattern.geometry)
        result = run_fit(refinement, data, mode=method.value, plan=plan)
        fit = fit_of(result, refinement, names, method)
    told = [*pattern.cautions, *cautions, *fit.cautions]
    if profile.simulated:
        told.append("the instrument's profile was simulated, not measured")
    fit = replace(fit, cautions=tuple(told), title=pattern.title)
    fit = replace(fit, simulated=pattern.simulated or profile.simulated)
    return tuple(_microstructure(phase, pattern.wavelength_angstrom) for phase in fit.phases), fit


def _standard_plan(rietx: Any, pattern: Pattern) -> Any:
    """Background, zero (and height of the sample, in reflection), widths, K alpha 2; never the lattice."""
    where = ["instrument.zero_shift"]
    if pattern.geometry is Geometry.BRAGG_BRENTANO:
        where.append("instrument.geometry.sample_displacement")
    stages = [
        rietx.Stage("background", ["instrument.background.*"]),
        rietx.Stage("place", where),
        rietx.Stage("width", ["instrument.profile.w"]),
        rietx.Stage("widths", [f"instrument.profile.{name}" for name in "uvxy"]),
    ]
    if pattern.radiation.has_doublet:
        stages.append(rietx.Stage("doublet", ["instrument.source.lines.*.weight"]))
    plan = rietx.RefinementPlan(stages=stages)
    plan.lebail_passes = _LEBAIL_PASSES
    return plan


def _sample_plan(rietx: Any, geometry: Geometry) -> Any:
    plan = rietx.RefinementPlan.lab_sample_refine()
    if geometry is Geometry.DEBYE_SCHERRER:
        plan.stages = [stage for stage in plan.stages if stage.name != "disp"]
    plan.lebail_passes = _LEBAIL_PASSES
    return plan


def _profile(pattern: Pattern, instrument: Any, name: str, fit: Fit) -> InstrumentProfile:
    shape, geometry = instrument.profile, instrument.geometry
    ticks = fit.phases[0].ticks_deg
    low, high = pattern.range_deg
    seen = ticks[(ticks >= low) & (ticks <= high)]
    if seen.size < 4:
        raise DataRefused(
            f"{pattern.title}: {seen.size} lines of the standard in its range, must be 4 or more to tell widths"
        )
    return InstrumentProfile(
        radiation=pattern.radiation.name,
        wavelengths_angstrom=pattern.radiation.wavelengths_angstrom,
        weights=tuple(float(line.weight.value) for line in instrument.source.lines),
        geometry=pattern.geometry,
        u=float(shape.u.value),
        v=float(shape.v.value),
        w=float(shape.w.value),
        x=float(shape.x.value),
        y=float(shape.y.value),
        axial_sl=float(geometry.axial_sl.value),
        axial_hl=float(geometry.axial_hl.value),
        zero_shift_deg=float(instrument.zero_shift.value),
        range_deg=(float(seen[0]), float(seen[-1])),
        standard=name,
        rwp=fit.rwp,
        simulated=pattern.simulated,
    )


def _within(pattern: Pattern, profile: InstrumentProfile) -> Pattern:
    """The part of a pattern where the standard told widths, and a little beyond."""
    low, high = profile.range_deg
    margin = 0.1 * (high - low)
    return pattern.within(low - margin, high + margin)


def _excess_deg(pattern: Pattern, profile: InstrumentProfile) -> float:
    """A size width (FWHM times cos theta, degrees) to begin with, from the strongest peaks."""
    excess = [
        max(width - profile.fwhm_deg(at), 0.005) * math.cos(math.radians(at / 2))
        for at, width in strongest_widths(pattern)
    ]
    return float(np.median(excess))


def _microstructure(phase: FittedPhase, wavelength_angstrom: float) -> Microstructure:
    size = _breadth(phase.broadening.get("lor_size"), phase.broadening.get("gauss_size"))
    strain = _breadth(phase.broadening.get("lor_strain"), phase.broadening.get("gauss_strain"))
    per_radian = wavelength_angstrom / 10
    size_nm = above = None
    if size is not None and size.sigma is not None:
        if size.value > _SIGNIFICANT * size.sigma:
            length = per_radian / size.value
            size_nm = Quantity(length, length * size.sigma / size.value)
        else:
            above = per_radian / (size.value + _SIGNIFICANT * size.sigma)
    e = below = None
    if strain is not None and strain.sigma is not None:
        if strain.value > _SIGNIFICANT * strain.sigma:
            e = Quantity(strain.value / 4, strain.sigma / 4)
        else:
            below = (strain.value + _SIGNIFICANT * strain.sigma) / 4
    return Microstructure(phase.name, size_nm, above, e, below)


def _breadth(lorentz: Quantity | None, gauss: Quantity | None) -> Quantity | None:
    """Integral breadth in radians of the Voigt function of both parts, as it stands before 1 / cos or tan.

    beta = beta_G exp(-k^2) / erfc(k) with k = beta_L / (sqrt(pi) beta_G) (J. I. Langford, J. Appl. Cryst. 11 (1978)
    10). The sigmas of both parts are taken as independent.
    """
    if lorentz is None or lorentz.sigma is None:
        return None
    parts = (max(lorentz.value, 0.0), max(gauss.value, 0.0) if gauss is not None else 0.0)
    centre = _voigt_breadth(*parts)
    step = lorentz.sigma
    variance = (_voigt_breadth(parts[0] + step, parts[1]) - centre) ** 2
    if gauss is not None and gauss.sigma is not None and gauss.value > 0:
        variance += (_voigt_breadth(parts[0], parts[1] + gauss.sigma) - centre) ** 2
    return Quantity(centre, math.sqrt(variance))


def _voigt_breadth(lorentz_fwhm_deg: float, gauss_fwhm_squared_deg2: float) -> float:
    from scipy.special import erfcx  # takes a moment to import

    lorentz = math.radians(lorentz_fwhm_deg) * math.pi / 2
    gauss = math.radians(math.sqrt(gauss_fwhm_squared_deg2)) * _GAUSS_BREADTH
    if gauss < 1e-9:
        return lorentz
    k = lorentz / (math.sqrt(math.pi) * gauss)
    return gauss / float(erfcx(k))
