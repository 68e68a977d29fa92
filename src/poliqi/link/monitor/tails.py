"""Tail probabilities that a monitor rests on, without scipy: each is exact, or an upper bound at any size.

A bound is worth more than an approximation here: a stated false-alarm probability that rests on "n is large" is
wrong exactly where an attacker would look for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

__all__ = [
    "binomial_lower",
    "binomial_upper",
    "chi_square_lower",
    "clopper_pearson",
    "divergence",
    "exact_binomial_upper",
    "normal_upper",
    "quantile",
    "share_bounds",
    "student_upper",
]

_SQRT_2: Final = math.sqrt(2.0)
_TINY: Final = 1e-300
_STEPS: Final = 60
"""Halvings: an interval of length 1 falls below any float's spacing."""


def normal_upper(z: float) -> float:
    """P(Z >= z) of a standard normal variable."""
    return 0.5 * math.erfc(z / _SQRT_2)


def divergence(q: float, p: float) -> float:
    """Kullback-Leibler divergence of a coin of `q` from one of `p`, in nats; inf where `p` cannot give `q`."""
    if (q > 0.0 and p <= 0.0) or (q < 1.0 and p >= 1.0):
        return math.inf
    total = 0.0
    if q > 0.0:
        total += q * math.log(q / p)
    if q < 1.0:
        total += (1.0 - q) * (math.log1p(-q) - math.log1p(-p))
    return max(total, 0.0)


def binomial_upper(hits: float, trials: float, p: float) -> float:
    """An upper bound of P(X >= hits) for X binomial of `trials` and probability `p`; costs a logarithm or two.

    Zubkov and Serov, Theory Probab. Appl. 57 (2013) 539, arXiv:1207.3838: P(X <= k) >= Phi(sgn(k/n - p)
    sqrt(2 n KL(k/n || p))) for every n, p and 0 <= k <= n. Numbers need not be whole: they may have been divided by
    a dispersion.
    """
    below = hits - 1.0
    if below < 0.0 or p >= 1.0:
        return 1.0
    if p <= 0.0:
        return 0.0
    if hits > trials:
        return 0.0
    z = math.sqrt(2.0 * trials * divergence(below / trials, p))
    return normal_upper(z if below > trials * p else -z)


def binomial_lower(hits: float, trials: float, p: float) -> float:
    """An upper bound of P(X <= hits): `binomial_upper` of the misses."""
    return binomial_upper(trials - hits, trials, 1.0 - p)


def share_bounds(hits: float, trials: float, alpha: float) -> tuple[float, float]:
    """Bounds of a probability, each wrong with probability `alpha` at most: Clopper-Pearson over the bounded tails.

    A little wider than `clopper_pearson`, and as quick for 1e12 trials as for ten.
    """
    if trials <= 0.0:
        return 0.0, 1.0
    share = min(1.0, hits / trials)
    low = 0.0 if hits <= 0.0 else _crossing(lambda p: binomial_upper(hits, trials, p), 0.0, share, alpha)
    high = 1.0 if hits >= trials else _crossing(lambda p: -binomial_lower(hits, trials, p), share, 1.0, -alpha)
    return low, high


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of Clopper and Pearson, Biometrika 26 (1934) 404; up to some 1e5 trials."""
    if trials <= 0:
        return 0.0, 1.0
    alpha = (1.0 - confidence) / 2.0
    share = hits / trials
    low = 0.0 if hits == 0 else _crossing(lambda p: exact_binomial_upper(hits, trials, p), 0.0, share, alpha)
    high = (
        1.0
        if hits == trials
        else _crossing(lambda p: exact_binomial_upper(hits + 1, trials, p) - 1.0, share, 1.0, -alpha)
    )
    return low, high


def exact_binomial_upper(hits: int, trials: int, p: float) -> float:
    """P(X >= hits), exactly: the regularised incomplete beta function I_p(hits, trials - hits + 1)."""
    if hits <= 0:
        return 1.0
    if hits > trials:
        return 0.0
    return _beta(float(hits), float(trials - hits + 1), p)


def student_upper(t: float, freedom: int) -> float:
    """P(T >= t) of Student's distribution of `freedom` degrees."""
    half = 0.5 * _beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
    return half if t >= 0.0 else 1.0 - half


def chi_square_lower(x: float, freedom: int) -> float:
    """P(X <= x) of the chi-square distribution of `freedom` degrees (series of DLMF 8.7.1)."""
    if x <= 0.0:
        return 0.0
    half, a = x / 2.0, freedom / 2.0
    term = total = 1.0
    n = 0
    while term > 1e-17 * total:
        n += 1
        term *= half / (a + n)
        total += term
    return min(1.0, math.exp(a * math.log(half) - half - math.lgamma(a + 1.0)) * total)


def quantile(tail: Callable[[float], float], alpha: float) -> float:
    """The smallest x > 0 with tail(x) <= `alpha`, for a falling tail."""
    low, high = 0.0, 1.0
    while tail(high) > alpha and high < 1e15:
        low, high = high, 2.0 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if tail(middle) > alpha else (low, middle)
    return high


def _crossing(rising: Callable[[float], float], low: float, high: float, level: float) -> float:
    """Where a rising function reaches `level`, from outside the interval that is given."""
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if rising(middle) < level:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), by Lentz's continued fraction (DLMF 8.17.22) on the side where it converges fast."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(b, a, 1.0 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    c, d = 1.0, 1.0 / _off_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        step = 1.0
        for term in (even, odd):
            d = 1.0 / _off_zero(1.0 + term * d)
            c = _off_zero(1.0 + term / c)
            step = c * d
            value *= step
        if abs(step - 1.0) < 1e-15:
            break
    return min(1.0, front * value / a)


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
