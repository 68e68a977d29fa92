"""Detectors: false counts, and where in time a click falls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from poliqi.optics.fibre import dispersion_s
from poliqi.optics.parameters import DetectorKind, LinkParameters

__all__ = ["FWHM_PER_SIGMA", "Timing", "dark_probability", "live_fraction", "release_probability", "timing"]

FWHM_PER_SIGMA: Final = 2.0 * math.sqrt(2.0 * math.log(2.0))  # 2.355 for a normal law


@dataclass(frozen=True, slots=True)
class Timing:
    """Where light of one bin is seen: its own window, and the windows of the two bins beside it."""

    sigma_s: float
    kept: float
    leaked_per_side: float


def timing(link: LinkParameters) -> Timing:
    """Spread of a click's time, and what it does to bins.

    Pulse width, dispersion and timing jitter add in quadrature as normal laws. With bins T apart and
    windows of width w <= T, erf(w / (2 sqrt2 sigma)) stays, and all that falls beyond the near edge of a
    neighbour's window, erfc((T - w/2) / (sqrt2 sigma)) / 2 a side, is counted as seen there. For w = T that
    is erfc(T / (2 sqrt2 sigma)) / 2. What flies past the neighbour, at most erfc(3 T / (2 sqrt2 sigma)) / 2,
    is put into it too.
    """
    spread = dispersion_s(link.fibre, link.source.linewidth_m)
    fwhm = math.hypot(link.source.pulse_fwhm_s, link.detector.jitter_fwhm_s, spread)
    sigma = fwhm / FWHM_PER_SIGMA
    if sigma == 0.0:
        return Timing(0.0, 1.0, 0.0)
    width, apart = link.window_s, link.bin_s
    kept = math.erf(width / (2.0 * math.sqrt(2.0) * sigma))
    leaked = 0.5 * math.erfc((apart - width / 2.0) / (math.sqrt(2.0) * sigma))
    return Timing(sigma, kept, leaked)


def dark_probability(link: LinkParameters) -> float:
    """Probability of a dark count in one bin of one detector."""
    if link.detector.kind is DetectorKind.GATED_APD:
        return link.detector.dark_per_gate
    return -math.expm1(-link.detector.dark_rate_hz * link.window_s)


def release_probability(link: LinkParameters) -> float:
    """Probability that an occupied trap lets its carrier go in a given slot: exponential delay, in slots."""
    if link.detector.afterpulse == 0.0:
        return 0.0
    return -math.expm1(-1.0 / (link.source.clock_hz * link.detector.afterpulse_time_s))


def live_fraction(click: float, dead_slots: int, *, paralysable: bool = False) -> float:
    """Share of slots that are live, for a click probability `click` per live slot and no afterpulses.

    1/(1 + D t_d), or (1 - D)^t_d where clicks inside the dead time prolong it. These are the usual
    1/(1 + r t_d) and exp(-r t_d) in slots, where they are exact.
    """
    return (1.0 - click) ** dead_slots if paralysable else 1.0 / (1.0 + click * dead_slots)
