"""Which of many structures a pattern may hold: ranked by a stated figure, what cannot be told apart kept together.

For each structure its lines are laid over the peaks that were found, the lattice let breathe by a stated tolerance.
`seen` is the share of its calculated intensity that has a peak of at least that area, `explained` the share of the
area of all peaks that it accounts for; the figure of merit is seen x sqrt(explained), from 0 to 1: a minor phase
explains little and is still seen. It ranks; it is no probability.

Two structures belong to one set where the peaks favour neither: they claim the same peaks, the sum of squared
misses (in units of what a place may be off) and of the squared strain (in units of the tolerance) differs by less
than 9, and the intensities differ by less than a quarter, which texture alone can make. The set is the finding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused, words_of
from poliqi.lab.xray.diffraction.calculated import Lines, joined_lines, reflections
from poliqi.lab.xray.diffraction.crystal import Crystal, read_crystal
from poliqi.lab.xray.diffraction.pattern import Pattern
from poliqi.lab.xray.diffraction.peaks import Peak, find_peaks
from poliqi.lab.xray.diffraction.radiation import Geometry

__all__ = ["Candidate", "Identification", "cif_files", "identify", "match"]

MOST_STRUCTURES: Final = 5_000
TOLERANCE: Final = 5e-4
"""How far a lattice may be from the CIF's, one standard deviation: temperature, and scatter between authors."""
_PLACE_DEG: Final = {Geometry.BRAGG_BRENTANO: 0.02, Geometry.DEBYE_SCHERRER: 0.002}
"""What all lines may be off by: height of the sample, zero of the goniometer."""
_OF_WIDTH: Final = 0.1
"""What a line may be off by besides, in its width: asymmetry, neighbours."""
_FARTHEST: Final = 3.0
_LEAST_LINE: Final = 1.0
_CHI_SQUARED: Final = 9.0
_INTENSITIES: Final = 0.25
_LEAST_MERIT: Final = 0.05
_NEAR_MERIT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A structure against the peaks.

    `claims` is the area it has of each peak, `misses` how far off it stands there, squared, in units of what a
    place may be off: (peaks,).
    """

    path: Path | None
    name: str
    formula: str
    space_group: str
    merit: float
    seen: float
    explained: float
    strain: float
    """What the lattice was stretched by to fit best."""
    lines: int
    """How many of its lines have a peak."""
    of_lines: int
    """How many of its lines are in the range, and strong enough to be seen."""
    claims: NDArray[np.float64]
    misses: NDArray[np.float64]
    penalty: float


@dataclass(frozen=True, slots=True)
class Identification:
    """`sets`: best first; structures in one set cannot be told apart here. `passed_over`: files, and why."""

    sets: tuple[tuple[Candidate, ...], ...]
    peaks: tuple[Peak, ...]
    passed_over: tuple[tuple[str, str], ...]
    unexplained: tuple[float, ...]
    """2theta in degrees of peaks that the first set does not claim."""


def cif_files(places: Sequence[Path]) -> list[Path]:
    """The CIF files that are named, or lie in folders that are named. Raises DataRefused for too many, or none."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = (each for each in place.iterdir() if each.suffix.lower() == ".cif" and each.is_file())
            found += sorted(inside)
        else:
            found.append(place)
        if len(found) > MOST_STRUCTURES:
            raise DataRefused(f"{place}: more than {MOST_STRUCTURES} structures; choose those that may be in it")
    if not found:
        raise DataRefused(f"no CIF file in {', '.join(map(str, places))[:200]}")
    return list(dict.fromkeys(found))


def identify(
    pattern: Pattern,
    cifs: Sequence[Path],
    tolerance: float = TOLERANCE,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Identification:
    """Rank structures. Files that hold none are passed over and told. Raises ConfigError, DataRefused."""
    if not 1e-6 <= tolerance <= 0.05:
        raise DataRefused(f"lattice tolerance {tolerance:g}, must be 1e-6 to 0.05 (5 %)")
    peaks = find_peaks(pattern)
    if len(peaks) < 2:
        raise DataRefused(f"{pattern.title}: {len(peaks)} peak found, must be 2 or more to name a phase")
    candidates: list[Candidate] = []
    passed_over: list[tuple[str, str]] = []
    for count, path in enumerate(cifs):
        try:
            candidates.append(match(pattern, peaks, read_crystal(path), tolerance))
        except DataRefused as error:
            passed_over.append((str(path), words_of(error)))
        if progress:
            progress(count + 1, len(cifs))
    ranked = sorted(candidates, key=lambda each: -each.merit)
    sets = _sets([each for each in ranked if each.merit >= _LEAST_MERIT])
    claimed = sets[0][0].claims > 0 if sets else np.zeros(len(peaks), np.bool_)
    left = tuple(peak.two_theta_deg.value for peak, ours in zip(peaks, claimed, strict=True) if not ours)
    return Identification(tuple(sets), peaks, tuple(passed_over), left)


def match(pattern: Pattern, peaks: Sequence[Peak], crystal: Crystal, tolerance: float = TOLERANCE) -> Candidate:
    """One structure against the peaks of a pattern. Raises DataRefused where it has no line in the range."""
    at = np.array([peak.two_theta_deg.value for peak in peaks])
    area = np.array([peak.area.value for peak in peaks])
    doubt = np.array([_place_doubt(pattern, peak) for peak in peaks])
    widths = np.array([peak.fwhm_deg.value for peak in peaks])
    found = reflections(crystal, pattern.wavelength_angstrom, pattern.range_deg, pattern.polarised_share)
    lines = joined_lines(found, _LEAST_LINE, 0.3 * float(np.median(widths)))
    if not len(lines.label):
        raise DataRefused(f"{crystal.name}: no line in the range of {pattern.title}")
    strain = _best_strain(lines, at, doubt, tolerance)
    place = _stretched(lines.two_theta_deg, strain)
    nearest = np.abs(place[:, None] - at).argmin(axis=1)
    miss = (place - at[nearest]) / doubt[nearest]
    hit = np.abs(miss) <= _FARTHEST
    scale = _scale(lines.intensity[hit], nearest[hit], area)
    least = _FARTHEST * min(peak.area.sigma or 0.0 for peak in peaks)
    strong = (lines.intensity * scale >= least) | hit
    expected = np.bincount(nearest[hit], lines.intensity[hit] * scale, len(peaks)).astype(np.float64)
    share = np.minimum(1.0, area / np.maximum(expected, 1e-300))
    seen = float((lines.intensity[hit] * share[nearest[hit]]).sum() / max(lines.intensity[strong].sum(), 1e-300))
    explained = float(np.minimum(expected, area).sum() / area.sum())
    squared = np.bincount(nearest[hit], lines.intensity[hit] * miss[hit] ** 2, len(peaks))
    weight = np.bincount(nearest[hit], lines.intensity[hit], len(peaks))
    return Candidate(
        path=crystal.path,
        name=crystal.name,
        formula=crystal.formula,
        space_group=crystal.space_group,
        merit=seen * math.sqrt(explained),
        seen=seen,
        explained=explained,
        strain=strain,
        lines=int(hit.sum()),
        of_lines=int(strong.sum()),
        claims=expected,
        misses=squared / np.maximum(weight, 1e-300),
        penalty=(strain / tolerance) ** 2,
    )


def _place_doubt(pattern: Pattern, peak: Peak) -> float:
    own = peak.two_theta_deg.sigma or 0.0
    return math.hypot(own, _OF_WIDTH * peak.fwhm_deg.value, _PLACE_DEG[pattern.geometry])


def _stretched(two_theta_deg: NDArray[np.float64], strain: float) -> NDArray[np.float64]:
    """Where lines go as all d spacings grow by (1 + strain)."""
    sine = np.sin(np.radians(two_theta_deg / 2)) / (1 + strain)
    return 2 * np.degrees(np.arcsin(np.minimum(sine, 1.0)))


def _best_strain(lines: Lines, at: NDArray[np.float64], doubt: NDArray[np.float64], tolerance: float) -> float:
    """The strain within three tolerances where lines meet peaks best; a grid first, then its neighbourhood."""
    slope = 2 * np.degrees(np.tan(np.radians(lines.two_theta_deg / 2)))
    step = 0.5 * float(doubt.min()) / max(float(slope.max()), 1e-9)
    steps = min(max(math.ceil(_FARTHEST * tolerance / step), 1), 400)
    grid = np.linspace(-_FARTHEST * tolerance, _FARTHEST * tolerance, 2 * steps + 1)

    def agreement(strain: float) -> float:
        place = _stretched(lines.two_theta_deg, strain)
        off = np.abs(place[:, None] - at)
        nearest = off.argmin(axis=1)
        miss = off[np.arange(place.size), nearest] / doubt[nearest]
        return float((lines.intensity * np.exp(-0.5 * miss**2)).sum()) * math.exp(-0.5 * (strain / tolerance) ** 2)

    best = max(grid.tolist(), key=agreement)
    apart = float(grid[1] - grid[0])
    return max([best, *(best + apart * part / 10 for part in range(-10, 11))], key=agreement)


def _scale(intensity: NDArray[np.float64], peak: NDArray[np.int64], area: NDArray[np.float64]) -> float:
    """Area for one unit of calculated intensity: the median, which parts of other phases leave alone."""
    if not intensity.size:
        return 0.0
    expected = np.bincount(peak, intensity, area.size)
    ours = np.flatnonzero(expected > 0)
    ratio = area[ours] / expected[ours]
    order = np.argsort(ratio)
    halfway = np.searchsorted(np.cumsum(expected[ours][order]), 0.5 * float(expected.sum()))
    return float(ratio[order][min(int(halfway), ours.size - 1)])


def _sets(ranked: Sequence[Candidate]) -> list[tuple[Candidate, ...]]:
    """Each structure joins the first set whose head it cannot be told from."""
    sets: list[list[Candidate]] = []
    for each in ranked:
        home = next((known for known in sets if _alike(known[0], each)), None)
        if home is None:
            sets.append([each])
        else:
            home.append(each)
    return [tuple(each) for each in sets]


def _alike(first: Candidate, second: Candidate) -> bool:
    """Whether the peaks favour neither."""
    if min(first.merit, second.merit) < _NEAR_MERIT * max(first.merit, second.merit):
        return False
    if abs(first.seen - second.seen) > _INTENSITIES:
        return False
    total = max(float(first.claims.sum()), float(second.claims.sum()), 1e-300)
    if float(np.abs(first.claims - second.claims).sum()) > 2 * _INTENSITIES * total:
        return False
    both = (first.claims > 0) & (second.claims > 0)
    first_misses = float(first.misses[both].sum()) + first.penalty
    second_misses = float(second.misses[both].sum()) + second.penalty
    return abs(first_misses - second_misses) < _CHI_SQUARED
