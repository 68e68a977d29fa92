"""Allocations whose answers are known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.allocation import (
    Allocation,
    AllocationProblem,
    LinkCapacity,
    all_to_all,
    allocate,
    fast_reroute,
)
from poliqi.control.city import Demand

RING = tuple(map(KmeId, ("leonardo", "bovisa", "barbara", "intesa", "aria")))


def link(a: str, b: str, capacity_bps: float = 1000.0, name: str = "") -> LinkCapacity:
    return LinkCapacity(LinkId(name or f"{a}-{b}"), (KmeId(a), KmeId(b)), capacity_bps)


def demand(a: str, b: str, rate_bps: float = math.inf, **more: object) -> Demand:
    return Demand(f"{a}.{b}", (KmeId(a), KmeId(b)), rate_bps, **more)  # pyright: ignore[reportArgumentType]


def problem(links: list[LinkCapacity], *demands: Demand, relays: set[str] | None = None) -> AllocationProblem:
    sites = {end for one in links for end in one.ends}
    return AllocationProblem(
        tuple(links), demands, frozenset(sites) if relays is None else frozenset(map(KmeId, relays))
    )


def ring(*demands: Demand, without: str = "") -> AllocationProblem:
    links = [link(RING[i], RING[(i + 1) % 5]) for i in range(5)]
    return problem([one for one in links if one.link != without], *demands)


def rates(allocation: Allocation) -> list[float]:
    return [grant.granted_bps for grant in allocation.grants]


def sites(text: str) -> tuple[KmeId, ...]:
    return tuple(map(KmeId, text.split()))


def paths(allocation: Allocation, name: str) -> set[tuple[tuple[KmeId, ...], ...]]:
    return {way.paths for way in allocation.grant[name].ways}


def test_a_demand_that_fits_is_met_over_the_link_between_its_ends() -> None:
    granted = allocate(ring(demand("leonardo", "bovisa", 400.0)))
    (grant,) = granted.grants
    assert grant.is_met
    assert grant.share == pytest.approx(1.0)
    assert [way.is_direct for way in grant.ways] == [True]
    assert granted.used_bps == pytest.approx(dict.fromkeys(granted.used_bps, 0.0) | {"leonardo-bovisa": 400.0})


def test_a_demand_greater_than_its_link_goes_round_the_ring_too() -> None:
    granted = allocate(ring(demand("leonardo", "bovisa", 1500.0)))
    assert rates(granted) == pytest.approx([1500.0])
    assert granted.spent_bps == pytest.approx(1000.0 + 4 * 500.0)


def test_every_hop_of_a_relayed_way_gives_each_bit() -> None:
    granted = allocate(problem([link("a", "b", 500.0), link("b", "c", 300.0)], demand("a", "c")))
    assert rates(granted) == pytest.approx([300.0])
    assert granted.used_bps == pytest.approx({"a-b": 300.0, "b-c": 300.0})


def test_all_pairs_of_a_ring_get_a_third_of_a_link() -> None:
    """Five pairs take one hop, five take two: 15 rates on 5 links."""
    granted = allocate(replace(ring(), demands=all_to_all(RING)))
    assert rates(granted) == pytest.approx([1000.0 / 3.0] * 10)
    assert list(granted.used_bps.values()) == pytest.approx([1000.0] * 5)


def test_what_a_bottleneck_leaves_to_others_is_theirs() -> None:
    """Two share the first link, the third takes the rest of the second."""
    line = [link("a", "b", 300.0), link("b", "c", 1000.0)]
    granted = allocate(problem(line, demand("a", "b"), demand("a", "c"), demand("b", "c")))
    assert rates(granted) == pytest.approx([150.0, 150.0, 850.0])


def test_shares_of_what_was_asked_are_equal_not_rates() -> None:
    granted = allocate(
        problem([link("a", "b", 300.0), link("b", "c")], demand("a", "b", 200.0), demand("a", "c", 400.0))
    )
    assert rates(granted) == pytest.approx([100.0, 200.0])


def test_emergency_traffic_comes_first_and_the_rest_share_what_is_left() -> None:
    granted = allocate(
        problem(
            [link("a", "b", 1000.0), link("b", "c", 1000.0)],
            demand("a", "c", 700.0, priority=7),
            demand("a", "b", 500.0, priority=3),
            demand("b", "c", 100.0, priority=0),
        )
    )
    assert rates(granted) == pytest.approx([700.0, 300.0, 100.0])


def test_a_higher_priority_gives_way_on_a_link_where_another_way_serves_it_as_well() -> None:
    """Priority 7 could take the direct link of priority 3, whose only way that is."""
    links = [link("a", "b"), link("b", "c"), link("a", "c"), link("a", "d")]
    granted = allocate(
        problem(links, demand("a", "b", 1000.0, priority=7), demand("c", "b", 1000.0, priority=3), relays={"a"})
    )
    assert rates(granted) == pytest.approx([1000.0, 1000.0])


def test_a_sum_over_two_paths_takes_its_rate_from_both() -> None:
    square = [link("a", "b"), link("b", "c", 600.0), link("c", "d"), link("d", "a")]
    granted = allocate(problem(square, demand("a", "c", paths=2)))
    assert rates(granted) == pytest.approx([600.0])
    assert granted.used_bps == pytest.approx(dict.fromkeys(granted.used_bps, 600.0))
    (way,) = granted.grants[0].ways
    assert set(way.paths) == {sites("a b c"), sites("a d c")}
    assert way.hops == 4


def test_a_sum_over_two_paths_needs_them_to_share_no_site() -> None:
    granted = allocate(problem([link("a", "b"), link("b", "c")], demand("a", "c", paths=2)))
    assert granted.grants[0].ways == ()
    assert rates(granted) == [0.0]


def test_a_link_between_the_ends_serves_a_sum_alone_for_nobody_else_knows_its_key() -> None:
    granted = allocate(ring(demand("leonardo", "bovisa", 700.0, paths=2)))
    assert paths(granted, "leonardo.bovisa") == {(sites("leonardo bovisa"),)}


def test_forbidden_sites_are_not_passed() -> None:
    granted = allocate(ring(demand("leonardo", "barbara", 900.0, never_through=frozenset({KmeId("bovisa")}))))
    assert paths(granted, "leonardo.barbara") == {(sites("leonardo aria intesa barbara"),)}


def test_parallel_links_add_up_and_are_used_alike() -> None:
    granted = allocate(problem([link("a", "b", 300.0, "one"), link("b", "a", 100.0, "two")], demand("a", "b")))
    assert granted.used_bps == pytest.approx({"one": 300.0, "two": 100.0})


def test_infinite_rates_go_on_when_finite_ones_are_met() -> None:
    granted = allocate(
        problem([link("a", "b", 1000.0)], demand("a", "b", 100.0), Demand("x", sites("a b"), math.inf))
    )  # pyright: ignore[reportArgumentType]
    assert rates(granted) == pytest.approx([100.0, 900.0])


@pytest.mark.parametrize("links", [[], [("c", "d", 1000.0)], [("a", "b", 0.0)]])
def test_without_a_way_nothing_is_granted(links: list[tuple[str, str, float]]) -> None:
    granted = allocate(problem([link(*one) for one in links], demand("a", "b", 10.0), demand("a", "c", 0.0)))
    assert [grant.ways for grant in granted.grants] == [(), ()]
    assert [grant.is_met for grant in granted.grants] == [False, True]


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e9])
def test_the_unit_of_rates_does_not_matter(unit: float) -> None:
    links = [link("a", "b", 300.0 * unit), link("b", "c", 1000.0 * unit)]
    granted = allocate(problem(links, demand("a", "b", 200.0 * unit), demand("a", "c", 400.0 * unit)))
    assert rates(granted) == pytest.approx([100.0 * unit, 200.0 * unit])


def test_a_small_demand_beside_a_large_one_is_met() -> None:
    granted = allocate(problem([link("a", "b", 1e8)], demand("a", "b", 1.0), Demand("x", sites("a b"), 9e7)))  # pyright: ignore[reportArgumentType]
    assert [grant.is_met for grant in granted.grants] == [True, True]


def test_an_allocation_says_what_it_took() -> None:
    effort = allocate(replace(ring(), demands=all_to_all(RING))).effort
    assert effort.rounds >= 1
    assert effort.columns >= 10
    assert 0.0 < effort.gap < 1e-5


def test_equal_ways_are_kept_and_a_broken_one_is_left() -> None:
    square = [link("a", "b"), link("b", "c"), link("c", "d"), link("d", "a")]
    asked = demand("a", "c", 100.0)
    for lost, other in (("a-b", "a d c"), ("d-a", "a b c")):
        broken = allocate(problem([one for one in square if one.link != lost], asked))
        assert paths(broken, "a.c") == {(sites(other),)}
        again = allocate(replace(problem(square, asked), previous=broken))
        assert paths(again, "a.c") == {(sites(other),)}


def test_a_detour_ends_when_the_short_way_is_back() -> None:
    asked = demand("leonardo", "bovisa", 100.0)
    detour = allocate(ring(asked, without="leonardo-bovisa"))
    assert detour.grants[0].ways[0].hops == 4
    assert allocate(replace(ring(asked), previous=detour)).grants[0].ways[0].hops == 1


def test_a_loss_within_the_hysteresis_moves_nothing_and_a_greater_one_does() -> None:
    square = [link("a", "b"), link("b", "c", 2000.0), link("c", "d", 5000.0), link("d", "a", 5000.0)]
    asked = demand("a", "b", 1200.0)
    before = replace(allocate(problem(square[:1], asked)), grants=allocate(problem(square[:1], asked)).grants)
    for capacity_bps, moved in ((1000.0, True), (1199.0, True)):
        links = [link("a", "b", capacity_bps), *square[1:]]
        now = allocate(replace(problem(links, asked), previous=before))
        assert now.grants[0].is_met
        assert (len(now.grants[0].ways) > 1) == moved
    unlimited = replace(asked, rate_bps=1e6)
    for room_bps, moved in ((40.0, False), (200.0, True)):
        links = [link("a", "b"), link("b", "c", room_bps), *square[2:]]
        now = allocate(replace(problem(links, unlimited), previous=before))
        assert (len(now.grants[0].ways) > 1) == moved


def test_a_broken_way_moves_at_once_and_the_others_stay() -> None:
    whole = ring(demand("leonardo", "barbara", 300.0), demand("leonardo", "intesa", 200.0))
    before = allocate(whole)
    moved = fast_reroute(ring(*whole.demands, without="leonardo-bovisa"), before)
    assert paths(moved, "leonardo.barbara") == {(sites("leonardo aria intesa barbara"),)}
    assert moved.grants[1] == before.grants[1]
    assert rates(moved) == pytest.approx([300.0, 200.0])


def test_what_no_longer_fits_is_cut_from_the_lowest_priority() -> None:
    whole = ring(demand("leonardo", "bovisa", 900.0, priority=7), demand("leonardo", "aria", 900.0))
    moved = fast_reroute(ring(*whole.demands, without="leonardo-bovisa"), allocate(whole))
    assert rates(moved) == pytest.approx([900.0, 100.0])


def test_a_cut_city_keeps_what_it_can() -> None:
    asked = (demand("a", "c", 100.0), demand("a", "b", 100.0))
    whole = problem([link("a", "b"), link("b", "c")], *asked)
    moved = fast_reroute(problem([link("a", "b")], *asked), allocate(whole))
    assert rates(moved) == pytest.approx([0.0, 100.0])


def test_a_new_demand_gets_a_way_at_once() -> None:
    moved = fast_reroute(ring(demand("leonardo", "barbara", 300.0)), allocate(ring()))
    assert rates(moved) == pytest.approx([300.0])


@pytest.mark.parametrize(
    ("links", "demands", "words"),
    [
        ([link("a", "b"), link("b", "a", name="a-b")], [], "one name"),
        ([], [demand("a", "b"), demand("a", "b")], "one name"),
        ([], [demand("a", "a")], "not what can be granted"),
        ([], [demand("a", "b", math.nan)], "not what can be granted"),
        ([], [demand("a", "b", paths=0)], "not what can be granted"),
    ],
)
def test_a_problem_that_is_none_is_refused(links: list[LinkCapacity], demands: list[Demand], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        problem(links, *demands)


@pytest.mark.parametrize("capacity_bps", [-1.0, math.nan, math.inf])
def test_an_impossible_capacity_is_refused(capacity_bps: float) -> None:
    with pytest.raises(ValueError, match="no capacity"):
        link("a", "b", capacity_bps)
