"""Flow and oxygen for a report: calculated at a modest resolution, or as `poliqi lab print perfuse` wrote them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poliqi.base.errors import ConfigError, DataRefused

if TYPE_CHECKING:
    from poliqi.lab.print.oxygen.oxygen import Oxygen
    from poliqi.lab.print.oxygen.perfusion import Perfusion
    from poliqi.lab.print.oxygen.perfusionfile import PerfusionFile
    from poliqi.lab.print.vesselfile import Vessels

__all__ = ["perfused", "perfused_from"]

_MOST_BYTES: Final = 1 << 30


def perfused(vessels: Vessels, tissue: str | None, cells: int) -> Perfusion:
    """Medium through the vessels, oxygen of a named tissue (None: without). Raises ConfigError, DataRefused."""
    from poliqi.lab.print.coverage import coverage
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.flow.solve import solve_flow
    from poliqi.lab.print.oxygen.oxygen import oxygen
    from poliqi.lab.print.oxygen.perfusion import Perfusion
    from poliqi.lab.print.oxygen.tissue import PRESETS, Carrier

    if tissue is not None and tissue not in PRESETS:
        raise ConfigError(f"--tissue {tissue!a:.60}: give one of {', '.join(PRESETS)}")
    network, domain, fluid = vessels.network, vessels.domain, Fluid()
    flow = solve_flow(network, fluid)
    covered = coverage(domain, network)
    if tissue is None:
        return Perfusion(network, domain, fluid, flow, covered, None, None, None)
    found = oxygen(domain, network, flow, PRESETS[tissue], cells=cells)
    return Perfusion(network, domain, fluid, flow, covered, PRESETS[tissue], Carrier(), found)


def perfused_from(path: Path, vessels: Vessels) -> Perfusion:
    """From a file of these vessels. Raises DataRefused for one of others, or that is none."""
    from poliqi.lab.print.coverage import coverage
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.flow.solve import solve_flow
    from poliqi.lab.print.oxygen.perfusion import Perfusion
    from poliqi.lab.print.oxygen.perfusionfile import perfusion_from
    from poliqi.lab.print.oxygen.tissue import Carrier, Tissue

    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataRefused(f"--perfusion {path}: cannot be read ({error.strerror}); name another file") from error
    told = perfusion_from(data, str(path))
    if told.head.get("vessels") != vessels.digest:
        raise DataRefused(
            f"--perfusion {path}: it is of other vessels; write it anew with `poliqi lab print perfuse`"
        )
    network = vessels.network
    try:
        fluid = Fluid(**told.head["fluid"])
        flow = solve_flow(network, fluid)
        names = ("pressure_pa", "flow_um3_s", "wall_shear_pa", "viscosity_pa_s")
        changed = {name: told.arrays[name] for name in names}
        if any(changed[name].shape != getattr(flow, name).shape for name in names):
            raise DataRefused(f"--perfusion {path}: its arrays are not of {len(network.segments)} segments")
        flow = replace(flow, **changed)
        covered = coverage(vessels.domain, network, float(told.head["coverage"]["reach_um"]))
        head: Any = told.head["oxygen"]
        if head is None:
            return Perfusion(network, vessels.domain, fluid, flow, covered, None, None, None)
        tissue = Tissue(**head["tissue"])
        carrier = None if head["carrier"] is None else Carrier(**head["carrier"])
        found = _oxygen(told, head, network.segments)
    except (KeyError, TypeError, ValueError) as error:
        raise DataRefused(f"--perfusion {path}: its head is not as it has to be ({error})") from error
    return Perfusion(network, vessels.domain, fluid, flow, covered, tissue, carrier, found)


def _oxygen(told: PerfusionFile, head: Any, segments: Any) -> Oxygen:
    """The field with its numbers; a segment's oxygen is the mean of its points'."""
    from poliqi.lab.print.oxygen.oxygen import Balance, Oxygen, Vesselwise

    arrays = told.arrays
    spacing = float(told.head["spacing_um"])
    low_x, low_y, low_z = (float(one) for one in told.head["low_um"])
    at_x, at_y, at_z = (float(one) for one in head["minimum_at_um"])
    vessels = None
    if "oxygen_mol_m3" in arrays:
        point = arrays["oxygen_mol_m3"]
        vessels = Vesselwise(point, point[segments].mean(axis=1), arrays["given_mol_s"])
    doubt = head["hypoxic_doubt"]
    balance = Balance(**{name: value for name, value in head["balance"].items() if name != "residual"})
    return Oxygen(
        spacing,
        (low_x, low_y, low_z),
        arrays["c_mol_m3"],
        arrays["kind"],
        (spacing**3 * (arrays["kind"] == 1)).astype(np.float32),
        head["hypoxic"],
        float("nan") if doubt is None else doubt,
        head["minimum_mol_m3"],
        (at_x, at_y, at_z),
        head["mean_mol_m3"],
        vessels,
        balance,
        head["newton_steps"],
        head["cycles"],
    )
