"""What vessels were designed for, as their file tells it: the fluid, and each port's flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.flow.fluid import NARROWEST_CELL_UM, Fluid
from poliqi.lab.print.network import Role

if TYPE_CHECKING:
    from poliqi.lab.print.flow.solve import Flow
    from poliqi.lab.print.network import Network

__all__ = ["NL_MIN", "blood_cautions", "designed_fluid", "fluid_record", "port_cautions"]

NL_MIN: Final = 1e6 / 60
"""One nanolitre a minute in um^3/s."""
_OFF: Final = 0.05
_MOST: Final = 1e9


def fluid_record(fluid: Fluid) -> dict[str, Any]:
    """For `made` of a vessels file."""
    return {
        "kind": "blood" if fluid.is_blood else "medium",
        "viscosity_pa_s": fluid.viscosity_pa_s,
        "hematocrit": fluid.hematocrit,
    }


def designed_fluid(made: Mapping[str, Any]) -> Fluid | None:
    """The fluid that a vessels file's `made` names; None where it names none. Raises DataRefused."""
    said = made.get("fluid")
    if said is None:
        return None
    told = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    is_blood = told.get("kind") == "blood"
    viscosity, hematocrit = _number(told.get("viscosity_pa_s")), _number(told.get("hematocrit"))
    if told.get("kind") not in ("medium", "blood") or viscosity is None or (is_blood and hematocrit is None):
        raise DataRefused(
            f"vessels: made says the fluid {str(cast('object', said))[:100]!a}; it has kind (medium or blood), "
            "viscosity_pa_s and, of blood, hematocrit; write the file anew with `poliqi lab print design`"
        )
    try:
        return Fluid.blood(hematocrit, viscosity) if is_blood and hematocrit is not None else Fluid(viscosity)
    except ConfigError as error:
        raise DataRefused(f"vessels: made: {error}") from error


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _MOST else None


def blood_cautions(network: Network, fluid: Fluid) -> list[str]:
    """Vessels that no red cell passes, though the law gives blood a viscosity in them."""
    if not fluid.is_blood:
        return []
    thin = np.flatnonzero(2.0 * network.radius_um < NARROWEST_CELL_UM)
    if not len(thin):
        return []
    at = int(thin[np.argmin(network.radius_um[thin])])
    x, y, z = (0.5 * (network.start_um[at] + network.end_um[at])).tolist()
    width = f"{2.0 * network.radius_um[at]:.3g} um at ({x:.0f}, {y:.0f}, {z:.0f}) um"
    told = f"{len(thin)} vessels are narrower than the {NARROWEST_CELL_UM:g} um that a red cell passes"
    return [f"{told}, the narrowest {width}: blood will not flow there as calculated"]


def port_cautions(network: Network, flow: Flow) -> list[str]:
    """Ports through which it flows against their role, or more than 5 % off what they were designed for."""
    told: list[str] = []
    for at, (port, into) in enumerate(zip(network.ports, flow.port_flow_um3_s.tolist(), strict=True), 1):
        x, y, z = network.points_um[port.node].tolist()
        where = f"port {at}, {port.role} at ({x:.0f}, {y:.0f}, {z:.0f}) um"
        carried = into if port.role is Role.INLET else -into
        if carried < 0.0:
            way = "out of" if port.role is Role.INLET else "into"
            told.append(f"{where}: {abs(into) / NL_MIN:.4g} nL/min flow {way} it, against its role")
        elif port.flow_um3_s > 0.0 and abs(carried / port.flow_um3_s - 1.0) > _OFF:
            told.append(
                f"{where}: {carried / NL_MIN:.4g} nL/min flow, designed were {port.flow_um3_s / NL_MIN:.4g}; "
                "is it the fluid, and are these the pressures, of the design?"
            )
    return told
