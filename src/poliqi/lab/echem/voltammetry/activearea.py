"""Active area of platinum, from hydrogen that is deposited on it, or from a layer of CO that is stripped off it.

Charge is the integral of (i - i_0) dE / v. For hydrogen i_0 is the double layer's current, constant, from a window
in which nothing reacts (Biegler, Rand, Woods, J. Electroanal. Chem. 29, 269, 1971: 210 uC/cm2 of polycrystalline
platinum). For CO i_0 is a sweep without CO (Binninger, Fabbri, Koetz, Schmidt, J. Electrochem. Soc. 161, H121,
2014); two electrons a molecule make 420 uC/cm2. Errors are those of the baseline, of the limits of the integral,
each moved by 10 mV, of the noise, and of the charge density where one is stated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.correlated import widening
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.echem.voltammetry.voltammogram import Sweep, Voltammogram, sweeps

__all__ = ["CO_UC_CM2", "HYDROGEN_UC_CM2", "ActiveArea", "area_by_co", "area_by_hydrogen"]

Floats = NDArray[np.float64]
Baseline = Callable[[Floats], Floats]
HYDROGEN_UC_CM2: Final = 210.0
CO_UC_CM2: Final = 420.0
_STEP_V: Final = 0.01
_FEWEST: Final = 5
_POINTS: Final = 2000
_TAIL: Final = 0.02
_MOST_TAIL: Final = 0.05


@dataclass(frozen=True, slots=True)
class ActiveArea:
    """`values`: charge ("C"), area ("cm2"), and what else could be told of it; `parts_c` is who makes the error."""

    values: Mapping[str, Quantity]
    parts_c: Mapping[str, float]
    sweep: Sweep
    baseline_a: Floats
    """(n,) on `grid_v`."""
    grid_v: Floats
    current_a: Floats
    limits_v: tuple[float, float]
    assumed: tuple[str, ...]
    cautions: tuple[str, ...]


def area_by_hydrogen(
    one: Voltammogram,
    *,
    limits_v: tuple[float, float],
    double_layer_v: tuple[float, float],
    density_uc_cm2: tuple[float, float] = (HYDROGEN_UC_CM2, 0.0),
    loading_mg_cm2: tuple[float, float] | None = None,
    is_adsorption: bool = False,
) -> ActiveArea:
    """From the last sweep up that spans both windows (desorption), or down (adsorption). Raises DataRefused."""
    sweep = _spanning(one, (*limits_v, *double_layer_v), is_up=not is_adsorption)
    _check_windows(one, limits_v, double_layer_v)
    e, i = sweep.between(*double_layer_v)
    if e.size < _FEWEST:
        raise DataRefused(
            f"{one.title}: {e.size - 2} points between {double_layer_v[0]:g} and {double_layer_v[1]:g} V tell "
            "the double "
            f"layer needs {_FEWEST - 2}"
        )
    inside = i[1:-1]
    layer = float(inside.mean())
    scatter = inside - layer
    layer_sigma = math.sqrt(float(scatter @ scatter) / max(inside.size - 1, 1) / inside.size * widening(scatter))
    tilt = _tilt(e[1:-1], inside)
    sign = -1.0 if is_adsorption else 1.0
    grid, current = sweep.between(*limits_v, _POINTS)
    charge = sign * float(np.trapezoid(current - layer, grid)) / one.scan_rate_v_s
    width = (limits_v[1] - limits_v[0]) / one.scan_rate_v_s
    parts = {
        "double layer": layer_sigma * width,
        "tilt of the double layer": 0.5 * tilt * width,
        "noise": _noise_c(scatter, e, limits_v, one.scan_rate_v_s),
        "limits": _limits_c(sweep, lambda v: np.full_like(v, layer), limits_v, one.scan_rate_v_s),
    }
    assumed = (
        "every hydrogen that is deposited covers one platinum atom, one electron each; coverage is whole",
        f"double layer of {1e6 * layer:.4g} uA (at {double_layer_v[0]:g} to {double_layer_v[1]:g} V) all along",
        "no hydrogen from elsewhere is oxidised: purge it, or the double layer's window takes it off as a constant",
    )
    cautions: list[str] = []
    if sign * layer < 0:
        cautions.append(
            f"the double layer's current is {1e6 * layer:.4g} uA, of the wrong sign for this sweep: something else "
            "reacts, or the sign of the current is reversed (anodic has to be positive)"
        )
    extra = {
        "capacitance": Quantity(abs(layer) / one.scan_rate_v_s, layer_sigma / one.scan_rate_v_s, "F", one.title)
    }
    return _area(
        one, sweep, charge, parts, density_uc_cm2, loading_mg_cm2, (grid, current, np.full_like(grid, layer)),
        limits_v, assumed, cautions, extra,
    )  # fmt: skip


def area_by_co(
    one: Voltammogram,
    *,
    limits_v: tuple[float, float],
    density_uc_cm2: tuple[float, float] = (CO_UC_CM2, 0.0),
    loading_mg_cm2: tuple[float, float] | None = None,
    clean: Voltammogram | None = None,
) -> ActiveArea:
    """From the first sweep up, less the second, or the last one of `clean`. Raises DataRefused."""
    _check_windows(one, limits_v, None)
    ups = [two for two in sweeps(one) if two.is_up and _spans(two, limits_v)]
    if clean is None and len(ups) < 2:
        raise DataRefused(
            f"{one.title}: {len(ups)} sweeps up span {limits_v[0]:g} to {limits_v[1]:g} V; CO stripping needs "
            "the one "
            "with CO and one without after it (or in a file of its own: --clean)"
        )
    if not ups:
        raise DataRefused(f"{one.title}: no sweep up spans {limits_v[0]:g} to {limits_v[1]:g} V")
    bare = ups[1] if clean is None else _spanning(clean, limits_v, is_up=True)
    if clean is not None and abs(clean.scan_rate_v_s / one.scan_rate_v_s - 1) > 1e-3:
        raise DataRefused(
            f"{clean.title} is swept by {1e3 * clean.scan_rate_v_s:g} mV/s, {one.title} by "
            f"{1e3 * one.scan_rate_v_s:g}: give both at one scan rate"
        )
    sweep = ups[0]
    grid, current = sweep.between(*limits_v, _POINTS)
    _, baseline = bare.between(*limits_v, _POINTS)
    excess = current - baseline
    charge = float(np.trapezoid(excess, grid)) / one.scan_rate_v_s
    tail = max(int(_TAIL * _POINTS), _FEWEST)
    ends = np.array([excess[:tail].mean(), excess[-tail:].mean()])
    width = (limits_v[1] - limits_v[0]) / one.scan_rate_v_s
    parts = {
        "noise": _noise_c(excess[-tail:] - ends[1], grid[-tail:], limits_v, one.scan_rate_v_s),
        "baselines apart at the ends": float(np.abs(ends).mean()) * width / 2,
        "limits": _limits_c(
            sweep, lambda v: np.interp(v, bare.potential_v, bare.current_a), limits_v, one.scan_rate_v_s
        ),
    }
    assumed = (
        "CO covers every platinum atom, linearly bonded, two electrons each; coverage is whole",
        "double layer and platinum oxide of the sweep without CO are those under the CO peak",
    )
    peak = float(excess.max())
    cautions = [
        f"at {limits_v[at]:g} V both sweeps are {1e6 * end:.3g} uA apart, {100 * abs(end) / peak:.0f} % of "
        "the peak: move "
        "that limit to where they meet"
        for at, end in enumerate(ends)
        if peak > 0 and abs(end) > _MOST_TAIL * peak
    ]
    at_peak = float(grid[int(np.argmax(excess))])
    extra = {"peak": Quantity(at_peak, 0.0, "V", one.title)}
    return _area(
        one, sweep, charge, parts, density_uc_cm2, loading_mg_cm2, (grid, current, baseline), limits_v, assumed,
        cautions, extra,
    )  # fmt: skip


def _area(
    one: Voltammogram,
    sweep: Sweep,
    charge_c: float,
    parts: Mapping[str, float],
    density_uc_cm2: tuple[float, float],
    loading_mg_cm2: tuple[float, float] | None,
    curve: tuple[Floats, Floats, Floats],
    limits_v: tuple[float, float],
    assumed: tuple[str, ...],
    cautions: list[str],
    extra: Mapping[str, Quantity],
) -> ActiveArea:
    """Charge to area, roughness and area a gram. Raises DataRefused where the charge is not above its error."""
    density, density_sigma = density_uc_cm2[0] * 1e-6, density_uc_cm2[1] * 1e-6
    if not density > 0 or not density_sigma >= 0:
        raise DataRefused(f"charge density {density_uc_cm2[0]} uC/cm2: give a number above 0")
    sigma = math.sqrt(sum(part * part for part in parts.values()))
    if not charge_c > sigma:
        raise DataRefused(
            f"{one.title}: {1e6 * charge_c:.4g} +- {1e6 * sigma:.2g} uC between {limits_v[0]:g} and "
            f"{limits_v[1]:g} V: no "
            "charge above its error; look at the window, at the sign of the current (anodic positive) and at "
            "the offset"
        )
    values = {"charge": Quantity(charge_c, sigma, "C", one.title)}
    area = charge_c / density
    relative = math.hypot(sigma / charge_c, density_sigma / density)
    values["area"] = Quantity(area, area * relative, "cm2", one.title)
    if one.area_cm2 is not None:
        rough = area / one.area_cm2
        values["roughness"] = Quantity(rough, rough * relative, "1", one.title)
        if loading_mg_cm2 is not None:
            loading, loading_sigma = loading_mg_cm2
            if not loading > 0:
                raise DataRefused(f"loading {loading} mg/cm2: give a number above 0")
            per_gram = rough / loading * 0.1  # cm2/mg to m2/g
            values["specific_area"] = Quantity(
                per_gram, per_gram * math.hypot(relative, loading_sigma / loading), "m2/g", one.title
            )
    elif loading_mg_cm2 is not None:
        raise DataRefused(f"{one.title}: m2 a gram needs the electrode's area beside the loading (--area-cm2)")
    density_words = f"{density_uc_cm2[0]:g} uC per cm2 of active area"
    scan = f"scan rate {1e3 * one.scan_rate_v_s:.5g} mV/s ({one.scan_rate_from})"
    scale = f"potentials against RHE: {one.offset_v:+g} V on the file's"
    return ActiveArea(
        values | dict(extra), parts, sweep, curve[2], curve[0], curve[1], limits_v,
        (density_words, scan, scale, *assumed), tuple(cautions),
    )  # fmt: skip


def _limits_c(sweep: Sweep, baseline: Baseline, limits_v: tuple[float, float], rate_v_s: float) -> float:
    """How far the charge moves when the limits do: each by 10 mV either way, half the difference, in squares."""
    total = 0.0
    for end in limits_v:
        low, high = max(end - _STEP_V, sweep.potential_v[0]), min(end + _STEP_V, sweep.potential_v[-1])
        grid, current = sweep.between(float(low), float(high), _FEWEST * 20)
        total += (0.5 * float(np.trapezoid(current - baseline(grid), grid)) / rate_v_s) ** 2
    return math.sqrt(total)


def _tilt(e: Floats, i: Floats) -> float:
    """How far a line through the double layer rises or falls within it, less what noise makes of that."""
    u = (e - e.mean()) / float(np.ptp(e))
    slope = float(u @ i) / float(u @ u)
    off = i - i.mean() - slope * u
    noise = float(off @ off) / max(i.size - 2, 1) / float(u @ u) * widening(off)
    return math.sqrt(max(slope * slope - noise, 0.0))


def _noise_c(scatter: Floats, e: Floats, limits_v: tuple[float, float], rate_v_s: float) -> float:
    """What the noise of single points, seen over potentials `e`, leaves in an integral between the limits."""
    step = float(e[-1] - e[0]) / (e.size - 1)
    variance = float(scatter @ scatter) / max(scatter.size - 1, 1) * widening(scatter)
    return math.sqrt(variance * step * (limits_v[1] - limits_v[0])) / rate_v_s


def _check_windows(one: Voltammogram, limits_v: tuple[float, float], layer_v: tuple[float, float] | None) -> None:
    for name, (low, high) in (("limits", limits_v), ("double layer", layer_v or limits_v)):
        if not low < high:
            raise DataRefused(f"{one.title}: {name} from {low} to {high} V: the first has to be the lower one")
    if layer_v is not None and layer_v[0] < limits_v[1] - _STEP_V and layer_v[1] > limits_v[0] + _STEP_V:
        raise DataRefused(
            f"{one.title}: the double layer's window ({layer_v[0]:g} to {layer_v[1]:g} V) lies in that of the "
            "charge "
            f"({limits_v[0]:g} to {limits_v[1]:g} V); keep them apart"
        )


def _spans(sweep: Sweep, places_v: tuple[float, ...]) -> bool:
    return bool(sweep.potential_v[0] <= min(places_v) and sweep.potential_v[-1] >= max(places_v))


def _spanning(one: Voltammogram, places_v: tuple[float, ...], *, is_up: bool) -> Sweep:
    """The last sweep of that way that has all these potentials."""
    found = [two for two in sweeps(one) if two.is_up is is_up and _spans(two, places_v)]
    if not found:
        raise DataRefused(
            f"{one.title}: no sweep {'up' if is_up else 'down'} spans {min(places_v):g} to {max(places_v):g} "
            "V against RHE; "
            f"the file goes from {one.potential_v.min():.4g} to {one.potential_v.max():.4g} V"
        )
    return found[-1]
