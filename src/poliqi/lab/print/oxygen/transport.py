"""Oxygen along the vessels: Q dC/ds = -q, piece by piece in the order in which the fluid comes.

In a piece the mean around it, T/S, is constant, so that the fluid's concentration falls exponentially towards it:
exact for medium; for blood the slope of its content is the secant over the piece. Streams mix at points by their
flow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import inlined, kernel

__all__ = ["carry", "carry_change", "content"]


@inlined
def _content(c: float, capacity: float, half: float, n: float) -> float:
    if c <= 0.0 or capacity == 0.0:
        return c
    x = (c / half) ** n
    return c + capacity * x / (1.0 + x)


@inlined
def _slope(c: float, capacity: float, half: float, n: float) -> float:
    if c <= 0.0 or capacity == 0.0:
        return 1.0
    x = (c / half) ** n
    return 1.0 + capacity * n * x / (c * (1.0 + x) ** 2)


@inlined
def _dissolved(total: float, capacity: float, half: float, n: float) -> float:
    """c of a content, by bisection with Newton's steps: content rises with c."""
    if total <= 0.0 or capacity == 0.0:
        return total
    low, high = 0.0, total
    c = max(total - capacity, 0.5 * half * min(1.0, total / (capacity + half)))
    for _ in range(60):
        wrong = _content(c, capacity, half, n) - total
        if wrong > 0.0:
            high = c
        else:
            low = c
        if abs(wrong) <= 1e-12 * total:
            break
        c -= wrong / _slope(c, capacity, half, n)
        if not low < c < high:
            c = 0.5 * (low + high)
    return c


@kernel
def content(c: NDArray[np.float64], capacity: float, half: float, n: float) -> NDArray[np.float64]:
    """Oxygen carried at each concentration (m,)."""
    out = np.empty_like(c)
    for at in range(c.size):
        out[at] = _content(c[at], capacity, half, n)
    return out


@kernel
def carry(
    first: NDArray[np.int64], up: NDArray[np.int64], down: NDArray[np.int64], flow: NDArray[np.float64],
    source: NDArray[np.float64], inlet: float, capacity: float, half: float, n: float,
    s: NDArray[np.float64], t: NDArray[np.float64],
    mean: NDArray[np.float64], given: NDArray[np.float64], slope: NDArray[np.float64], enter: NDArray[np.float64],
    point: NDArray[np.float64],
) -> float:  # fmt: skip
    """March once through all vessels; returns what flows in from outside.

    s, t (e,): what a piece gives to its tissue is s c - t. Written: `mean` (e,) concentration of each piece,
    `given` (e,), `slope` (e,) dC/dc of it, `enter` (e,) dC/dc where it begins, `point` (points,) concentration; a
    point through which nothing flows (1e-9 of the most) has that of the piece beside it.
    """
    amount = np.zeros(source.size)
    through = source.copy()
    into = 0.0
    for p in range(source.size):
        amount[p] = source[p] * _content(inlet, capacity, half, n)
        into += amount[p]
        point[p] = inlet
    for e in range(up.size):
        q = flow[e]
        p = up[e]
        total = float(amount[p] / through[p]) if through[p] > 0.0 else 0.0
        c = _dissolved(total, capacity, half, n)
        point[p] = c
        for at in range(first[e], first[e + 1]):
            enter[at] = _slope(c, capacity, half, n)
            around = t[at] / s[at] if s[at] > 0.0 else c
            beta = enter[at]
            after = c
            if s[at] > 0.0 and q > 0.0:
                for _ in range(30 if capacity > 0.0 else 1):
                    after = around + (c - around) * np.exp(-s[at] / (q * beta))
                    if abs(c - after) <= 1e-12 * abs(c):
                        break
                    secant = (_content(c, capacity, half, n) - _content(after, capacity, half, n)) / (c - after)
                    if abs(secant - beta) < 1e-9 * beta:
                        break
                    beta = secant
                x = s[at] / (q * beta)
                mean[at] = around + (c - around) * (-np.expm1(-x) / x if x > 1e-9 else 1.0 - 0.5 * x)
                given[at] = s[at] * (mean[at] - around)
            else:
                mean[at] = around
                given[at] = 0.0
            slope[at] = beta
            if q > 0.0:
                total -= given[at] / q
                c = _dissolved(total, capacity, half, n)
        amount[down[e]] += q * total
        through[down[e]] += q
        if through[down[e]] > 0.0:
            point[down[e]] = _dissolved(float(amount[down[e]] / through[down[e]]), capacity, half, n)
    least = 1e-9 * flow.max() if flow.size else 0.0
    for e in range(up.size):
        if not through[up[e]] > least:
            point[up[e]] = mean[first[e]]
        if not through[down[e]] > least:
            point[down[e]] = mean[first[e + 1] - 1]
    return into


@kernel
def carry_change(
    first: NDArray[np.int64], up: NDArray[np.int64], down: NDArray[np.int64], flow: NDArray[np.float64],
    source: NDArray[np.float64], s: NDArray[np.float64], t: NDArray[np.float64],
    slope: NDArray[np.float64], enter: NDArray[np.float64], mean: NDArray[np.float64],
) -> None:  # fmt: skip
    """The change of `mean` that a change t brings, with the slopes of `carry` held."""
    amount = np.zeros(source.size)
    through = source.copy()
    for e in range(up.size):
        q = flow[e]
        p = up[e]
        total = amount[p] / through[p] if through[p] > 0.0 else 0.0
        for at in range(first[e], first[e + 1]):
            c = total / enter[at]
            around = t[at] / s[at] if s[at] > 0.0 else c
            if s[at] > 0.0 and q > 0.0:
                x = s[at] / (q * slope[at])
                mean[at] = around + (c - around) * (-np.expm1(-x) / x if x > 1e-9 else 1.0 - 0.5 * x)
                total -= s[at] * (mean[at] - around) / q
            else:
                mean[at] = around
        amount[down[e]] += q * total
        through[down[e]] += q
