"""Small linear algebra of fits, typed: a handful of unknowns, so that no library for large matrices is stirred."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["chi2_p_value", "inverse", "products", "range_variance", "solved"]


def solved(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """x of matrix x = right."""
    return cast("NDArray[np.float64]", np.linalg.solve(matrix, right))


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a matrix that can be inverted."""
    return cast("NDArray[np.float64]", np.linalg.inv(matrix))


def products(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a b^T for a (k, n) and b (l, n), without threads."""
    return (a[:, None, :] * b[None, :, :]).sum(2)


def chi2_p_value(chi2: float, freedom: int) -> float:
    """How likely a larger chi-square is, by the cube root of Wilson and Hilferty, PNAS 17 (1931) 684."""
    n = max(freedom, 1)
    z = ((max(chi2, 0.0) / n) ** (1 / 3) - (1 - 2 / (9 * n))) / math.sqrt(2 / (9 * n))
    return 0.5 * math.erfc(z / math.sqrt(2))


def range_variance(pairs: list[tuple[float, float]]) -> float:
    """The mean square by which ranges differ, beyond what their own noise makes them differ; 0 up to twice that.

    `pairs` are squares of differences and the variances that noise gives them: of a part against the whole, the
    difference of the two variances (Hausman, Econometrica 46 (1978) 1251).
    """
    if not pairs:
        return 0.0
    seen, noise = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
    return seen - max(noise, 0.0) if seen > 2 * max(noise, 0.0) else 0.0
