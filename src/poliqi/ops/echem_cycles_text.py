"""The cycles of a record as JSON, as findings and as tables of their curves."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from poliqi.lab.echem.cycling.cycles import Cycle, Cycles
from poliqi.lab.echem.cycling.cyclespage import Curves, Scale
from poliqi.lab.echem.cycling.health import Health
from poliqi.lab.store.findings import Finding, Findings

__all__ = ["PROGRAM", "curves_csv", "cycles_findings", "cycles_record"]

PROGRAM: Final = "poliqi lab echem cycles"


def curves_csv(curves: Curves, which: str) -> bytes:
    """Long form: one point a row."""
    if which == "incremental":
        lines = ["Cycle / 1,Half Cycle,Voltage / V,dQ/dV / Ah V-1"]
        for number, one in curves.incremental:
            points = zip(one.voltage_v.tolist(), one.dq_dv_ah_v.tolist(), strict=True)
            lines += [f"{number},{one.direction},{v:.6g},{q!r}" for v, q in points]
    else:
        lines = ["Cycle / 1,Half Cycle,Charge / Ah,dV/dQ / V Ah-1"]
        for number, one in curves.differential:
            points = zip(one.charge_ah.tolist(), one.dv_dq_v_ah.tolist(), strict=True)
            lines += [f"{number},{one.direction},{q!r},{slope!r}" for q, slope in points]
    return ("\n".join(lines) + "\n").encode()


def cycles_record(found: Cycles, trend: Health | None, scale: Scale, cautions: Any) -> dict[str, Any]:
    """As --json prints it: Ah, Wh, V, A, s."""
    return {
        "title": found.record.title,
        "rows": int(found.record.time_s.size),
        "first": found.first.value,
        "rest_current_a": found.found.rest_current_a,
        "least_swing_ah": found.found.least_swing_ah,
        "cycles": [_cycle_record(one, scale) for one in found.cycles],
        "health": None if trend is None else _health_record(trend),
        "cautions": list(cautions),
        "simulated": found.record.simulated,
    }


def _cycle_record(one: Cycle, scale: Scale) -> dict[str, Any]:
    told: dict[str, Any] = {
        "cycle": one.number,
        "coulombic_efficiency": one.coulombic_efficiency,
        "coulombic_efficiency_bound": one.coulombic_doubt,
        "energy_efficiency": one.energy_efficiency,
    }
    for name, half in (("charge", one.charge), ("discharge", one.discharge)):
        told[name] = half and {
            "capacity_ah": half.capacity_ah,
            "energy_wh": half.energy_wh,
            "held_ah": half.held_ah,
            "reverse_ah": half.reverse_ah,
            "edge_ah": half.edge_ah,
            "begin_s": half.begin_s,
            "end_s": half.end_s,
            "begin_v": half.begin_v,
            "end_v": half.end_v,
            "mean_current_a": half.mean_current_a,
            "ended": half.ended.value,
        }
        if half is not None and scale.of is not None:
            value = half.capacity_ah * scale.per_ah
            told[name]["specific"] = {
                "value": value,
                "sigma": value * scale.of.relative_sigma,
                "unit": scale.unit,
            }
    return told


def _health_record(trend: Health) -> dict[str, Any]:
    return {
        "reference_ah": trend.reference_ah,
        "reference_from": trend.reference_from,
        "current_a": trend.current_a,
        "counted": trend.cycle.tolist(),
        "left_out": list(trend.left_out),
        **{name: msgspec.to_builtins(getattr(trend, name)) for name in ("now", "fade", "end_of_life")},
        "verdict": trend.verdict,
    }


def cycles_findings(found: Cycles, trend: Health | None, cautions: Any, *, simulated: bool) -> Findings:
    told: list[Finding] = []
    for cycle, half in found.discharges()[-1:]:
        if len(cycle.halves) > 1:
            told.append(Finding("capacity_discharge", half.capacity_ah, "Ah", method=f"cycle {cycle.number}"))
    efficiencies = [one.coulombic_efficiency for one in found.cycles if one.coulombic_efficiency is not None]
    if efficiencies:
        mean = sum(efficiencies) / len(efficiencies)
        told.append(Finding("coulombic_efficiency", mean, "1", method=f"mean of {len(efficiencies)} cycles"))
    if trend is not None and trend.now is not None and trend.fade is not None:
        covers = "scatter about a straight line"
        told.append(Finding("state_of_health", trend.now.value, "1", trend.now.sigma, "straight line", covers))
        told.append(
            Finding("fade_per_cycle", trend.fade.value, "1/cycle", trend.fade.sigma, "straight line", covers)
        )
    return Findings(tuple(told), PROGRAM, found.record.title, simulated, tuple(cautions))
