"""A design made to serve everything when the solver's time is over: ways added where it falls short, then whatever
can be left out is left out. It serves; that it is the cheapest nobody says, the gap says how far off it may be.
"""

from __future__ import annotations

import math
from dataclasses import replace
from heapq import heappop, heappush
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.city import Demand, SpanId
from poliqi.control.design import Design, DesignProblem, DesignState, LinkChoice, everything, price, shortfalls
from poliqi.control.failures import Failure

__all__ = ["repair"]

_HOP: Final = 1e-3
_KINDS: Final = ("links", "relays", "spans", "switches")


def repair(problem: DesignProblem, design: Design) -> Design:
    """A design that serves all demands under all failures. Raises ValueError where not even everything does."""
    order: list[Failure | None] = [None, *problem.failures]
    found = replace(design, state=DesignState.FEASIBLE, short=())
    while (place := _broken(problem, found, order)) is not None:
        more = _with_way(problem, found, order[place])
        if more == found and found == (more := replace(everything(problem), bound=design.bound)):
            raise ValueError("not even everything together serves the demands")
        found = more
        order.insert(0, order.pop(place))
    for kind, name in _by_price(problem, found):
        less = _connected(problem, replace(found, **{kind: getattr(found, kind) - {name}}))
        place = _broken(problem, less, order)
        if place is None:
            found = less
        else:
            order.insert(0, order.pop(place))
    return replace(found, cost=price(problem, found), bound=min(design.bound, price(problem, found)))


def _broken(problem: DesignProblem, design: Design, order: list[Failure | None]) -> int | None:
    """The place of the first failure that leaves a demand short."""
    return next((i for i, failure in enumerate(order) if shortfalls(problem, design, failure)), None)


def _with_way(problem: DesignProblem, design: Design, failure: Failure | None) -> Design:
    """The design with the cheapest further way for the demand that this failure leaves shortest; itself if none is.

    Links of the design that the demand could use carry all they can, so the way is of links that are not built.
    """
    worst = min(shortfalls(problem, design, failure), key=lambda s: (s.share, s.demand))
    demand = next(d for d in problem.demands if d.name == worst.demand)
    for is_fresh in (False, True):
        way = _cheapest(problem, design, demand, failure, is_fresh)
        if way and (more := _added(problem, design, demand, way)) != design:
            return more
    return design


def _added(problem: DesignProblem, design: Design, demand: Demand, way: list[LinkChoice]) -> Design:
    passed = {end for choice in way for end in choice.link.ends} - set(demand.ends)
    return replace(
        design,
        links=design.links | {c.link.link for c in way if c.is_new},
        relays=design.relays | (passed & problem.relays.keys()),
        spans=design.spans.union(*(c.spans for c in way)),
        switches=design.switches.union(*(c.switches for c in way)),
    )


def _cheapest(
    problem: DesignProblem, design: Design, demand: Demand, failure: Failure | None, is_fresh: bool
) -> list[LinkChoice]:
    """Dijkstra over what is still to be paid. `is_fresh`: over links alone that are not built yet."""
    start, goal = demand.ends
    gone = None if failure is None else failure.site
    may = (problem.trusted | problem.relays.keys()) - demand.never_through - {gone}
    near: dict[KmeId, list[tuple[float, KmeId, LinkChoice]]] = {}
    for choice in problem.links:
        is_built = not choice.is_new or choice.link.link in design.links
        if choice.rate_bps <= 0.0 or (is_fresh and is_built):
            continue
        if failure is not None and not failure.spares(choice.link, choice.sites):
            continue
        cost = _HOP + (0.0 if is_built else choice.cost)
        cost += sum(problem.spans[s] for s in choice.spans - design.spans)
        cost += sum(problem.switches[w] for w in choice.switches - design.switches)
        for here, there in (choice.link.ends, choice.link.ends[::-1]):
            near.setdefault(here, []).append((cost, there, choice))
    waiting: list[tuple[float, int, KmeId]] = [(0.0, 0, start)]
    least, came, count = {start: 0.0}, dict[KmeId, tuple[KmeId, LinkChoice]](), 0
    while waiting:
        paid, _, here = heappop(waiting)
        if here == goal:
            break
        if paid > least[here] or (here != start and here not in may):
            continue
        trust = (
            problem.relays[here] if here in problem.relays and here not in design.relays and here != start else 0.0
        )
        for cost, there, choice in near.get(here, ()):
            total = paid + trust + cost
            if total < least.get(there, math.inf):
                least[there], came[there], count = total, (here, choice), count + 1
                heappush(waiting, (total, count, there))
    way: list[LinkChoice] = []
    at = goal
    while at in came and at != start:
        at, choice = came[at]
        way.append(choice)
    return way if at == start else []


def _by_price(problem: DesignProblem, design: Design) -> list[tuple[str, str]]:
    """What is built, the dearest first."""
    link = {c.link.link: c.cost for c in problem.links}
    prices = {"links": link, "relays": problem.relays, "spans": problem.spans, "switches": problem.switches}
    built = [(float(prices[kind][name]), kind, str(name)) for kind in _KINDS for name in getattr(design, kind)]
    return [(kind, name) for _, kind, name in sorted(built, key=lambda row: (-row[0], row[1], row[2]))]


def _connected(problem: DesignProblem, design: Design) -> Design:
    """Without links whose span or switch is not had, and without spans and switches under no link."""
    links = [
        c
        for c in problem.links
        if c.link.link in design.links and c.spans <= design.spans and c.switches <= design.switches
    ]
    return replace(
        design,
        links=frozenset(c.link.link for c in links),
        spans=frozenset[SpanId]().union(*(c.spans for c in links)),
        switches=frozenset[KmeId]().union(*(c.switches for c in links)),
    )
