"""Plan of a closure: pressures for both growths, and the room that is kept free for the veins' trunks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.closure.join import with_obstacles
from poliqi.lab.print.growth.grow import grow
from poliqi.lab.print.growth.growing import expected_radius_um
from poliqi.lab.print.growth.roots import root_of
from poliqi.lab.print.network import Kind, Network, Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.closure.settings import ClosureSettings
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.growth.settings import GrowthSettings

__all__ = ["SPARE", "Plan", "kept_free", "planned"]

_MOST_IN_CAPILLARIES: Final = 0.8
SPARE: Final = 0.05
"""By how much more than asked for growth keeps away, as a part: radii change a little when they are balanced."""
_SURE: Final = 1.15
_COARSE: Final = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings of both growths, as pressures and capillaries ask for them."""

    arteries: GrowthSettings
    veins: GrowthSettings
    each_um3_s: float


def planned(growth: GrowthSettings, closure: ClosureSettings, fluid: Fluid) -> Plan:
    inlets = tuple(one for one in growth.inlets if one.role is Role.INLET)
    outlets = tuple(one for one in growth.inlets if one.role is Role.OUTLET)
    if not inlets or not outlets:
        raise ConfigError(
            f"closure: {len(inlets)} inlets and {len(outlets)} outlets; give one of each at least, or open trees"
        )
    if growth.terminals < max(len(inlets), len(outlets)):
        raise ConfigError(
            f"closure: {growth.terminals} terminals do not suffice for the inlets and outlets; raise them"
        )
    low = min(growth.port_pressure_pa(one) for one in inlets)
    high = max(growth.port_pressure_pa(one) for one in outlets)
    each = growth.flow_um3_s / growth.terminals
    radius = closure.capillary_radius_um
    viscosity = float(fluid.viscosity_in(np.array([radius]))[0])
    across = 8.0 * viscosity * closure.shortest_um * each / (np.pi * radius**4)
    if not across <= _MOST_IN_CAPILLARIES * (low - high):
        raise DataRefused(
            f"closure: at {each:.4g} um^3/s each, capillaries of {radius:g} um radius and {closure.shortest_um:g} "
            f"um take {across:.4g} Pa of the {low - high:.4g} Pa between inlets and outlets; at most "
            f"{_MOST_IN_CAPILLARIES:.0%} may: widen or shorten the capillaries, lower the flow, "
            "raise the pressure, or grow more terminals"
        )
    left = low - high - across
    more = int(np.ceil(growth.terminals * (1.0 + closure.surplus)))
    spare = replace(
        growth,
        terminals=more,
        flow_um3_s=each * more,
        gap_um=growth.gap_um * (1.0 + SPARE) + SPARE,
        viscosity_pa_s=viscosity,
    )
    return Plan(
        replace(
            spare,
            gap_um=spare.gap_um + closure.capillary_radius_um / 2.0,
            inlets=tuple(replace(one, pressure_pa=growth.port_pressure_pa(one)) for one in inlets),
            terminal_pressure_pa=low - closure.arterial_share * left,
        ),
        replace(
            spare,
            inlets=tuple(replace(one, pressure_pa=growth.port_pressure_pa(one)) for one in outlets),
            terminal_pressure_pa=high + (1.0 - closure.arterial_share) * left,
            seed=growth.seed + 1,
        ),
        each,
    )


def kept_free(domain: Domain, plan: Plan) -> Network:
    """Vessels where the veins' trunks and main branches will have room, for all else to keep away from.

    A coarse venous tree, with the radii of all the flow, that keeps away from where the arteries enter.
    """
    trunks = _entries(domain, plan.arteries)
    few = max(len(plan.veins.inlets), min(plan.veins.terminals // 8, _COARSE))
    coarse = grow(domain, replace(plan.veins, terminals=few), avoid=trunks)
    own = _entries(domain, plan.veins)
    return with_obstacles(replace(coarse, ports=(), tree=np.full(len(coarse.tree), -1, np.int32)), own.start_um,
                          own.end_um, own.radius_um)  # fmt: skip


def _entries(domain: Domain, settings: GrowthSettings) -> Network:
    """Capsules from the ports inwards, a trunk's radius and more wide."""
    starts: list[NDArray[np.float64]] = []
    ends: list[NDArray[np.float64]] = []
    radii: list[float] = []
    for k in range(len(settings.inlets)):
        radius = expected_radius_um(domain, settings, k, settings.terminals)
        root = root_of(domain, settings, k, radius)
        way = root.end_um - root.start_um
        starts.append(root.start_um)
        ends.append(root.end_um + way * (radius + settings.gap_um) / float(np.linalg.norm(way)))
        radii.append(_SURE * radius)
    k = len(radii)
    return Network(
        np.concatenate([starts, ends]),
        np.stack([np.arange(k), np.arange(k) + k], axis=1).astype(np.int32),
        np.array(radii),
        np.full(k, Kind.CAPILLARY, np.uint8),
        np.full(k, -1, np.int32),
        (),
    )
