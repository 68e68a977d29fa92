"""Two intensities: the consolidated proof of Wiesemann et al. (the default) and that of Rusca et al.

| letter | meaning |
|---|---|
| mu1 > mu2 > 0 | mean photon numbers, sent with probabilities p_k |
| n_k, m_k, N, M | detections and errors at intensity k in one basis, and their sums |
| w_k = e^{mu_k} / p_k | weight of intensity k |
| tau_n = sum_k p_k e^{-mu_k} mu_k^n / n! | probability that Alice sends n photons |
| delta(N, e) | Hoeffding's deviation; x^{+-} = x +- delta |
| s0, s1, v1 | vacuum and single-photon detections, single-photon errors |

Both proofs bound, in either basis,

    s0_upper = min_k 2 [tau0 w_k (m_k + delta(M, e)) + delta(N, e)]
    s1_lower = tau1 mu1 / (mu2 (mu1 - mu2)) [w2 n2^- - (mu2/mu1)^2 w1 n1^+ - (mu1^2 - mu2^2)/mu1^2 s0_upper/tau0]
    v1_upper = tau1 / (mu1 - mu2) (w1 m1^+ - w2 m2^-)                                  (test basis)

Wiesemann et al. (arXiv 2405.16578v3): e = eps_sec/15, phi = v1/s1_T + gamma after Serfling, and
l = s1_K (1 - h(phi)) - leak - log2(2/eps_cor) - 4 log2(15 / (eps_sec 2^{1/4})).

Rusca et al. (2018): e = eps_sec/19, phi with the deviation of Fung, Ma and Chau, a vacuum term
s0_lower = tau0 / (mu1 - mu2) (mu1 w2 n2^- - mu2 w1 n1^+), at least 0, and
l = s0_lower + s1_K (1 - h(phi)) - leak - log2(2/eps_cor) - 6 log2(19 / eps_sec).
"""

from __future__ import annotations

from math import exp, inf, log, log2
from typing import Final

from poliqi.proof.bounds import Bounds
from poliqi.proof.counts import BasisCounts, Counts
from poliqi.proof.statistics import fung_ma_chau, h, hoeffding, serfling

__all__ = ["rusca", "wiesemann"]

_LN15: Final = log(15.0)
_LN19: Final = log(19.0)
_WIESEMANN_BITS: Final = 4.0 * log2(15.0) - 1.0
_RUSCA_BITS: Final = 6.0 * log2(19.0)


class _Source:
    """tau_0, tau_1 and w_k of two intensities, worked out once for both bases."""

    __slots__ = ("mu1", "mu2", "tau0", "tau1", "w1", "w2")

    def __init__(self, counts: Counts, intensities: tuple[float, ...]) -> None:
        mu1, mu2 = intensities
        p1, p2 = counts.probabilities
        vacuum1, vacuum2 = exp(-mu1), exp(-mu2)
        self.mu1, self.mu2 = mu1, mu2
        self.tau0 = p1 * vacuum1 + p2 * vacuum2
        self.tau1 = p1 * vacuum1 * mu1 + p2 * vacuum2 * mu2
        self.w1, self.w2 = 1.0 / (p1 * vacuum1), 1.0 / (p2 * vacuum2)


def _single_photons(source: _Source, basis: BasisCounts, ln_1_e: float) -> float:
    n1, n2 = basis.detections
    m1, m2 = basis.errors
    mu1, mu2, tau0 = source.mu1, source.mu2, source.tau0
    w1, w2 = source.w1, source.w2
    delta_n, delta_m = hoeffding(n1 + n2, ln_1_e), hoeffding(m1 + m2, ln_1_e)
    s0_upper = 2.0 * (tau0 * min(w1 * (m1 + delta_m), w2 * (m2 + delta_m)) + delta_n)
    ratio = (mu2 / mu1) ** 2
    return (
        source.tau1
        * mu1
        / (mu2 * (mu1 - mu2))
        * (w2 * (n2 - delta_n) - ratio * w1 * (n1 + delta_n) - (1.0 - ratio) * s0_upper / tau0)
    )


def _single_photon_errors(source: _Source, basis: BasisCounts, ln_1_e: float) -> float:
    m1, m2 = basis.errors
    delta_m = hoeffding(m1 + m2, ln_1_e)
    v1 = source.tau1 / (source.mu1 - source.mu2) * (source.w1 * (m1 + delta_m) - source.w2 * (m2 - delta_m))
    return max(v1, 0.0)  # what is bounded is a count: 0 bounds it too where the difference is negative


def _vacuum(source: _Source, basis: BasisCounts, ln_1_e: float) -> float:
    n1, n2 = basis.detections
    delta_n = hoeffding(n1 + n2, ln_1_e)
    mu1, mu2 = source.mu1, source.mu2
    s0 = source.tau0 / (mu1 - mu2) * (mu1 * source.w2 * (n2 - delta_n) - mu2 * source.w1 * (n1 + delta_n))
    return max(s0, 0.0)


def wiesemann(
    counts: Counts,
    intensities: tuple[float, ...],
    leak_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    clamp: bool = True,  # noqa: ARG001  # no lower count of this proof is clamped; one signature for all formulas
) -> Bounds:
    """Bounds and length of Wiesemann et al.; see the module for the formulas. `counts` has two intensities."""
    ln_1_e = _LN15 - log(epsilon_sec)
    source = _Source(counts, intensities)
    s1_key = _single_photons(source, counts.key, ln_1_e)
    s1_test = _single_photons(source, counts.test, ln_1_e)
    v1 = _single_photon_errors(source, counts.test, ln_1_e)
    phi, secret = inf, min(s1_key, 0.0)
    if s1_key > 0.0 and s1_test > 0.0:
        phi = v1 / s1_test + serfling(s1_key, s1_test, ln_1_e)
        if phi < 0.5 and s1_key <= counts.key.total_detections and s1_test <= counts.test.total_detections:
            secret = s1_key * (1.0 - h(phi))
    overhead = 1.0 - log2(epsilon_cor) + _WIESEMANN_BITS - 4.0 * log2(epsilon_sec)
    return Bounds(None, s1_key, s1_test, v1, phi, secret - leak_bits - overhead)


def rusca(
    counts: Counts,
    intensities: tuple[float, ...],
    leak_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    clamp: bool = True,  # noqa: ARG001  # no lower count of this proof is clamped; one signature for all formulas
) -> Bounds:
    """Bounds and length of Rusca et al.; see the module for the formulas. `counts` has two intensities."""
    ln_1_e = _LN19 - log(epsilon_sec)
    source = _Source(counts, intensities)
    s0 = _vacuum(source, counts.key, ln_1_e)
    s1_key = _single_photons(source, counts.key, ln_1_e)
    s1_test = _single_photons(source, counts.test, ln_1_e)
    v1 = _single_photon_errors(source, counts.test, ln_1_e)
    phi, secret = inf, min(s1_key, 0.0)
    if s1_key > 0.0 and s1_test > 0.0:
        rate = max(v1, 1.0) / s1_test  # one error at least: the deviation vanishes at 0, where it proves nothing
        phi = rate + fung_ma_chau(rate, s1_test, s1_key, ln_1_e)
        if phi < 0.5 and s0 + s1_key <= counts.key.total_detections and s1_test <= counts.test.total_detections:
            secret = s0 + s1_key * (1.0 - h(phi))
    overhead = 1.0 - log2(epsilon_cor) + _RUSCA_BITS - 6.0 * log2(epsilon_sec)
    return Bounds(s0, s1_key, s1_test, v1, phi, secret - leak_bits - overhead)
