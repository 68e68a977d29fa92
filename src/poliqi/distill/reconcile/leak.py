"""How many parities a Cascade party will say: a conservative forecast, for a contract's leak cap.

The forecast is for setting a cap beforehand. What counts as leak is what was said, bit by bit.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from poliqi.distill.reconcile.plan import TILE_BITS, CascadeParameters

__all__ = ["efficiency", "expected_leak_bits"]

# error rate: parities of one party / n h; frames of 65536 bits, the estimate equal to the rate, rounded up by about
# .003 from measurements of 2e7 bits each (6e5 above .12)
_EFFICIENCY: Final = {
    0.001: 1.055,
    0.002: 1.038,
    0.003: 1.034,
    0.005: 1.036,
    0.0075: 1.036,
    0.01: 1.036,
    0.015: 1.036,
    0.02: 1.040,
    0.025: 1.042,
    0.03: 1.042,
    0.04: 1.050,
    0.05: 1.055,
    0.06: 1.060,
    0.08: 1.075,
    0.10: 1.083,
    0.12: 1.096,
    0.15: 1.118,
    0.20: 1.160,
    0.30: 1.257,
    0.50: 1.535,
}
# the same for few rounds, of 4e6 bits each: f jumps by up to .04 where the blocks of the first pass are halved, at
# 1/512, 1/256, ... 1/16, and by less where those of the second are; a jump is taken 3 % ahead of its rate, since
# an estimate may be past it where the rate is not
_FEW_ROUNDS: Final = {
    0.001: 1.078,
    0.0019: 1.070,
    0.002: 1.070,
    0.003: 1.052,
    0.0037: 1.050,
    0.0038: 1.071,
    0.004: 1.071,
    0.0044: 1.061,
    0.0066: 1.053,
    0.0075: 1.050,
    0.0076: 1.073,
    0.008: 1.073,
    0.009: 1.061,
    0.01: 1.054,
    0.013: 1.056,
    0.015: 1.053,
    0.0152: 1.080,
    0.016: 1.080,
    0.018: 1.067,
    0.02: 1.059,
    0.025: 1.052,
    0.026: 1.067,
    0.03: 1.062,
    0.0303: 1.094,
    0.032: 1.094,
    0.035: 1.083,
    0.04: 1.072,
    0.05: 1.066,
    0.052: 1.083,
    0.06: 1.080,
    0.0605: 1.117,
    0.064: 1.117,
    0.07: 1.105,
    0.08: 1.096,
    0.10: 1.095,
    0.12: 1.116,
    0.15: 1.130,
    0.20: 1.166,
    0.30: 1.257,
    0.50: 1.535,
}
_FRAME_SPREAD: Final = 0.004  # standard deviation of a frame's leak at a fixed number of errors, over its mean
_USUAL_FRAME: Final = 65536
_SHORT_FRAME: Final = 60  # parities a shorter frame takes beyond its share, and one for each block of lane 1


def efficiency(qber: float, *, few_rounds: bool = False) -> float:
    """f = (parities of one party) / (n h(qber)) for an error rate from .001 to .5; the nearest end outside."""
    table = _FEW_ROUNDS if few_rounds else _EFFICIENCY
    return float(np.interp(qber, list(table), list(table.values())))


def expected_leak_bits(
    n: int, qber: float, margin: float = 6.0, *, frame_bits: int = _USUAL_FRAME, few_rounds: bool = False
) -> int:
    """Parities that one party says over n bits at error rate `qber`, plus `margin` standard deviations.

    The spread is that of the number of errors, binomial, and of Cascade at a given number of errors. `qber` is
    the rate the block will have; an estimate wrong by less than a factor of two costs at most a further
    7 % of f. Rates below .001 are counted as .001 (a first parity per 1024 bits is always said), rates above .5
    as .5. Raises ValueError for a negative n or a rate outside 0 to 1.
    """
    if n < 0 or not 0.0 <= qber <= 1.0:
        raise ValueError(f"no forecast for n = {n} bits at error rate {qber}")
    if n == 0:
        return 0
    q, f = min(max(qber, 0.001), 0.5), efficiency(qber, few_rounds=few_rounds)
    mean = f * n * (-q * math.log2(q) - (1 - q) * math.log2(1 - q))
    errors = f * math.log2((1 - q) / q) * math.sqrt(n * q * (1 - q))
    frames = -(-n // frame_bits)
    machine = _FRAME_SPREAD * mean / math.sqrt(frames)
    short_frames = frames if frame_bits < _USUAL_FRAME else int(n % frame_bits > 0)
    beyond = _SHORT_FRAME + TILE_BITS // CascadeParameters(few_rounds=few_rounds).sizes(qber)[1]
    return math.ceil(mean + margin * math.hypot(errors, machine)) + beyond * short_frames
