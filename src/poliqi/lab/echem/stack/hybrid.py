"""Stack and battery sharing a load: the split that takes least hydrogen, and the smallest stack that will do.

Both are linear programs over all spans at once (solved by HiGHS: Huangfu and Hall, Math. Prog. Comp. 10 (2018)).
The stack's hydrogen over its power is replaced by convex chords; what the split takes is then calculated by the
curve itself. The proven bound is the Lagrangian of the curve itself at the program's prices: no split takes less
(Boyd and Vandenberghe, Convex Optimization, 2004, ch. 5.1.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.stack.design import Stack, hydrogen_kg_s
from poliqi.lab.echem.stack.load import Load

__all__ = ["Battery", "Split", "least_hydrogen", "least_stack_power"]

Floats = NDArray[np.float64]
_CHORDS: Final = 24
_MOST_SPANS: Final = 10_000
_MANY_SPANS: Final = 1_500
_TWO: Final = 2
_TRIFLE: Final = 1e-5
_AT_ONCE: Final = 256
_J_WH: Final = 3600.0
_KILO: Final = 1e3
"""Programs are in kW and kJ: their solver has absolute tolerances."""


@dataclass(frozen=True, slots=True)
class Battery:
    """Its energy window, and powers and efficiencies at its terminals. It ends at least as full as it starts."""

    capacity_wh: float
    lowest_charge: float
    highest_charge: float
    start_charge: float
    """Of the capacity, as the two before."""
    most_charge_w: float
    most_discharge_w: float
    charge_efficiency: float
    discharge_efficiency: float

    def __post_init__(self) -> None:
        """Raises DataRefused for values out of range."""
        if not 0 < self.capacity_wh < 1e9:
            raise DataRefused(f"battery: capacity_wh is {self.capacity_wh:g}, must be above 0")
        if not 0 <= self.lowest_charge <= self.start_charge <= self.highest_charge <= 1:
            raise DataRefused(
                f"battery: lowest_charge {self.lowest_charge:g}, start_charge {self.start_charge:g} and "
                f"highest_charge {self.highest_charge:g} must rise, from 0 to 1"
            )
        if not (0 <= self.most_charge_w < 1e9 and 0 <= self.most_discharge_w < 1e9):
            raise DataRefused("battery: most_charge_w and most_discharge_w must be 0 or more")
        for name in ("charge_efficiency", "discharge_efficiency"):
            if not 0.05 <= getattr(self, name) <= 1:
                raise DataRefused(f"battery: {name} is {getattr(self, name):g}, must be 0.05 to 1")


@dataclass(frozen=True, slots=True)
class Split:
    """Powers (n,) in W over the load's spans; `stored_wh` (n + 1,) at their beginnings and the end."""

    stack_w: Floats
    charge_w: Floats
    discharge_w: Floats
    friction_w: Floats
    """Braking power that neither battery nor load takes."""
    stored_wh: Floats
    hydrogen_kg: float
    bound_kg: float
    """No split takes less."""
    current_density_a_m2: Floats

    @property
    def gap(self) -> float:
        """By what share of itself the split could at most be better."""
        return (self.hydrogen_kg - self.bound_kg) / self.hydrogen_kg if self.hydrogen_kg > 0 else 0.0


def least_hydrogen(load: Load, stack: Stack, battery: Battery, ramp_w_s: float | None = None) -> Split:
    """The split of least hydrogen; the stack's power changes by at most `ramp_w_s`. Raises DataRefused."""
    _check(load)
    densities, powers = stack.power_curve()
    flow = hydrogen_kg_s(stack.area_m2, stack.cells)  # for each A/m2
    power, hydrogen = _chords(powers, densities * flow)
    widths, slopes = np.diff(power), np.diff(hydrogen) / np.diff(power)
    unit = float(slopes[0]) * _KILO  # kg of hydrogen for a kJ: the solver wants costs near 1
    program = _program(load, battery, widths.size, ramp_w_s)
    n = load.power_w.size
    program.upper[: widths.size] = widths[:, None] / _KILO
    cost = np.zeros(program.upper.shape)
    cost[: widths.size] = slopes[:, None] * _KILO / unit * load.duration_s
    found = _solved(program, cost, load, battery, f"a stack of {power[-1] / 1e3:.4g} kW")
    parts = found.x.reshape(-1, n) * _KILO
    stack_w = np.clip(parts[: widths.size].sum(axis=0), 0.0, power[-1])
    charge, discharge, friction, stored = parts[widths.size :]
    density = stack.current_density_of(stack_w)
    whole = np.concatenate([[battery.start_charge * battery.capacity_wh], stored / _J_WH])
    curve = powers / _KILO, densities * flow / unit
    bound = max(_dual_bound(program, cost, found, curve, load.duration_s) * unit, 0.0)
    taken = float(np.sum(density * load.duration_s)) * flow
    return Split(stack_w, charge, discharge, friction, whole, taken, bound, density)


def least_stack_power(load: Load, battery: Battery, ramp_w_s: float | None = None) -> float:
    """The smallest W that a stack has to be able to give so that with this battery the load is met."""
    _check(load)
    n = load.power_w.size
    program = _program(load, battery, 1, ramp_w_s)
    limited = program.with_limit()
    cost = np.zeros(limited.upper.size)
    cost[-1] = 1.0
    return float(np.max(_solved(limited, cost, load, battery, "any stack").x[:n])) * _KILO


def _check(load: Load) -> None:
    if load.power_w.size > _MOST_SPANS:
        raise DataRefused(
            f"{load.title!r}: {load.power_w.size} spans, at most {_MOST_SPANS} are shared out; make it coarser"
        )


def _chords(power: Floats, hydrogen: Floats) -> tuple[Floats, Floats]:
    """Some points of the curve, (k,) each, that make a convex one: the lower hull of points along it."""
    knots = np.unique(np.linspace(0, power.size - 1, _CHORDS + 1).round().astype(np.int64))
    kept: list[tuple[float, float]] = []
    for x, y in zip(power[knots].tolist(), hydrogen[knots].tolist(), strict=True):
        while len(kept) > 1 and _turns_down(kept[-2], kept[-1], (x, y)):
            kept.pop()
        kept.append((x, y))
    hull = np.array(kept, dtype=np.float64)
    return hull[:, 0], hull[:, 1]


def _turns_down(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or above the line from a to c: it is no corner of the lower hull."""
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


@dataclass(slots=True)
class _Program:
    """Rows, and bounds (k, n): parts of the stack's power, charge, discharge, friction, energy after.

    `less` and `equal` are sparse matrices, None where there is no inequality.
    """

    equal: Any
    right: Floats
    less: Any
    limits: Floats
    lower: Floats
    upper: Floats

    def with_limit(self) -> _Program:
        """With one more variable, the last: no less than the first n, the stack's power."""
        from scipy import sparse

        matrices: Any = sparse
        n = self.lower.shape[1]
        rows = matrices.hstack(
            [matrices.identity(n), matrices.csr_matrix((n, self.lower.size - n)), -np.ones((n, 1))]
        )
        old = (
            None if self.less is None else matrices.hstack([self.less, matrices.csr_matrix((self.limits.size, 1))])
        )
        return _Program(
            matrices.hstack([self.equal, matrices.csr_matrix((self.right.size, 1))], format="csr"),
            self.right,
            (rows if old is None else matrices.vstack([old, rows])).tocsr(),
            np.concatenate([self.limits, np.zeros(n)]),
            np.append(self.lower.ravel(), 0.0),
            np.append(self.upper.ravel(), np.inf),
        )


def _program(load: Load, battery: Battery, parts: int, ramp_w_s: float | None) -> _Program:
    """Balance of power and of the battery's energy in each span, and ramps. The parts are free upwards."""
    from scipy import sparse

    matrices: Any = sparse
    n, power = load.power_w.size, load.power_w / _KILO
    one, none = matrices.identity(n, format="csr"), matrices.csr_matrix((n, n))
    spans, change = matrices.diags(load.duration_s), one - matrices.eye(n, k=-1, format="csr")
    energy = [-battery.charge_efficiency * spans, spans / battery.discharge_efficiency, none, change]
    equal = matrices.bmat([[one] * parts + [-one, one, -one, none], [none] * parts + energy], format="csr")
    whole = battery.capacity_wh * _J_WH / _KILO
    right = np.concatenate([power, np.zeros(n)])
    right[n] = battery.start_charge * whole
    lower = np.zeros((parts + 4, n))
    lower[-1] = battery.lowest_charge * whole
    lower[-1, -1] = battery.start_charge * whole
    upper = np.full((parts + 4, n), np.inf)
    upper[parts:] = [
        np.full(n, battery.most_charge_w / _KILO),
        np.full(n, battery.most_discharge_w / _KILO),
        np.maximum(-power, 0.0),
        np.full(n, battery.highest_charge * whole),
    ]
    if ramp_w_s is None or n < _TWO:
        return _Program(equal, right, None, np.zeros(0), lower, upper)
    allowed = ramp_w_s / _KILO * (load.duration_s[1:] + load.duration_s[:-1]) / 2
    rise = matrices.hstack([*[change[1:]] * parts, matrices.csr_matrix((n - 1, 4 * n))])
    return _Program(
        equal, right, matrices.vstack([rise, -rise], format="csr"), np.concatenate([allowed, allowed]), lower, upper
    )


def _solved(program: _Program, cost: Floats, load: Load, battery: Battery, who: str) -> Any:
    """What scipy's linprog found. Raises DataRefused where nothing meets the load.

    Charging costs a trifle beside, or surplus would be burnt by charging and discharging at once.
    """
    from scipy import optimize

    solver: Any = optimize  # its annotations are partial
    weights, n = cost.ravel(), load.power_w.size
    nudged = weights.copy()
    end = weights.size - weights.size % n  # a limit may stand behind
    nudged[end - 4 * n : end - 3 * n] += _TRIFLE * load.duration_s
    lower, upper = program.lower.ravel(), program.upper.ravel()
    found: Any = solver.linprog(
        nudged,
        A_ub=program.less,
        b_ub=None if program.less is None else program.limits,
        A_eq=program.equal,
        b_eq=program.right,
        bounds=np.stack([lower, upper], axis=1),
        method="highs-ipm" if n > _MANY_SPANS else "highs",  # simplex is quicker on short loads
    )
    if found.status != 0:
        mean_kw = float(np.sum(load.power_w * load.duration_s)) / load.seconds / 1e3
        raise DataRefused(
            f"{load.title!r}: {who} with this battery cannot meet it: peak {load.power_w.max() / 1e3:.4g} kW, "
            f"mean {mean_kw:.4g} kW; battery {battery.most_discharge_w / 1e3:.4g} kW, "
            f"{battery.capacity_wh / 1e3:.4g} kWh; take a larger stack or battery, or allow it to change faster"
        )
    return found


def _dual_bound(program: _Program, cost: Floats, found: Any, curve: tuple[Floats, Floats], spans: Floats) -> float:
    """No split costs less: weak duality, with the curve (power in kW, cost a second) in place of its chords.

    Holds whatever the tolerance of the solver, and for a curve that is not convex too.
    """
    y = found.eqlin.marginals
    price = program.equal.T @ y
    least = float(program.right @ y)
    if program.less is not None:
        z = np.minimum(found.ineqlin.marginals, 0.0)
        price = price + program.less.T @ z
        least += float(program.limits @ z)
    n = spans.size
    parts = cost.size // n - 4
    rest = -price[parts * n :]
    lower, upper = (bound[parts:].ravel() for bound in (program.lower, program.upper))
    least += float(np.sum(rest * np.where(rest > 0, lower, upper)))
    power, each = curve
    for at in range(0, n, _AT_ONCE):
        some = slice(at, min(at + _AT_ONCE, n))
        least += float(np.min(np.outer(spans[some], each) - np.outer(price[:n][some], power), axis=1).sum())
    return least
