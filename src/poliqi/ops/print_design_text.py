"""What `poliqi lab print design` says of the vessels that it grew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.lab.onepage import Page, Panel
from poliqi.lab.print.coverage import percent_within
from poliqi.lab.print.flow.designed import fluid_record
from poliqi.lab.print.network import Kind, Network, Port, Role

if TYPE_CHECKING:
    from poliqi.ops.print_design_toml import Design

__all__ = ["cautions_of", "design_lines", "design_page", "design_record", "made_record"]

_NARROW_UM: Final = 1.0
_UL_MIN: Final = 1e9 / 60.0


def made_record(design: Design) -> dict[str, Any]:
    """Program and settings, for the vessels file."""
    from importlib.metadata import version

    growth = design.growth
    return {
        "program": f"poliqi lab print design {version('poliqi')}",
        "seed": growth.seed,
        "growth": {
            name: getattr(growth, name)
            for name in (
                "terminals",
                "flow_um3_s",
                "pressure_drop_pa",
                "terminal_pressure_pa",
                "viscosity_pa_s",
                "exponent",
                "wall_um",
                "gap_um",
                "least_radius_um",
                "largest_radius_um",
            )
        },
        "fluid": fluid_record(design.fluid),
        "closure": None if design.closure is None else asdict(design.closure),
        "ports": [
            {"point_um": list(inlet.point_um), "role": str(inlet.role), "share": inlet.share}
            for inlet in growth.inlets
        ],
        "closed": design.closure is not None,
    }


def design_record(design: Design, network: Network) -> dict[str, Any]:
    """All numbers, in JSON's types."""
    from poliqi.lab.print.coverage import coverage
    from poliqi.lab.print.growth.contacts import contacts

    touching = contacts(network, design.growth.gap_um)
    covered = coverage(design.domain, network)
    radius, length = network.radius_um, network.length_um
    inflow = sum(port.flow_um3_s for port in network.ports if port.role is Role.INLET)
    return {
        "simulated": True,
        "segments": len(network.segments),
        "arteries": int((network.kind == Kind.ARTERY).sum()),
        "veins": int((network.kind == Kind.VEIN).sum()),
        "capillaries": int((network.kind == Kind.CAPILLARY).sum()),
        "terminals": design.growth.terminals,
        "ports": [_port_record(network, port) for port in network.ports],
        "left_out": left_out(design, network),
        "flow_um3_s": inflow,
        "radius_um": {
            "least": float(radius.min()),
            "median": float(np.median(radius)),
            "largest": float(radius.max()),
        },
        "length_mm": float(length.sum()) / 1000.0,
        "vessel_volume_um3": network.cylinder_volume_um3,
        "domain_volume_um3": design.domain.volume_um3,
        "vessel_fraction": network.cylinder_volume_um3 / design.domain.volume_um3,
        "contacts": len(touching.pairs),
        "gap_um": design.growth.gap_um,
        "covered_within_200_um": float(covered.fraction),
        "farthest_um": float(covered.worst_um),
        "nowhere_above_um": float(covered.most_um),
        "seed": design.growth.seed,
        "cautions": cautions_of(design, network),
    }


def _port_record(network: Network, port: Port) -> dict[str, Any]:
    return {
        "role": str(port.role),
        "point_um": network.points_um[port.node].tolist(),
        "pressure_pa": port.pressure_pa,
        "flow_um3_s": port.flow_um3_s,
    }


def cautions_of(design: Design, network: Network) -> list[str]:
    """What is legal and yet to be looked at."""
    from poliqi.lab.print.flow.designed import blood_cautions
    from poliqi.lab.print.flow.solve import solve_flow
    from poliqi.lab.print.oxygen.perfusion import shear_cautions

    found: list[str] = list(design.domain.cautions)
    least = float(network.radius_um.min())
    if least < _NARROW_UM:
        found.append(
            f"the narrowest lumen has a radius of {least:.3g} um, below what most machines open; raise "
            f"the flow, lower "
            "the pressure drop, or grow fewer terminals"
        )
    if design.closure is None:
        found.append(
            "no outlet: the trees end blind, so nothing flows until their terminals are opened; give [[outlet]]"
        )
    out = left_out(design, network)
    if out:
        inflow = sum(port.flow_um3_s for port in network.ports if port.role is Role.INLET)
        less = 1.0 - inflow / design.growth.flow_um3_s
        found.append(
            f"{out} of {design.growth.terminals} capillaries left out; the ports carry {100.0 * less:.3g} % less"
        )
    found += blood_cautions(network, design.fluid)
    found += shear_cautions(network, solve_flow(network, design.fluid))
    for at, port in enumerate(network.ports, 1):
        if not design.domain.clearance_um(network.points_um[port.node][None, :])[0] < 0.0:
            found.append(f"{port.role} {at} lies inside the tissue: nothing reaches it from outside")
    return found


def left_out(design: Design, network: Network) -> int:
    """Capillaries that were asked for and are not there; 0 for open trees."""
    if design.closure is None:
        return 0
    first = np.isin(network.segments[:, 0], network.segments[network.kind == Kind.ARTERY, 1])
    return design.growth.terminals - int((first & (network.kind == Kind.CAPILLARY)).sum())


def design_lines(record: Mapping[str, Any]) -> list[str]:
    """For people."""
    radius = record["radius_um"]
    kinds = f"{record['arteries']} arteries, {record['capillaries']} capillaries, {record['veins']} veins"
    part = 100.0 * record["vessel_fraction"]
    flow = record["flow_um3_s"] / _UL_MIN
    covered = percent_within(record["covered_within_200_um"])
    farthest = f"farthest {record['farthest_um']:.4g} um, nowhere above {record['nowhere_above_um']:.4g} um"
    lines = [
        f"{record['segments']} vessels: {kinds}; {record['length_mm']:.4g} mm",
        f"radius {radius['least']:.3g} to {radius['largest']:.3g} um; {part:.3g} % of the tissue's volume",
        f"flow {flow:.4g} uL/min; contacts nearer than {record['gap_um']:g} um: {record['contacts']}",
        f"{covered} of the tissue within 200 um of a vessel; {farthest}",
    ]
    return [*lines, *(f"caution: {one}" for one in record["cautions"])]


def design_page(record: Mapping[str, Any], design: Design, network: Network, name: str) -> Page:
    """One page: numbers, vessels, radii."""
    from matplotlib.ticker import LogFormatter

    from poliqi.lab.print.view.palette import KIND_COLOURS
    from poliqi.lab.print.view.pictures import draw_vessels

    def radii(axes: Any) -> None:
        low = math.log(float(network.radius_um.min()) * 0.98)
        high = math.log(float(network.radius_um.max()) * 1.02)
        bins = np.exp(np.linspace(low, high, 30))
        for kind, colour in KIND_COLOURS.items():
            one = network.radius_um[network.kind == kind]
            if len(one):
                axes.hist(one, bins=bins, histtype="step", color=colour, label=kind.name.lower(), linewidth=1.5)
        axes.set_xscale("log")
        for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            ticks(LogFormatter(minor_thresholds=(2, 0.5)))
        axes.set_xlabel("radius (um)")
        axes.set_ylabel("vessels")
        axes.legend()

    facts: Sequence[tuple[str, str]] = list(
        zip(("vessels", "radii", "flow", "reach"), design_lines(record), strict=False)
    )
    return Page(
        f"Vessels of {name}",
        f"seed {record['seed']}; grown by constrained constructive optimisation",
        facts,
        [
            Panel("Vessels", lambda axes: draw_vessels(axes, network, design.domain)),
            Panel("Radii", radii),
        ],
        record["cautions"],
        simulated=True,
    )
