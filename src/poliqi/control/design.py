"""The cheapest city that serves its demands after any single failure: the problem, its answer, and how it is found.

The mixed-integer program (design_model.py) knows few failures at first. Whatever design it gives is tried against
all of them by the controller's own allocation; those that leave a demand short are added, and it is solved again.
Every program is a relaxation of the whole one, so its bound is one for the whole, and the last design is optimal
to within the printed gap. When the time is over, the design at hand is repaired (design_repair.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.allocation import AllocationProblem, LinkCapacity, allocate
from poliqi.control.candidates import Survives
from poliqi.control.city import Demand, QuantumLink, SpanId
from poliqi.control.failures import Failure, concerns
from poliqi.control.planner import Tell, silent

__all__ = [
    "Design",
    "DesignProblem",
    "DesignState",
    "LinkChoice",
    "Shortfall",
    "everything",
    "price",
    "shortfalls",
    "solve_design",
]

_MET: Final = 1.0 - 1e-6
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class LinkChoice:
    """A link that stands (cost 0, not `is_new`) or may be built; `sites` are its ends and those that it passes."""

    link: QuantumLink
    rate_bps: float
    sites: frozenset[KmeId]
    cost: float = 0.0
    is_new: bool = False
    spans: frozenset[SpanId] = frozenset()
    """Spans that must be had first."""
    switches: frozenset[KmeId] = frozenset()
    """Sites that must get a switch first."""


@dataclass(frozen=True, slots=True)
class DesignProblem:
    """What may be chosen at which price, and what it must carry under which failures. `trusted`: present relays."""

    links: tuple[LinkChoice, ...]
    demands: tuple[Demand, ...]
    trusted: frozenset[KmeId]
    relays: Mapping[KmeId, float] = field(default_factory=dict[KmeId, float])
    spans: Mapping[SpanId, float] = field(default_factory=dict[SpanId, float])
    switches: Mapping[KmeId, float] = field(default_factory=dict[KmeId, float])
    rules: Mapping[str, Survives] = field(default_factory=dict[str, Survives])
    failures: tuple[Failure, ...] = ()

    def due(self, failure: Failure | None) -> tuple[Demand, ...]:
        """Demands that must be met under a failure."""
        if failure is None:
            return self.demands
        return tuple(d for d in self.demands if concerns(failure, d, self.rules.get(d.name, Survives.SPAN)))


class DesignState(StrEnum):
    """How the search ended."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    """It serves everything; a cheaper one may exist, by no more than the gap."""
    IMPOSSIBLE = "impossible"
    """Not even everything together serves the demands."""
    UNFINISHED = "unfinished"
    """The time was over before any design was found."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A demand that gets only a share of its rate under a failure, or with nothing broken (None)."""

    demand: str
    share: float
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Design:
    """What to build. `gap`: the part of `cost` by which the optimum may be cheaper; nothing undercuts `bound`."""

    state: DesignState
    links: frozenset[LinkId] = frozenset()
    spans: frozenset[SpanId] = frozenset()
    relays: frozenset[KmeId] = frozenset()
    switches: frozenset[KmeId] = frozenset()
    cost: float = 0.0
    bound: float = 0.0
    rounds: int = 0
    scenarios: int = 0
    solver_s: float = 0.0
    short: tuple[Shortfall, ...] = ()

    @property
    def gap(self) -> float:
        """Relative, 0 for an optimum."""
        return max(0.0, (self.cost - self.bound) / self.cost) if self.cost > 0.0 else 0.0


def everything(problem: DesignProblem) -> Design:
    """The design that leaves nothing out."""
    whole = Design(
        DesignState.FEASIBLE,
        frozenset(c.link.link for c in problem.links if c.is_new),
        frozenset(problem.spans),
        frozenset(problem.relays),
        frozenset(problem.switches),
    )
    return replace(whole, cost=price(problem, whole))


def price(problem: DesignProblem, design: Design) -> float:
    """What a design costs."""
    links = sum(c.cost for c in problem.links if c.is_new and c.link.link in design.links)
    relays = sum(problem.relays[v] for v in design.relays)
    spans = sum(problem.spans[s] for s in design.spans)
    return links + relays + spans + sum(problem.switches[w] for w in design.switches)


def shortfalls(problem: DesignProblem, design: Design, failure: Failure | None) -> tuple[Shortfall, ...]:
    """Demands that a design leaves short under a failure, all demands being equals."""
    due = problem.due(failure)
    if not due:
        return ()
    links = tuple(
        LinkCapacity(c.link.link, c.link.ends, c.rate_bps)
        for c in problem.links
        if (not c.is_new or c.link.link in design.links) and (failure is None or failure.spares(c.link, c.sites))
    )
    relays = (problem.trusted | design.relays) - {None if failure is None else failure.site}
    equals = tuple(replace(d, priority=0) for d in due)
    found = allocate(AllocationProblem(links, equals, relays)).grants
    return tuple(Shortfall(g.demand.name, g.share, failure) for g in found if g.share < _MET)


def solve_design(problem: DesignProblem, time_limit_s: float = 60.0, tell: Tell = silent) -> Design:
    """The cheapest design, or the best that was found within the time of the solver."""
    from poliqi.control.design_model import solve  # HiGHS is loaded where it is used
    from poliqi.control.design_repair import repair

    every: tuple[Failure | None, ...] = (None, *problem.failures)
    whole = everything(problem)
    missing: list[Shortfall] = []
    for number, failure in enumerate(every):
        tell("failures", number, len(every))
        missing += shortfalls(problem, whole, failure)
    if missing:
        return Design(DesignState.IMPOSSIBLE, short=tuple(missing))
    known: list[Failure | None] = [None]
    spent, bound, rounds = 0.0, 0.0, 0
    while True:
        tell("designs", len(known), len(every))
        rounds += 1
        answer = solve(problem, known, min(time_limit_s - spent, 0.5 * time_limit_s))
        spent += answer.solver_s
        bound = max(bound, answer.bound)
        found = replace(answer, bound=bound, rounds=rounds, scenarios=len(known), solver_s=spent)
        short = [shortfalls(problem, answer, failure) for failure in every]
        worst = sorted(
            (sum(1.0 - s.share for s in one), i) for i, one in enumerate(short) if one and every[i] not in known
        )
        if not any(short) and found.state is DesignState.OPTIMAL:
            return found
        if not worst or spent >= time_limit_s:
            tell("ways", 0, 1)
            return repair(problem, found)
        known += [every[i] for _, i in worst[-_AT_ONCE:]]
