"""Least squares within limits: Levenberg and Marquardt's method, for tens of parameters and thousands of points.

Sums go through `einsum`, which starts no threads: on a busy machine those of BLAS spend their time waiting for each
other. Limits are kept by leaving parameters that press against one where they are (D. W. Marquardt, J. Soc. Indust.
Appl. Math. 11 (1963) 431).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Solution", "minimise"]

_Array = NDArray[np.float64]
_MOST_STEPS: Final = 60
_MOST_DAMPING: Final = 1e9
_SETTLED: Final = 1e-8


@dataclass(frozen=True, slots=True)
class Solution:
    """`p` (parameters,), `chi_squared` there, `normal` = J^T J (parameters, parameters)."""

    p: _Array
    chi_squared: float
    normal: _Array


def minimise(
    misses: Callable[[_Array], _Array], slopes: Callable[[_Array], _Array], start: _Array, low: _Array, high: _Array
) -> Solution:
    """The least sum of squares of `misses` (n,) near `start`; `slopes` gives its derivatives (n, parameters)."""
    p = np.clip(start, low, high)
    r = misses(p)
    chi_squared = float(np.einsum("n,n->", r, r))
    damping = 1e-2
    jacobian = slopes(p)
    normal = np.einsum("ni,nj->ij", jacobian, jacobian)
    for _ in range(_MOST_STEPS):
        gradient = np.einsum("ni,n->i", jacobian, r)
        held = ((p <= low) & (gradient > 0)) | ((p >= high) & (gradient < 0))
        diagonal = np.maximum(np.diag(normal), 1e-12 * float(np.diag(normal).max(initial=1e-300)))
        before = chi_squared
        while damping < _MOST_DAMPING:
            matrix = normal + np.diag(damping * diagonal)
            matrix[held, :], matrix[:, held] = 0.0, 0.0
            matrix[held, held] = 1.0
            step = np.asarray(np.linalg.solve(matrix, np.where(held, 0.0, -gradient)), np.float64)
            moved = np.clip(p + step, low, high)
            r_moved = misses(moved)
            moved_squared = float(np.einsum("n,n->", r_moved, r_moved))
            if moved_squared <= chi_squared:
                break
            damping *= 5
        else:
            break
        p, r, chi_squared = moved, r_moved, moved_squared
        damping = max(damping / 5, 1e-9)
        jacobian = slopes(p)
        normal = np.einsum("ni,nj->ij", jacobian, jacobian)
        if before - chi_squared <= _SETTLED * before:
            break
    return Solution(p, chi_squared, normal)
