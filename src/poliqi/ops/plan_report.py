"""What `poliqi plan` found: the report, as plain data for --json, as marks for the map (tables: plan_tables.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from poliqi.base.ids import LinkId
from poliqi.control.city import City, Span
from poliqi.control.pairs import PairForecast
from poliqi.control.planner import CityCheck, DemandCheck
from poliqi.control.prediction import LinkForecast
from poliqi.control.proposal import Proposal
from poliqi.ops.city_toml import CityPlan
from poliqi.ops.citymap import LinkMark, rate_text

__all__ = ["PlanReport", "answer", "marks"]


@dataclass(frozen=True, slots=True)
class PlanReport:
    """Everything that was found out about a plan."""

    plan: CityPlan
    check: CityCheck
    pairs: tuple[PairForecast, ...]
    bypasses: tuple[LinkForecast, ...]
    """Light paths that could pass a site and do not stand yet."""
    proposal: Proposal | None = None
    proposal_check: CityCheck | None = None

    @property
    def is_sound(self) -> bool:
        """The plan (where one was asked for, the proposal) serves every demand through its failures."""
        if self.proposal is None:
            return self.check.is_sound
        return self.proposal_check is not None and self.proposal_check.is_sound


def answer(report: PlanReport) -> dict[str, Any]:
    """The report as plain data: what --json prints. No number is infinite; where there is none, null stands."""
    city, check = report.plan.city, report.check
    found: dict[str, Any] = {
        "city": city.name,
        "is_sound": report.is_sound,
        "is_simulated": city.is_simulated,
        "is_approximate": any(s.is_approximate for s in city.sites),
        "diameter_km": check.diameter_km,
        "diameter_limit_km": city.diameter_km,
        "farthest": check.farthest,
        "headroom": _finite(check.headroom),
        "links": [_link_answer(f) for f in check.links],
        "pairs": [
            {
                "between": p.ends,
                "distance_km": p.distance_km,
                "path": p.path,
                "alone_bps": p.alone_bps,
                "together_bps": p.together_bps,
                "disjoint_ways": p.ways,
            }
            for p in report.pairs
        ],
        "demands": [_demand_answer(d) for d in check.demands],
        "spans": [
            {
                "span": s.span,
                "loss_db": s.loss_db,
                "is_invented": city.span[s.span].is_invented,
                "headroom_cut": _finite(s.headroom_cut),
                "headroom_plus_1_db": _finite(s.headroom_worse),
                "short_when_cut": s.short,
            }
            for s in check.spans
        ],
        "bypasses": [_link_answer(f) for f in report.bypasses],
    }
    if report.proposal is not None:
        found["proposal"] = _proposal_answer(report, report.proposal)
    return found


def _link_answer(f: LinkForecast) -> dict[str, Any]:
    return {
        "link": f.link.link,
        "between": f.link.ends,
        "spans": f.link.spans,
        "device": f.link.device,
        "length_km": f.length_km,
        "loss_db": f.loss_db,
        "raman_hz": f.noise_hz,
        "qber_key": f.qber_key,
        "qber_test": f.qber_test,
        "key_rate_bps": f.key_rate_bps,
        "endless_bps": f.endless_bps,
        "block_s": f.block_s,
        "margin_db": f.margin_db,
        "reason": f.reason,
        "source": {
            "intensities": f.source.intensities,
            "probabilities": f.source.probabilities,
            "key_basis": f.source.key_basis,
        },
    }


def _demand_answer(d: DemandCheck) -> dict[str, Any]:
    return {
        "demand": d.demand.name,
        "between": d.demand.ends,
        "rate_bps": d.demand.rate_bps,
        "priority": d.demand.priority,
        "share": min(1.0, d.share),
        "is_served": d.is_served,
        "survives": d.survives,
        "must_survive": d.rule.value,
        "worst_share": min(1.0, d.worst_share),
        "worst": None if d.worst is None else str(d.worst),
        "fails_at": [str(f) for f in d.fails_at],
        "hurt_by": [{"failure": str(f), "share": share} for f, share in d.hurts],
        "ways": [{"paths": way.paths, "rate_bps": way.rate_bps} for way in d.ways],
    }


def _proposal_answer(report: PlanReport, proposal: Proposal) -> dict[str, Any]:
    design = proposal.design
    return {
        "state": design.state.value,
        "links": [_link_answer(f) for f in proposal.forecasts],
        "trusted_nodes": sorted(design.relays),
        "switches": sorted(design.switches),
        "spans": sorted(design.spans),
        "cost": design.cost,
        "bound": design.bound,
        "gap": design.gap,
        "costs_invented": report.plan.costs.is_invented,
        "candidates": proposal.candidates,
        "programs": design.rounds,
        "failures": design.scenarios,
        "solver_s": design.solver_s,
        "short": [
            {"demand": s.demand, "share": s.share, "failure": None if s.failure is None else str(s.failure)}
            for s in design.short
        ],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def marks(report: PlanReport) -> tuple[City, dict[LinkId, LinkMark], tuple[Span, ...]]:
    """The city to draw (the proposal's where there is one), its links' marks, and fibres that were not taken."""
    proposal, check = report.proposal, report.check
    if proposal is not None and report.proposal_check is not None:
        check, city = report.proposal_check, proposal.city
        left = tuple(s for s in report.plan.candidates.spans if s.span not in city.span)
    else:
        city, left, proposal = report.plan.city, report.plan.candidates.spans, None
    weak = {s.span for s in check.spans if s.short}
    new = set[LinkId]() if proposal is None else {f.link.link for f in proposal.forecasts}
    found: dict[LinkId, LinkMark] = {}
    for f in check.links:
        state = "new" if f.link.link in new else "weak" if weak & set(f.link.spans) else "plan"
        found[f.link.link] = LinkMark(state, None, rate_text(f.key_rate_bps))
    return city, found, left
