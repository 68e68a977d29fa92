"""How many syndrome bits a frame is worth: how a block is cut, which code, how many increments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from poliqi.distill.reconcile.ldpc_code import COLUMNS, BaseCode, base_codes

__all__ = ["REACH", "LdpcRate", "expected_leak"]

REACH: Final = (0.005, 0.08)
"""Estimates of the QBER that the codes are made for. Below, the weakest code is taken; above, none is."""

_FRAME_BITS: Final = 65536
_TAG_BITS: Final = 128
_STEP: Final = 64
# Measured, see docs/explanation/ldpc.md: what half of the frames of 65536 bits need, over n h(q), and how much more
# the need of frames differs than their numbers of errors do.
_NEED: Final = (
    (0.005, 1.22),
    (0.0087, 1.155),
    (0.0125, 1.10),
    (0.0205, 1.078),
    (0.03, 1.072),
    (0.05, 1.079),
    (0.08, 1.087),
)
_SPREAD: Final = 1.3
_SHORT_BITS: Final = 16384
_SHORT_OVER: Final = 0.3
"""What frames of lift 64 need beyond that: at so small a lift many cycles of four edges close."""

_FIXED: Final = 3.3
"""Deviations above the mean need that are said at once where nothing can be said afterwards."""
_BLIND: Final = 0.5
_INCREMENT: Final = 0.7
_EXTRA_WORTH: Final = 0.5
"""What a check of the extra rows is worth, in checks of the core; for forecasts."""


def _entropy(q: float) -> float:
    return -q * math.log2(q) - (1 - q) * math.log2(1 - q)


def _need(n: int, qber: float) -> tuple[float, float]:
    """Mean and standard deviation of the syndrome bits with which a frame of n bits is decoded.

    The deviation is that of the number of errors, each worth log2((1 - q) / q) bits, times _SPREAD; of frames
    longer than _FRAME_BITS the same share as of those, as decoding near the mean takes too many iterations.
    """
    rates, values = zip(*_NEED, strict=True)
    over = float(np.interp(qber, rates, values))
    if n <= _SHORT_BITS:
        over += _SHORT_OVER
    spread = math.sqrt(n * max(n, _FRAME_BITS) / _FRAME_BITS * qber * (1 - qber))
    return over * n * _entropy(qber), _SPREAD * math.log2((1 - qber) / qber) * spread


@dataclass(frozen=True, slots=True)
class LdpcRate:
    """How a block is cut, and what is said of each of its frames.

    `frames` of at most `size` bits (a multiple of 64), as equal as words of 64 bits allow. `code` None: the string
    itself is said. Else the first `said` checks of `code` with Z = `lift`, and up to `increments` times
    `increment` more of a frame that cannot be decoded.
    """

    frames: int
    size: int
    code: BaseCode | None
    lift: int
    increment: int
    increments: int

    @property
    def said(self) -> int:
        """Bits of a frame's first message; 0 where there is no code."""
        return 0 if self.code is None else self.code.core * self.lift

    @staticmethod
    def choose(n: int, qber: float, frame_bits: int, *, blind: bool) -> LdpcRate:
        """For n bits: the cut and the code that say least. ValueError for a QBER above the codes' reach.

        Frames are shortened by up to a thirty-second where that fits a code better.
        """
        low, high = REACH
        if not 0.0 <= qber <= high:
            raise ValueError(f"parity-check codes reach a QBER of {high:g}, not {qber:g}: take cascade")
        words, fewest = -(-n // 64), -(-n // frame_bits)
        best, least = LdpcRate(fewest, frame_bits, None, 0, 0, 0), n
        for frames in range(fewest, fewest + fewest // 32 + 1):
            size = 64 * -(-words // frames) if frames else 0
            if size == 0:
                break
            lift = 64 * -(-size // (64 * COLUMNS))
            mean, sigma = _need(size, max(qber, low))
            wanted = mean + (_BLIND if blind else _FIXED) * sigma
            code = next((c for c in base_codes() if c.core * lift >= wanted), None)
            if code is not None and frames * code.core * lift < least:
                least = frames * code.core * lift
                step = _STEP * max(1, round(_INCREMENT * sigma / _STEP)) if blind else 0
                best = LdpcRate(frames, size, code, lift, step, code.extra * lift // step if blind else 0)
        return best


def expected_leak(
    n: int,
    qber: float,
    estimate: float | None = None,
    *,
    blind: bool = True,
    frame_bits: int = _FRAME_BITS,
    margin: float = 0.0,
) -> tuple[int, int]:
    """Bits that Alice and Bob say over n bits, a forecast for a contract's leak cap.

    `qber` is the rate the bits have, `estimate` (or else the same) the one that the code is chosen by. Tags are not
    among the bits, but for those of frames that fail. `margin`: standard deviations of what all frames together
    need, and of how many of them fail, added to the mean.
    """
    rate = LdpcRate.choose(n, qber if estimate is None else estimate, frame_bits, blind=blind)
    if rate.code is None:
        return n, 0
    frames, size = rate.frames, rate.size
    mean, sigma = _need(size, min(max(qber, REACH[0]), 0.5))
    steps, failing, asked = 0.0, 1.0, 0.0
    for k in range(rate.increments + 1):
        worth = rate.said + _EXTRA_WORTH * k * rate.increment
        asked += failing if blind and k < rate.increments else 0.0
        failing = 0.5 * math.erfc((worth - mean) / (sigma * math.sqrt(2)))
        if k < rate.increments:
            steps += failing
    said = frames * (rate.said + steps * rate.increment) + margin * (sigma if blind else 0.0) * math.sqrt(frames)
    failed = _failed(frames * failing, margin)
    said += failed * size + (_TAG_BITS * (frames + 1) if failed >= 1 else 0)
    return math.ceil(said), math.ceil(frames * asked + (margin * math.sqrt(frames) if blind else 0))


def _failed(mean: float, margin: float) -> float:
    """Frames that fail: the mean, or the number that is passed as rarely as `margin` standard deviations are."""
    if margin == 0.0 or mean == 0.0:
        return mean
    beyond, count = 0.5 * math.erfc(margin / math.sqrt(2)), 0
    term = passed = math.exp(-mean)
    while 1.0 - passed > beyond and count < 10 * mean + 100:
        count += 1
        term *= mean / count
        passed += term
    return float(count)
