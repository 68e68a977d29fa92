"""Whether a planned city holds: what its links and demands would get, which failures they outlive, which span is
weakest (docs/explanation/planning.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.allocation import AllocationProblem, Grant, GrantedWay, LinkCapacity, allocate
from poliqi.control.candidates import Survives
from poliqi.control.city import City, Demand, QuantumLink, SpanId, distance_km
from poliqi.control.failures import Failure, FailureKind, concerns, failures, sites_of
from poliqi.control.pairstock import pair_of
from poliqi.control.planning import wishes_of
from poliqi.control.prediction import LinkForecast, Predictor

__all__ = [
    "CityCheck",
    "DemandCheck",
    "SpanCheck",
    "Tell",
    "check_city",
    "grants",
    "relays_of",
    "silent",
    "surviving",
]

Tell = Callable[[str, int, int], None]
"""Called while work goes on: what is being done, how much of it is done, of how much."""


def silent(what: str, done: int, of: int) -> None:  # nobody listens
    """Tell nobody."""


_MET: Final = 1.0 - 1e-6
_GROWN: Final = 1e4
_WORSE_DB: Final = 1.0


@dataclass(frozen=True, slots=True)
class DemandCheck:
    """What a demand would get: `share` of its rate with nothing broken, `worst_share` under the failure that hurts
    it most of those that its rule names (of all, where it names none), `fails_at` the failures that it must outlive
    and does not, `hurts` every single failure that leaves it short and what it keeps, the worst first.
    """

    demand: Demand
    rule: Survives
    share: float
    ways: tuple[GrantedWay, ...]
    worst_share: float
    worst: Failure | None
    fails_at: tuple[Failure, ...]
    hurts: tuple[tuple[Failure, float], ...]

    @property
    def is_served(self) -> bool:
        """It gets all it wants while nothing is broken."""
        return self.share >= _MET

    @property
    def survives(self) -> bool:
        """It gets all it wants under each failure that its rule names."""
        return self.is_served and not self.fails_at


@dataclass(frozen=True, slots=True)
class SpanCheck:
    """How much a span matters. Headroom: by how much all demands could grow together before one is short; under 1
    one is short. With the span cut; with 1 dB more loss on it. `short`: demands that are short when it is cut.
    """

    span: SpanId
    loss_db: float
    headroom_cut: float
    headroom_worse: float
    short: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CityCheck:
    """All of it; `spans` stand with the weakest first."""

    links: tuple[LinkForecast, ...]
    demands: tuple[DemandCheck, ...]
    spans: tuple[SpanCheck, ...]
    headroom: float
    diameter_km: float
    farthest: tuple[KmeId, KmeId] | None

    @property
    def is_sound(self) -> bool:
        """Every demand is served and outlives what it must."""
        return all(d.survives for d in self.demands)


def relays_of(city: City) -> frozenset[KmeId]:
    """Sites that may carry other sites' key."""
    return frozenset(site.kme for site in city.sites if site.is_relay)


def surviving(city: City, failure: Failure | None) -> tuple[QuantumLink, ...]:
    """Links that still give key."""
    if failure is None:
        return city.links
    return tuple(link for link in city.links if failure.spares(link, sites_of(link, city.span)))


def limited(city: City, demands: Iterable[Demand]) -> tuple[Demand, ...]:
    """Demands with the limits of their pairs: paths and sites to avoid are those of the strictest one."""
    wishes = wishes_of(city, (), {})
    found: list[Demand] = []
    for demand in demands:
        wish = wishes.get(pair_of(*demand.ends))
        limits = demand if wish is None else replace(demand, paths=wish.paths, never_through=wish.never_through)
        found.append(limits)
    return tuple(found)


def grants(
    city: City, rates_bps: Mapping[LinkId, float], demands: Iterable[Demand], failure: Failure | None = None
) -> dict[str, Grant]:
    """What demands would get by the controller's own rules, after a failure or without one: among them, that the
    strictest limits of a pair's demands hold for all of them.
    """
    links = tuple(LinkCapacity(one.link, one.ends, rates_bps[one.link]) for one in surviving(city, failure))
    gone = None if failure is None else failure.site
    wanted = tuple(d for d in limited(city, demands) if gone not in d.ends)
    return allocate(AllocationProblem(links, wanted, relays_of(city) - {gone})).grant


def _headroom(city: City, rates_bps: Mapping[LinkId, float], failure: Failure | None = None) -> float:
    """By what factor all demands, taken as equals, could grow together and still be met; inf without demands."""
    grown = [replace(d, rate_bps=_GROWN * d.rate_bps, priority=0) for d in city.demands]
    found = grants(city, rates_bps, grown, failure)
    return _GROWN * min((grant.share for grant in found.values()), default=math.inf)


def check_city(
    city: City, predictor: Predictor, survives: Mapping[str, Survives], tell: Tell = silent
) -> CityCheck:
    """Judge a plan. `survives`: each demand's rule, by its name; SPAN where none is given.

    The controller's allocation (priorities, max-min fairness, never_through, disjoint paths) is run once for each
    single failure, with all demands at once.
    """
    forecasts: list[LinkForecast] = []
    for number, link in enumerate(city.links):
        tell("links", number, len(city.links))
        forecasts.append(predictor.forecast(city, link))
    rates = {f.link.link: f.key_rate_bps for f in forecasts}
    demands = _check_demands(city, rates, survives, tell)
    spans = _check_spans(city, rates, predictor, tell)
    apart, farthest = _diameter(city)
    return CityCheck(tuple(forecasts), demands, spans, _headroom(city, rates), apart, farthest)


def _check_demands(
    city: City, rates: Mapping[LinkId, float], survives: Mapping[str, Survives], tell: Tell
) -> tuple[DemandCheck, ...]:
    whole = grants(city, rates, city.demands)
    every = failures(city) if city.demands else ()
    shares: dict[Failure, dict[str, float]] = {}
    for number, failure in enumerate(every):
        tell("failures", number, len(every))
        shares[failure] = {name: g.share for name, g in grants(city, rates, city.demands, failure).items()}
    found: list[DemandCheck] = []
    for demand in city.demands:
        rule = survives.get(demand.name, Survives.SPAN)
        grant = whole[demand.name]
        left = [(shares[f][demand.name], f) for f in every if concerns(f, demand, Survives.SITE)]
        due = [(share, f) for share, f in left if concerns(f, demand, rule)]
        judged = due or left
        worst = min(judged, key=lambda pair: pair[0], default=(grant.share, None))
        fails = tuple(f for share, f in due if share < _MET)
        hurts = tuple((f, share) for share, f in sorted(left, key=lambda pair: pair[0]) if share < _MET)
        found.append(DemandCheck(demand, rule, grant.share, grant.ways, worst[0], worst[1], fails, hurts))
    return tuple(found)


def _check_spans(
    city: City, rates: Mapping[LinkId, float], predictor: Predictor, tell: Tell
) -> tuple[SpanCheck, ...]:
    found: list[SpanCheck] = []
    for number, span in enumerate(city.spans):
        tell("spans", number, len(city.spans))
        cut = Failure(FailureKind.SPAN, span.span, frozenset({span.span}))
        short = [n for n, g in grants(city, rates, city.demands, cut).items() if g.share < _MET]
        worse = replace(span, connectors_db=span.connectors_db + _WORSE_DB)
        there = replace(city, spans=tuple(worse if s is span else s for s in city.spans))
        touched = {
            link.link: predictor.forecast(there, link).key_rate_bps
            for link in city.links
            if span.span in link.spans
        }
        found.append(
            SpanCheck(
                span.span,
                span.loss_db,
                _headroom(city, rates, cut),
                _headroom(city, {**rates, **touched}) if touched else _headroom(city, rates),
                tuple(sorted(short)),
            )
        )
    return tuple(sorted(found, key=lambda s: (s.headroom_cut, s.headroom_worse, s.span)))


def _diameter(city: City) -> tuple[float, tuple[KmeId, KmeId] | None]:
    """The two sites that are furthest apart as the crow flies."""
    best: tuple[float, tuple[KmeId, KmeId] | None] = (0.0, None)
    for i, a in enumerate(city.sites):
        for b in city.sites[:i]:
            apart = distance_km(a, b)
            if apart > best[0]:
                best = (apart, (b.kme, a.kme))
    return best
