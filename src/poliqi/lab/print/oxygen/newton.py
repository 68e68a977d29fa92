"""Newton's method for the whole: tissue, vessels and a consumption that bends near nought.

M is concave and every linear part is inverse-positive, so that from the second step on Newton rises to the solution
from below without overshooting (Ortega and Rheinboldt, 1970, section 13.3), also where oxygen ends: below nought M
goes on as a straight line. Each step is solved by GMRES (Saad and Schultz, SIAM J. Sci. Stat. Comput. 7 (1986) 856)
behind one V-cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.base.jit import kernel
from poliqi.lab.print.oxygen.slow import Slow

if TYPE_CHECKING:
    from poliqi.lab.print.oxygen.exchange import Exchange
    from poliqi.lab.print.oxygen.multigrid import Hierarchy

__all__ = ["Steady", "System", "gmres", "solve", "take"]

_MOST_STEPS: Final = 40
_KRYLOV: Final = 12
_FORCING: Final = 0.05
_OPEN: Final = 0.05
_LEAST_PART: Final = 0.1
"""A residual of `_OPEN` of what is exchanged, or of this part of the most that can be consumed, is no solution."""

_REMEDY: Final = "give more cells, or look at flows and tissue"

Field3 = NDArray[np.float32]


@kernel
def take(
    c: Field3, level: float, volume: Field3, taken: float, km: float, residual: Field3, slope: Field3
) -> float:
    """Take the consumption at `level` + c from `residual`, put its slope into `slope`; returns all of it."""
    total = 0.0
    for i in range(1, c.shape[0] - 1):
        for j in range(1, c.shape[1] - 1):
            for k in range(1, c.shape[2] - 1):
                v = level + c[i, j, k]
                most = taken * volume[i, j, k]
                if v > 0:
                    m = most * v / (km + v)
                    slope[i, j, k] = most * km / (km + v) ** 2
                else:
                    m = most * v / km
                    slope[i, j, k] = most / km
                residual[i, j, k] -= np.float32(m)
                total += m
    return total


@dataclass(slots=True)
class System:
    """One grid's equations: links and `ground` c = what vessels and the held boundary give, less consumption.

    The unknown is c less `level`, a concentration at which nothing would be lost: float32 then has room for small
    differences.

    `there`, `volume`, `ground`, `held`: as in Grid, with lumens left out; `held` is the boundary's g (c - level).
    `dry` is the boundary's g alone. `taken` is M0 h^2/D, `km` K.
    """

    hierarchy: Hierarchy
    there: Field3
    volume: Field3
    ground: Field3
    dry: Field3
    held: Field3
    taken: float
    km: float
    level: float
    exchange: Exchange | None


@dataclass(frozen=True, slots=True)
class Steady:
    """A solution: consumption of cells in D h mol/m3, sum of |residual| over it, Newton's steps and V-cycles."""

    c: Field3
    consumed: float
    residual: float
    steps: int
    cycles: int


@np.errstate(over="ignore", invalid="ignore")  # what leaves float32 is refused in words
def solve(system: System, c: Field3, tolerance: float, progress: Callable[[], None] | None = None) -> Steady:
    """Newton from a first guess until the sum of |residual| is `tolerance` of what is exchanged, or stays.

    Raises DataRefused where it leaves what float32 holds, or comes to no solution.
    """
    residual, slope, work = np.zeros_like(c), np.zeros_like(c), np.zeros_like(c)
    cycles, best, stuck = 0, np.inf, 0
    wrong, consumed, turned = np.inf, 0.0, 0.0
    slow = None if system.exchange is None else Slow(system.hierarchy, system.exchange)
    for step in range(_MOST_STEPS + 1):
        consumed, turned = _residual(system, c, residual, slope, work)
        left = float(np.abs(residual).sum(dtype=np.float64))
        if not np.isfinite([left, consumed, turned]).all():
            raise _diverged(residual, c, step)
        wrong = left / max(turned, 1e-30)
        stuck = stuck + 1 if wrong > 0.5 * best else 0
        best = min(best, wrong)
        if wrong <= tolerance or (stuck >= 2 and best < 100 * tolerance):
            return Steady(c, consumed, wrong, step, cycles)
        if step == _MOST_STEPS:
            break
        aim = max(_FORCING if wrong > 0.01 else 0.1, 0.3 * tolerance / wrong)
        try:
            delta, used = _step(system, slope, residual, slow, aim, progress)
        except FloatingPointError:
            raise _diverged(residual, c, step) from None
        c += delta
        cycles += used
    most = system.taken * float(system.volume.sum(dtype=np.float64))
    if wrong * max(turned, 1e-30) > _OPEN * max(turned, _LEAST_PART * most):
        raise _unsettled(residual, c, wrong)
    return Steady(c, consumed, wrong, _MOST_STEPS, cycles)


def _diverged(residual: Field3, c: Field3, step: int) -> DataRefused:
    """Which cells have no finite number, or where the residual is largest if all have one."""
    lost = np.flatnonzero(~(np.isfinite(residual) & np.isfinite(c)))
    at = int(lost[0]) if lost.size else int(np.argmax(np.abs(residual)))
    told = (
        f"{lost.size} of {_count(c)} cells have no finite number, the first is" if lost.size else "most is lost at"
    )
    return DataRefused(
        f"oxygen: Newton's step {step} leaves what float32 holds ({told} {_place(c, at)}); {_REMEDY}"
    )


def _unsettled(residual: Field3, c: Field3, wrong: float) -> DataRefused:
    at = int(np.argmax(np.abs(residual)))
    return DataRefused(
        f"oxygen: after {_MOST_STEPS} steps of Newton {100 * wrong:.3g} % of what is exchanged is unaccounted for, "
        f"most of it at {_place(c, at)}; at most {100 * _OPEN:g} % may be: {_REMEDY}"
    )


def _count(c: Field3) -> int:
    return int(np.prod([n - 2 for n in c.shape]))


def _place(c: Field3, at: int) -> str:
    """The cell, counted from 0, and the grid; an empty layer stands around all."""
    cell = [int(one) - 1 for one in np.unravel_index(at, c.shape)]
    sides = " x ".join(str(n - 2) for n in c.shape)
    return f"cell {cell[0]}, {cell[1]}, {cell[2]} of {sides}"


def _step(
    system: System,
    slope: Field3,
    residual: Field3,
    slow: Slow | None,
    aim: float,
    progress: Callable[[], None] | None,
) -> tuple[Field3, int]:
    """Newton's correction, and the V-cycles that it took."""
    diagonal = system.ground + slope
    whole = diagonal.copy()
    if system.exchange is not None:
        system.exchange.lumped(whole)
    system.hierarchy.set_extra(whole)
    if slow is not None:
        slow.set_extra(system.dry + slope)

    def precondition(v: Field3) -> Field3:
        z = system.hierarchy.cycle(v)
        if slow is not None:
            left = np.zeros_like(v)
            _jacobian(system, diagonal, z, left)
            slow.correct(v - left, z)
        return z

    return gmres(lambda v, out: _jacobian(system, diagonal, v, out), precondition, residual, aim, progress)


def _residual(system: System, c: Field3, out: Field3, slope: Field3, work: Field3) -> tuple[float, float]:
    """Residual into `out`; returns consumption, and all that is exchanged, as a scale."""
    system.hierarchy.apply(c, system.ground, work)
    np.subtract(system.held, work, out=out)
    turned = 0.0
    if system.exchange is not None:
        system.exchange.supply(c, system.level, out)
        turned = float(np.abs(system.exchange.given).sum())
    consumed = take(c, system.level, system.volume, system.taken, system.km, out, slope)
    out *= system.there
    if system.exchange is None:
        turned = 1e-9 * float(system.ground.sum(dtype=np.float64))
    return consumed, max(abs(consumed), turned)


def _jacobian(system: System, diagonal: Field3, v: Field3, out: Field3) -> None:
    system.hierarchy.apply(v, diagonal, out)
    if system.exchange is not None:
        system.exchange.change(v, out)
    out *= system.there


def gmres(
    apply: Callable[[Field3, Field3], None],
    precondition: Callable[[Field3], Field3],
    b: Field3,
    aim: float,
    progress: Callable[[], None] | None = None,
) -> tuple[Field3, int]:
    """Right-preconditioned GMRES from nought, at most 12 vectors; returns the solution and its number of cycles.

    Raises FloatingPointError where a number is not finite.
    """
    beta = _norm(b)
    if not np.isfinite(beta):
        raise FloatingPointError("GMRES: what is to be solved is not finite")
    if beta == 0:
        return np.zeros_like(b), 0
    basis, fixed = [b / np.float32(beta)], list[Field3]()
    h = np.zeros((_KRYLOV + 1, _KRYLOV))
    y = np.zeros(0)
    for k in range(_KRYLOV):
        fixed.append(precondition(basis[k]).copy())
        w = np.zeros_like(b)
        apply(fixed[k], w)
        for at, v in enumerate(basis):
            h[at, k] = _dot(w, v)
            w -= np.float32(h[at, k]) * v
        h[k + 1, k] = _norm(w)
        if not np.isfinite(h[: k + 2, k]).all():
            raise FloatingPointError("GMRES: a vector is not finite")
        start = np.zeros(k + 2)
        start[0] = beta
        y, *_ = np.linalg.lstsq(h[: k + 2, : k + 1], start, rcond=None)
        left = float(np.linalg.norm(h[: k + 2, : k + 1] @ y - start))
        if progress is not None:
            progress()
        if left <= aim * beta or h[k + 1, k] <= 1e-12 * beta:
            break
        w /= np.float32(h[k + 1, k])
        basis.append(w)
    found = np.zeros_like(b)
    for weight, v in zip(y, fixed, strict=True):
        found += np.float32(weight) * v
    return found, len(fixed)


def _dot(a: Field3, b: Field3) -> float:
    return float(np.dot(a.reshape(-1), b.reshape(-1)))


def _norm(a: Field3) -> float:
    return _dot(a, a) ** 0.5
