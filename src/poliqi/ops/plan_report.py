"""What `poliqi plan` says: tables for people, plain data for --json, marks for the map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from poliqi.base.ids import LinkId
from poliqi.control.allocation import GrantedWay
from poliqi.control.city import City, Span
from poliqi.control.design import DesignState
from poliqi.control.pairs import PairForecast
from poliqi.control.planner import CityCheck, DemandCheck
from poliqi.control.prediction import LinkForecast
from poliqi.control.proposal import Proposal
from poliqi.ops.city_toml import CityPlan
from poliqi.ops.citymap import LinkMark, rate_text

__all__ = ["PlanReport", "answer", "marks", "tables"]

_MOST_ROWS: Final = 40


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


# ---- for people --------------------------------------------------------------------------------------------------


def tables(report: PlanReport) -> str:
    """The report as text."""
    city, check = report.plan.city, report.check
    parts = [_head(report), _links("LINKS", check.links)]
    if report.pairs:
        parts.append(_pairs(report.pairs))
    if city.demands:
        parts.append(_demands(check.demands))
    if check.spans:
        parts.append(_spans(check))
    if report.bypasses:
        parts.append(_links("POSSIBLE BYPASSES: light that passes a site on its switch", report.bypasses[:10]))
    if report.proposal is not None:
        parts.append(_proposal(report, report.proposal))
    parts.append(_notes(report))
    return "\n\n".join(parts)


def _head(report: PlanReport) -> str:
    city, check = report.plan.city, report.check
    short = [d for d in check.demands if not d.survives]
    if not city.demands:
        verdict = "no demands: nothing to be served"
    elif not short:
        verdict = "every demand is served and survives what it must"
    else:
        verdict = f"NOT SOUND, short or without a second way: {', '.join(d.demand.name for d in short[:6])}"
    between = "" if check.farthest is None else f" ({check.farthest[0]} to {check.farthest[1]})"
    counts = [f"{len(city.sites)} sites", f"{len(city.spans)} spans", f"{len(city.links)} links"]
    return "\n".join(
        [
            f"{city.name}: {', '.join(counts)}, {len(city.demands)} demands",
            f"plan        {verdict}",
            f"diameter    {check.diameter_km:.2f} km of {city.diameter_km:g} km{between}",
            f"headroom    {_times(check.headroom)}: so much could all demands grow together",
        ]
    )


def _links(title: str, links: Sequence[LinkForecast]) -> str:
    rows = [
        [
            f.link.link,
            f"{f.length_km:.1f}",
            f"{f.loss_db:.2f}",
            "-" if f.qber_key is None else f"{100 * f.qber_key:.2f} %",
            _rate(f.key_rate_bps),
            f"{f.margin_db:.1f} dB",
            _block(f.block_s) if f.reason is None else f"no key: {f.reason}",
        ]
        for f in links
    ]
    return _table(title, ["link", "km", "dB", "QBER", "key rate", "margin", "block"], rows, left=(0, 6))


def _pairs(pairs: Sequence[PairForecast]) -> str:
    rows = [
        [
            f"{p.ends[0]} - {p.ends[1]}",
            " > ".join(p.path[1:-1]) or ("direct" if p.path else "no way"),
            _rate(p.alone_bps),
            _rate(p.together_bps),
            f"{p.ways}",
        ]
        for p in pairs
    ]
    return _table("PAIRS", ["pair", "over", "alone", "all at once", "disjoint ways"], rows, left=(0, 1))


def _demands(demands: Sequence[DemandCheck]) -> str:
    rows = [
        [
            d.demand.name,
            f"{d.demand.ends[0]} - {d.demand.ends[1]}",
            _rate(d.demand.rate_bps),
            "yes" if d.is_served else f"{100 * d.share:.0f} %",
            _survives(d),
            _ways(d.ways),
        ]
        for d in demands
    ]
    return _table("DEMANDS", ["demand", "between", "wants", "served", "survives", "over"], rows, left=(0, 1, 4, 5))


def _survives(d: DemandCheck) -> str:
    if d.fails_at:
        worst = min(d.fails_at, key=lambda f: f is not d.worst)
        more = f" and {len(d.fails_at) - 1} more" if len(d.fails_at) > 1 else ""
        return f"NO: {100 * d.worst_share:.0f} % left at {worst}{more}"
    said = {"none": "need not", "span": "any span", "site": "any span, any site"}[d.rule.value]
    if d.rule.value == "none" and d.worst is not None and d.worst_share < 1.0 - 1e-6:
        return f"{said} ({100 * d.worst_share:.0f} % at {d.worst})"
    return said


def _ways(ways: Sequence[GrantedWay]) -> str:
    said = [" + ".join(" > ".join(path[1:-1]) or "direct" for path in way.paths) for way in ways]
    return "; ".join(said[:3]) + ("; ..." if len(said) > 3 else "") or "no way"


def _spans(check: CityCheck) -> str:
    rows = [
        [
            s.span,
            f"{s.loss_db:.2f}",
            _times(s.headroom_cut),
            _times(s.headroom_worse),
            ", ".join(s.short[:4]) + (", ..." if len(s.short) > 4 else "") or "-",
        ]
        for s in check.spans
    ]
    title = "SPANS, weakest first: headroom of the demands"
    return _table(title, ["span", "dB", "when cut", "with +1 dB", "short when cut"], rows, left=(0, 4))


def _proposal(report: PlanReport, proposal: Proposal) -> str:
    design, title = proposal.design, f"PROPOSAL, of {proposal.candidates} links that could be built"
    match design.state:
        case DesignState.IMPOSSIBLE:
            lost = [
                f"  {s.demand}: {100 * s.share:.0f} % left" + ("" if s.failure is None else f" at {s.failure}")
                for s in design.short[:8]
            ]
            return "\n".join(
                [
                    title,
                    "",
                    "  not even all candidates together serve the demands; add spans, devices or relays:",
                    *lost,
                ]
            )
        case DesignState.UNFINISHED:
            return f"{title}\n\n  none found in the time; give --time-limit more than {design.solver_s:.0f} s"
        case _:
            pass
    built = [f"  trusted node   {name}" for name in sorted(design.relays)]
    built += [f"  switch         {name}" for name in sorted(design.switches)]
    built += [f"  span           {name}" for name in sorted(design.spans)]
    built += [
        f"  link           {f.link.link}: {' + '.join(f.link.spans)}, {f.loss_db:.1f} dB, {_rate(f.key_rate_bps)}"
        for f in proposal.forecasts
    ]
    unit = "invented, relative units" if report.plan.costs.is_invented else "units of [cost]"
    foot = [
        f"  cost           {design.cost:g} ({unit})",
        f"  MILP gap       {100 * design.gap:.2f} %: nothing costs less than {design.bound:g}",
        f"  solver         {design.solver_s:.2f} s, {design.rounds} programs, {design.scenarios} cases in the last",
    ]
    if not built:
        built = ["  nothing needs to be built"]
    return "\n".join([title, "", *built, "", *foot])


def _notes(report: PlanReport) -> str:
    city = report.plan.city
    said = ["averages of a channel model through the finite-key proof, no measurement and no contract"]
    invented = sum(s.is_invented for s in city.spans)
    if invented:
        said.append(f"length and losses of {invented} of {len(city.spans)} spans are INVENTED")
    if any(s.is_approximate for s in city.sites):
        said.append("coordinates of sites are approximate")
    if city.is_simulated:
        said.append("the light of this city is SIMULATED: its keys protect nothing")
    return "\n".join(["this rests on", *(f"  - {text}" for text in said)])


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    shown = rows if len(rows) <= _MOST_ROWS else rows[:_MOST_ROWS]
    widths = [max(len(row[i]) for row in (head, *shown)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        return ("  " + "  ".join(cells)).rstrip()

    more = [] if len(shown) == len(rows) else [f"  ... {len(rows) - len(shown)} more; --json has them all"]
    return "\n".join([title, line(head), *map(line, shown), *more])


def _rate(rate_bps: float) -> str:
    return rate_text(rate_bps) or "0"


def _times(headroom: float) -> str:
    return "-" if math.isinf(headroom) else f"{headroom:.3g} x"


def _block(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3g} s" if seconds < 120.0 else f"{seconds / 60.0:.3g} min"


# ---- for programs ------------------------------------------------------------------------------------------------


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


# ---- for the map -------------------------------------------------------------------------------------------------


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
        found[f.link.link] = LinkMark(state, None, _rate(f.key_rate_bps))
    return city, found, left
