"""All curves of one cell fitted together, and how far what the fit says of other operation can be trusted."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.correlated import widened, widening
from poliqi.lab.echem.fitting import Fitted, Parameter, fit_least_squares
from poliqi.lab.echem.polarisation.curve import Conditions, Curve, Device, amount_words, condition_words
from poliqi.lab.echem.polarisation.laws import Held, held_of
from poliqi.lab.echem.polarisation.model import (
    SIGNS,
    Operation,
    operation_at,
    operation_of,
    parameters_of,
    reversible_voltage,
    voltage,
)
from poliqi.lab.echem.quantity import Quantity

__all__ = ["PolarisationFit", "check_curves", "fit_polarisation"]

Floats = NDArray[np.float64]
_MANY: Final = 5
_LEAST_POINTS: Final = 8
_ONSETS: Final = (5e3, 1e4, 2e4)
_TOLERANCE_V: Final = 1e-6


@dataclass(frozen=True, slots=True)
class PolarisationFit:
    """The joint fit. `spread_v` is the root mean square of what is left, over all points.

    Sigmas are those of independent points times `wider`, for neighbouring points lie off together.
    """

    device: Device
    curves: tuple[Curve, ...]
    fitted: Fitted
    held: tuple[Held, ...]
    values: Floats
    """Of all parameters of the model, in its order. What is not identified is among them: for calculating only."""
    direction: Floats
    """(k, k): covariance of the fitted, along all directions that the data knows."""
    spread_v: float
    wider: float

    def left_v(self, curve: Curve) -> Floats:
        """Measured less calculated, (n,)."""
        at = operation_at(curve.device, curve.conditions, curve.current_density_a_m2)
        return curve.voltage_v - voltage(at, self.values)

    def rms_v(self, curve: Curve) -> float:
        """Root mean square of `left_v`."""
        return float(np.sqrt(np.mean(self.left_v(curve) ** 2)))

    def predict(self, at: Conditions, current_density_a_m2: Floats) -> tuple[Floats, Floats]:
        """Voltage and its sigma, (n,): doubt of the parameters, and the spread of the fit.

        Where `outside` or `beyond` have words it is a lower limit: the model's own error there is not known.
        """
        operation = operation_at(self.device, at, np.asarray(current_density_a_m2, dtype=np.float64))
        found = voltage(operation, self.values)
        jacobian = _jacobian(operation, self)
        variance = np.einsum("ni,ij,nj->n", jacobian, self.direction, jacobian)
        return found, np.sqrt(np.maximum(variance, 0.0) + self.spread_v**2)

    def most_current_a_m2(self) -> float:
        """The largest current density that was measured."""
        return max(float(one.current_density_a_m2.max()) for one in self.curves)

    def nearest(self, at: Conditions) -> Curve:
        """The curve of the nearest conditions, each measured by its span over the curves.

        Of several that are as near, the one with the largest current.
        """
        there = np.array([[getattr(one.conditions, name) for name in Conditions.__slots__] for one in self.curves])
        asked = np.array([getattr(at, name) for name in Conditions.__slots__])
        span = there.max(axis=0) - there.min(axis=0)
        varied = span > 0  # not those that are nan
        away = np.sum(((there - asked)[:, varied] / span[varied]) ** 2, axis=1)
        near = [one for one, far in zip(self.curves, away, strict=True) if far <= away.min() + 1e-12]
        return max(near, key=lambda one: float(one.current_density_a_m2.max()))

    def beyond(self, at: Conditions, current_density_a_m2: float) -> str:
        """In words, how far a current density lies beyond the nearest curve; "" where it does not."""
        near = self.nearest(at)
        most = float(near.current_density_a_m2.max())
        if current_density_a_m2 <= most * (1 + 1e-9):
            return ""
        return (
            f"{amount_words('current_density_a_m2', current_density_a_m2)} (the curve nearest to these conditions, "
            f"{near.name!r}, ends at {amount_words('current_density_a_m2', most)})"
        )

    def outside(self, at: Conditions) -> tuple[str, ...]:
        """Conditions that lie outside those of the curves, in words."""
        told: list[str] = []
        for name in Conditions.__slots__:
            there = [float(getattr(one.conditions, name)) for one in self.curves]
            value, low, high = float(getattr(at, name)), min(there), max(there)
            room = 1e-6 * max(abs(low), abs(high))
            if value < low - room or value > high + room:
                told.append(f"{condition_words(name, value)} (curves: {_span(name, low, high)})")
        return tuple(told)

    def quantity(self, name: str) -> Quantity | None:
        """A fitted parameter; None where the data does not tell it, or it was held."""
        return self.fitted.quantity(name) if any(one.name == name for one in self.fitted.parameters) else None


def _span(name: str, low: float, high: float) -> str:
    return amount_words(name, low) if low == high else f"{amount_words(name, low)} to {amount_words(name, high)}"


def check_curves(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """Points of no current taken off. Raises DataRefused for what no joint fit can be made of."""
    if not curves:
        raise DataRefused("no polarisation curve was given; name a file with at least one")
    devices = sorted({one.device for one in curves})
    if len(devices) > 1:
        raise DataRefused(f"curves of {' and '.join(devices)}: fit those of one cell at a time")
    cells = sorted({one.cell for one in curves if one.cell})
    if len(cells) > 1:
        raise DataRefused(f"curves of the cells {', '.join(map(repr, cells[:4]))}: fit those of one cell at a time")
    names = [one.name for one in curves]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataRefused(f"curve {twice[0]!r} is given twice; name each differently, or give it once")
    for one in curves:
        _check_reversible(one)
    return tuple(_with_current(one) for one in curves)


def _check_reversible(curve: Curve) -> None:
    limit, sign = reversible_voltage(curve.device, curve.conditions), SIGNS[curve.device]
    beyond = sign * (limit - curve.voltage_v) > _TOLERANCE_V
    if bool(beyond.any()):
        at = int(np.argmax(beyond))
        side = "above" if curve.device.gives_power else "below"
        raise DataRefused(
            f"{curve.where}, row {curve.row(at)}: voltage {curve.voltage_v[at]:.4g} V lies {side} the reversible "
            f"{limit:.4g} V at {curve.conditions.temperature_k:g} K, which no {curve.device} does; check units, "
            "number of cells, pressures and temperature"
        )


def _with_current(curve: Curve) -> Curve:
    flows = curve.current_density_a_m2 > 0
    if bool(flows.all()):
        return curve
    if not bool(flows.any()):
        raise DataRefused(f"{curve.where}: no point with a current; give a curve that has some")
    rows = np.array([curve.row(at) for at in range(flows.size)], dtype=np.int64)
    count = int((~flows).sum())
    note = f"{count} point(s) of {curve.name!r} at no current are left out: open circuit is a mixed potential"
    return replace(
        curve,
        current_density_a_m2=curve.current_density_a_m2[flows],
        voltage_v=curve.voltage_v[flows],
        rows=rows[flows],
        notes=(*curve.notes, note),
    )


def fit_polarisation(
    curves: Sequence[Curve], *, hold: Mapping[str, float] | None = None, free: Collection[str] = ()
) -> PolarisationFit:
    """One set of parameters for all curves of a cell, points weighed alike.

    `hold` gives parameters a value, `free` has those fitted that would be held for want of conditions. Raises
    DataRefused for curves that do not belong together, unknown names, or too few points.
    """
    given = check_curves(curves)
    device = given[0].device
    model = parameters_of(device)
    held = held_of(given, model, hold or {}, free)
    fitting = tuple(one for one in model if one.name not in {other.name for other in held})
    points = sum(one.voltage_v.size for one in given)
    if (len(fitting) >= _MANY and points < _LEAST_POINTS) or points <= len(fitting):
        raise DataRefused(
            f"{given[0].file or 'these curves'}: {len(fitting)} parameters on {points} points; measure at least "
            f"{max(_LEAST_POINTS, len(fitting) + 1)} points, or hold parameters (such as "
            f"{', '.join(one.name for one in fitting[:2])})"
        )
    at, measured = operation_of(given), np.concatenate([one.voltage_v for one in given])
    where = np.array([model.index(one) for one in fitting])
    whole = np.array([next((one.value for one in held if one.name == other.name), other.start) for other in model])

    def residual(changing: Floats) -> Floats:
        values = whole.copy()
        values[where] = changing
        return voltage(at, values) - measured

    fitted = min((fit_least_squares(residual, start, known_sigma=False) for start in _starts(fitting)), key=_chi2)
    values = whole.copy()
    values[where] = fitted.value
    spread = float(np.sqrt(np.mean(fitted.residual**2)))
    wider = math.sqrt(widening(*np.split(fitted.residual, np.cumsum([one.voltage_v.size for one in given])[:-1])))
    none = np.zeros((where.size,) * 2)
    unfinished = PolarisationFit(device, given, widened(fitted, wider), held, values, none, spread, wider)
    return replace(unfinished, direction=_direction(at, unfinished))


def _chi2(one: Fitted) -> float:
    return one.chi2


def _starts(parameters: tuple[Parameter, ...]) -> list[tuple[Parameter, ...]]:
    """The same with several onsets of transport loss: more than one minimum lies there."""
    if not any(one.name == "transport_onset" for one in parameters):
        return [parameters]
    return [
        tuple(replace(one, start=onset) if one.name == "transport_onset" else one for one in parameters)
        for onset in _ONSETS
    ]


def _jacobian(at: Operation, fit: PolarisationFit) -> Floats:
    """(n, k) by the fitted parameters, in their units."""
    names = [one.name for one in parameters_of(fit.device)]
    columns: list[Floats] = []
    for one in fit.fitted.parameters:
        where = names.index(one.name)
        size = abs(float(fit.values[where]))
        step = 1e-4 * (size if one.is_log else max(size, 1e-3 * min(abs(one.start) or 1.0, 1.0)))
        up, down = fit.values.copy(), fit.values.copy()
        up[where] += step
        down[where] -= step
        columns.append((voltage(at, up) - voltage(at, down)) / (2 * step))
    return np.stack(columns, axis=1)


def _direction(at: Operation, fit: PolarisationFit) -> Floats:
    """The covariance with directions that the data does not know left out: for the doubt of predictions."""
    jacobian = _jacobian(at, fit)
    length = np.sqrt(np.sum(jacobian**2, axis=0))
    length = np.where(length > 0, length, 1.0)
    _, singular, rows = np.linalg.svd(jacobian / length, full_matrices=False)
    known = singular > 1e-5 * singular[0]
    weights = rows[known].T / singular[known]
    degrees = max(jacobian.shape[0] - jacobian.shape[1], 1)
    return weights @ weights.T / np.outer(length, length) * (fit.fitted.chi2 / degrees * fit.wider**2)
