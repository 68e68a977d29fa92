"""Allocations of small random cities against the definition of max-min fairness, solved slowly over all paths."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from brute_routes import least_key, max_min_shares, name, problems
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poliqi.base.ids import LinkId
from poliqi.control.allocation import Allocation, AllocationProblem, LinkCapacity, allocate, fast_reroute

slowly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(problem: AllocationProblem, allocation: Allocation) -> None:
    """Ways are allowed, and links give what the ways take and no more than they have."""
    neighbours = {frozenset(link.ends) for link in problem.links if link.capacity_bps > 0.0}
    taken = dict.fromkeys(neighbours, 0.0)
    for demand, grant in zip(problem.demands, allocation.grants, strict=True):
        assert grant.demand == demand
        assert grant.granted_bps <= demand.rate_bps * (1 + 1e-9)
        for way in grant.ways:
            assert way.rate_bps > 0.0
            assert way.is_direct or len(way.paths) == demand.paths
            relays = [site for path in way.paths for site in path[1:-1]]
            assert len(set(relays)) == len(relays)
            assert set(relays) <= problem.relays - demand.never_through
            assert not {*demand.ends} & {*relays}
            for path in way.paths:
                assert (path[0], path[-1]) == demand.ends
                assert len(path) - 1 <= problem.max_hops
                for hop in pairwise(path):
                    taken[frozenset(hop)] += way.rate_bps
    for link in problem.links:
        assert allocation.used_bps[link.link] <= link.capacity_bps * (1 + 1e-12)
    for hop, amount in taken.items():
        given_ = sum(allocation.used_bps[k.link] for k in problem.links if frozenset(k.ends) == hop)
        assert given_ == pytest.approx(amount, rel=1e-9, abs=1e-9)


@settings(slowly, max_examples=40)
@given(problems())
def test_shares_are_max_min_fair_priority_by_priority(problem: AllocationProblem) -> None:
    allocation = allocate(problem)
    check(problem, allocation)
    fair = max_min_shares(problem)
    for grant, rate in zip(allocation.grants, fair, strict=True):
        assert grant.granted_bps == pytest.approx(rate, rel=1e-5, abs=1e-2), grant.demand.name
    least = least_key(problem, [grant.granted_bps for grant in allocation.grants])
    assert allocation.spent_bps == pytest.approx(least, rel=1e-5, abs=1e-1)


@settings(slowly, max_examples=40)
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_links_does_not_matter(problem: AllocationProblem, random: Random) -> None:
    links = list(problem.links)
    random.shuffle(links)
    other = AllocationProblem(tuple(links), problem.demands, problem.relays, problem.max_hops)
    assert allocate(problem).grants == allocate(other).grants


@settings(slowly, max_examples=40)
@given(problems(most_paths=1), st.data())
def test_one_more_link_never_lowers_the_shares_in_order(problem: AllocationProblem, data: st.DataObject) -> None:
    a, b = data.draw(st.lists(st.integers(0, 5), min_size=2, max_size=2, unique=True))
    more = AllocationProblem(
        (*problem.links, LinkCapacity(LinkId("link-more"), (name(a), name(b)), 3e3)),
        problem.demands,
        problem.relays,
        problem.max_hops,
    )
    before, after = allocate(problem), allocate(more)
    for priority in sorted({d.priority for d in problem.demands}, reverse=True):
        rising = [
            sorted(g.share if math.isfinite(g.demand.rate_bps) else g.granted_bps for g in grants)
            for grants in (
                [g for g in allocation.grants if g.demand.priority == priority] for allocation in (before, after)
            )
        ]
        for old, new in zip(*rising, strict=True):
            if new != pytest.approx(old, rel=1e-5, abs=1e-6):
                assert new > old
                return


@settings(slowly, max_examples=60)
@given(problems(), st.data())
def test_a_fast_reroute_keeps_to_the_rules_on_the_links_that_are_left(
    problem: AllocationProblem, data: st.DataObject
) -> None:
    dead = data.draw(st.sampled_from([link.link for link in problem.links]))
    left = AllocationProblem(
        tuple(link for link in problem.links if link.link != dead),
        problem.demands,
        problem.relays,
        problem.max_hops,
    )
    before = allocate(problem)
    moved = fast_reroute(left, before)
    check(left, moved)
    first = max(demand.priority for demand in problem.demands)
    for old, new in zip(before.grants, moved.grants, strict=True):
        if old.demand.priority < first:
            continue
        best = allocate(AllocationProblem(left.links, (old.demand,), left.relays, left.max_hops))
        assert bool(new.ways) >= bool(old.ways and best.grants[0].ways)


@settings(slowly, max_examples=60)
@given(problems(), st.data())
def test_hysteresis_costs_no_more_than_it_may(problem: AllocationProblem, data: st.DataObject) -> None:
    parts = st.sampled_from((0.0, 0.5, 0.97, 1.0, 1.03, 2.0))
    before = allocate(
        replace(
            problem, links=tuple(replace(k, capacity_bps=k.capacity_bps * data.draw(parts)) for k in problem.links)
        )
    )
    steady, fresh = allocate(replace(problem, previous=before)), allocate(problem)
    check(problem, steady)
    for had, fair in zip(steady.grants, fresh.grants, strict=True):
        assert had.granted_bps >= fair.granted_bps * (1 - problem.hysteresis) * (1 - 1e-5) - 1e-2
        assert had.is_met or not fair.is_met
    again = allocate(replace(problem, previous=steady))
    for one, other in zip(steady.grants, again.grants, strict=True):
        assert {way.paths for way in other.ways} <= {way.paths for way in one.ways}
