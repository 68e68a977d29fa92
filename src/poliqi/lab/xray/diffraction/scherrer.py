"""Crystallite size from the width of one peak (P. Scherrer 1918), refused where the instrument explains the width.

A single width cannot tell size from strain: what comes out is the size that would explain all of it, a lower bound.
The whole pattern tells more: `microstructure.size_and_strain`.
"""

from __future__ import annotations

import math
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.diffraction.instrumentprofile import InstrumentProfile
from poliqi.lab.xray.diffraction.peaks import Peak
from poliqi.lab.xray.diffraction.refinement import Quantity

__all__ = ["SHAPE_FACTOR", "scherrer_nm"]

SHAPE_FACTOR: Final = 0.9
"""K for widths at half maximum; between .83 and 1.07 for other shapes (J. I. Langford and A. J. C. Wilson, J. Appl.
Cryst. 11 (1978) 102): 10 to 20 % that no sigma holds."""
_SIGNIFICANT: Final = 3.0
_INSTRUMENT_DOUBT: Final = 0.02


def scherrer_nm(peak: Peak, profile: InstrumentProfile, wavelength_angstrom: float) -> Quantity:
    """K lambda / (beta cos theta) in nanometres, with the instrument's width taken off.

    beta is the mean of the two ways to take a width off another, B - b (Lorentzian lines) and sqrt(B^2 - b^2)
    (Gaussian ones); half their difference is part of sigma. Raises DataRefused where B is not above b by three
    sigma (its own, and 2 % of the instrument's), or where the standard told no width at this angle.
    """
    at = peak.two_theta_deg.value
    low, high = profile.range_deg
    margin = 0.1 * (high - low)
    if not low - margin <= at <= high + margin:
        raise DataRefused(
            f"peak at {at:.3f} degrees: the standard told the instrument's width from {low:.1f} to {high:.1f} only"
        )
    width, own = peak.fwhm_deg.value, profile.fwhm_deg(at)
    sigma = math.hypot(peak.fwhm_deg.sigma or 0.0, _INSTRUMENT_DOUBT * own)
    if not width - own > _SIGNIFICANT * sigma:
        raise DataRefused(
            f"peak at {at:.3f} degrees: its width of {width:.4f}({sigma:.4f}) degrees is not above the "
            f"instrument's {own:.4f}: no size can be told from it, only that crystallites are large"
        )
    least, most = width - own, math.sqrt(width**2 - own**2)
    beta = math.radians((least + most) / 2)
    spread = math.hypot(math.radians((most - least) / 2), math.radians(sigma))
    size = SHAPE_FACTOR * wavelength_angstrom / 10 / (beta * math.cos(math.radians(at / 2)))
    return Quantity(size, size * spread / beta)
