"""Three intensities: the proof of Lim et al. 2014, with its lower counts clamped at 0 or left as printed.

Letters as in `one_decoy`; mu1 > mu2 + mu3, mu2 > mu3 >= 0, e = eps_sec/21. Equations (1) to (5):

    s0 >= tau0 (mu2 w3 n3^- - mu3 w2 n2^+) / (mu2 - mu3), at least 0                                        (2)
    s1 >= tau1 mu1 [w2 n2^- - w3 n3^+ - (mu2^2 - mu3^2)/mu1^2 (w1 n1^+ - s0/tau0)]
          / (mu1 (mu2 - mu3) - mu2^2 + mu3^2)                                                               (3)
    v1_T <= tau1 (w2 m2^+ - w3 m3^-) / (mu2 - mu3)                                                          (4)
    phi <= v1_T/s1_T + gamma(eps_sec, v1_T/s1_T, s1_T, s1_K)                                                (5)
    l = s0 + s1_K (1 - h(phi)) - leak - 6 log2(21/eps_sec) - log2(2/eps_cor)                                (1)

A weak mu3 leaves few counts, so that m3^- = m3 - delta falls below 0 and (4) adds errors that cannot exist.
The expected count that m3^- bounds is not negative: 0 bounds it as well, without another failure probability.
`clamp` takes the larger of the two; without it the formulas stand as printed.
"""

from __future__ import annotations

from math import exp, inf, log, log2
from typing import Final

from poliqi.proof.bounds import Bounds
from poliqi.proof.counts import BasisCounts, Counts
from poliqi.proof.statistics import fung_ma_chau, h, hoeffding

__all__ = ["lim"]

_LN21: Final = log(21.0)
_LIM_BITS: Final = 6.0 * log2(21.0)


class _Source:
    """tau_0, tau_1 and w_k of three intensities, worked out once for both bases."""

    __slots__ = ("mu1", "mu2", "mu3", "tau0", "tau1", "w1", "w2", "w3")

    def __init__(self, counts: Counts, intensities: tuple[float, ...]) -> None:
        mu1, mu2, mu3 = intensities
        p1, p2, p3 = counts.probabilities
        vacuum1, vacuum2, vacuum3 = p1 * exp(-mu1), p2 * exp(-mu2), p3 * exp(-mu3)
        self.mu1, self.mu2, self.mu3 = mu1, mu2, mu3
        self.tau0 = vacuum1 + vacuum2 + vacuum3
        self.tau1 = vacuum1 * mu1 + vacuum2 * mu2 + vacuum3 * mu3
        self.w1, self.w2, self.w3 = 1.0 / vacuum1, 1.0 / vacuum2, 1.0 / vacuum3


def _vacuum_and_single(source: _Source, basis: BasisCounts, ln_1_e: float, clamp: bool) -> tuple[float, float]:
    n1, n2, n3 = basis.detections
    mu1, mu2, mu3 = source.mu1, source.mu2, source.mu3
    delta = hoeffding(n1 + n2 + n3, ln_1_e)
    n3_lower = max(n3 - delta, 0.0) if clamp else n3 - delta
    s0 = source.tau0 * (mu2 * source.w3 * n3_lower - mu3 * source.w2 * (n2 + delta)) / (mu2 - mu3)
    s0 = max(s0, 0.0)
    squares = mu2 * mu2 - mu3 * mu3
    s1 = (
        source.tau1
        * mu1
        * (
            source.w2 * (n2 - delta)
            - source.w3 * (n3 + delta)
            - squares / (mu1 * mu1) * (source.w1 * (n1 + delta) - s0 / source.tau0)
        )
        / ((mu2 - mu3) * (mu1 - mu2 - mu3))  # the denominator of (3), which cannot round to 0 in this form
    )
    return s0, s1


def _single_photon_errors(source: _Source, basis: BasisCounts, ln_1_e: float, clamp: bool) -> float:
    m2, m3 = basis.errors[1:]
    delta = hoeffding(basis.total_errors, ln_1_e)
    m3_lower = max(m3 - delta, 0.0) if clamp else m3 - delta
    v1 = source.tau1 * (source.w2 * (m2 + delta) - source.w3 * m3_lower) / (source.mu2 - source.mu3)
    return max(v1, 0.0)  # what is bounded is a count: 0 bounds it too where the difference is negative


def lim(
    counts: Counts,
    intensities: tuple[float, ...],
    leak_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    clamp: bool = True,
) -> Bounds:
    """Bounds and length of Lim et al.; see the module for the formulas. `counts` has three intensities."""
    ln_1_e = _LN21 - log(epsilon_sec)
    source = _Source(counts, intensities)
    s0, s1_key = _vacuum_and_single(source, counts.key, ln_1_e, clamp)
    _, s1_test = _vacuum_and_single(source, counts.test, ln_1_e, clamp)
    v1 = _single_photon_errors(source, counts.test, ln_1_e, clamp)
    phi, secret = inf, min(s1_key, 0.0)
    if s1_key > 0.0 and s1_test > 0.0:
        rate = max(v1, 1.0) / s1_test  # one error at least: the deviation vanishes at 0, where it proves nothing
        phi = rate + fung_ma_chau(rate, s1_test, s1_key, ln_1_e)
        if phi < 0.5 and s0 + s1_key <= counts.key.total_detections and s1_test <= counts.test.total_detections:
            secret = s0 + s1_key * (1.0 - h(phi))
    overhead = 1.0 - log2(epsilon_cor) + _LIM_BITS - 6.0 * log2(epsilon_sec)
    return Bounds(s0, s1_key, s1_test, v1, phi, secret - leak_bits - overhead)
