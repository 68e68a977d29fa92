"""Density evolution of irregular codes on the binary symmetric channel, on a grid of log-likelihood ratios.

T. Richardson, A. Shokrollahi, R. Urbanke, IEEE Trans. Inf. Theory 47 (2001) 619; messages are combined in checks
two at a time as by S.-Y. Chung et al., IEEE Commun. Lett. 5 (2001) 58. All-zero word, flooding schedule.
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel

__all__ = ["Evolution", "entropy", "inverse_entropy", "threshold"]

Density: TypeAlias = NDArray[np.float64]

STEP = 0.08
TOP = 300
"""Magnitudes are 0 to TOP steps: log-likelihood ratios up to 24."""
SIZE = 2 * TOP + 1
SOLVED = 1e-6


def entropy(q: float) -> float:
    """h(q) in bits."""
    return float(-q * np.log2(q) - (1 - q) * np.log2(1 - q))


def inverse_entropy(h: float) -> float:
    """The q below 1/2 with h(q) = h."""
    low, high = 1e-9, 0.5
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(middle) < h else (low, middle)
    return low


@cache
def _table() -> NDArray[np.int32]:
    """int32[TOP + 1, TOP + 1]: the box-plus of two magnitudes, rounded to a step."""
    x = np.arange(TOP + 1) * STEP
    a, b = np.meshgrid(x, x)
    exact = np.minimum(a, b) + np.log1p(np.exp(-(a + b))) - np.log1p(np.exp(-np.abs(a - b)))
    return np.rint(exact / STEP).astype(np.int32)


@kernel
def _pair(table: NDArray[np.int32], s: Density, d: Density, t: Density, e: Density) -> tuple[Density, Density]:
    out_s, out_d = np.zeros_like(s), np.zeros_like(s)
    for i in range(s.size):
        if s[i] < 1e-13:
            continue
        for j in range(t.size):
            k = table[i, j]
            out_s[k] += s[i] * t[j]
            out_d[k] += d[i] * e[j]
    return out_s, out_d


def _power(s: Density, d: Density, n: int) -> tuple[Density, Density]:
    """A check's answer to n equal messages, given as sum and difference of the densities of both signs."""
    table, result = _table(), None
    while n:
        if n & 1:
            result = (s, d) if result is None else _pair(table, *result, s, d)
        n >>= 1
        if n:
            s, d = _pair(table, s, d, s, d)
    assert result is not None
    return result


class Evolution:
    """Density evolution for columns of the given degrees and checks of mean degree `check` at error rate `qber`."""

    def __init__(self, degrees: list[int], check: float, qber: float) -> None:
        self.degrees = degrees
        self.low = int(check)
        self.share = (check - self.low) * (self.low + 1) / check  # edges in checks of degree low + 1
        self.channel = np.zeros(SIZE)
        llr = np.log((1 - qber) / qber) / STEP
        k, rest = int(llr), llr - int(llr)
        for sign, p in ((1, 1 - qber), (-1, qber)):
            self.channel[TOP + sign * k] += p * (1 - rest)
            self.channel[TOP + sign * (k + 1)] += p * rest
        self.length = 1 << int(np.ceil(np.log2(max(degrees) * 2 * TOP + 1)))
        self.spectrum = self._transform(self.channel)

    def _transform(self, p: Density) -> NDArray[np.complex128]:
        return np.fft.rfft(np.roll(np.pad(p, (0, self.length - SIZE)), -TOP))

    def _checks(self, p: Density) -> NDArray[np.complex128]:
        plus, minus = p[TOP:].copy(), p[TOP::-1].copy()
        plus[0] = minus[0] = p[TOP] / 2
        s, d = plus + minus, plus - minus
        out_s, out_d = _power(s, d, self.low - 1)
        if self.share > 1e-9:
            more_s, more_d = _pair(_table(), out_s, out_d, s, d)
            out_s = (1 - self.share) * out_s + self.share * more_s
            out_d = (1 - self.share) * out_d + self.share * more_d
        u = np.zeros(SIZE)
        u[TOP:] += (out_s + out_d) / 2
        u[TOP::-1] += (out_s - out_d) / 2
        return self._transform(u)

    def run(self, shares: Density, limit: int) -> tuple[Density, Density]:
        """Errors e[l] of messages to checks, and P[l, i] of the next ones from a column of each degree.

        `shares` are the edges in columns of each degree. It ends at `limit`, solved, or without progress.
        """
        p, errors, table = self.channel, [self.channel[:TOP].sum()], []
        middle = self.length // 2
        for done in range(limit):
            u = self._checks(p)
            each = np.array([u ** (degree - 1) * self.spectrum for degree in self.degrees])
            full = np.fft.irfft(each, self.length, axis=1)
            table.append(full[:, middle:].sum(axis=1) + full[:, 0] / 2)
            mixed = np.roll(shares @ full, middle)
            p = mixed[middle - TOP : middle + TOP + 1].copy()
            p[0] += mixed[: middle - TOP].sum()
            p[-1] += mixed[middle + TOP + 1 :].sum()
            p = np.maximum(p, 0)
            p /= p.sum()
            errors.append(p[:TOP].sum() + p[TOP] / 2)
            if errors[-1] < SOLVED or (
                done > 5 and errors[-1] > errors[-2] * 0.9999
            ):  # at first none may change sign
                break
        return np.array(errors), np.array(table)


def threshold(nodes: dict[int, int], rows: int, iterations: int = 200) -> float:
    """The greatest error rate, within a thousandth of itself, that is corrected within `iterations`."""
    degrees = sorted(nodes)
    edges = sum(d * n for d, n in nodes.items())
    shares = np.array([d * nodes[d] / edges for d in degrees])
    rate = rows / sum(nodes.values())
    low, high = inverse_entropy(rate / 1.5), inverse_entropy(rate)
    while high - low > 1e-3 * low:
        middle = (low + high) / 2
        errors, _ = Evolution(degrees, edges / rows, middle).run(shares, iterations)
        low, high = (middle, high) if errors[-1] < SOLVED else (low, middle)
    return low
