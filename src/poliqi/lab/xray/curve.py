"""Intensity against the scattering vector or angle, with one standard deviation a point and its history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = ["Axis", "Common", "Curve", "IntensityUnit", "Step"]


class Axis(StrEnum):
    """What a curve runs over."""

    Q_PER_NM = "1/nm"
    """q = 4 pi sin(theta) / lambda, in inverse nanometres."""
    Q_PER_ANGSTROM = "1/A"
    TWO_THETA_DEG = "2theta_deg"


class IntensityUnit(StrEnum):
    """What the intensity of a curve counts."""

    COUNTS = "counts"
    """Mean counts a pixel and frame, corrected for solid angle (and polarisation where a step says so)."""
    PER_SECOND = "counts/s"
    PER_CM = "1/cm"
    """Absolute scale: differential cross-section per volume."""
    ARBITRARY = "arbitrary"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done to the numbers: its name, its settings, whence its sigma came.

    `settings` hold numbers with their unit in the name, such as `transmission` and `transmission_sigma`.
    """

    name: str
    settings: Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Common:
    """What one doubt does to all points together, such as that of a transmission.

    `change` (n,) is by how much each intensity moves where the quantity `name` moves by one standard deviation; the
    same name is the same quantity, different names are independent.
    """

    name: str
    change: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """`x`, `intensity`, `sigma`: float64 of shape (n,), `x` strictly rising; sigma is one standard deviation.

    `sigma` is independent from point to point; what moves all points together stands in `common`, so that the
    covariance is diag(sigma^2) plus the sum of change change^T. A sigma of 0 everywhere says that it is not known.
    `x_sigma`, where known, is the width (one standard deviation) of what each point averages over.
    `simulated` is true for what was calculated, and for all that is made of it.
    """

    axis: Axis
    x: NDArray[np.float64]
    intensity: NDArray[np.float64]
    sigma: NDArray[np.float64]
    intensity_unit: IntensityUnit = IntensityUnit.ARBITRARY
    x_sigma: NDArray[np.float64] | None = None
    steps: tuple[Step, ...] = ()
    title: str = ""
    common: tuple[Common, ...] = ()
    simulated: bool = False

    def __post_init__(self) -> None:
        """Raises DataRefused where the arrays do not fit each other, or sigma is negative or not a number."""
        n = self.x.shape
        if len(n) != 1 or self.intensity.shape != n or self.sigma.shape != n:
            raise DataRefused(
                f"curve {self.title!r}: x, intensity and sigma have shapes {n}, {self.intensity.shape} and"
                f" {self.sigma.shape}; give each the same number of points"
            )
        if n[0] > 1 and not bool(np.all(np.diff(self.x) > 0)):
            at = int(np.argmin(np.diff(self.x) > 0))
            raise DataRefused(
                f"curve {self.title!r}: x does not rise after point {at}; sort it and join equal points"
            )
        bad = ~(self.sigma >= 0)
        if bool(np.any(bad)):
            at = int(np.argmax(bad))
            raise DataRefused(
                f"curve {self.title!r}: sigma of point {at} is {self.sigma[at]}; it must be a number of 0 or more"
            )

        for term in self.common:
            if term.change.shape != n or not bool(np.all(np.isfinite(term.change))):
                raise DataRefused(
                    f"curve {self.title!r}: common term {term.name!r} has shape {term.change.shape}, or no number"
                    f" somewhere; give one number for each of the {n[0]} points"
                )

    def after(self, step: Step, intensity: NDArray[np.float64], sigma: NDArray[np.float64]) -> Curve:
        """The same curve with new numbers, and the step that made them written down; `common` stays as it is."""
        return replace(self, intensity=intensity, sigma=sigma, steps=(*self.steps, step))
