"""Current pulses after rests: resistances as the test manuals take them, and a circuit R0 + (R1 | C1) by a fit.

A resistance at a time is (V - V_rest) / (I - I_rest) (Christophersen, Battery Test Manual for Electric Vehicles,
Idaho National Laboratory, INL/EXT-15-34184, 2015, hybrid pulse power characterization). The circuit's voltage is

    V(t) = V_rest + dU/dq q(t) + sum over steps dI_j at t_j of dI_j (R0 + sum_k R_k (1 - exp(-(t - t_j) / tau_k)))

with the open-circuit slope dU/dq taken from the rests of the record, where two or more are long enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.chargeflow import REST_SHARE, flows
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.echem.record import CyclingRecord

__all__ = ["Pulse", "find_pulses", "ocv_slopes", "pulse_power", "resistance_at", "resolution_v"]

Floats = NDArray[np.float64]
_FEWEST_POINTS: Final = 3
_CONSTANT: Final = 0.05
_LONG_REST_S: Final = 600.0
_NO_RESOLUTION_V: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse: `time_s`, `voltage_v`, `current_a` (n,), time counted from the step of the current."""

    number: int
    time_s: Floats
    voltage_v: Floats
    current_a: Floats
    rest_v: float
    rest_current_a: float
    rest_s: float
    """How long the current was off before."""
    begin_s: float
    """Of the record's time."""
    charge_ah: float
    """Charge that the cell has taken from the record's start to the pulse."""
    rows: tuple[int, int]
    title: str

    @property
    def mean_current_a(self) -> float:
        """Above 0 in a charge."""
        return float(self.current_a.mean())

    @property
    def is_charge(self) -> bool:
        """Whether it charges."""
        return self.mean_current_a > 0

    @property
    def is_rested(self) -> bool:
        """Whether the rest before was long enough to be an open-circuit voltage: ten minutes."""
        return self.rest_s >= _LONG_REST_S


def resolution_v(record: CyclingRecord) -> float:
    """The smallest step of the voltages, which its converter or the file's digits leave."""
    values = np.unique(record.voltage_v)
    steps = np.diff(values)
    steps = steps[steps > _NO_RESOLUTION_V]
    return float(steps.min()) if steps.size else 0.0


def find_pulses(
    record: CyclingRecord,
    *,
    longest_s: float = 120.0,
    least_rest_s: float = 10.0,
    rest_current_a: float | None = None,
) -> tuple[list[Pulse], list[str]]:
    """Pulses of constant current after a rest, and what of the record was left out and why.

    `rest_current_a`: what is smaller is rest, else a thousandth of the largest current. Raises DataRefused where
    there is no pulse.
    """
    if not longest_s > 0 or not least_rest_s >= 0:
        raise DataRefused(f"pulses up to {longest_s} s after rests of {least_rest_s} s: give numbers above 0")
    current = record.current_a
    rest = REST_SHARE * float(np.abs(current).max()) if rest_current_a is None else rest_current_a
    sign = np.where(np.abs(current) <= rest, 0, np.sign(current)).astype(np.int8)
    starts = np.flatnonzero(np.concatenate((np.array([True]), sign[1:] != sign[:-1])))
    ends = np.append(starts[1:], sign.size)
    moved, _, _ = flows(record, 0, current.size, rest)
    charge = np.cumsum(moved) / 3600
    found: list[Pulse] = []
    left: list[str] = []
    for at in range(1, starts.size):
        first, end = int(starts[at]), int(ends[at])
        if sign[first] == 0 or sign[first - 1] != 0:
            continue
        rest_s = float(record.time_s[first - 1] - record.time_s[starts[at - 1]])
        if record.time_s[end - 1] - record.time_s[first] > longest_s or rest_s < least_rest_s:
            continue
        pulse, why = _pulse(record, len(found) + 1, first, end, rest_s, float(charge[first - 1]))
        if why:
            left.append(f"rows {record.row(first)} to {record.row(end - 1)}: {why}")
        else:
            found.append(pulse)
    if not found:
        why = f" ({left[0]})" if left else ""
        raise DataRefused(
            f"{record.title!r}: no pulse of up to {longest_s:g} s after a rest of {least_rest_s:g} s and "
            f"more{why}; for others give --longest and --least-rest"
        )
    return found, left


def _pulse(
    record: CyclingRecord, number: int, first: int, end: int, rest_s: float, charge_ah: float
) -> tuple[Pulse, str]:
    """The pulse, and why it is none.

    Its current is on from the last point of the rest, which cyclers write as a step ends; where that lies more than
    two of the pulse's intervals back, from its own first point.
    """
    t, current = record.time_s[first:end], record.current_a[first:end]
    interval = float(np.median(np.diff(t))) if t.size > 1 else 0.0
    before = float(record.time_s[first - 1])
    begin = before if t[0] - before <= 2 * interval else float(t[0])
    pulse = Pulse(
        number, t - begin, record.voltage_v[first:end], current, float(record.voltage_v[first - 1]),
        float(record.current_a[first - 1]), rest_s, begin, charge_ah,
        (record.row(first), record.row(end - 1)), record.title,
    )  # fmt: skip
    if t.size < _FEWEST_POINTS:
        return pulse, f"{t.size} points of a pulse; {_FEWEST_POINTS} at least are evaluated"
    usual = float(np.median(current))
    off = float(np.max(np.abs(current / usual - 1)))
    if off > _CONSTANT:
        return pulse, f"the current is off its median by up to {100 * off:.0f} %: no pulse of constant current"
    change = (float(pulse.voltage_v[-1]) - pulse.rest_v) * np.sign(usual)
    if change < 0:
        return pulse, (
            f"the voltage goes from {pulse.rest_v:.4g} to {pulse.voltage_v[-1]:.4g} V under {usual:.4g} A: "
            "charging "
            "has to raise it; look at the sign of the current"
        )
    return pulse, ""


def resistance_at(pulse: Pulse, time_s: float, sigma_v: float) -> Quantity | None:
    """(V - V_rest) / (I - I_rest) at a time after the step, linear between points; None outside of the pulse."""
    if not pulse.time_s[0] <= time_s <= pulse.time_s[-1]:
        return None
    v = float(np.interp(time_s, pulse.time_s, pulse.voltage_v)) - pulse.rest_v
    i = float(np.interp(time_s, pulse.time_s, pulse.current_a)) - pulse.rest_current_a
    return Quantity(v / i, math.sqrt(2) * sigma_v / abs(i), "ohm", pulse.title)


def ocv_slopes(pulses: Sequence[Pulse]) -> list[float | None]:
    """dU/dq in V/Ah at each pulse, between the long rests around it; None where there are not two."""
    rested = [one for one in pulses if one.is_rested]
    q = np.array([one.charge_ah for one in rested])
    v = np.array([one.rest_v for one in rested])
    order = np.argsort(q)
    q, v = q[order], v[order]
    keep = np.concatenate((np.array([True]), np.diff(q) > 1e-9)) if q.size else np.zeros(0, dtype=bool)
    q, v = q[keep], v[keep]
    if q.size < 2:
        return [None] * len(pulses)
    slopes = np.gradient(v, q)
    return [max(float(np.interp(one.charge_ah, q, slopes)), 0.0) for one in pulses]


def pulse_power(pulse: Pulse, resistance: Quantity, limits_v: tuple[float, float]) -> Quantity | None:
    """Power at the voltage limit: V_min (V_rest - V_min) / R discharging, V_max (V_max - V_rest) / R charging.

    INL/EXT-15-34184, pulse power capability; None where the rest lies outside of the limits. Raises DataRefused.
    """
    low, high = limits_v
    if not 0 < low < high:
        raise DataRefused(f"limits {low} to {high} V: the first has to be the lower one, above 0")
    if not low < pulse.rest_v < high:
        return None
    volts = high * (high - pulse.rest_v) if pulse.is_charge else low * (pulse.rest_v - low)
    power = volts / resistance.value
    return Quantity(power, power * resistance.relative_sigma, "W", pulse.title)
