"""Powder patterns of known truth, made without the code under test: reflections counted out one by one, exact Voigt
functions, Poisson counts. Shared by the tests of diffraction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import voigt_profile

CU = ((1.5405929, 1.0), (1.5444274, 0.5))
"""Wavelength in angstroms and weight of K alpha 1 and 2 of copper: Hölzer et al. 1997."""

# What gemmi and rietx need of a structure, written out by hand.
_CIF = """data_{name}
_chemical_name_common '{name}'
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt '{group}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
{sites}
"""
STRUCTURES: Mapping[str, tuple[float, str, str]] = {
    "LaB6": (4.156826, "P m -3 m", "La La 0 0 0 1 0.005\nB B 0.1996 0.5 0.5 1 0.004"),
    "Si": (5.431144, "F d -3 m:1", "Si Si 0 0 0 1 0.006"),
    "Ni": (3.52387, "F m -3 m", "Ni Ni 0 0 0 1 0.005"),
    "Au": (4.07860, "F m -3 m", "Au Au 0 0 0 1 0.008"),
    "Ag": (4.08620, "F m -3 m", "Ag Ag 0 0 0 1 0.009"),
    "NaCl": (5.64056, "F m -3 m", "Na Na 0 0 0 1 0.018\nCl Cl 0.5 0.5 0.5 1 0.016"),
    "CaF2": (5.46305, "F m -3 m", "Ca Ca 0 0 0 1 0.006\nF F 0.25 0.25 0.25 1 0.010"),
    "CeO2": (5.41153, "F m -3 m", "Ce Ce 0 0 0 1 0.003\nO O 0.25 0.25 0.25 1 0.006"),
}
"""Lattice parameter in angstroms, space group, sites. LaB6: NIST SRM 660c; Si: NIST SRM 640f (certificates)."""


def cif(name: str, a: float | None = None) -> str:
    """The CIF of a cubic structure, its lattice parameter changed where one is given."""
    usual, group, sites = STRUCTURES[name]
    return _CIF.format(name=name, a=f"{usual if a is None else a:.6f}", group=group, sites=sites)


def write_cif(folder: Path, name: str, a: float | None = None) -> Path:
    path = folder / f"{name}.cif"
    path.write_text(cif(name, a))
    return path


def cubic_lines(a: float, centring: str, wavelength: float, up_to_deg: float) -> dict[int, tuple[float, int]]:
    """h^2 + k^2 + l^2: (2theta in degrees, how many hkl there are) of a cubic lattice, P, I, F or D (diamond)."""
    top = int((2 * a * math.sin(math.radians(up_to_deg / 2)) / wavelength) ** 2)
    most = math.isqrt(top)
    counts: dict[int, int] = {}
    for h, k, l in itertools.product(range(-most, most + 1), repeat=3):  # noqa: E741 - Miller's letters
        parity = {h % 2, k % 2, l % 2}
        seen = {
            "P": True,
            "I": (h + k + l) % 2 == 0,
            "F": len(parity) == 1,
            "D": len(parity) == 1 and (parity == {1} or (h + k + l) % 4 == 0),
        }[centring]
        n = h * h + k * k + l * l
        if seen and 0 < n <= top:
            counts[n] = counts.get(n, 0) + 1
    return {
        n: (2 * math.degrees(math.asin(wavelength * math.sqrt(n) / (2 * a))), count)
        for n, count in sorted(counts.items())
        if wavelength * math.sqrt(n) / (2 * a) < 1
    }


@dataclass(frozen=True)
class Broadening:
    """Widths in degrees of 2theta as functions of theta (radians): Gaussian sigma and Lorentzian half width."""

    sigma: Callable[[float], float]
    gamma: Callable[[float], float]


INSTRUMENT = Broadening(lambda theta: 0.025 + 0.006 * math.tan(theta), lambda theta: 0.012 / math.cos(theta))


def with_size_and_strain(length_nm: float, strain: float, wavelength: float = CU[0][0]) -> Broadening:
    """INSTRUMENT and a sample of Lorentzian breadth: volume-weighted column length L, strain e = delta d / d.

    Size: integral breadth beta = lambda / (L cos theta) (Stokes and Wilson 1942). Strain: beta = 4 e tan theta.
    A Lorentzian's integral breadth is pi times its half width at half maximum.
    """

    def gamma(theta: float) -> float:
        size = math.degrees(wavelength / (10 * length_nm * math.cos(theta))) if length_nm else 0.0
        return INSTRUMENT.gamma(theta) + (size + math.degrees(4 * strain * math.tan(theta))) / math.pi

    return Broadening(INSTRUMENT.sigma, gamma)


def ideal(
    two_theta: NDArray[np.float64],
    a: float,
    strengths: Mapping[int, float],
    centring: str,
    broadening: Broadening,
    lines: tuple[tuple[float, float], ...] = CU,
) -> NDArray[np.float64]:
    """Sum of Voigt lines of area multiplicity x Lp x strength (by h^2+k^2+l^2), for each wavelength."""
    total = np.zeros_like(two_theta)
    for wavelength, weight in lines:
        for n, (at, count) in cubic_lines(a, centring, wavelength, float(two_theta[-1]) + 2).items():
            theta = math.radians(at / 2)
            lp = (1 + math.cos(2 * theta) ** 2) / (2 * math.sin(theta) ** 2 * math.cos(theta))
            area = weight * count * lp * strengths.get(n, strengths.get(0, 0.0))
            total += area * voigt_profile(two_theta - at, broadening.sigma(theta), broadening.gamma(theta))
    return total


def counted(
    expected: NDArray[np.float64], peak_counts: float, background: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Poisson counts, the highest point at `peak_counts` above `background`."""
    return rng.poisson(expected * (peak_counts / expected.max()) + background).astype(np.float64)


def write_xye(path: Path, two_theta: NDArray[np.float64], counts: NDArray[np.float64]) -> Path:
    rows = np.column_stack([two_theta, counts, np.sqrt(np.maximum(counts, 1))])
    np.savetxt(path, rows, fmt="%.5f", header="2theta/deg counts sigma, simulated")
    return path
