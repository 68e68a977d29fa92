"""What is scattered by materials whose absolute intensity is known: glassy carbon SRM 3600 and water.

Glassy carbon: certificate of NIST Standard Reference Material 3600 (2016), table 1, as NIST's data file
3600_DataFile_2016-05-16 gives it; Allen, Zhang, Kline, Guthrie and Ilavsky, J. Appl. Cryst. 50 (2017) 462. The
combined standard uncertainty is 2.58 % at every q (0.901092 of 34.933380): one doubt about the scale, not noise.
Thickness 1.055 mm. Water at 20 degrees Celsius, from its compressibility: Orthaber, Bergmann and Glatter, J. Appl.
Cryst. 33 (2000) 218. They state no uncertainty; n_e^2 r_e^2 kT times today's compressibility (0.4589 1/GPa) gives
0.01642 1/cm, and the difference, 0.6 %, is taken as its standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.corrections import scale_intensity
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit

__all__ = ["STANDARDS", "Reference", "Scale", "Standard", "absolute", "scale_of"]

_LEAST_POINTS: Final = 5


class Standard(StrEnum):
    """Materials with a known intensity."""

    GLASSY_CARBON = "glassy-carbon"
    WATER = "water"


@dataclass(frozen=True, slots=True)
class Reference:
    """Intensity (1/cm) at q (1/angstrom), straight between the points; `relative_sigma` is common to all."""

    name: str
    q_per_angstrom: NDArray[np.float64] = field(repr=False)
    per_cm: NDArray[np.float64] = field(repr=False)
    relative_sigma: float
    thickness_mm: float | None
    source: str


_TABLE: Final = """
0.00827568 34.933380  0.00888450 34.427156  0.00954735 34.042170  0.01026900 33.698553
0.01105780 33.352529  0.01191830 33.027533  0.01286110 32.665045  0.01389340 32.306665
0.01502510 31.970485  0.01626850 31.559099  0.01763650 31.183763  0.01914320 30.861805
0.02080510 30.514300  0.02264220 30.084982  0.02467500 29.690414  0.02692890 29.249965
0.02943170 28.889970  0.03221560 28.449341  0.03531810 28.065980  0.03878270 27.704965
0.04265880 27.331304  0.04700390 26.974065  0.05188580 26.676952  0.05738140 26.401158
0.06358290 26.177427  0.07059620 25.904683  0.07854840 25.528734  0.08758630 24.917743
0.09788540 23.946472  0.10965500 22.472101  0.11431200 21.777228  0.11839500 21.112938
0.12262400 20.401110  0.12314200 20.287060  0.12700400 19.685107  0.13154000 18.909809
0.13623900 18.089242  0.13864300 17.679572  0.14110500 17.264117  0.14614500 16.372848
0.15136500 15.458350  0.15651300 14.587700  0.15677100 14.563071  0.16237100 13.616671
0.16817000 12.668549  0.17417700 11.752287  0.17718100 11.311460  0.18039800 10.862157
0.18684100 9.961979  0.19351500 9.116906  0.20042700 8.325578  0.20116500 8.224897
0.20758600 7.541931  0.21500000 6.854391  0.22267900 6.216070  0.22909500 5.715911
0.23063300 5.582366  0.23887100 4.999113  0.24740200 4.463604
"""
_CARBON: Final = np.array(_TABLE.split(), np.float64).reshape(-1, 2)
"""q (1/angstrom) and intensity (1/cm)."""

STANDARDS: Final = {
    Standard.GLASSY_CARBON: Reference(
        "glassy carbon, NIST SRM 3600",
        _CARBON[:, 0],
        _CARBON[:, 1],
        0.901092 / 34.933380,
        1.055,
        "NIST SRM 3600 certificate (2016), table 1",
    ),
    Standard.WATER: Reference(
        "water at 20 degrees Celsius",
        np.array((0.05, 0.3)),
        np.array((0.01632, 0.01632)),
        0.006,
        None,
        "Orthaber, Bergmann and Glatter, J. Appl. Cryst. 33 (2000) 218",
    ),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """`factor` makes 1/cm of an intensity; `sigma` of it, of which `reference_sigma` is the certificate's."""

    factor: float
    sigma: float
    reference_sigma: float
    reduced_chi2: float
    points: int
    standard: Standard


def scale_of(measured: Curve, standard: Standard) -> Scale:
    """The factor that lays a measured curve of a standard onto its known intensity, over the q that both have.

    `measured` is corrected like the sample (transmission, thickness, background). Raises DataRefused: no q axis,
    fewer than 5 points in common, no sigma, an intensity that is not positive.
    """
    reference = STANDARDS[standard]
    if measured.axis is Axis.TWO_THETA_DEG:
        raise DataRefused(f"curve {measured.title!r} of the standard runs over 2theta; reduce it to q")
    q = measured.x * (0.1 if measured.axis is Axis.Q_PER_NM else 1.0)
    known = reference.q_per_angstrom
    use = (q >= known[0]) & (q <= known[-1]) & (measured.sigma > 0)
    if np.count_nonzero(use) < _LEAST_POINTS:
        raise DataRefused(
            f"curve {measured.title!r}: {np.count_nonzero(use)} points with a sigma at q {known[0]:g} to"
            f" {known[-1]:g} 1/A, where {reference.name} is known; at least {_LEAST_POINTS} are needed"
        )
    wanted = np.interp(q[use], known, reference.per_cm)
    weight = 1 / measured.sigma[use] ** 2
    inverse = float((weight * wanted * measured.intensity[use]).sum() / (weight * wanted**2).sum())
    if inverse <= 0:
        raise DataRefused(f"curve {measured.title!r} of the standard is not positive; check its background")
    residual = (measured.intensity[use] - inverse * wanted) / measured.sigma[use]
    reduced = float((residual**2).sum()) / (int(use.sum()) - 1)
    variance = max(reduced, 1.0) / float((weight * wanted**2).sum())
    for term in measured.common:
        variance += (float((weight * wanted * term.change[use]).sum()) / float((weight * wanted**2).sum())) ** 2
    of_reference = reference.relative_sigma / inverse
    sigma = float(np.hypot(np.sqrt(variance) / inverse**2, of_reference))
    return Scale(1 / inverse, sigma, of_reference, reduced, int(use.sum()), standard)


def absolute(
    curve: Curve, factor: float, sigma: float, source: str, settings: Mapping[str, str] = MappingProxyType({})
) -> Curve:
    """The curve in 1/cm; the doubt about the factor is a common term, `settings` join its step.

    Raises DataRefused: no positive factor.
    """
    scaled = scale_intensity(curve, "absolute scale", factor, sigma, {"source": source, **settings})
    return replace(scaled, intensity_unit=IntensityUnit.PER_CM)
