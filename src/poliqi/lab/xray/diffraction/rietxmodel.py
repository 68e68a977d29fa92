"""Patterns, instruments and structures as rietx takes them: the border to an untyped package."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from poliqi.base.errors import DataRefused, words_of
from poliqi.lab.xray.diffraction.crystal import cif_bytes, crystal_from
from poliqi.lab.xray.diffraction.instrumentprofile import InstrumentProfile
from poliqi.lab.xray.diffraction.packages import rietx_package
from poliqi.lab.xray.diffraction.pattern import Pattern
from poliqi.lab.xray.diffraction.peaksearch import search
from poliqi.lab.xray.diffraction.radiation import Geometry, Radiation

__all__ = [
    "failures_told",
    "instrument_for",
    "instrument_of_profile",
    "pattern_data",
    "phases_of",
    "strongest_widths",
    "with_widths",
]

_MOST_PHASES: Final = 12
_STRONGEST: Final = 12


@contextmanager
def failures_told(what: str) -> Generator[None]:
    """rietx's warnings silenced (what they say stands in its results), its failures as DataRefused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataRefused:
        raise
    except (ValueError, ArithmeticError, RuntimeError, LookupError, TypeError, AttributeError, OSError) as error:
        raise DataRefused(f"{what}: {words_of(error)}") from error


def pattern_data(pattern: Pattern) -> Any:
    """rietx's PatternData."""
    return rietx_package().PatternData(
        two_theta=pattern.two_theta_deg.tolist(),
        intensity=pattern.intensity.tolist(),
        sigma=pattern.sigma.tolist(),
    )


def instrument_for(pattern: Pattern) -> Any:
    """rietx's Instrument of a pattern's beam, with its usual widths."""
    return _instrument(pattern.radiation, pattern.geometry, pattern.polarised_share)


def _instrument(radiation: Radiation, geometry: Geometry, polarisation: float) -> Any:
    rietx = rietx_package()
    if geometry is Geometry.DEBYE_SCHERRER:
        instrument = rietx.Instrument.debye_scherrer(
            wavelength=radiation.wavelength_angstrom, polarization=polarisation
        )
    else:
        instrument = rietx.Instrument.bragg_brentano(radiation="CuKa")
        instrument.source.polarization.value = polarisation
    _set_lines(rietx, instrument, radiation)
    return instrument


def instrument_of_profile(profile: InstrumentProfile, polarisation: float) -> Any:
    """rietx's Instrument with the widths that a standard told, and the pattern's K; nothing of it is free."""
    instrument = _instrument(profile.beam, profile.geometry, polarisation)
    shape = instrument.profile
    shape.shape = "voigt"
    for name in ("u", "v", "w", "x", "y"):
        getattr(shape, name).value = getattr(profile, name)
    instrument.geometry.axial_sl.value = profile.axial_sl
    instrument.geometry.axial_hl.value = profile.axial_hl
    instrument.zero_shift.value = profile.zero_shift_deg
    return instrument


def _set_lines(rietx: Any, instrument: Any, radiation: Radiation) -> None:
    lines: list[Any] = instrument.source.lines
    instrument.source.lines = [
        lines[0].__class__(wavelength=wavelength, weight=rietx.Parameter(value=weight, min=0.0))
        for wavelength, weight in zip(radiation.wavelengths_angstrom, radiation.weights, strict=True)
    ]


def strongest_widths(pattern: Pattern) -> list[tuple[float, float]]:
    """2theta and FWHM in degrees, within a third, of the strongest peaks. Raises DataRefused where none is."""
    found = search(pattern.two_theta_deg, pattern.intensity, pattern.sigma, pattern.radiation)
    if not found:
        raise DataRefused(
            f"{pattern.title}: no peak stands out of its noise; count for longer, or see another range"
        )
    strongest = sorted(found, key=lambda seed: -seed.signal)[:_STRONGEST]
    return [(seed.two_theta_deg, seed.fwhm_deg) for seed in strongest]


def with_widths(instrument: Any, pattern: Pattern) -> Any:
    """The instrument with widths begun at those of the strongest peaks. Raises DataRefused where there are none."""
    fwhm = statistics.median(width for _, width in strongest_widths(pattern))
    instrument.profile.w.value = max((0.6 * fwhm) ** 2, 1e-7)
    instrument.profile.x.value = 0.6 * fwhm
    return instrument


def phases_of(paths: Sequence[Path]) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """The structure of CIF files, their names, each once, and what was assumed. Raises ConfigError, DataRefused.

    gemmi reads each file first, within limits; what rietx then reads is the same file.
    """
    rietx = rietx_package()
    if not 1 <= len(paths) <= _MOST_PHASES:
        raise DataRefused(f"{len(paths)} phases, must be 1 to {_MOST_PHASES}")
    phases: list[Any] = []
    names: list[str] = []
    cautions: list[str] = []
    for path in paths:
        crystal = crystal_from(cif_bytes(path), path)
        name = _fresh(crystal.name, names)
        with failures_told(f"{path}: no structure that can be refined"):
            phase = rietx.Structure.from_cif(path, phase_name=name).phases[0]
        phases.append(phase)
        names.append(name)
        cautions += [f"{name}: {caution}" for caution in crystal.cautions]
    return rietx.Structure(phases=phases), tuple(names), tuple(cautions)


def _fresh(name: str, taken: Sequence[str]) -> str:
    """The name without blanks and slashes (it ends names of findings), with a number where it is taken."""
    plain = "_".join(name.replace("/", " ").replace("\\", " ").replace("@", " ").split())[:48] or "phase"
    count = 1
    while (fresh := plain if count == 1 else f"{plain}_{count}") in taken:
        count += 1
    return fresh
