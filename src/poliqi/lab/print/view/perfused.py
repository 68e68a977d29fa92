"""Flow and oxygen for a report: calculated at a modest resolution, or as `poliqi lab print perfuse` wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec.structs import asdict

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.edge.regularfile import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from poliqi.lab.print.oxygen.oxygen import Oxygen
    from poliqi.lab.print.oxygen.perfusion import Perfusion
    from poliqi.lab.print.oxygen.perfusionhead import OxygenHead, PerfusionHead
    from poliqi.lab.print.vesselfile import Vessels

__all__ = ["perfused", "perfused_from"]

_MOST_BYTES: Final = 1 << 30


def perfused(vessels: Vessels, tissue: str | None, cells: int) -> Perfusion:
    """The fluid of their design (else medium) through the vessels, oxygen of a named tissue (None: without).

    Raises ConfigError, DataRefused.
    """
    from poliqi.lab.print.coverage import coverage
    from poliqi.lab.print.flow.designed import designed_fluid
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.flow.solve import solve_flow
    from poliqi.lab.print.oxygen.oxygen import oxygen
    from poliqi.lab.print.oxygen.perfusion import Perfusion
    from poliqi.lab.print.oxygen.tissue import PRESETS, Carrier

    if tissue is not None and tissue not in PRESETS:
        raise ConfigError(f"--tissue {tissue!a:.60}: give one of {', '.join(PRESETS)}")
    network, domain = vessels.network, vessels.domain
    fluid = designed_fluid(vessels.made) or Fluid()
    carrier = Carrier() if fluid.hematocrit is None else Carrier.blood(fluid.hematocrit)
    flow = solve_flow(network, fluid)
    covered = coverage(domain, network)
    if tissue is None:
        return Perfusion(network, domain, fluid, flow, covered, None, None, None)
    found = oxygen(domain, network, flow, PRESETS[tissue], carrier=carrier, cells=cells)
    return Perfusion(network, domain, fluid, flow, covered, PRESETS[tissue], carrier, found)


def perfused_from(path: Path, vessels: Vessels) -> Perfusion:
    """From a file of these vessels. Raises DataRefused for one of others, or that is none."""
    from poliqi.lab.print.coverage import coverage
    from poliqi.lab.print.flow.fluid import Fluid
    from poliqi.lab.print.flow.solve import flow_from
    from poliqi.lab.print.oxygen.perfusion import Perfusion
    from poliqi.lab.print.oxygen.perfusionarrays import ensure_arrays
    from poliqi.lab.print.oxygen.perfusionfile import perfusion_from
    from poliqi.lab.print.oxygen.perfusionhead import head_of
    from poliqi.lab.print.oxygen.tissue import Carrier, Tissue

    try:
        with open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataRefused(f"--perfusion {path}: cannot be read ({error.strerror}); name another file") from error
    told = perfusion_from(data, f"--perfusion {path}")
    if told.head.get("vessels") != vessels.digest:
        raise DataRefused(
            f"--perfusion {path}: it is of other vessels; write it anew with `poliqi lab print perfuse`"
        )
    head = head_of(told.head, f"--perfusion {path}")
    network, domain = vessels.network, vessels.domain
    ensure_arrays(told.arrays, head, network, domain, f"--perfusion {path}")
    try:
        fluid = Fluid(**asdict(head.fluid))
        names = ("viscosity_pa_s", "pressure_pa", "flow_um3_s")
        flow = flow_from(network, fluid, *(told.arrays[name].astype(np.float64) for name in names))
        covered = coverage(domain, network, head.coverage.reach_um)
        if head.oxygen is None:
            return Perfusion(network, domain, fluid, flow, covered, None, None, None)
        tissue = Tissue(**asdict(head.oxygen.tissue))
        carrier = None if head.oxygen.carrier is None else Carrier(**asdict(head.oxygen.carrier))
    except ConfigError as error:
        raise DataRefused(f"--perfusion {path}: its head is not as it has to be ({error})") from error
    found = _oxygen(told.arrays, head, head.oxygen)
    return Perfusion(network, domain, fluid, flow, covered, tissue, carrier, found)


def _oxygen(arrays: Mapping[str, NDArray[Any]], head: PerfusionHead, said: OxygenHead) -> Oxygen:
    """The field with its numbers."""
    from poliqi.lab.print.oxygen.oxygen import Balance, Oxygen, Vesselwise

    vessels = None
    if "oxygen_mol_m3" in arrays:
        vessels = Vesselwise(*(arrays[name] for name in ("oxygen_mol_m3", "mean_oxygen_mol_m3", "given_mol_s")))
    balance = {name: value for name, value in asdict(said.balance).items() if name != "residual"}
    return Oxygen(
        said.spacing_um,
        head.low_um or (0.0, 0.0, 0.0),
        arrays["c_mol_m3"],
        arrays["kind"],
        (said.spacing_um**3 * (arrays["kind"] == 1)).astype(np.float32),
        said.hypoxic,
        float("nan") if said.hypoxic_doubt is None else said.hypoxic_doubt,
        said.minimum_mol_m3,
        said.minimum_at_um,
        said.mean_mol_m3,
        vessels,
        Balance(**balance),
        said.newton_steps,
        said.cycles,
    )
