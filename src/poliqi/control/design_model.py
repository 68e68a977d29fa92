"""The mixed-integer program of a design: what is built, and how every demand flows under each failure in it.

Flows of a demand are in parts of its rate. For each failure f, demand d and link l:
    conservation      relayed flow out - in = +-paths (1 - direct) at the ends, 0 elsewhere
    capacity          sum over d of R_d (y_dl + y_ld) / C_l <= x_l
    use               y_dl + y_ld <= x_l       (disjoint paths share no link; tighter than capacity alone)
    relays            flow into v <= x_v       (0 where v may not relay or the demand must not pass it)
    disjoint paths    flow into v <= 1 - direct
    hops              sum of the flow <= 8 paths
and x_l <= x_s, x_l <= x_w for the spans and switches that link l stands on. x is 0 or 1, everything else a share.
A flow of `paths` parts, at most one through each site, is a mixture of node-disjoint paths (Ford and Fulkerson).
What a link between the two ends carries passes no relay, so it serves alone, whatever number of paths is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import highspy
import numpy as np

from poliqi.base.ids import KmeId
from poliqi.control.city import Demand, SpanId
from poliqi.control.design import Design, DesignProblem, DesignState, LinkChoice
from poliqi.control.failures import Failure
from poliqi.keys.relay_messages import MAX_HOPS

__all__ = ["solve"]

_INF: Final = float("inf")


@dataclass(slots=True)
class _Model:
    """Columns and rows as they come; a row is a dict of column and coefficient."""

    costs: list[float] = field(default_factory=list[float])
    whole: list[bool] = field(default_factory=list[bool])
    rows: list[tuple[float, dict[int, float], float]] = field(
        default_factory=list[tuple[float, dict[int, float], float]]
    )

    def column(self, cost: float = 0.0, is_whole: bool = False) -> int:
        """A new variable: 0 or 1, or a share of at least 0."""
        self.costs.append(cost)
        self.whole.append(is_whole)
        return len(self.costs) - 1

    def row(self, low: float, terms: dict[int, float], high: float) -> None:
        """low <= sum of the terms <= high."""
        self.rows.append((low, terms, high))

    def lp(self) -> Any:
        """As HiGHS takes it."""
        model: Any = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.costs), len(self.rows)
        model.col_cost_ = np.array(self.costs)
        model.col_lower_ = np.zeros(len(self.costs))
        model.col_upper_ = np.where(self.whole, 1.0, _INF)
        model.row_lower_ = np.array([low for low, _, _ in self.rows])
        model.row_upper_ = np.array([high for _, _, high in self.rows])
        matrix = model.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_ = np.cumsum([0, *(len(terms) for _, terms, _ in self.rows)]).astype(np.int32)
        matrix.index_ = np.array([c for _, terms, _ in self.rows for c in terms], np.int32)
        matrix.value_ = np.array([v for _, terms, _ in self.rows for v in terms.values()])
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        model.integrality_ = [kinds[is_whole] for is_whole in self.whole]
        return model


@dataclass(frozen=True, slots=True)
class _Choices:
    """Columns of what may be built."""

    link: dict[int, int]
    relay: dict[KmeId, int]
    span: dict[SpanId, int]
    switch: dict[KmeId, int]


def solve(problem: DesignProblem, scenarios: Sequence[Failure | None], time_limit_s: float) -> Design:
    """The cheapest design that serves all demands in these scenarios."""
    model = _Model()
    choices = _choose(model, problem)
    for failure in scenarios:
        _scenario(model, problem, choices, failure)
    highs: Any = highspy.Highs()
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", 0),
        ("mip_rel_gap", 1e-9),
        ("mip_abs_gap", 1e-6),
        ("mip_feasibility_tolerance", 1e-8),
        ("primal_feasibility_tolerance", 1e-9),
        ("time_limit", max(0.01, time_limit_s)),
    ):
        highs.setOptionValue(option, value)
    highs.passModel(model.lp())
    highs.run()
    return _read(highs, choices, problem)


def _choose(model: _Model, problem: DesignProblem) -> _Choices:
    link = {i: model.column(c.cost, is_whole=True) for i, c in enumerate(problem.links) if c.is_new}
    choices = _Choices(
        link,
        {v: model.column(cost, is_whole=True) for v, cost in problem.relays.items()},
        {s: model.column(cost, is_whole=True) for s, cost in problem.spans.items()},
        {w: model.column(cost, is_whole=True) for w, cost in problem.switches.items()},
    )
    for i, column in link.items():
        needs = [choices.span[s] for s in problem.links[i].spans] + [
            choices.switch[w] for w in problem.links[i].switches
        ]
        for need in needs:
            model.row(-_INF, {column: 1.0, need: -1.0}, 0.0)
    return choices


def _scenario(model: _Model, problem: DesignProblem, choices: _Choices, failure: Failure | None) -> None:
    """Flows of all demands that must be met under a failure."""
    alive = [
        (i, c)
        for i, c in enumerate(problem.links)
        if c.rate_bps > 0.0 and (failure is None or failure.spares(c.link, c.sites))
    ]
    load: dict[int, dict[int, float]] = {i: {} for i, _ in alive}
    for demand in problem.due(failure):
        _demand(model, problem, choices, demand, alive, load, None if failure is None else failure.site)
    for i, terms in load.items():
        if terms:
            _under(model, terms, choices.link.get(i))


def _under(model: _Model, terms: dict[int, float], built: int | None) -> None:
    """The terms sum to at most 1, or at most 0 where the thing is not built."""
    if built is None:
        model.row(-_INF, terms, 1.0)
    else:
        model.row(-_INF, {**terms, built: -1.0}, 0.0)


def _demand(
    model: _Model,
    problem: DesignProblem,
    choices: _Choices,
    demand: Demand,
    alive: Sequence[tuple[int, LinkChoice]],
    load: dict[int, dict[int, float]],
    gone: KmeId | None,
) -> None:
    start, goal = demand.ends
    may = (problem.trusted | choices.relay.keys()) - demand.never_through - {gone} - {start, goal}
    out: dict[KmeId, dict[int, float]] = {start: {}, goal: {}}
    into: dict[KmeId, dict[int, float]] = {start: {}, goal: {}}
    direct: dict[int, float] = {}
    flows: dict[int, float] = {}
    for i, choice in alive:
        a, b = choice.link.ends
        used: dict[int, float] = {}
        for one, other in ((a, b), (b, a)):
            if one == goal or other == start or not ({one, other} <= may | {start, goal}):
                continue
            arc = model.column()
            out.setdefault(one, {})[arc] = 1.0
            into.setdefault(other, {})[arc] = 1.0
            used[arc] = 1.0
            if {one, other} == {start, goal}:
                direct[arc] = 1.0
        if used:
            flows |= used
            load[i] |= dict.fromkeys(used, demand.rate_bps / choice.rate_bps)
            if i in choices.link and demand.rate_bps < choice.rate_bps:
                _under(model, used, choices.link[i])
    paths = float(demand.paths)
    for site in sorted(out.keys() | into.keys()):
        net = {**out.get(site, {}), **dict.fromkeys(into.get(site, {}), -1.0)}
        if site in demand.ends:
            whole = {**net, **{arc: paths * net[arc] for arc in direct}}
            wanted = paths if site == start else -paths
            model.row(wanted, whole, wanted)
            continue
        model.row(0.0, net, 0.0)
        if into.get(site) and site in choices.relay:
            _under(model, into[site], choices.relay[site])
        if into.get(site) and demand.paths > 1:
            _under(model, {**into[site], **direct}, None)
    if flows:
        model.row(-_INF, flows, float(MAX_HOPS * demand.paths))


def _read(highs: Any, choices: _Choices, problem: DesignProblem) -> Design:
    status, info = highs.getModelStatus(), highs.getInfo()
    spent = float(highs.getRunTime())
    has_one = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    bound = float(info.mip_dual_bound) if choices.link or choices.relay else 0.0
    if not has_one:
        return Design(DesignState.UNFINISHED, bound=max(0.0, bound) if bound < _INF else 0.0, solver_s=spent)
    values = np.array(highs.getSolution().col_value)

    links = frozenset(problem.links[i].link.link for i, c in choices.link.items() if values[c] > 0.5)
    relays = frozenset(v for v, c in choices.relay.items() if values[c] > 0.5)
    spans = frozenset(s for s, c in choices.span.items() if values[c] > 0.5)
    switches = frozenset(w for w, c in choices.switch.items() if values[c] > 0.5)
    cost = sum(c.cost for c in problem.links if c.link.link in links) + sum(
        (
            *(problem.relays[v] for v in relays),
            *(problem.spans[s] for s in spans),
            *(problem.switches[w] for w in switches),
        )
    )
    is_optimal = status == highspy.HighsModelStatus.kOptimal
    return Design(
        DesignState.OPTIMAL if is_optimal else DesignState.FEASIBLE,
        links,
        spans,
        relays,
        switches,
        cost,
        cost if is_optimal else max(0.0, bound),
        solver_s=spent,
    )
