"""A powder pattern: counts against 2theta, with the radiation and the geometry that it was measured with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Curve
from poliqi.lab.xray.curvefiles import read_curve_file
from poliqi.lab.xray.diffraction.labformats import SUFFIXES, Scan, read_scan
from poliqi.lab.xray.diffraction.radiation import (
    KALPHA_ANGSTROM,
    Geometry,
    Radiation,
    nearest_anode,
    radiation_named,
    usual_polarisation,
)

__all__ = ["Pattern", "pattern_of_curve", "read_pattern"]

_SAME_WAVELENGTH: Final = 4e-4
_LEAST_POINTS: Final = 20
_INTEGRATED: Final = "azimuthal integration"
_CORRECTED: Final = "polarisation"
"""Steps of `reduction`: frames that were made a curve, and their pixels divided by the factor of polarisation."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`two_theta_deg` rising, `intensity` and its `sigma` above 0: float64 of shape (n,)."""

    two_theta_deg: NDArray[np.float64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    radiation: Radiation
    geometry: Geometry
    title: str = ""
    simulated: bool = False
    cautions: tuple[str, ...] = ()
    """What was assumed of it, for whoever uses a number found in it."""
    polarisation: float | None = None
    """K of `calculated`: 1 leaves nothing to correct; None: what beam and geometry have as a rule."""

    def __post_init__(self) -> None:
        """Raises DataRefused for arrays that are no pattern."""
        x, name = self.two_theta_deg, self.title
        if x.ndim != 1 or x.shape != self.intensity.shape or x.shape != self.sigma.shape or x.size < _LEAST_POINTS:
            raise DataRefused(f"pattern {name!r}: {x.size} points, must be {_LEAST_POINTS} or more of each column")
        if not (np.isfinite(self.intensity).all() and np.isfinite(x).all() and (np.diff(x) > 0).all()):
            raise DataRefused(f"pattern {name!r}: its angles must rise, and each intensity must be a number")
        if not (x[0] >= 0 and x[-1] < 180):
            raise DataRefused(f"pattern {name!r}: 2theta from {x[0]:g} to {x[-1]:g} degrees, must lie in 0 to 180")
        if not ((self.sigma > 0) & np.isfinite(self.sigma)).all():
            raise DataRefused(f"pattern {name!r}: each sigma must be a number above 0")
        if self.polarisation is not None and not 0 <= self.polarisation <= 1:
            raise DataRefused(f"pattern {name!r}: polarisation K of {self.polarisation:g}, must be 0 to 1")

    @property
    def wavelength_angstrom(self) -> float:
        return self.radiation.wavelength_angstrom

    @property
    def polarised_share(self) -> float:
        """K, for intensities of this pattern."""
        if self.polarisation is not None:
            return self.polarisation
        return usual_polarisation(self.radiation, self.geometry)

    @property
    def range_deg(self) -> tuple[float, float]:
        return float(self.two_theta_deg[0]), float(self.two_theta_deg[-1])

    def within(self, low_deg: float, high_deg: float) -> Pattern:
        """The part of it between two angles; DataRefused where too little is left."""
        keep = (self.two_theta_deg >= low_deg) & (self.two_theta_deg <= high_deg)
        if int(keep.sum()) < _LEAST_POINTS:
            low, high = self.range_deg
            raise DataRefused(
                f"pattern {self.title!r}: {int(keep.sum())} points from {low_deg:g} to {high_deg:g} degrees, must "
                f"be {_LEAST_POINTS} or more; it runs from {low:g} to {high:g}"
            )
        x, y, sigma = self.two_theta_deg[keep], self.intensity[keep], self.sigma[keep]
        return replace(self, two_theta_deg=x, intensity=y, sigma=sigma)


def read_pattern(
    path: Path,
    radiation: Radiation | None = None,
    geometry: Geometry | None = None,
    axis: Axis | None = None,
    polarisation: float | None = None,
) -> Pattern:
    """The pattern of a file: a diffractometer's own, NXcanSAS, or columns of text.

    `radiation` is needed where the file names none, and refused where it names another; `geometry` is
    Bragg-Brentano for a diffractometer's file and for a tube's K alpha lines, else Debye-Scherrer, also of frames
    that were reduced; `axis` is what the first column of text is, 2theta unless said; `polarisation` is K, as of
    `monochromated`, and refused for frames that were reduced. Raises ConfigError, DataRefused.
    """
    if path.suffix.lower() in SUFFIXES:
        return _of_scan(path, read_scan(path), radiation, geometry, polarisation)
    is_text = path.suffix.lower() not in (".h5", ".hdf5", ".nxs", ".hdf")
    curves = read_curve_file(path, unit=axis or (Axis.TWO_THETA_DEG if is_text else None))
    if len(curves) != 1:
        raise DataRefused(f"{path}: {len(curves)} curves in it; give one pattern, a file each")
    return pattern_of_curve(curves[0], radiation, geometry, str(path), polarisation)


def pattern_of_curve(
    curve: Curve,
    radiation: Radiation | None,
    geometry: Geometry | None = None,
    name: str = "",
    polarisation: float | None = None,
) -> Pattern:
    """A curve as a pattern; over q it is turned into angles. Raises DataRefused.

    What `reduction` made of frames is Debye-Scherrer, whatever the beam. Where it divided by the factor of
    polarisation nothing of it is left (K = 1); else K = 1/2, which is exact for whole rings of any beam.
    """
    name = name or curve.title
    radiation = _agreed(name, radiation, _wavelength_said(curve), None, has_doublet=False)
    x, cautions = curve.x, list[str]()
    done = {step.name for step in curve.steps}
    if _INTEGRATED in done:
        if polarisation is not None:
            raise DataRefused(
                f"{name} was reduced from frames, whose pixels are corrected for polarisation one by one; leave "
                f"--monochromator away, and give --polarisation to `poliqi lab xray reduce`"
            )
        geometry = geometry or Geometry.DEBYE_SCHERRER
        polarisation = 1.0 if _CORRECTED in done else 0.5
        if _CORRECTED not in done:
            cautions.append(
                "reduced without --polarisation: intensities taken as of whole rings or of a tube (K = 0.5)"
            )
    if curve.axis is not Axis.TWO_THETA_DEG:
        q_per_angstrom = x / 10 if curve.axis is Axis.Q_PER_NM else x
        sine = q_per_angstrom * radiation.wavelength_angstrom / (4 * np.pi)
        if not ((sine > 0) & (sine < 1)).all():
            raise DataRefused(
                f"{name}: q up to {q_per_angstrom[-1]:g} 1/A is not seen at {radiation.wavelength_angstrom:g} A; "
                f"give the wavelength that it was measured with"
            )
        x = 2 * np.degrees(np.arcsin(sine))
    if curve.simulated:
        cautions.append("simulated, not measured")
    sigma = curve.sigma if bool((curve.sigma > 0).any()) else None
    return _pattern(name, (x, curve.intensity, sigma), radiation, geometry, polarisation, curve.simulated, cautions)


def _of_scan(
    path: Path, scan: Scan, radiation: Radiation | None, geometry: Geometry | None, polarisation: float | None
) -> Pattern:
    agreed = _agreed(str(path), radiation, scan.wavelength_angstrom, scan.anode, scan.has_doublet)
    if geometry is None and path.suffix.lower() not in (".fxye", ".gsa", ".gss", ".gda"):
        geometry = Geometry.BRAGG_BRENTANO
    arrays = (scan.two_theta_deg, scan.intensity, scan.sigma)
    return _pattern(str(path), arrays, agreed, geometry, polarisation, simulated=False, cautions=list(scan.remarks))


def _pattern(
    name: str,
    arrays: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None],
    radiation: Radiation,
    geometry: Geometry | None,
    polarisation: float | None,
    simulated: bool,
    cautions: list[str],
) -> Pattern:
    x, y, sigma = arrays
    if sigma is None:
        if float(y.min()) < 0:
            raise DataRefused(f"{name}: negative intensities without a sigma; give a third column with sigma")
        if bool((y != np.rint(y)).any()):
            cautions.append(
                "sigma taken as the root of intensities that are no whole counts: every sigma may be off"
            )
        sigma = np.sqrt(np.maximum(y, 1.0))
    elif not bool((sigma > 0).all()):
        keep = sigma > 0
        cautions.append(f"{int((~keep).sum())} points with a sigma of 0 left out")
        x, y, sigma = x[keep], y[keep], sigma[keep]
    has_tube = nearest_anode(radiation.wavelength_angstrom) is not None
    geometry = geometry or (Geometry.BRAGG_BRENTANO if has_tube else Geometry.DEBYE_SCHERRER)
    if radiation.is_first_alone and polarisation is None:
        cautions.append(
            f"{radiation.name} alone without --monochromator: intensities taken as of an unpolarised beam (K = 0.5)"
        )
    return Pattern(x, y, sigma, radiation, geometry, Path(name).name, simulated, tuple(cautions), polarisation)


def _wavelength_said(curve: Curve) -> float | None:
    """What the steps of a curve say of the wavelength, if anything."""
    for step in reversed(curve.steps):
        for unit, scale in (("wavelength_m", 1e10), ("wavelength_nm", 10.0), ("wavelength_angstrom", 1.0)):
            value = step.settings.get(unit)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
                return float(value) * scale
    return None


def _agreed(
    name: str, given: Radiation | None, said: float | None, anode: str | None, has_doublet: bool
) -> Radiation:
    """The radiation that a file and an option agree on."""
    said = said if said is not None and said > 0 else KALPHA_ANGSTROM.get(anode or "", (None,))[0]
    if given is None:
        if said is None:
            raise DataRefused(f"{name} does not say its wavelength; give it, such as --wavelength CuKa or 0.4139A")
        tube = nearest_anode(said)
        if tube is not None and (has_doublet or anode is not None):
            return radiation_named(f"{tube}Ka" if has_doublet else f"{tube}Ka1")
        return radiation_named(f"{said:.8g}A")
    if said is not None and abs(given.wavelength_angstrom / said - 1) > _SAME_WAVELENGTH:
        raise DataRefused(
            f"{name} was measured at {said:g} A and {given.name} ({given.wavelength_angstrom:g} A) is asked for: "
            f"they disagree; leave the option away, or name the file that it belongs to"
        )
    return given
