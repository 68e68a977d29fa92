"""Wavelengths of X-ray tubes, and what else of the beam decides intensities.

The 3d anodes: G. Hölzer, M. Fritsch, M. Deutsch, J. Härtwig, E. Förster, Phys. Rev. A 56 (1997) 4554, peak
positions; molybdenum and silver: R. D. Deslattes and E. G. Kessler (1985), both as evaluated by R. D. Deslattes
et al., Rev. Mod. Phys. 75 (2003) 35. One evaluation for all anodes, as mixing scales moves a lattice by 20 to 100
parts in a million: J. A. Bearden (Rev. Mod. Phys. 39 (1967) 78), whom many textbooks copy, stands on another one.
NIST certifies the lattices of its powder standards on this scale.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from poliqi.base.errors import ConfigError, DataRefused

__all__ = [
    "CU_KALPHA1_ANGSTROM",
    "CU_KALPHA2_ANGSTROM",
    "HC_KEV_ANGSTROM",
    "KALPHA_ANGSTROM",
    "Geometry",
    "Radiation",
    "bragg_d_angstrom",
    "bragg_two_theta_deg",
    "monochromated",
    "nearest_anode",
    "radiation_named",
    "usual_polarisation",
]

CU_KALPHA1_ANGSTROM: Final = 1.5405929
CU_KALPHA2_ANGSTROM: Final = 1.5444274
KALPHA_ANGSTROM: Final = {
    "Cr": (2.2897260, 2.2936510),
    "Fe": (1.9360410, 1.9399730),
    "Co": (1.7889960, 1.7928350),
    "Cu": (CU_KALPHA1_ANGSTROM, CU_KALPHA2_ANGSTROM),
    "Mo": (0.70931715, 0.713607),
    "Ag": (0.55942178, 0.5638131),
}
"""K alpha 1 and K alpha 2 of each anode."""
HC_KEV_ANGSTROM: Final = 12.398419843320026
"""h c / e, exact since 2019, in keV times angstrom."""

KALPHA2_RATIO: Final = 0.5
"""Intensity of K alpha 2 over K alpha 1: the degeneracies 2j+1 of the levels they start from."""
_SAME_LINE: Final = 4e-4
"""Relative: what tables of the same line differ by at most, and less than K alpha 1 and 2 of copper differ by."""
_LIMITS_ANGSTROM: Final = (0.05, 5.0)


class Geometry(StrEnum):
    """Which way the beam meets the powder."""

    BRAGG_BRENTANO = "bragg-brentano"
    """Flat plate in reflection: laboratory diffractometers."""
    DEBYE_SCHERRER = "debye-scherrer"
    """Capillary: beam lines, and frames that were reduced to a curve."""


@dataclass(frozen=True, slots=True)
class Radiation:
    """Lines of a beam and the intensity of each over that of the first; `name` is as `radiation_named` takes it."""

    name: str
    wavelengths_angstrom: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def wavelength_angstrom(self) -> float:
        """Of the first line, which positions and d spacings are told for."""
        return self.wavelengths_angstrom[0]

    @property
    def has_doublet(self) -> bool:
        return len(self.wavelengths_angstrom) > 1

    @property
    def is_first_alone(self) -> bool:
        """K alpha 1 of a tube without K alpha 2: as a rule, behind a monochromator."""
        return self.name.endswith("Ka1")


def radiation_named(words: str) -> Radiation:
    """From "CuKa" (K alpha 1 and 2), "CuKa1", a wavelength "1.5406" or "1.5406A", or an energy "29.95keV".

    Raises ConfigError.
    """
    text = words.strip()
    if found := re.fullmatch(r"([A-Z][a-z]?)[ -]?K(?:a|alpha|α)([12]?)", text):
        anode, line = found.groups()
        if anode in KALPHA_ANGSTROM and line != "2":
            lines = KALPHA_ANGSTROM[anode]
            if line:
                return Radiation(f"{anode}Ka1", lines[:1], (1.0,))
            return Radiation(f"{anode}Ka", lines, (1.0, KALPHA2_RATIO))
    elif found := re.fullmatch(r"(\d*\.?\d+(?:[eE][+-]?\d+)?) ?(A|Å|nm|keV)?", text):
        number, unit = float(found[1]), found[2] or "A"
        if number > 0:
            wavelength = {"A": number, "Å": number, "nm": 10 * number, "keV": HC_KEV_ANGSTROM / number}[unit]
            least, most = _LIMITS_ANGSTROM
            if least <= wavelength <= most:
                return Radiation(f"{wavelength:.8g}A", (wavelength,), (1.0,))
            raise ConfigError(
                f"wavelength {words!a:.40} is {wavelength:g} A, must be {least} to {most} A; state the unit, such "
                f"as 1.5406A, 0.15406nm or 8.05keV"
            )
    known = ", ".join(f"{anode}Ka" for anode in KALPHA_ANGSTROM)
    raise ConfigError(
        f"radiation {words!a:.40} is not known; name one of {known} (both lines; CuKa1 for the first alone), "
        f"a wavelength such as 0.4139A, or an energy such as 29.95keV"
    )


def nearest_anode(wavelength_angstrom: float) -> str | None:
    """The anode whose K alpha 1 this is, to what tables differ by; None for another wavelength."""
    for anode, (first, _) in KALPHA_ANGSTROM.items():
        if abs(wavelength_angstrom / first - 1) < _SAME_LINE:
            return anode
    return None


def usual_polarisation(radiation: Radiation, geometry: Geometry) -> float:
    """K, the share polarised perpendicular to the plane of scattering.

    1/2 of a tube without monochromator, .99 of a beam line with scattering in the vertical plane.
    """
    has_tube = radiation.has_doublet or radiation.is_first_alone or geometry is Geometry.BRAGG_BRENTANO
    return 0.5 if has_tube else 0.99


def monochromated(two_theta_m_deg: float) -> float:
    """K of a tube's beam with a mosaic crystal at this angle in its way, before or after the sample.

    The crystal weakens one polarisation by cos^2(2theta_m), all beams in one plane: K = 1 / (1 + cos^2(2theta_m))
    (L. V. Azároff, Acta Cryst. 8 (1955) 701). Raises ConfigError.
    """
    if not 0 < two_theta_m_deg < 90:
        raise ConfigError(
            f"monochromator at {two_theta_m_deg:g} degrees, must be above 0 and below 90: its 2theta, such as 27.3 "
            f"for germanium 111 and 26.6 for graphite 002 with CuKa"
        )
    return 1 / (1 + math.cos(math.radians(two_theta_m_deg)) ** 2)


def bragg_two_theta_deg(d_angstrom: float, wavelength_angstrom: float) -> float:
    """Scattering angle in degrees; DataRefused for a spacing that this wavelength cannot see."""
    sine = wavelength_angstrom / (2 * d_angstrom)
    if not 0 < sine <= 1:
        raise DataRefused(
            f"d = {d_angstrom:g} A does not diffract at {wavelength_angstrom:g} A: it must be at least "
            f"{wavelength_angstrom / 2:g} A"
        )
    return 2 * math.degrees(math.asin(sine))


def bragg_d_angstrom(two_theta_deg: float, wavelength_angstrom: float) -> float:
    """Spacing of lattice planes that scatter at this angle; ValueError outside of 0 to 180 degrees."""
    if not 0 < two_theta_deg <= 180:
        raise ValueError(f"2theta of {two_theta_deg} degrees, must be above 0 and at most 180")
    return wavelength_angstrom / (2 * math.sin(math.radians(two_theta_deg / 2)))
