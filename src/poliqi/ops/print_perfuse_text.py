"""A perfusion as plain data for JSON, and as lines for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from poliqi.lab.print.oxygen.page import facts_of
from poliqi.lab.print.oxygen.perfusion import NL_MIN, cautions_of, ends_of, flow_spread, shears_of

if TYPE_CHECKING:
    from poliqi.lab.print.oxygen.perfusion import Perfusion

__all__ = ["perfusion_lines", "perfusion_record"]


def perfusion_lines(perfusion: Perfusion) -> list[str]:
    """A few lines with numbers, then cautions."""
    facts = facts_of(perfusion)
    width = max(len(label) for label, _ in facts)
    return [
        *(f"{label:<{width}}  {words}" for label, words in facts),
        *(f"caution: {one}" for one in cautions_of(perfusion)),
    ]


def perfusion_record(perfusion: Perfusion, digest: str) -> dict[str, Any]:
    """Everything, with finite numbers alone. `digest`: of the vessels' file."""
    network, flow, fluid = perfusion.network, perfusion.flow, perfusion.fluid
    covered = perfusion.coverage
    return {
        "simulated": True,
        "vessels": digest,
        "fluid": asdict(fluid),
        "segments": len(network.segments),
        "ports": [
            {
                "role": port.role.value,
                "point_um": network.points_um[port.node].tolist(),
                "pressure_pa": float(flow.pressure_pa[port.node]),
                "flow_nl_min": into / NL_MIN,
            }
            for port, into in zip(network.ports, flow.port_flow_um3_s.tolist(), strict=True)
        ],
        "pressure_drop_pa": float(flow.pressure_pa.max() - flow.pressure_pa.min()),
        "terminals": len(ends_of(network)),
        "terminal_flow_cv": flow_spread(network, flow),
        "reynolds_most": float(flow.reynolds.max()),
        "wall_shear": [asdict(one) | {"kind": one.kind.name.lower()} for one in shears_of(network, flow)],
        "coverage": {
            "reach_um": covered.reach_um,
            "fraction": covered.fraction,
            "worst_um": covered.worst_um,
            "worst_point_um": list(covered.worst_point_um),
            "most_um": covered.most_um,
            "spacing_um": covered.spacing_um,
        },
        "oxygen": _oxygen_record(perfusion),
        "cautions": cautions_of(perfusion),
    }


def _oxygen_record(perfusion: Perfusion) -> dict[str, Any] | None:
    oxygen, tissue = perfusion.oxygen, perfusion.tissue
    if oxygen is None or tissue is None:
        return None
    vessels = oxygen.vessels
    return {
        "tissue": asdict(tissue),
        "carrier": None if perfusion.carrier is None else asdict(perfusion.carrier),
        "spacing_um": oxygen.spacing_um,
        "cells": list(oxygen.c_mol_m3.shape),
        "hypoxic": oxygen.hypoxic,
        "hypoxic_doubt": oxygen.hypoxic_doubt if np.isfinite(oxygen.hypoxic_doubt) else None,
        "minimum_mol_m3": oxygen.minimum_mol_m3,
        "minimum_at_um": list(oxygen.minimum_at_um),
        "mean_mol_m3": oxygen.mean_mol_m3,
        "lowest_vessel_mol_m3": None if vessels is None else float(vessels.segment_mol_m3.min()),
        "balance": asdict(oxygen.balance) | {"residual": oxygen.balance.residual},
        "newton_steps": oxygen.steps,
        "cycles": oxygen.cycles,
    }
