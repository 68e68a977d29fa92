"""A calibration as words and pictures, and the profile with what it found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.lab.onepage import BLUE, GREY, ORANGE, Page, Panel
from poliqi.lab.print.calibrate.fit import LineFit, line_um
from poliqi.lab.print.focus import MOST_RIPPLE, ripple_together, zipfel_w_z_um
from poliqi.lab.print.profile import Focus, Measured

if TYPE_CHECKING:
    from poliqi.lab.print.calibrate.sheet import Row
    from poliqi.lab.print.profile import Profile

__all__ = ["calibrated", "calibration_cautions", "calibration_facts", "calibration_page"]

_UNLIKELY: Final = 0.01
_LONG: Final = 1.5
_HARDLY: Final = 1.01
_KEPT: Final = "; w_z_um kept: "
_REST: Final = "; the rest: "


def calibrated(
    profile: Profile, fit: LineFit, rows: Sequence[Row], name: str, digest: str, *, is_simulated: bool = False
) -> Profile:
    """The profile with focus, threshold and measured widths; their source names the sheet and its BLAKE3.

    Of a sheet that was calculated (`is_simulated`) nothing counts as measured.
    """
    source = f"calibrated from {name} (blake3 {digest})"
    focus = Focus(
        source if not fit.is_length_kept else f"{source}{_KEPT}{profile.focus.source.split(_KEPT)[-1]}",
        fit.w_xy_um,
        fit.w_z_um,
        is_measured=not fit.is_length_kept and not is_simulated,
    )
    measured = tuple(
        Measured(row.power_mw, row.speed_mm_s, row.width_um, row.height_um)
        for row in rows
        if row.width_um is not None
    )
    material = replace(
        profile.material,
        line_threshold_mw2_s_mm=fit.line_threshold_mw2_s_mm,
        line_threshold_sigma_mw2_s_mm=max(fit.sigmas[2], 1e-12),
        measured=measured,
        source=f"threshold {source}{_REST}{profile.material.source.split(_REST)[-1]}",
    )
    made = replace(profile, focus=focus, material=material)
    try:
        threshold = made.threshold_for()
    except ConfigError:
        return made
    return replace(made, material=replace(material, threshold=min(max(threshold, 0.01), 0.99)))


def calibration_facts(fit: LineFit) -> list[tuple[str, str]]:
    """Labels and words, with standard deviations."""
    sigma = fit.sigmas
    length = "kept" if fit.is_length_kept else f"+- {sigma[1]:.2g}"
    facts = [
        ("w_xy", f"{fit.w_xy_um:.4g} +- {sigma[0]:.2g} um (1/e of I^2)"),
        ("w_z", f"{fit.w_z_um:.4g} {length} um"),
        ("line threshold", f"{fit.line_threshold_mw2_s_mm:.4g} +- {sigma[2]:.2g} mW^2 s/mm"),
        ("lines", f"{len(fit.width_rows)} widths, {len(fit.height_rows)} heights"),
    ]
    if fit.p_value is None:
        scatter = float(np.sqrt(np.mean(fit.residuals_um[: len(fit.width_rows)] ** 2)))
        facts.append(("scatter", f"{scatter:.3g} um of widths, estimated from the fit"))
        if fit.repeats_p is not None:
            facts.append(("repeats", f"cells against lines within them: p = {fit.repeats_p:.2g}"))
    else:
        facts.append(("misfit", f"chi2 {fit.chi2:.1f} of {fit.degrees} degrees, p = {fit.p_value:.2g}"))
    if fit.dose_scatter > 0:
        facts.append(("dose", f"taken to scatter by {fit.dose_scatter:.1%} between cells, for that misfit"))
    return facts


def calibration_cautions(fit: LineFit, profile: Profile) -> list[str]:
    """What a reader has to know; `profile` is the calibrated one."""
    said = list(fit.contradictions)
    if fit.p_value is not None and fit.p_value < _UNLIKELY:
        said.append(
            f"the lines do not follow the model within their doubts (p = {fit.p_value:.1g}): doubts too small, or "
            "lines not lone, not hung free, or a dose that does not go with power^2/speed"
        )
    if fit.repeats_p is not None and fit.repeats_p < _UNLIKELY:
        said.append(
            f"cells of one power and speed part from the fit by more than their lines do from each other (p = "
            f"{fit.repeats_p:.1g}): power or speed off in some, or a dose that does not go with power^2/speed"
        )
    if fit.raised > _HARDLY:
        said.append(f"doubts of focus and threshold are raised {fit.raised:.2g} times for that misfit")
    if fit.is_length_kept:
        said.append("w_z is not measured; Gaussian and Lorentz focus differ by two in it: measure heights")
    else:
        one = profile.objective
        ratio = fit.w_z_um / zipfel_w_z_um(one.na, one.wavelength_nm, one.immersion_index)
        if not 1 / _LONG < ratio < _LONG:
            said.append(f"w_z is {ratio:.2g} times what the lens would give; aberration, or not the lens's na")
    hatch, layer = profile.hatch.pitch_um, profile.hatch.layer_um
    together = ripple_together(hatch, layer, fit.w_xy_um, fit.w_z_um)[2]
    if together > MOST_RIPPLE:
        said.append(
            f"the profile's hatch of {hatch:g} um and layer of {layer:g} um let the dose ripple by "
            f"{100 * together:.0f} % together"
        )
    try:
        profile.threshold_for()
    except ConfigError as error:
        said.append(str(error))
    return said


def calibration_page(
    fit: LineFit, rows: Sequence[Row], profile: Profile, name: str, *, is_simulated: bool = False
) -> Page:
    """Widths and heights against dose with the fit, and residuals."""
    return Page(
        f"Calibration of {profile.name}",
        f"from {name}",
        calibration_facts(fit),
        [
            Panel("Lines against power^2/speed", lambda axes: _lines(axes, fit, rows)),
            Panel("Measured less fitted", lambda axes: _residuals(axes, fit, rows)),
        ],
        calibration_cautions(fit, profile),
        simulated=is_simulated,
    )


def _lines(axes: Any, fit: LineFit, rows: Sequence[Row]) -> None:
    doses = np.array([rows[at].dose for at in fit.width_rows])
    top = float(doses.max())
    span = np.geomspace(fit.line_threshold_mw2_s_mm, 1.2 * top, 200)
    axes.plot(span, line_um(span, fit.w_xy_um, fit.line_threshold_mw2_s_mm), color=BLUE, label="width, fitted")
    axes.plot(doses, [rows[at].width_um for at in fit.width_rows], "o", color=BLUE, ms=4, label="width")
    if fit.left_out:
        out = [rows[at] for at in fit.left_out]
        axes.plot([row.dose for row in out], [row.width_um for row in out], "x", color=GREY, ms=5, label="left out")
    if fit.height_rows:
        high = np.array([rows[at].dose for at in fit.height_rows])
        axes.plot(
            span, line_um(span, fit.w_z_um, fit.line_threshold_mw2_s_mm), color=ORANGE, label="height, fitted"
        )
        axes.plot(high, [rows[at].height_um for at in fit.height_rows], "s", color=ORANGE, ms=4, label="height")
    axes.axvline(fit.line_threshold_mw2_s_mm, color=GREY, ls=":", label="threshold")
    axes.set_xscale("log")
    axes.set_xlabel("power^2/speed (mW^2 s/mm)")
    axes.set_ylabel("um")
    axes.legend(fontsize=7)


def _residuals(axes: Any, fit: LineFit, rows: Sequence[Row]) -> None:
    n = len(fit.width_rows)
    for part, at, colour, label in (
        (fit.residuals_um[:n], fit.width_rows, BLUE, "width"),
        (fit.residuals_um[n:], fit.height_rows, ORANGE, "height"),
    ):
        if len(part):
            axes.plot([rows[one].dose for one in at], part, "o", color=colour, ms=4, label=label)
    axes.axhline(0, color=GREY, lw=1)
    axes.set_xscale("log")
    largest = float(np.abs(fit.residuals_um).max())
    if math.isfinite(largest) and largest > 0:
        axes.set_ylim(-1.3 * largest, 1.3 * largest)
    axes.set_xlabel("power^2/speed (mW^2 s/mm)")
    axes.set_ylabel("measured less fitted (um)")
    axes.legend(fontsize=7)
