"""One curve through all of small-angle analysis: what was found, what was refused and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.store.findings import Finding, Findings
from poliqi.lab.xray.corrections import TIMES, TIMES_UNKNOWN
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit
from poliqi.lab.xray.formfactors import FormFit, fit_form
from poliqi.lab.xray.guinier import Guinier, Shape, guinier
from poliqi.lab.xray.noise import with_estimated_sigma, with_expected_sigma
from poliqi.lab.xray.porod import Porod, porod
from poliqi.lab.xray.sizes import Sizes, size_distribution

__all__ = ["Analysis", "Wanted", "analyse", "findings_of", "length_unit"]

T = TypeVar("T")

_SHARED_PIXELS: Final = "bbox"  # binning.Splitting.BBOX, whose module would bring numba in
_COVERS: Final = "noise of the points, and doubts common to them"
_TWO_PHASES: Final = "two phases, sharp walls, dilute, no smearing"
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done; ranges in the unit of the curve. An analysis asked for by name must not be refused."""

    guinier: bool = False
    porod: bool = False
    sizes: bool = False
    model: str = ""
    shape: Shape = Shape.GLOBULAR
    q_range: Range | None = None
    guinier_range: Range | None = None
    porod_range: Range | None = None
    d_range: Range | None = None
    contrast_per_cm2: float | None = None
    held: Mapping[str, float] = field(default_factory=dict[str, float])
    vary: tuple[str, ...] = ()
    polydisperse: bool = True


@dataclass(frozen=True, slots=True)
class Analysis:
    """Results that are None were not asked for, or stand in `refused` under their name with the reason."""

    curve: Curve
    guinier: Guinier | None
    porod: Porod | None
    sizes: Sizes | None
    fit: FormFit | None
    refused: Mapping[str, str]
    cautions: tuple[str, ...]


def analyse(curve: Curve, wanted: Wanted) -> Analysis:
    """Guinier, Porod and sizes where nothing is named. Raises DataRefused for what was named and cannot be had."""
    if curve.axis is Axis.TWO_THETA_DEG:
        raise DataRefused(f"curve {curve.title!r} runs over 2theta; small-angle analysis needs q: reduce it to q")
    cautions: list[str] = ["simulated data"] if curve.simulated else []
    cautions += _said_by_steps(curve)
    curve = _cut(curve, wanted.q_range)
    if not bool(np.any(curve.sigma > 0)):
        curve = with_estimated_sigma(curve)
        cautions.append("the file has no sigma: it was estimated from the scatter of the points")
    elif silent := int(np.count_nonzero(curve.sigma == 0)):
        cautions.append(f"{silent} points with a sigma of 0 were left out: no measurement is exact")
    curve = with_expected_sigma(curve)
    everything = not (wanted.guinier or wanted.porod or wanted.sizes or wanted.model)
    refused: dict[str, str] = {}

    def tried(name: str, named: bool, call: Callable[[], T]) -> T | None:
        if not (named or everything):
            return None
        try:
            return call()
        except DataRefused as error:
            if named:
                raise
            refused[name] = str(error)
            return None

    low = tried("guinier", wanted.guinier, lambda: guinier(curve, shape=wanted.shape, q_range=wanted.guinier_range))
    for_porod = low if low is not None or everything or not wanted.porod else _quiet_guinier(curve)
    high = tried(
        "porod",
        wanted.porod,
        lambda: porod(
            curve, _globular(for_porod), q_range=wanted.porod_range, contrast_per_cm2=wanted.contrast_per_cm2
        ),
    )
    contrast = wanted.contrast_per_cm2 if curve.intensity_unit is IntensityUnit.PER_CM or wanted.sizes else None
    sizes = tried(
        "sizes",
        wanted.sizes,
        lambda: size_distribution(curve, d_range=wanted.d_range, contrast_per_cm2=contrast),
    )
    fit = None
    if wanted.model:
        fit = fit_form(curve, wanted.model, held=wanted.held, vary=wanted.vary, polydisperse=wanted.polydisperse)
    for name, result in (("Porod", high), ("sizes", sizes), (wanted.model, fit)):
        cautions += [] if result is None else [f"{name}: {said}" for said in result.cautions]
    if low is not None and low.inflated:
        cautions.append("Guinier: the law fits nowhere within sigma: sigmas were widened")
    if low is not None and low.first > 0:
        cautions.append(f"Guinier: the first {low.first} points do not follow the law (beam stop, aggregates?)")
    return Analysis(curve, low, high, sizes, fit, refused, tuple(cautions))


def _said_by_steps(curve: Curve) -> list[str]:
    """What the history of a curve leaves to doubt."""
    said: list[str] = []
    if any(step.settings.get("splitting") == _SHARED_PIXELS for step in curve.steps):
        said.append(
            "pixels were shared among bins (splitting bbox): neighbouring points are correlated, which sigmas of"
            " results leave out; reduce without splitting"
        )
    if any(step.settings.get(TIMES) == TIMES_UNKNOWN for step in curve.steps):
        said.append(
            "counts of frames were compared whose count times are not known for both: they must be alike;"
            " reduce both with --per-second"
        )
    return said


def _globular(low: Guinier | None) -> Guinier | None:
    return low if low is not None and low.shape is Shape.GLOBULAR else None


def _quiet_guinier(curve: Curve) -> Guinier | None:
    try:
        return guinier(curve)
    except DataRefused:
        return None


def _cut(curve: Curve, q_range: Range | None) -> Curve:
    if q_range is None:
        return curve
    use = (curve.x >= q_range[0]) & (curve.x <= q_range[1])
    if not bool(np.any(use)):
        raise DataRefused(
            f"curve {curve.title!r} has no point at q {q_range[0]:g} to {q_range[1]:g}; it spans"
            f" {curve.x[0]:.4g} to {curve.x[-1]:.4g} {curve.axis.value}"
        )
    return replace(
        curve,
        x=curve.x[use],
        intensity=curve.intensity[use],
        sigma=curve.sigma[use],
        x_sigma=None if curve.x_sigma is None else curve.x_sigma[use],
        common=tuple(replace(term, change=term.change[use]) for term in curve.common),
    )


def length_unit(curve: Curve) -> str:
    """The inverse of the unit of q."""
    return "nm" if curve.axis is Axis.Q_PER_NM else "A"


def findings_of(analysis: Analysis) -> Findings:
    """The numbers, as other tools read them."""
    unit, intensity = length_unit(analysis.curve), analysis.curve.intensity_unit.value
    found: list[Finding] = []

    def add(name: str, value: float | None, sigma: float | None, in_unit: str, method: str) -> None:
        if value is not None and np.isfinite(value) and (sigma is None or np.isfinite(sigma)):
            found.append(Finding(name, value, in_unit, sigma, method, "" if sigma is None else _COVERS))

    low, high, sizes, fit = analysis.guinier, analysis.porod, analysis.sizes, analysis.fit
    if low is not None:
        add("radius_of_gyration", low.rg, low.rg_sigma, unit, f"Guinier, {low.shape.value}")
        if low.shape is Shape.GLOBULAR:
            add("forward_intensity", low.i0, low.i0_sigma, intensity, "Guinier, globular")
    if high is not None:
        add("porod_exponent", high.exponent, high.exponent_sigma, "1", "power law with a background")
        add(
            "surface_per_volume",
            high.surface_per_volume,
            high.surface_sigma,
            f"1/{unit}",
            f"Porod, invariant; {_TWO_PHASES}",
        )
        add("volume_fraction", high.volume_fraction, high.volume_fraction_sigma, "1", f"invariant; {_TWO_PHASES}")
    if sizes is not None:
        method = "size distribution of dilute spheres of one contrast"
        for weight, middle, percentiles in (
            ("volume", sizes.volume_mean, sizes.volume_percentiles),
            ("number", sizes.number_mean, sizes.number_percentiles),
        ):
            add(f"diameter_mean_{weight}", middle.value, middle.sigma, unit, f"{method}, {weight}-weighted")
            for percent, at in percentiles.items():
                add(f"diameter_d{percent}_{weight}", at.value, at.sigma, unit, f"{method}, {weight}-weighted")
        add(
            "radius_mean",
            sizes.volume_mean.value / 2,
            sizes.volume_mean.sigma / 2,
            unit,
            f"{method}, volume-weighted",
        )
        add("diameter_width_volume", sizes.volume_width.value, sizes.volume_width.sigma, unit, method)
        if sizes.amount is not None:
            add("volume_fraction@sizes", sizes.amount.value, sizes.amount.sigma, "1", method)
    for one in () if fit is None else fit.parameters:
        if one.fitted and fit is not None:
            name = f"{one.name.lower()}@{fit.model}"
            add(name, one.value, one.sigma, one.unit, f"form factor {fit.model} of sasmodels")
    return Findings(
        tuple(found), "poliqi lab xray saxs", analysis.curve.title, analysis.curve.simulated, analysis.cautions
    )
