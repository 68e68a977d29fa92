"""Non-negative least squares with a preference for smoothness, averaged over how strong the preference is.

Minimises |A x - b|^2 + alpha |D x|^2 for x >= 0, D second differences with zeros beyond both ends; the last column
of A is a background without preference, which may be negative. Non-negativity by the active set of Bro and de Jong,
J. Chemom. 11 (1997) 393, which works on A^T A, each alpha beginning where the one before ended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Posterior", "nonnegative", "posterior"]

_ALPHAS: Final = 24
_MOST_ROUNDS: Final = 400
_NEGLIGIBLE: Final = 12.0


@dataclass(frozen=True, slots=True)
class Posterior:
    """Mean `x` (m,) and covariance `cov` (m, m), with the most probable `alpha` and chi-square at it.

    `noise` (m, m) is what of it comes from the noise of the data and from the choice of alpha: by it x differs from
    measurement to measurement. `cov` adds what the preference for smoothness leaves open within the bins.

    `effective` is how many parameters the data decided, trace((A^T A + alpha D^T D)^-1 A^T A) (MacKay).
    """

    x: NDArray[np.float64]
    cov: NDArray[np.float64]
    noise: NDArray[np.float64]
    alpha: float
    chi2: float
    effective: float

    def sigma_of(self, gradient: NDArray[np.float64]) -> float:
        """Standard deviation of gradient . x, by `noise`."""
        return math.sqrt(max(float(gradient @ self.noise @ gradient), 0.0))


@dataclass(frozen=True, slots=True)
class _At:
    """The solution for one alpha."""

    alpha: float
    x: NDArray[np.float64]
    free: NDArray[np.bool_]
    chi2: float
    log_evidence: float


def posterior(a: NDArray[np.float64], b: NDArray[np.float64], common: NDArray[np.float64]) -> Posterior:
    """`a` (n, m + 1), `b` (n,) and `common` (terms, n) are in units of sigma."""
    m = a.shape[1] - 1
    gram: NDArray[np.float64] = np.einsum("ik,il->kl", a, a)
    right: NDArray[np.float64] = np.einsum("ik,i->k", a, b)
    square = float((b * b).sum())
    smooth = np.zeros((m + 1, m + 1))
    d = -2 * np.eye(m) + np.eye(m, k=1) + np.eye(m, k=-1)
    smooth[:m, :m] = d @ d
    start = float(np.trace(gram[:m, :m]) / np.trace(smooth))
    tried: list[_At] = []
    free = np.zeros(m + 1, np.bool_)
    free[-1] = True
    best = -math.inf
    for alpha in start * np.logspace(1, -10, _ALPHAS):
        one = _solved(gram, right, square, smooth, float(alpha), free)
        tried.append(one)
        free = one.free
        best = max(best, one.log_evidence)
        if one.log_evidence < best - _NEGLIGIBLE and len(tried) > 4:
            break
    kept = [one for one in tried if one.log_evidence > best - _NEGLIGIBLE]
    weights = np.array([math.exp(one.log_evidence - best) for one in kept])
    weights /= weights.sum()
    x = sum((w * one.x for w, one in zip(weights, kept, strict=True)), np.zeros(m + 1))
    cov, noise = np.zeros((m + 1, m + 1)), np.zeros((m + 1, m + 1))
    pulls: NDArray[np.float64] = np.einsum("ti,ik->tk", common, a)
    for w, one in zip(weights, kept, strict=True):
        if w < 1e-3:
            continue
        inside = np.ix_(one.free, one.free)
        inverse = _inverse(_cholesky((gram + one.alpha * smooth)[inside]))
        moves = pulls[:, one.free] @ inverse
        shared = moves.T @ moves
        cov[inside] += w * (inverse + shared)
        noise[inside] += w * (inverse @ gram[inside] @ inverse + shared)
        spread = w * np.outer(one.x - x, one.x - x)
        cov += spread
        noise += spread
    top = max(kept, key=lambda one: one.log_evidence)
    inside = np.ix_(top.free, top.free)
    decided = float((_inverse(_cholesky((gram + top.alpha * smooth)[inside])) * gram[inside]).sum())
    return Posterior(x, cov, noise, top.alpha, top.chi2, decided)


def _solved(
    gram: NDArray[np.float64],
    right: NDArray[np.float64],
    square: float,
    smooth: NDArray[np.float64],
    alpha: float,
    free: NDArray[np.bool_],
) -> _At:
    full = gram + alpha * smooth
    x = nonnegative(full, right, free, signed=1)
    now = x > 0
    now[-1] = True
    chi2 = square - 2 * float(right @ x) + float(x @ gram @ x)
    bins = now.copy()
    bins[-1] = False
    evidence = -0.5 * (chi2 + alpha * float(x @ smooth @ x))
    if bool(np.any(bins)):
        prior = _half_logdet(_cholesky(smooth[np.ix_(bins, bins)])) + 0.5 * int(bins.sum()) * math.log(alpha)
        evidence += prior - _half_logdet(_cholesky(full[np.ix_(now, now)]))
    return _At(alpha, x, now, chi2, evidence)


def nonnegative(
    matrix: NDArray[np.float64], right: NDArray[np.float64], free: NDArray[np.bool_], signed: int = 0
) -> NDArray[np.float64]:
    """x >= 0 that minimises x^T matrix x / 2 - right^T x; `free` is a guess at which are above 0.

    The last `signed` of x may have either sign.
    """
    bounded = np.arange(right.size) < right.size - signed
    free = free | ~bounded
    x = np.zeros(right.size)
    tolerance = 1e-10 * float(np.max(np.abs(right)))
    if bool(np.any(free)):
        x[free] = _solve(matrix[np.ix_(free, free)], right[free])
        x = np.where(bounded, np.maximum(x, 0.0), x)
        free = (x > 0) | ~bounded
    for _ in range(_MOST_ROUNDS):
        if bool(np.any(free)):
            x, free = _descended(matrix, right, x, free, bounded)
        downhill = right - matrix @ x
        downhill[free] = -np.inf
        new = int(np.argmax(downhill))
        if downhill[new] <= tolerance:
            break
        free[new] = True
    return x


def _descended(
    matrix: NDArray[np.float64],
    right: NDArray[np.float64],
    x: NDArray[np.float64],
    free: NDArray[np.bool_],
    bounded: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The minimum over the free ones, those that would go below 0 let go on the way."""
    while True:
        wanted = np.zeros(x.size)
        wanted[free] = _solve(matrix[np.ix_(free, free)], right[free])
        below = free & bounded & (wanted <= 0)
        if not bool(np.any(below)):
            return wanted, free
        part = float(np.min(x[below] / np.maximum(x[below] - wanted[below], 1e-300)))
        x = np.where(free, x + part * (wanted - x), 0.0)
        free = free & ~(below & (x <= 1e-12 * max(float(np.max(x)), 1e-300)))
        x = np.where(free, x, 0.0)
        if not bool(np.any(free)):
            return x, free


def _linalg() -> Any:
    from scipy.linalg import lapack

    return lapack


def _cholesky(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    factor, info = _linalg().dpotrf(matrix, lower=1)
    if info:
        jitter = 1e-12 * float(np.max(np.diagonal(matrix)))
        factor, info = _linalg().dpotrf(matrix + jitter * np.eye(matrix.shape[0]), lower=1)
    if info:
        raise ValueError(f"the matrix of a size distribution is not positive definite (LAPACK {info})")
    return factor


def _solve(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    answer, _ = _linalg().dpotrs(_cholesky(matrix), right, lower=1)
    return answer


def _inverse(factor: NDArray[np.float64]) -> NDArray[np.float64]:
    lower, _ = _linalg().dpotri(factor, lower=1)
    return np.tril(lower) + np.tril(lower, -1).T


def _half_logdet(factor: NDArray[np.float64]) -> float:
    return float(np.log(np.diagonal(factor)).sum())
