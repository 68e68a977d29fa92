"""A curve of a dataset, drawn twice: for wide windows and for narrow ones, so that its words keep their size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from poliqi.lab.store.records import StoredFile
from poliqi.lab.xray.curve import Axis, IntensityUnit
from poliqi.ops.lab_web.curvechart import drawn_curve
from poliqi.ops.lab_web.curves import Points, curve_points
from poliqi.ops.web.speaker import Speaker

__all__ = ["Drawing", "drawing_of"]

_WIDE: Final = (620, 360)
_NARROW: Final = (340, 280)
_X: Final = {Axis.Q_PER_NM: "q (nm⁻¹)", Axis.Q_PER_ANGSTROM: "q (Å⁻¹)", Axis.TWO_THETA_DEG: "2θ (°)"}
_Y: Final = {
    IntensityUnit.COUNTS: "I (counts)",
    IntensityUnit.PER_SECOND: "I (s⁻¹)",
    IntensityUnit.PER_CM: "I (cm⁻¹)",
    IntensityUnit.ARBITRARY: "I",
}
"""Symbols and units, the same in every language."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What stands around it: the file it is of."""

    path: str
    wide: Markup
    narrow: Markup
    is_simulated: bool


def drawing_of(file: StoredFile, content: Path, say: Speaker, until_s: float) -> Drawing | None:
    """The first curve of a file, or None; see `curve_points` for `until_s`."""
    found = curve_points(file, content, until_s)
    if found is None or not found.points:
        return None
    label = say("lab.curve_of", name=file.path)
    return Drawing(
        file.path,
        _drawn(found, label, _WIDE, "at-wide"),
        _drawn(found, label, _NARROW, "at-narrow"),
        found.is_simulated,
    )


def _drawn(found: Points, label: str, size: tuple[int, int], style: str) -> Markup:
    """Scattering over q on two logarithmic axes, diffraction over the angle on plain ones."""
    is_log = found.axis is not Axis.TWO_THETA_DEG and sum(x > 0 and y > 0 for x, y, _ in found.points) > 1
    return drawn_curve(found.points, (_X[found.axis], _Y[found.unit]), label, is_log, *size, style)
