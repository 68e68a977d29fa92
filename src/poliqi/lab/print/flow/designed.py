"""What vessels were designed for, as their file tells it: the fluid, and each port's flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.print.flow.fluid import Fluid
from poliqi.lab.print.network import Role

if TYPE_CHECKING:
    from poliqi.lab.print.flow.solve import Flow
    from poliqi.lab.print.network import Network

__all__ = ["designed_fluid", "fluid_record", "port_cautions"]

_OFF: Final = 0.05
_MOST: Final = 1e9
_NL_MIN: Final = 1e6 / 60


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


def port_cautions(network: Network, flow: Flow) -> list[str]:
    """Ports through which it flows against their role, or more than 5 % off what they were designed for."""
    told: list[str] = []
    for at, (port, into) in enumerate(zip(network.ports, flow.port_flow_um3_s.tolist(), strict=True), 1):
        x, y, z = network.points_um[port.node].tolist()
        where = f"port {at}, {port.role} at ({x:.0f}, {y:.0f}, {z:.0f}) um"
        carried = into if port.role is Role.INLET else -into
        if carried < 0.0:
            way = "out of" if port.role is Role.INLET else "into"
            told.append(f"{where}: {abs(into) / _NL_MIN:.4g} nL/min flow {way} it, against its role")
        elif port.flow_um3_s > 0.0 and abs(carried / port.flow_um3_s - 1.0) > _OFF:
            told.append(
                f"{where}: {carried / _NL_MIN:.4g} nL/min flow, designed were {port.flow_um3_s / _NL_MIN:.4g}; "
                "is it the fluid, and are these the pressures, of the design?"
            )
    return told
