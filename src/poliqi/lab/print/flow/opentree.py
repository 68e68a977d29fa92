"""Open trees for the fluid that is to flow in them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.print.flow.rebalance import rebalance
from poliqi.lab.print.growth.grow import grow
from poliqi.lab.print.growth.growing import expected_radius_um

if TYPE_CHECKING:
    from collections.abc import Callable

    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.growth.settings import GrowthSettings
    from poliqi.lab.print.network import Network

__all__ = ["open_trees"]

_TRIES: Final = 5
_ROUNDS: Final = 20
_LEAST_UM: Final = 0.6
_SPARE: Final = 1.05


def open_trees(
    domain: Domain,
    growth: GrowthSettings,
    fluid: Fluid,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Network:
    """Trees whose designed flow takes the designed pressure with this fluid, all terminals alike.

    A medium's are grown as they are. For blood they are grown with one viscosity, rebalanced with that of each
    vessel, and grown anew with more until no vessel comes out wider than it was grown: gap and wall then hold.
    Raises what growth and `rebalance` raise, and DataRefused where that does not come to an end.
    """
    if not fluid.is_blood:
        return grow(domain, replace(growth, viscosity_pa_s=fluid.viscosity_pa_s), progress=progress)
    free = replace(growth, least_radius_um=None, largest_radius_um=None)
    viscosity = _expected_viscosity(domain, free, fluid)
    wider = 1.0
    for _ in range(_TRIES):
        grown = grow(domain, replace(free, viscosity_pa_s=viscosity), progress=progress)
        balanced = rebalance(
            grown,
            fluid,
            exponent=growth.exponent,
            terminal_pressure_pa=growth.terminal_pressure_pa,
            gap_um=None,
            lowest_um=growth.least_radius_um,
            largest_um=growth.largest_radius_um,
        )
        wider = float((balanced.radius_um / grown.radius_um).max())
        if wider <= 1.0:
            return balanced
        viscosity *= _SPARE * wider**4
    raise DataRefused(
        f"flow: with blood a vessel comes out {wider:.3g} times as wide as it was grown, after {_TRIES} growths; "
        "grow fewer terminals, lower the flow, raise the pressure drop, or close the network"
    )


def _expected_viscosity(domain: Domain, growth: GrowthSettings, fluid: Fluid) -> float:
    """The highest between trunk and terminal, with the radii that it leads to."""
    viscosity = float(fluid.viscosity_in(np.array([50.0]))[0])
    for _ in range(_ROUNDS):
        asked = replace(growth, viscosity_pa_s=viscosity)
        trunk = max(expected_radius_um(domain, asked, k, growth.terminals) for k in range(len(growth.inlets)))
        last = trunk * growth.terminals ** (-1.0 / growth.exponent)
        radii = np.maximum(np.geomspace(last, trunk, 16), _LEAST_UM)
        viscosity = float(fluid.viscosity_in(radii).max())
    return viscosity
