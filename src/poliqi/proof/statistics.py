"""The four functions of probability that every proof is built from.

`h` is the binary entropy in bits; `hoeffding` bounds a sum of independent choices; `serfling` and
`fung_ma_chau` bound what was not sampled from what was, for sampling without replacement.
Only `math` is used: these run inside an optimiser.
"""

from __future__ import annotations

from math import log, log2, sqrt
from typing import Final

__all__ = ["fung_ma_chau", "h", "hoeffding", "serfling"]

_LN2: Final = log(2.0)


def h(x: float) -> float:
    """Binary entropy in bits of a probability `x`; 0 at (and outside) the ends 0 and 1."""
    if x <= 0.0 or x >= 1.0:
        return 0.0
    return -x * log2(x) - (1.0 - x) * log2(1.0 - x)


def hoeffding(total: float, ln_1_e: float) -> float:
    """delta(N, e) = sqrt(N ln(1/e) / 2): how far a count among `total` strays, with probability `e`.

    `ln_1_e` is ln(1/e), so that no epsilon is too small to be written down. Source: Hoeffding 1963, as used
    by Lim et al. 2014, (A1).
    """
    return sqrt(total * ln_1_e / 2.0)


def serfling(key: float, test: float, ln_1_e: float) -> float:
    """gamma = sqrt((key + test)/(key test) (test + 1)/test ln(1/e)): key rate above test rate.

    The error rate of `key` unobserved rounds exceeds that of `test` random ones by gamma or more with
    probability at most e^2. Source: Serfling 1974, as used by Tomamichel et al. 2012, supplementary (S10) to
    (S15), and by Wiesemann et al., arXiv 2405.16578v3. Holds for any counts > 0.
    """
    return sqrt((key + test) / (key * test) * (test + 1.0) / test * ln_1_e)


def fung_ma_chau(rate: float, test: float, key: float, ln_1_e: float) -> float:
    """gamma(e, b, c, d) with b = `rate`, c = `test`, d = `key`: key rate above the test rate b.

    Source: Fung, Ma and Chau 2010, in the form of Lim et al. 2014, (5). It approximates the hypergeometric
    tail, is meant for counts that are not small, and vanishes for b = 0: callers keep b at one error or more.
    Where its logarithm is not above 0 (large counts and an epsilon near 1) it would promise no deviation at
    all: there `serfling` is returned, which always holds.
    """
    spread = (1.0 - rate) * rate
    if spread <= 0.0:
        return serfling(key, test, ln_1_e)
    share = (test + key) / (test * key)
    bits = log2(share / spread) + 2.0 * ln_1_e / _LN2
    if bits <= 0.0:
        return serfling(key, test, ln_1_e)
    return sqrt(share * spread * bits / _LN2)
