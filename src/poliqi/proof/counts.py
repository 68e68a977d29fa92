"""What a block of decoy-state BB84 counted: the one place where counts are checked."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Final

from poliqi.base.errors import DataRefused

__all__ = ["LARGEST_COUNT", "BasisCounts", "Counts"]

LARGEST_COUNT: Final = 2**53  # above it a float no longer tells one count from the next
_SUM_TOLERANCE: Final = 1e-9
_SMALLEST: Final = 1e-9  # intensities, their differences and probabilities below it are slips, and would overflow
_BRIGHTEST: Final = 100.0


@dataclass(frozen=True, slots=True)
class BasisCounts:
    """Detections n_k and errors m_k of one basis, one entry per intensity, brightest first.

    Floats are allowed so that expected counts of a channel model can be fed; recorded data are integers.
    """

    detections: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def total_detections(self) -> float:
        return sum(self.detections)

    @property
    def total_errors(self) -> float:
        return sum(self.errors)

    def scaled(self, factor: float) -> BasisCounts:
        """The same basis in a block `factor` times as long."""
        return BasisCounts(tuple(n * factor for n in self.detections), tuple(m * factor for m in self.errors))


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one block: mean photon numbers and their probabilities (brightest first), both bases.

    Entangled pairs have no intensities: both are empty, and each basis has one entry.
    Raises DataRefused where lengths differ, intensities are not none, two or three and strictly falling,
    probabilities are not in (0, 1) or do not sum to 1, errors exceed detections, or a number is negative,
    not finite or above 2^53.
    """

    intensities: tuple[float, ...]
    probabilities: tuple[float, ...]
    key: BasisCounts
    test: BasisCounts

    def __post_init__(self) -> None:
        _check_source(self.intensities, self.probabilities)
        _check_basis("key", self.key, self.levels)
        _check_basis("test", self.test, self.levels)

    @property
    def levels(self) -> int:
        """Entries of each basis: one per intensity, one for pairs."""
        return len(self.intensities) or 1


def _check_source(intensities: tuple[float, ...], probabilities: tuple[float, ...]) -> None:
    if len(intensities) not in (0, 2, 3):
        raise DataRefused(
            f"intensities: {len(intensities)} given, a proof needs 2 (one decoy) or 3 (two decoys), or none for "
            "entangled pairs; list them all, brightest first"
        )
    if len(probabilities) != len(intensities):
        raise DataRefused(
            f"probabilities: {len(probabilities)} given for {len(intensities)} intensities; give one for each"
        )
    if not intensities:
        return
    last = None
    for mu in intensities:
        if not (mu == 0.0 or _SMALLEST <= mu <= _BRIGHTEST):
            raise DataRefused(
                f"intensities: {mu!r} is not a mean photon number; it must be 0 or lie between {_SMALLEST:g} and "
                f"{_BRIGHTEST:g}; give photons per pulse"
            )
        if last is not None and not mu <= last - _SMALLEST:
            raise DataRefused(
                f"intensities: {mu!r} follows {last!r}, but they must fall strictly; list them brightest first, "
                "and probabilities and counts in the same order"
            )
        last = mu
    for p in probabilities:
        if not _SMALLEST <= p < 1.0:
            raise DataRefused(
                f"probabilities: {p!r} is not between {_SMALLEST:g} and 1; give the share of pulses per intensity"
            )
    total = fsum(probabilities)
    if abs(total - 1.0) > _SUM_TOLERANCE:
        raise DataRefused(
            f"probabilities: they sum to {total!r}, not to 1 within {_SUM_TOLERANCE:g}; give the share of pulses "
            "sent at each intensity"
        )


def _check_basis(name: str, basis: BasisCounts, size: int) -> None:
    for field, values in (("detections", basis.detections), ("errors", basis.errors)):
        if len(values) != size:
            raise DataRefused(
                f"{name}.{field}: {len(values)} given, {size} needed; one for each of the intensities, or one "
                "for pairs"
            )
        for count in values:
            if not 0.0 <= count <= LARGEST_COUNT:
                raise DataRefused(
                    f"{name}.{field}: {count:.17g} is not a count between 0 and 2^53; count the block again"
                )
    for detections, errors in zip(basis.detections, basis.errors, strict=True):
        if errors > detections:
            raise DataRefused(
                f"{name}.errors: {errors:.17g} errors among {detections:.17g} detections; an error is a detection: "
                "check which intensity and which basis each count belongs to"
            )
