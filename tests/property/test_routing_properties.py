"""Ways of small random networks against brute force over all simple paths."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, islice, pairwise
from random import Random

import pytest
from brute_routes import both, least_disjoint, networks, path_weight, risks_of, simple_paths
from hypothesis import given, settings
from hypothesis import strategies as st

from poliqi.base.ids import KmeId
from poliqi.control.routing import Limits, Network, Way, key_weight

pair = st.tuples(st.integers(0, 6), st.integers(0, 6))
more = settings(deadline=None, max_examples=150)


def ends(network: Network, data: st.DataObject) -> tuple[KmeId, KmeId]:
    a, b = data.draw(st.lists(st.sampled_from(network.sites), min_size=2, max_size=2, unique=True))
    return a, b


def every_path(network: Network, a: KmeId, b: KmeId, max_hops: int) -> list[tuple[KmeId, ...]]:
    relays = frozenset(network.sites) if network.relays is None else network.relays
    return list(simple_paths(both({edge.ends for edge in network.edges}), a, b, relays, max_hops))


def check(network: Network, way: Way, a: KmeId, b: KmeId, demand_bps: float, max_hops: int) -> None:
    edge = {edge.link: edge for edge in network.edges}
    assert (way.sites[0], way.sites[-1]) == (a, b)
    assert len(set(way.sites)) == len(way.sites) <= max_hops + 1
    assert network.relays is None or set(way.relays) <= network.relays
    for hop, link in zip(pairwise(way.sites), way.links, strict=True):
        assert set(edge[link].ends) == set(hop)
    assert way.weight == pytest.approx(sum(key_weight(edge[link], demand_bps) for link in way.links))


@more
@given(networks(), st.data(), st.sampled_from((0.0, 1e3, 1e5)), st.sampled_from((1, 2, 3, 8)))
def test_the_shortest_way_is_the_lightest_of_all_paths(
    network: Network, data: st.DataObject, demand_bps: float, max_hops: int
) -> None:
    a, b = ends(network, data)
    weights = [path_weight(network, path, demand_bps) for path in every_path(network, a, b, max_hops)]
    way = network.shortest(a, b, demand_bps, Limits(max_hops=max_hops))
    if way is None:
        assert not weights
    else:
        check(network, way, a, b, demand_bps, max_hops)
        assert way.weight == pytest.approx(min(weights))


@more
@given(networks(), st.data())
def test_limits_hold_as_if_sites_and_links_were_not_there(network: Network, data: st.DataObject) -> None:
    a, b = ends(network, data)
    never = data.draw(st.frozensets(st.sampled_from(network.sites)))
    without = data.draw(st.frozensets(st.sampled_from([edge.link for edge in network.edges])))
    relays = frozenset(network.sites) if network.relays is None else network.relays
    left = Network(network.sites, tuple(e for e in network.edges if e.link not in without), relays - never)
    limits = Limits(never_through=never, without=without)
    for mine, theirs in (
        ((network.shortest(a, b, 0.0, limits),), (left.shortest(a, b),)),
        (network.disjoint(a, b, 2, 0.0, limits), left.disjoint(a, b, 2)),
        (tuple(network.ways(a, b, 0.0, limits)), tuple(left.ways(a, b))),
    ):
        assert [way and way.weight for way in mine] == pytest.approx([way and way.weight for way in theirs])
        assert all(not way or (without.isdisjoint(way.links) and never.isdisjoint(way.relays)) for way in mine)


@more
@given(networks(), st.data(), st.integers(2, 3))
def test_disjoint_ways_have_the_least_total_weight(network: Network, data: st.DataObject, count: int) -> None:
    a, b = ends(network, data)
    ways = network.disjoint(a, b, count)
    least = least_disjoint(network, a, b, count, max_hops=8)
    assert (least is None) == (not ways)
    if least is not None:
        for way in ways:
            check(network, way, a, b, 0.0, 8)
        assert all(set(one.relays).isdisjoint(other.relays) for one, other in combinations(ways, 2))
        assert sum(way.weight for way in ways) == pytest.approx(least)


@more
@given(networks(), st.data())
def test_a_spread_is_apart_in_risks_where_any_pair_is(network: Network, data: st.DataObject) -> None:
    ducts = data.draw(st.lists(st.sampled_from(("", "north", "south")), min_size=len(network.edges)))
    edges = tuple(
        replace(edge, groups=frozenset({duct} - {""})) for edge, duct in zip(network.edges, ducts, strict=False)
    )
    network = Network(network.sites, edges, network.relays)
    a, b = ends(network, data)
    spread = network.spread(a, b, 2)
    apart = [
        path_weight(network, one, 0.0) + path_weight(network, other, 0.0)
        for one, other in combinations(every_path(network, a, b, 8), 2)
        if set(one[1:-1]).isdisjoint(other[1:-1]) and risks_of(network, one).isdisjoint(risks_of(network, other))
    ]
    assert (spread is not None and spread.is_risk_disjoint) == bool(apart)
    if spread is not None and spread.is_risk_disjoint:
        first, second = spread.ways
        assert set(first.relays).isdisjoint(second.relays)
        assert network.groups(first).isdisjoint(network.groups(second))
        assert first.weight + second.weight == pytest.approx(min(apart), rel=1e-9)


@more
@given(networks(), st.data(), st.sampled_from((0.0, 1e4)))
def test_all_ways_come_once_and_lightest_first(network: Network, data: st.DataObject, demand_bps: float) -> None:
    a, b = ends(network, data)
    paths = every_path(network, a, b, 4)
    ways = list(network.ways(a, b, demand_bps, Limits(max_hops=4)))
    assert sorted(way.sites for way in ways) == sorted(paths)
    for way, other in pairwise(ways):
        assert way.weight <= other.weight * (1 + 1e-12)
    for way in islice(ways, 5):
        check(network, way, a, b, demand_bps, 4)


@more
@given(networks(), st.data(), st.randoms(use_true_random=False))
def test_answers_depend_on_names_alone(network: Network, data: st.DataObject, random: Random) -> None:
    a, b = ends(network, data)
    sites, edges = list(network.sites), list(network.edges)
    random.shuffle(sites)
    random.shuffle(edges)
    other = Network(tuple(sites), tuple(edges), network.relays)
    assert network.shortest(a, b) == other.shortest(a, b)
    assert network.disjoint(a, b, 2) == other.disjoint(a, b, 2)
    back = network.shortest(b, a)
    assert (back and back.reversed()) == network.shortest(a, b)
