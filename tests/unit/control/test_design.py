"""The cheapest design equals the cheapest of all subsets, each judged by a path program of scipy."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.optimize

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.candidates import Survives
from poliqi.control.city import Demand, QuantumLink, SpanId
from poliqi.control.design import Design, DesignProblem, DesignState, LinkChoice, price, solve_design
from poliqi.control.design_repair import repair
from poliqi.control.failures import Failure, FailureKind

S, P = SpanId, KmeId


def choice(name: str, over: str, rate: float, cost: float | None = None, **needs: frozenset) -> LinkChoice:
    """A link over "ab bc": its ends are the first and the last letter."""
    way = over.split()
    ends = (P(way[0][0]), P(way[-1][1]))
    link = QuantumLink(LinkId(name), ends, tuple(S(s) for s in way), "d")
    sites = frozenset(P(c) for s in way for c in s)
    return LinkChoice(link, rate, sites, cost or 0.0, cost is not None, **needs)


def cut(span: str) -> Failure:
    return Failure(FailureKind.SPAN, span, frozenset({S(span)}))


def gone(site: str) -> Failure:
    return Failure(FailureKind.SITE, site, site=P(site))


# ---- the definition: every subset, and whether it carries the demands --------------------------------------------


def paths(hops: set[frozenset[str]], a: str, b: str, relays: set[str]) -> Iterator[tuple[str, ...]]:
    waiting: list[tuple[str, ...]] = [(a,)]
    while waiting:
        path = waiting.pop()
        if path[-1] == b:
            yield path
            continue
        if len(path) > 1 and path[-1] not in relays:
            continue
        for hop in hops:
            if path[-1] in hop:
                (other,) = hop - {path[-1]}
                if other not in path:
                    waiting.append((*path, other))


def carries(links: list[LinkChoice], relays: set[str], demands: list[Demand]) -> bool:
    """A linear program with one column for each set of disjoint paths."""
    capacity: dict[frozenset[str], float] = {}
    for one in links:
        hop = frozenset(one.link.ends)
        capacity[hop] = capacity.get(hop, 0.0) + one.rate_bps
    columns: list[tuple[int, list[frozenset[str]]]] = []
    for i, d in enumerate(demands):
        found = list(paths(set(capacity), *d.ends, relays - d.never_through))
        columns += [(i, [frozenset(d.ends)]) for path in found if len(path) == 2]
        for group in itertools.combinations(found, d.paths):
            inner = [site for path in group for site in path[1:-1]]
            if len(set(inner)) == len(inner) and all(len(path) > 2 for path in group):
                columns.append((i, [frozenset(h) for path in group for h in itertools.pairwise(path)]))
    if not columns:
        return not demands
    hops = list(capacity)
    use = np.array([[c[1].count(h) for c in columns] for h in hops], float)
    serve = np.array([[float(c[0] == i) for c in columns] for i in range(len(demands))])
    answer = scipy.optimize.linprog(
        np.zeros(len(columns)),
        use,
        [capacity[h] * (1 + 1e-9) for h in hops],
        serve,
        [d.rate_bps for d in demands],
    )
    return answer.status == 0


def cheapest(problem: DesignProblem) -> float:
    """By trying every subset; inf where none serves."""
    links = [c for c in problem.links if c.is_new]
    things = [("link", c.link.link, c.cost) for c in links]
    for kind, prices in (("relay", problem.relays), ("span", problem.spans), ("switch", problem.switches)):
        things += [(kind, name, cost) for name, cost in prices.items()]
    best = float("inf")
    known: dict[tuple[frozenset[str], frozenset[str]], bool] = {}
    for bits in itertools.product((0, 1), repeat=len(things)):
        chosen = {(k, n) for bit, (k, n, _) in zip(bits, things, strict=True) if bit}
        cost = sum(c for bit, (_, _, c) in zip(bits, things, strict=True) if bit)
        if cost >= best:
            continue
        built = [
            c
            for c in problem.links
            if not c.is_new
            or (
                ("link", c.link.link) in chosen
                and all(("span", s) in chosen for s in c.spans)
                and all(("switch", w) in chosen for w in c.switches)
            )
        ]
        relays = set(problem.trusted) | {n for k, n in chosen if k == "relay"}
        key = frozenset(c.link.link for c in built), frozenset(relays)
        if key not in known:
            known[key] = all(serves(problem, built, relays, f) for f in (None, *problem.failures))
        if known[key]:
            best = cost
    return best


def serves(problem: DesignProblem, built: list[LinkChoice], relays: set[str], failure: Failure | None) -> bool:
    left = [c for c in built if failure is None or (failure.spans.isdisjoint(c.link.spans))]
    demands = list(problem.demands)
    if failure is not None:
        if failure.site is not None:
            left = [c for c in left if failure.site not in c.sites]
            relays = relays - {failure.site}
        asked = {
            Survives.NONE: lambda d: False,
            Survives.SPAN: lambda d: failure.site is None,
            Survives.SITE: lambda d: failure.site not in d.ends,
        }
        demands = [d for d in demands if asked[problem.rules.get(d.name, Survives.SPAN)](d)]
    return carries(left, relays, demands)


def random_problem(seed: int) -> DesignProblem:
    """Four or five sites, some fibres, a dozen things to choose from."""
    rng = random.Random(seed)
    sites = "abcde"[: rng.choice((4, 5))]
    pairs = [a + b for a, b in itertools.combinations(sites, 2)]
    fibres = rng.sample(pairs, 5)
    new_spans = {S(s): float(rng.randint(1, 5)) for s in rng.sample(fibres, 2)}
    switches = {P(w): float(rng.randint(1, 3)) for w in rng.sample(sites, 1)}
    relays = {P(r): float(rng.randint(1, 6)) for r in rng.sample(sites, 2)}
    links: list[LinkChoice] = []
    for span in fibres:
        rate = float(rng.randint(3, 12))
        needs = {"spans": frozenset({S(span)}) & new_spans.keys()}
        if rng.random() < 0.35 and span not in new_spans:
            links.append(choice(span, span, rate))
        else:
            links.append(choice(span, span, rate, float(rng.randint(2, 9)), **needs))
    for one, other in itertools.permutations(fibres, 2):
        if one[1] == other[0] and len(links) < 7:
            needs = {
                "spans": frozenset({S(one), S(other)}) & new_spans.keys(),
                "switches": frozenset({P(one[1])}) & switches.keys(),
            }
            links.append(
                choice(one + other, f"{one} {other}", float(rng.randint(2, 6)), float(rng.randint(2, 9)), **needs)
            )
    demands = []
    for i, pair in enumerate(rng.sample(pairs, 2)):
        others = [s for s in sites if s not in pair]
        never = frozenset(P(s) for s in rng.sample(others, rng.choice((0, 0, 1))))
        demands.append(
            Demand(f"d{i}", (P(pair[0]), P(pair[1])), float(rng.randint(1, 4)), 3, rng.choice((1, 1, 1, 2)), never)
        )
    rules = {d.name: rng.choice(list(Survives)) for d in demands}
    failures = [cut(s) for s in fibres] + [gone(s) for s in sites]
    failures.append(Failure(FailureKind.GROUP, "duct", frozenset(S(s) for s in rng.sample(fibres, 2))))
    return DesignProblem(
        tuple(links),
        tuple(demands),
        frozenset(P(s) for s in sites) - relays.keys(),
        relays,
        new_spans,
        switches,
        rules,
        tuple(failures),
    )


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(s, marks=pytest.mark.soak) for s in range(12, 40))])
def test_cost_equals_that_of_the_best_subset(seed: int) -> None:
    problem = random_problem(seed)
    design = solve_design(problem)
    expected = cheapest(problem)
    if expected == float("inf"):
        assert design.state is DesignState.IMPOSSIBLE and design.short
    else:
        assert design.state is DesignState.OPTIMAL
        assert design.cost == pytest.approx(expected)
        assert design.gap == 0.0


@pytest.mark.parametrize("seed", [3, 6, 8, 9, 10])
def test_a_repaired_design_serves_and_hides_no_cost(seed: int) -> None:
    """From nothing, as when the solver's time was over at once."""
    problem = random_problem(seed)
    best = solve_design(problem)
    if best.state is DesignState.IMPOSSIBLE:
        pytest.fail("nothing serves this problem; take another seed")
    found = repair(problem, Design(DesignState.UNFINISHED, bound=0.5 * best.cost))
    built = [c for c in problem.links if not c.is_new or c.link.link in found.links]
    assert all(c.spans <= found.spans and c.switches <= found.switches for c in built)
    relays = set(problem.trusted) | set(found.relays)
    assert all(serves(problem, built, relays, f) for f in (None, *problem.failures))
    assert found.state is DesignState.FEASIBLE
    assert found.cost == price(problem, found) >= best.cost
    assert found.gap == pytest.approx(1.0 - 0.5 * best.cost / found.cost if found.cost else 0.0)
