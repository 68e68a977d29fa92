"""The tables of `poliqi plan`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from poliqi.control.allocation import GrantedWay
from poliqi.control.design import DesignState
from poliqi.control.pairs import PairForecast
from poliqi.control.planner import CityCheck, DemandCheck
from poliqi.control.prediction import LinkForecast
from poliqi.control.proposal import Proposal
from poliqi.ops.citymap import rate_text
from poliqi.ops.plan_report import PlanReport

__all__ = ["tables"]

_MOST_ROWS: Final = 40


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
    if not d.is_served:
        return "NO: not served"
    if d.fails_at:
        worst = min(d.fails_at, key=lambda f: f is not d.worst)
        more = f" and {len(d.fails_at) - 1} more" if len(d.fails_at) > 1 else ""
        return f"NO: {100 * d.worst_share:.0f} % left at {worst}{more}"
    said = {"none": "need not", "span": "any span", "site": "any span, any site"}[d.rule.value]
    if d.hurts:
        failure, share = d.hurts[0]
        return f"{said} ({100 * share:.0f} % left at {failure})"
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
