"""How a tissue is lit: focus, lattice of scan lines, what is lit, and the dose at which the material acts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError
from poliqi.lab.print.focus import MOST_RIPPLE, check_ripple
from poliqi.lab.print.hatch.settings import HatchSettings, Mode
from poliqi.lab.print.profile import Action

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.profile import Profile

__all__ = ["REACH", "Exposure", "exposure_of"]

REACH: Final = 4.0
"""In 1/e radii: beyond it the light of a line is left out, which is less than 2e-7 of the dose within a solid."""
_LEAST: Final = 0.02
_MOST: Final = 0.98


@dataclass(frozen=True, slots=True)
class Exposure:
    """Lines along x in even layers and along y in odd ones, at the places where `hatch` puts them.

    Line i of a layer lies at `origin_um` + (i + 1/2) `hatch_um`, layer k at `origin_um` + (k + 1/2) `layer_um`.
    Doses are parts of the mean within a solid. `threshold`: the dose at which the material acts. Power and speed
    are the same everywhere: they change the threshold as a part of the mean, nothing else. `power_mw` is the one
    that the threshold belongs to.
    """

    w_xy_um: float
    w_z_um: float
    hatch_um: float
    layer_um: float
    origin_um: tuple[float, float, float]
    mode: Mode
    action: Action
    threshold: float
    wall_um: float = 0.0
    power_mw: float = 1.0

    def __post_init__(self) -> None:
        if not _LEAST <= self.threshold <= _MOST:
            raise ConfigError(
                f"threshold {self.threshold:g} of the dose within a solid: from {_LEAST:g} to {_MOST:g} can be "
                "worked on; change power or speed, or the profile's threshold"
            )
        if (self.mode is Mode.LUMEN) != (self.action is Action.DEGRADE):
            raise ConfigError(
                f"mode {self.mode}: a material that light makes {self.action} is not lit so; "
                f"use {'lumen' if self.action is Action.DEGRADE else 'solid or wall'}"
            )
        if self.mode is Mode.SHELL:
            raise ConfigError("mode shell: its dose at vessels is that of wall; use wall (or solid)")

    @property
    def parameters(self) -> NDArray[np.float64]:
        """(9,) for kernels: w_xy, w_z, hatch, layer, origin (3), dose of a line in its middle, wall (um)."""
        line = self.hatch_um * self.layer_um / (math.pi * self.w_xy_um * self.w_z_um)
        return np.array(
            [self.w_xy_um, self.w_z_um, self.hatch_um, self.layer_um, *self.origin_um, line, self.wall_um]
        )

    @property
    def kind(self) -> int:
        """For kernels: 0 all but the lumen, 1 a wall round the lumen, 2 the lumen."""
        return {Mode.SOLID: 0, Mode.WALL: 1, Mode.LUMEN: 2}[self.mode]


def exposure_of(
    profile: Profile,
    settings: HatchSettings,
    bounds_um: NDArray[np.float64],
    *,
    threshold: float | None = None,
    most_ripple: float = MOST_RIPPLE,
) -> Exposure:
    """As `settings` hatch a domain within `bounds_um` (2, 3). `threshold` None: the profile's for power and speed.

    Raises ConfigError where hatch or layer leave more ripple than `most_ripple`, or the dose is too little.
    """
    check_ripple(settings.hatch_um, settings.layer_um, profile.w_xy_um, profile.w_z_um, most_ripple)
    if threshold is None:
        threshold = profile.threshold_for(
            settings.power_mw, settings.speed_mm_s, settings.hatch_um, settings.layer_um
        )
    low = bounds_um[0]
    return Exposure(
        profile.w_xy_um,
        profile.w_z_um,
        settings.hatch_um,
        settings.layer_um,
        (float(low[0]), float(low[1]), float(low[2])),
        settings.mode,
        profile.material.action,
        threshold,
        settings.wall_of_mode_um,
        profile.laser.power_mw if settings.power_mw is None else settings.power_mw,
    )
