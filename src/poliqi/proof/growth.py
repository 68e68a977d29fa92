"""How much longer a block must be before it gives a key: the same link, counted for longer."""

from __future__ import annotations

from dataclasses import replace
from sys import float_info
from typing import Final

from poliqi.proof.counts import LARGEST_COUNT, Counts
from poliqi.proof.length import secret_length
from poliqi.proof.names import ProofName

__all__ = ["block_needed"]

_PRECISION: Final = 1e-3


def block_needed(
    counts: Counts,
    *,
    proof: ProofName = ProofName.WIESEMANN,
    leak_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    clamp: bool = True,
    intensity_uncertainty: float | tuple[float, ...] | None = None,
    tolerated_error: float | None = None,
) -> float | None:
    """The factor by which all counts and the leak must grow before one secret bit appears.

    1.0 where there is a key already; None where none appears however long the block is. Bisected to a
    thousandth and rounded up. The rates are taken as observed: few counts say little about a link, so that a
    small block's answer is an order of magnitude. Raises what `secret_length` raises.
    """

    def has_key(factor: float) -> bool:
        grown = replace(counts, key=counts.key.scaled(factor), test=counts.test.scaled(factor))
        answer = secret_length(
            grown,
            proof=proof,
            leak_bits=min(leak_bits * factor, float_info.max),
            epsilon_sec=epsilon_sec,
            epsilon_cor=epsilon_cor,
            clamp=clamp,
            intensity_uncertainty=intensity_uncertainty,
            tolerated_error=tolerated_error,
        )
        return answer.length > 0

    if has_key(1.0):
        return 1.0
    largest = LARGEST_COUNT / max(*counts.key.detections, *counts.test.detections, 1.0)
    high = 2.0
    while high < largest and not has_key(high):
        high *= 2.0
    if high >= largest:
        return None
    low = high / 2.0
    while high > low * (1.0 + _PRECISION):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if has_key(middle) else (middle, high)
    return high
