"""What a proof's formula yields at one point: the bounds, and the length before it is rounded down."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from poliqi.proof.counts import Counts

__all__ = ["Bounds", "Formula"]


class Bounds(NamedTuple):
    """Bounds of one evaluation, unclipped, in rounds.

    `vacuum` is the lower bound that the length counts, None where the proof counts none; `phase_error` is inf
    where s1_T <= 0 or s1_K <= 0 leaves nothing to divide by. `exact_length` is the length before rounding
    down: below 0 where `phase_error` >= 1/2 or where a bound contradicts the counts.
    """

    vacuum: float | None
    single_photon_key: float
    single_photon_test: float
    single_photon_test_errors: float
    phase_error: float
    exact_length: float


# (counts, intensities, leak_bits, epsilon_sec, epsilon_cor, clamp) -> Bounds; the intensities stand apart from the
# counts so that an uncertain source can be evaluated at other points of its box
Formula: TypeAlias = Callable[[Counts, tuple[float, ...], float, float, float, bool], Bounds]
