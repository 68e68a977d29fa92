"""What `poliqi lab xray saxs` prints: numbers with their doubt, where they come from, what was refused."""

from __future__ import annotations

from collections.abc import Iterator

from poliqi.base.doubt import doubted
from poliqi.lab.xray.formfactors import FormFit
from poliqi.lab.xray.guinier import Guinier, Shape
from poliqi.lab.xray.porod import Porod
from poliqi.lab.xray.saxs import Analysis, length_unit
from poliqi.lab.xray.sizes import Sizes

__all__ = ["report"]


def report(analysis: Analysis) -> list[str]:
    """Lines of text."""
    curve, unit = analysis.curve, length_unit(analysis.curve)
    ends = f"q {curve.x[0]:.4g} to {curve.x[-1]:.4g} {curve.axis.value}"
    head = f"{curve.title or 'curve'}: {curve.x.size} points, {ends}, intensity {curve.intensity_unit.value}"
    lines = [head + (", simulated" if curve.simulated else "")]
    done = [step.name for step in curve.steps]
    lines.append(f"  steps: {', '.join(done) or 'none'}")
    if curve.common:
        lines.append(f"  doubts common to all points: {', '.join(term.name for term in curve.common)}")
    if analysis.guinier is not None:
        lines += _guinier(analysis.guinier, unit)
    if analysis.porod is not None:
        lines += _porod(analysis.porod, unit)
    if analysis.sizes is not None:
        lines += _sizes(analysis.sizes, unit, is_smeared=curve.x_sigma is not None)
    if analysis.fit is not None:
        lines += _fit(analysis.fit)
    lines += [f"{name.capitalize()}: not possible: {why}" for name, why in analysis.refused.items()]
    lines += [f"caution: {said}" for said in analysis.cautions]
    return lines


def _guinier(found: Guinier, unit: str) -> Iterator[str]:
    name = {Shape.GLOBULAR: "Rg", Shape.ROD: "Rg of the cross-section", Shape.SHEET: "Rg of the thickness"}
    yield f"Guinier ({found.shape.value})"
    part = f" (of it the range: {found.rg_range_sigma:.2g})" if found.rg_range_sigma > 0 else ""
    yield f"  {name[found.shape]:<26}{doubted(found.rg, found.rg_sigma)} {unit}{part}"
    if found.shape is Shape.GLOBULAR:
        yield f"  {'I(0)':<26}{doubted(found.i0, found.i0_sigma)}"
    where = f"points {found.first + 1} to {found.last + 1}, q_max Rg {found.qmax_rg:.2f}"
    yield f"  {'range':<26}{where}, reduced chi-square {found.reduced_chi2:.2f}"
    yield f"  {'a straight line gives':<26}{found.rg_line:.5g} {unit}"


def _porod(found: Porod, unit: str) -> Iterator[str]:
    yield f"Porod, q {found.q_range[0]:.4g} to {found.q_range[1]:.4g} 1/{unit}"
    yield f"  {'exponent':<26}{doubted(found.exponent, found.exponent_sigma)}"
    yield f"  {'background':<26}{doubted(found.background, found.background_sigma)}"
    if found.surface_per_volume is not None:
        surface = doubted(found.surface_per_volume, found.surface_sigma)
        yield f"  {'surface / volume':<26}{surface} 1/{unit} (of the particles)"
    if found.invariant is not None:
        beyond = f" ({found.invariant_extrapolated or 0.0:.0%} extrapolated)"
        yield f"  {'invariant':<26}{doubted(found.invariant, found.invariant_sigma)}{beyond}"
    if found.volume_fraction is not None:
        yield f"  {'volume fraction':<26}{doubted(found.volume_fraction, found.volume_fraction_sigma)}"
    if found.surface_per_volume is not None or found.volume_fraction is not None:
        yield f"  {'assumed':<26}two phases of one contrast, sharp walls, dilute, no smearing"


def _sizes(found: Sizes, unit: str, *, is_smeared: bool) -> Iterator[str]:
    yield f"Sizes of spheres (diameters, {unit}); reduced chi-square {found.reduced_chi2:.2f}"
    yield f"  {'mean by volume':<26}{doubted(found.volume_mean.value, found.volume_mean.sigma)}"
    yield f"  {'width by volume (sigma)':<26}{doubted(found.volume_width.value, found.volume_width.sigma)}"
    for percent, at in found.volume_percentiles.items():
        yield f"  {f'D{percent} by volume':<26}{doubted(at.value, at.sigma)}"
    yield f"  {'mean by number':<26}{doubted(found.number_mean.value, found.number_mean.sigma)}"
    if found.amount is not None:
        yield f"  {'volume fraction':<26}{doubted(found.amount.value, found.amount.sigma)}"
    widths = "smeared by the widths in the file" if is_smeared else "no smearing, as the file has no widths"
    yield f"  {'assumed':<26}dilute spheres of one contrast in another phase, {widths}"


def _fit(found: FormFit) -> Iterator[str]:
    yield f"Form factor {found.model} of sasmodels (lengths in A); reduced chi-square {found.reduced_chi2:.2f}"
    for one in found.parameters:
        unit = "" if one.unit == "1" else f" {one.unit}"
        if not one.fitted:
            yield f"  {one.name:<26}{one.value:.6g}{unit} (held)"
        elif one.sigma is None:
            yield f"  {one.name:<26}{one.value:.6g}{unit} (not decided by the data)"
        else:
            yield f"  {one.name:<26}{doubted(one.value, one.sigma)}{unit}"
