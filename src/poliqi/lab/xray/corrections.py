"""Corrections of curves in their order: transmission, thickness, background, absolute scale.

Dead time and dark counts come before them, on frames, and stand in the steps of a curve that `reduce` made. Each
correction is a step of the curve, with its numbers. Doubts that move all points together (of a transmission, a
thickness, a scale) never enter the sigma of points, where averaging would make them vanish: they become common
terms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Common, Curve, IntensityUnit, Step

__all__ = [
    "TIMES",
    "TIMES_UNKNOWN",
    "by_thickness",
    "by_transmission",
    "check_alike",
    "covariance",
    "has_step",
    "scale_intensity",
    "without_background",
]

_ORDER: Final = ("dead time", "dark", "transmission", "thickness", "background", "absolute scale")
_SHARED: Final = frozenset(("thickness", "absolute scale"))
"""Common terms that are the same quantity in sample and background."""
TIMES: Final = "count_times"
"""Setting of a step in which two curves met: whether both count the same time."""
TIMES_UNKNOWN: Final = "not known"
_SAME_TIME: Final = 1e-3


def by_transmission(curve: Curve, transmission: float, sigma: float = 0.0) -> Curve:
    """Divided by the share of the beam that passes. Raises DataRefused outside of 0 to 1, or where done before."""
    if not 0 < transmission <= 1:
        raise DataRefused(f"transmission {transmission} must be above 0 and at most 1: a share, no percentage")
    settings = {"transmission": transmission, "transmission_sigma": sigma}
    return scale_intensity(curve, "transmission", 1 / transmission, sigma / transmission**2, settings)


def by_thickness(curve: Curve, thickness_mm: float, sigma_mm: float = 0.0) -> Curve:
    """Divided by the thickness in cm, so that an intensity per cm comes out. Raises DataRefused."""
    if not thickness_mm > 0:
        raise DataRefused(f"thickness {thickness_mm} mm must be above 0")
    cm = thickness_mm / 10
    settings = {"thickness_mm": thickness_mm, "thickness_sigma_mm": sigma_mm}
    return scale_intensity(curve, "thickness", 1 / cm, sigma_mm / 10 / cm**2, settings)


def scale_intensity(
    curve: Curve, name: str, factor: float, sigma: float, settings: Mapping[str, str | int | float | bool | None]
) -> Curve:
    """Times `factor`, whose doubt becomes the common term `name`. Raises DataRefused: not in order, done before."""
    _check_order(curve, name)
    if not (math.isfinite(factor) and factor > 0) or not (math.isfinite(sigma) and sigma >= 0):
        raise DataRefused(f"{name}: factor {factor} with sigma {sigma}; both must be numbers, the factor above 0")
    step = Step(name, {**settings, "factor": factor, "factor_sigma": sigma})
    common = tuple(Common(term.name, term.change * factor) for term in curve.common)
    if sigma:
        common = (*common, Common(name, curve.intensity * sigma))
    return replace(curve.after(step, curve.intensity * factor, curve.sigma * factor), common=common)


def without_background(curve: Curve, background: Curve, *, scale: float = 1.0, scale_sigma: float = 0.0) -> Curve:
    """Less `scale` times the background, which is corrected like the sample and interpolated to its q.

    Common terms of the background get the prefix "background", but thickness and scale, which are the sample's too.
    Points outside of the q of the background are left out. Raises DataRefused: other axis, unit or count time, no q
    in common.
    """
    _check_order(curve, "background")
    if background.axis is not curve.axis:
        raise DataRefused(
            f"background {background.title!r} is in {background.axis.value}, the curve in {curve.axis.value}; give"
            " both alike"
        )
    times = check_alike(curve, background, "background")
    inside = (curve.x >= background.x[0]) & (curve.x <= background.x[-1])
    if not bool(np.any(inside)):
        raise DataRefused(f"background {background.title!r} has no q in common with {curve.title!r}")
    x = curve.x[inside]
    value = np.interp(x, background.x, background.intensity)
    terms = {term.name: term.change[inside] for term in curve.common}
    for term in background.common:
        name = term.name if term.name in _SHARED else f"background {term.name}"
        terms[name] = terms.get(name, np.zeros(x.size)) - scale * np.interp(x, background.x, term.change)
    if scale_sigma:
        terms["background scale"] = -value * scale_sigma
    step = Step(
        "background",
        {
            "file_title": background.title,
            "scale": scale,
            "scale_sigma": scale_sigma,
            "left_out": int(curve.x.size - x.size),
            **times,
        },
    )
    return replace(
        curve,
        x=x,
        intensity=curve.intensity[inside] - scale * value,
        sigma=np.hypot(curve.sigma[inside], scale * _interpolated_sigma(x, background)),
        x_sigma=None if curve.x_sigma is None else curve.x_sigma[inside],
        common=tuple(Common(name, change) for name, change in terms.items()),
        steps=(*curve.steps, step),
        simulated=curve.simulated or background.simulated,
    )


def check_alike(curve: Curve, other: Curve, what: str) -> dict[str, str]:
    """What a step that brings both together says of their count times; nothing where they do not matter.

    Raises DataRefused: intensities in different units, or counts a frame of frames with different count times.
    """
    if other.intensity_unit is not curve.intensity_unit:
        raise DataRefused(
            f"{what} {other.title!r} is in {other.intensity_unit.value}, the curve in {curve.intensity_unit.value};"
            " give both alike"
        )
    if curve.intensity_unit is not IntensityUnit.COUNTS:
        return {}
    one, two = _count_time_s(curve), _count_time_s(other)
    if one is None or two is None:
        return {TIMES: TIMES_UNKNOWN}
    if abs(one - two) > _SAME_TIME * max(one, two):
        raise DataRefused(
            f"{what} {other.title!r} counts {two:g} s a frame, the curve {one:g} s; reduce both with --per-second"
        )
    return {TIMES: "alike"}


def has_step(curve: Curve, name: str) -> bool:
    """Whether it was done to the curve."""
    return any(step.name == name for step in curve.steps)


def _count_time_s(curve: Curve) -> float | None:
    """Of one frame; None where the steps do not tell it."""
    for step in curve.steps:
        told = step.settings.get("exposure_s")
        if isinstance(told, int | float) and not isinstance(told, bool) and told > 0:
            return float(told)
    return None


def covariance(curve: Curve) -> NDArray[np.float64]:
    """(n, n): of the points, and of what moves them together."""
    total = np.diag(curve.sigma**2)
    for term in curve.common:
        total += np.outer(term.change, term.change)
    return total


def _interpolated_sigma(x: NDArray[np.float64], background: Curve) -> NDArray[np.float64]:
    """Of a straight line between two points, each with its own sigma. Neighbours that share a point are taken as
    independent, which they are where both curves have the same q.
    """
    if background.x.size == 1:
        return np.full(x.size, background.sigma[0])
    right = np.clip(np.searchsorted(background.x, x), 1, background.x.size - 1)
    left = right - 1
    part = (x - background.x[left]) / (background.x[right] - background.x[left])
    return np.hypot((1 - part) * background.sigma[left], part * background.sigma[right])


def _check_order(curve: Curve, name: str) -> None:
    done = [step.name for step in curve.steps if step.name in _ORDER]
    if name in done:
        raise DataRefused(f"curve {curve.title!r}: {name} was corrected before; leave it out")
    late = [one for one in done if _ORDER.index(one) > _ORDER.index(name)] if name in _ORDER else []
    if late:
        raise DataRefused(
            f"curve {curve.title!r}: {name} cannot follow {late[-1]}; the order is {', '.join(_ORDER)}: begin with"
            " the curve as it was reduced"
        )
