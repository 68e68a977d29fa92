"""What to add to a city, or how to build it from its fibres, at least cost: candidates found, the design solved,
the city that comes of it.

Candidates are every device on every way of at most three spans whose inner sites have, or could get, a switch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final
from zlib import crc32

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.candidates import Candidates, Costs, Survives
from poliqi.control.city import City, QuantumLink, Site, Span, SpanId
from poliqi.control.design import Design, DesignProblem, DesignState, LinkChoice, solve_design
from poliqi.control.failures import failures, hardest, sites_of
from poliqi.control.planner import Tell, limited, relays_of, silent
from poliqi.control.prediction import LinkForecast, Predictor

__all__ = ["MOST_SPANS", "Proposal", "bypasses", "candidate_links", "design_problem", "propose"]

MOST_SPANS: Final = 3
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Proposal:
    """A design and the city that it makes. `forecasts`: what each of its new links would give."""

    design: Design
    city: City
    forecasts: tuple[LinkForecast, ...]
    candidates: int
    """How many links could have been built."""


def candidate_links(city: City, devices: Mapping[str, object]) -> Iterator[QuantumLink]:
    """Every device on every way of at most three spans; inner sites have a switch. Alice: the first name."""
    near: dict[KmeId, list[Span]] = {site.kme: [] for site in city.sites}
    for span in city.spans:
        for end in span.ends:
            near[end].append(span)
    for start in sorted(near):
        waiting: list[tuple[tuple[KmeId, ...], tuple[SpanId, ...]]] = [((start,), ())]
        while waiting:
            sites, spans = waiting.pop(0)
            here = sites[-1]
            for span in near[here]:
                a, b = span.ends
                there = b if a == here else a
                if there in sites:
                    continue
                way = (*spans, span.span)
                if start < there:
                    for device in devices:
                        yield QuantumLink(_name((*sites, there), way, device, city), (start, there), way, device)
                if len(way) < MOST_SPANS and city.site[there].switch_loss_db is not None:
                    waiting.append(((*sites, there), way))


def _name(sites: tuple[KmeId, ...], way: tuple[SpanId, ...], device: str, city: City) -> LinkId:
    """A name that says where it runs; the spans too where sites alone would leave a doubt."""
    twins = any(len([s for s in city.spans if set(s.ends) == set(city.span[name].ends)]) > 1 for name in way)
    first, *passed, last = sites
    via = f"-via-{'-'.join(passed)}" if passed else ""
    over = f"-over-{'-'.join(way)}" if twins else ""
    name = f"{first}-{last}{via}{over}-{device}"
    return LinkId(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 9]}-{crc32(name.encode()):08x}")


def design_problem(
    city: City,
    candidates: Candidates,
    costs: Costs,
    predictor: Predictor,
    survives: Mapping[str, Survives],
    tell: Tell = silent,
    *,
    is_from_scratch: bool = False,
) -> tuple[DesignProblem, City, dict[LinkId, LinkForecast]]:
    """The problem, the city in which everything is built, and what each new link would give.

    `is_from_scratch`: only sites and fibres stand; links, trusted nodes and switches are chosen and paid anew.
    """
    old_switches = {s.kme for s in city.sites if s.switch_loss_db is not None}
    relays = set(candidates.relays) | (set(relays_of(city)) if is_from_scratch else set[KmeId]())
    switches = set(candidates.switches) | (old_switches if is_from_scratch else set[KmeId]())
    whole = replace(
        city,
        sites=tuple(_with_switch(site, candidates) for site in city.sites),
        spans=(*city.spans, *candidates.spans),
        links=() if is_from_scratch else city.links,
    )
    new_spans = {span.span: costs.of_span(span) for span in candidates.spans}
    choices: list[LinkChoice] = []
    for link in whole.links:
        rate = predictor.forecast(whole, link).key_rate_bps
        choices.append(LinkChoice(link, rate, sites_of(link, whole.span)))
    standing = {(link.ends, link.spans, link.device) for link in whole.links}
    standing |= {(b[::-1], s[::-1], d) for b, s, d in standing}
    found: dict[LinkId, LinkForecast] = {}
    listed = list(candidate_links(whole, predictor.devices))
    for number, link in enumerate(listed):
        tell("candidates", number, len(listed))
        if (link.ends, link.spans, link.device) in standing:
            continue
        forecast = predictor.forecast(whole, link)
        if forecast.key_rate_bps <= 0.0:
            continue
        found[link.link] = forecast
        sites = sites_of(link, whole.span)
        choices.append(
            LinkChoice(
                link,
                forecast.key_rate_bps,
                sites,
                costs.of_device(link.device),
                is_new=True,
                spans=frozenset(link.spans) & new_spans.keys(),
                switches=(sites - set(link.ends)) & switches,
            )
        )
    due = max((survives.get(d.name, Survives.SPAN) for d in city.demands), default=Survives.NONE, key=_ORDER.index)
    problem = DesignProblem(
        links=tuple(choices),
        demands=limited(city, city.demands),
        trusted=relays_of(city) - relays,
        relays=dict.fromkeys(sorted(relays), costs.relay),
        spans=new_spans,
        switches=dict.fromkeys(sorted(switches), costs.switch),
        rules=survives,
        failures=hardest(failures(city, due, candidates.spans)),
    )
    return problem, whole, found


_ORDER: Final = (Survives.NONE, Survives.SPAN, Survives.SITE)


def _with_switch(site: Site, candidates: Candidates) -> Site:
    loss = candidates.switches.get(site.kme)
    return site if loss is None else replace(site, switch_loss_db=loss)


def propose(
    city: City,
    candidates: Candidates,
    costs: Costs,
    predictor: Predictor,
    survives: Mapping[str, Survives],
    time_limit_s: float = 60.0,
    tell: Tell = silent,
    *,
    is_from_scratch: bool = False,
) -> Proposal:
    """The cheapest additions (from scratch: the cheapest city) that serve all demands through failures."""
    problem, whole, found = design_problem(
        city, candidates, costs, predictor, survives, tell, is_from_scratch=is_from_scratch
    )
    design = solve_design(problem, time_limit_s, tell)
    built = _built(whole, problem, design, is_from_scratch) if design.state in _BUILT else city
    return Proposal(design, built, tuple(found[c] for c in sorted(design.links)), len(found))


_BUILT: Final = (DesignState.OPTIMAL, DesignState.FEASIBLE)


def _built(whole: City, problem: DesignProblem, design: Design, is_from_scratch: bool) -> City:
    """The city as the design leaves it; from scratch, what was not chosen is not there."""
    new = tuple(c.link for c in problem.links if c.link.link in design.links)
    sites = tuple(
        replace(
            site,
            is_relay=site.kme in problem.trusted | design.relays,
            switch_loss_db=None
            if site.kme in problem.switches and site.kme not in design.switches
            else site.switch_loss_db,
        )
        for site in whole.sites
    )
    return replace(
        whole,
        sites=sites,
        spans=tuple(s for s in whole.spans if s.span not in problem.spans or s.span in design.spans),
        links=new if is_from_scratch else (*whole.links, *new),
        version=whole.version + 1,
    )


def bypasses(city: City, predictor: Predictor, most: int = 500) -> tuple[LinkForecast, ...]:
    """Links over more than one span that the city's switches allow and that do not stand yet, best rate first."""
    standing = {frozenset(link.spans) for link in city.links}
    found: list[LinkForecast] = []
    for link in candidate_links(city, predictor.devices):
        if link.is_bypass and frozenset(link.spans) not in standing and len(found) < most:
            found.append(predictor.forecast(city, link))
    return tuple(sorted((f for f in found if f.key_rate_bps > 0.0), key=lambda f: (-f.key_rate_bps, f.link.link)))
