"""What a powder of a crystal gives: positions and intensities of its reflections.

Intensity of a reflection is m |F|^2 Lp / V^2 (International Tables for Crystallography C, 6.2): multiplicity m,
structure factor F with form factors of International Tables C (1992), dispersion f' and f'' after Cromer and
Liberman, and displacement factors of the CIF; Lp = (K + (1 - K) cos^2 2theta) / (sin^2 theta cos theta), where K is
the share of the beam that is polarised perpendicular to the plane of scattering: 1/2 for a tube.
Atoms are neutral. Absorption, extinction, texture and roughness are not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.diffraction.crystal import Crystal
from poliqi.lab.xray.diffraction.packages import gemmi_package
from poliqi.lab.xray.diffraction.radiation import HC_KEV_ANGSTROM

__all__ = ["Lines", "Reflections", "joined_lines", "lorentz_polarisation", "reflections"]

_MOST_REFLECTIONS: Final = 50_000
_SAME_ANGLE_DEG: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Reflections:
    """One row a form {hkl}, by angle: `hkl` (n, 3), `multiplicity`, `d_angstrom`, `two_theta_deg`,
    `f_squared` in electrons squared (mean over Friedel pairs), `intensity` m |F|^2 Lp / V^2; each (n,).
    """

    hkl: NDArray[np.int32]
    multiplicity: NDArray[np.int64]
    d_angstrom: NDArray[np.float64]
    two_theta_deg: NDArray[np.float64]
    f_squared: NDArray[np.float64]
    intensity: NDArray[np.float64]

    @property
    def relative(self) -> NDArray[np.float64]:
        """Intensity with the strongest at 100."""
        most = float(self.intensity.max(initial=0.0))
        return self.intensity * (100 / most) if most > 0 else self.intensity


@dataclass(frozen=True, slots=True)
class Lines:
    """Reflections that fall on one angle taken together: `label` such as "300 221"."""

    label: tuple[str, ...]
    d_angstrom: NDArray[np.float64]
    two_theta_deg: NDArray[np.float64]
    intensity: NDArray[np.float64]
    """The strongest is 100."""


def lorentz_polarisation(two_theta_deg: NDArray[np.float64], polarisation: float = 0.5) -> NDArray[np.float64]:
    """Lp for K = `polarisation`, of the shape of `two_theta_deg`."""
    theta = np.radians(two_theta_deg) / 2
    polarised = polarisation + (1 - polarisation) * np.cos(2 * theta) ** 2
    return polarised / (np.sin(theta) ** 2 * np.cos(theta))


def reflections(
    crystal: Crystal,
    wavelength_angstrom: float,
    range_deg: tuple[float, float] = (5.0, 120.0),
    polarisation: float = 0.5,
) -> Reflections:
    """All reflections within a range of 2theta. Raises DataRefused where there are none, or too many."""
    low, high = range_deg
    if not 0 <= low < high < 180:
        raise DataRefused(f"range of 2theta {low:g} to {high:g} degrees, must rise within 0 to 180")
    d_least = wavelength_angstrom / (2 * math.sin(math.radians(high / 2)))
    expected = 4.2 * crystal.volume_angstrom3 / d_least**3 / 2
    if expected > 24 * _MOST_REFLECTIONS:
        raise DataRefused(
            f"{crystal.name}: about {expected:.0f} reflections up to {high:g} degrees, choose a smaller range"
        )
    gemmi = gemmi_package()
    cell, group = crystal.structure.cell, crystal.structure.spacegroup
    all_hkl = np.asarray(gemmi.make_miller_array(cell, group, d_least), np.int32).reshape(-1, 3)
    d = np.asarray(cell.calculate_d_array(all_hkl), np.float64)
    two_theta = 2 * np.degrees(np.arcsin(np.minimum(wavelength_angstrom / (2 * d), 1.0)))
    keep = (two_theta >= low) & (two_theta <= high)
    order = np.argsort(two_theta[keep], kind="stable")
    hkl, d, two_theta = all_hkl[keep][order], d[keep][order], two_theta[keep][order]
    if not 0 < len(hkl) <= _MOST_REFLECTIONS:
        raise DataRefused(
            f"{crystal.name}: {len(hkl)} reflections at {low:g} to {high:g} degrees, {wavelength_angstrom:g} A, "
            f"must be 1 to {_MOST_REFLECTIONS}; choose another range"
        )
    multiplicity = _multiplicities(group.operations(), hkl)
    hkl = _usual(group.operations(), hkl)
    f_squared = _structure_factors_squared(crystal, hkl, wavelength_angstrom)
    volume = crystal.volume_angstrom3
    intensity = multiplicity * f_squared * lorentz_polarisation(two_theta, polarisation) / volume**2
    return Reflections(hkl, multiplicity, d, two_theta, f_squared, intensity)


def joined_lines(found: Reflections, least: float = 0.1, apart_deg: float = _SAME_ANGLE_DEG) -> Lines:
    """Reflections nearer than `apart_deg` to the one before become one line; below `least` % they are left away."""
    if not len(found.hkl):
        empty = np.empty(0)
        return Lines((), empty, empty, empty)
    begins = np.flatnonzero(np.diff(found.two_theta_deg, prepend=-1.0) > apart_deg)
    intensity = np.add.reduceat(found.intensity, begins)
    most = float(intensity.max())
    relative = intensity * (100 / most) if most > 0 else intensity
    ends = np.append(begins[1:], len(found.hkl))
    labels = [
        " ".join(_hkl_word(found.hkl[at]) for at in range(begin, end) if found.f_squared[at] > 0)
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]
    weight = np.maximum(found.intensity, 1e-300)
    centre = np.add.reduceat(found.two_theta_deg * weight, begins) / np.add.reduceat(weight, begins)
    d = np.add.reduceat(found.d_angstrom * weight, begins) / np.add.reduceat(weight, begins)
    keep = np.flatnonzero(relative >= least)
    return Lines(tuple(labels[at] for at in keep), d[keep], centre[keep], relative[keep])


def _hkl_word(hkl: NDArray[np.int32]) -> str:
    joint = "" if all(0 <= index < 10 for index in hkl.tolist()) else ","
    return joint.join(str(index) for index in hkl.tolist())


def _usual(operations: Any, hkl: NDArray[np.int32]) -> NDArray[np.int32]:
    """Of each form the hkl that people write: few negative indices, then the greatest h, k, l."""
    best, best_rank = hkl.copy(), np.full(len(hkl), -np.inf)
    for operation in operations.sym_ops:
        rotation = np.asarray(operation.rot, np.int64) // 24
        for image in (hkl @ rotation, -(hkl @ rotation)):
            negative = (image < 0).sum(axis=1)
            rank = -1e12 * negative + 1e8 * image[:, 0] + 1e4 * image[:, 1] + image[:, 2]
            better = rank > best_rank
            best[better], best_rank[better] = image[better], rank[better]
    return best


def _multiplicities(operations: Any, hkl: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many reflections a form {hkl} has, Friedel's ones with it."""
    count = len(operations.sym_ops)
    stabiliser = np.asarray(operations.epsilon_factor_without_centering_array(hkl), np.int64)
    has_own_inverse = np.asarray(operations.centric_flag_array(hkl), np.bool_)
    return count // stabiliser * np.where(has_own_inverse, 1, 2)


def _structure_factors_squared(
    crystal: Crystal, hkl: NDArray[np.int32], wavelength_angstrom: float
) -> NDArray[np.float64]:
    """|F|^2, mean of a reflection and its Friedel mate: |A|^2 + |B|^2, A from f0 + f', B from f'' alone."""
    gemmi = gemmi_package()
    structure = crystal.structure
    elements = {site.element.name: site.element for site in structure.sites}
    energy_ev = 1000 * HC_KEV_ANGSTROM / wavelength_angstrom
    dispersion = {
        name: gemmi.cromer_liberman(element.atomic_number, energy_ev) for name, element in elements.items()
    }
    wave = gemmi.StructureFactorCalculatorX(structure.cell)
    lagging = gemmi.StructureFactorCalculatorX(structure.cell)
    for name, (real, imaginary) in dispersion.items():
        wave.addends.set(elements[name], real)
        lagging.addends.set(elements[name], real + imaginary)
    f_squared = np.empty(len(hkl))
    for at, indices in enumerate(hkl.tolist()):
        real_part = wave.calculate_sf_from_small_structure(structure, indices)
        imaginary_part = lagging.calculate_sf_from_small_structure(structure, indices) - real_part
        f_squared[at] = abs(real_part) ** 2 + abs(imaginary_part) ** 2
    present = ~np.asarray(structure.spacegroup.operations().systematic_absences(hkl), np.bool_)
    return np.where(present, f_squared, 0.0)
