"""From columns of numbers, as files have them, to a curve: sorted, equal points joined, no empty ones.

What was done to the points stands in the step "read" of the curve.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit, Step

__all__ = ["MOST_POINTS", "axis_of", "curve_of_points", "intensity_unit_of", "unit_refused"]

MOST_POINTS: Final = 1_000_000
"""Of one curve: more than any detector has bins for."""

_AXES: Final = {
    **dict.fromkeys(
        ("1/nm", "nm^-1", "nm-1", "1/nanometer", "1/nanometre", "nm^{-1}", "inversenanometers"), Axis.Q_PER_NM
    ),
    **dict.fromkeys(
        ("1/a", "a^-1", "a-1", "1/angstrom", "angstrom^-1", "angstrom-1", "1/ang", "ang^-1", "1/å", "å^-1", "å-1"),
        Axis.Q_PER_ANGSTROM,
    ),
    **dict.fromkeys(("2theta_deg", "2theta", "twotheta", "2th", "2th_deg"), Axis.TWO_THETA_DEG),
}
_PER_NM: Final = {"1/m": 1e-9, "m^-1": 1e-9, "1/cm": 1e-7, "cm^-1": 1e-7, "1/um": 1e-3}
_INTENSITIES: Final = {
    **dict.fromkeys(("1/cm", "cm^-1", "cm-1", "1/(cmsr)", "cm^-1sr^-1", "1/cm/sr"), (IntensityUnit.PER_CM, 1.0)),
    **dict.fromkeys(("1/m", "m^-1", "m-1", "1/(msr)", "1/m/sr"), (IntensityUnit.PER_CM, 0.01)),
    **dict.fromkeys(("counts", "count"), (IntensityUnit.COUNTS, 1.0)),
    **dict.fromkeys(("counts/s", "counts/second", "cps", "1/s"), (IntensityUnit.PER_SECOND, 1.0)),
}


def axis_of(unit: str) -> tuple[Axis, float] | None:
    """The axis that a unit in a file means and what its numbers are multiplied with; None where it says nothing."""
    word = (
        unit.strip()
        .lower()
        .replace(" ", "")
        .replace("\N{ANGSTROM SIGN}", "\N{LATIN SMALL LETTER A WITH RING ABOVE}")
    )
    word = word.replace("\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT ONE}", "-1").replace("**", "^")
    if word in _PER_NM:
        return Axis.Q_PER_NM, _PER_NM[word]
    return (_AXES[word], 1.0) if word in _AXES else None


def intensity_unit_of(unit: str) -> tuple[IntensityUnit, float]:
    """The unit of an intensity and what its numbers are multiplied with; arbitrary where the word is not known."""
    return _INTENSITIES.get(
        unit.strip().lower().replace(" ", "").replace("**", "^"), (IntensityUnit.ARBITRARY, 1.0)
    )


def unit_refused(path: Path, said: str) -> DataRefused:
    """Why a curve without a known unit of q is not taken: sizes would be wrong by ten."""
    what = f"gives {said[:40]!a} as the unit of q, which is not known" if said else "does not say the unit of q"
    return DataRefused(f"{path} {what}; say which it is: --unit {' | '.join(axis.value for axis in Axis)}")


def curve_of_points(
    path: Path,
    axis: Axis,
    columns: tuple[
        NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.float64] | None
    ],
    *,
    intensity_unit: IntensityUnit = IntensityUnit.ARBITRARY,
    steps: tuple[Step, ...] = (),
    title: str = "",
) -> Curve:
    """A curve of x, intensity, sigma (None: not known, then 0) and width of x (or None), each (n,).

    Points that are not numbers, or at x of 0 or less, are left out; points are sorted; points at the same x become
    their mean (weighted by 1/sigma^2 where all have a sigma). Raises DataRefused: no point is left, negative sigma,
    too many points.
    """
    x, intensity, sigma, width = columns
    if x.size > MOST_POINTS:
        raise DataRefused(f"{path}: {x.size} points, at most {MOST_POINTS} are taken; rebin the curve")
    known = sigma is not None
    dev = np.zeros_like(intensity) if sigma is None else sigma
    if bool(np.any(dev < 0)):
        at = int(np.argmax(dev < 0))
        raise DataRefused(
            f"{path}: sigma of point {at} is {dev[at]}; a standard deviation is 0 or more: mend the file"
        )
    use = np.isfinite(x) & np.isfinite(intensity) & np.isfinite(dev) & (x > 0)
    if width is not None:
        use &= np.isfinite(width) & (width >= 0)
    if not bool(np.any(use)):
        raise DataRefused(f"{path}: no point of {x.size} has a positive x and numbers beside it; check its columns")
    order = np.argsort(x[use], kind="stable")
    x, intensity, dev = x[use][order], intensity[use][order], dev[use][order]
    width = None if width is None else width[use][order]
    x, intensity, dev, width, joined = _joined(x, intensity, dev, width)
    left_out = int(use.size - np.count_nonzero(use))
    done = Step(
        "read",
        {"file": path.name, "points": int(x.size), "left_out": left_out, "joined": joined, "sigma_known": known},
    )
    return Curve(axis, x, intensity, dev, intensity_unit, width, (*steps, done), title)


def _joined(
    x: NDArray[np.float64],
    intensity: NDArray[np.float64],
    sigma: NDArray[np.float64],
    width: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None, int]:
    """Points at the same x made one; how many went."""
    first = np.flatnonzero(np.concatenate(([True], np.diff(x) > 0)))
    if first.size == x.size:
        return x, intensity, sigma, width, 0
    weight = 1 / sigma**2 if bool(np.all(sigma > 0)) else np.ones_like(sigma)
    total = np.add.reduceat(weight, first)
    mean = np.add.reduceat(weight * intensity, first) / total
    dev = np.sqrt(np.add.reduceat((weight * sigma) ** 2, first)) / total
    wide = None if width is None else np.add.reduceat(weight * width, first) / total
    return x[first], mean, dev, wide, int(x.size - first.size)
