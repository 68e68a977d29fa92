"""Ways through a city: weights, traps, risks, limits."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.routing import Edge, Limits, Network, key_weight

RING = ("leonardo", "bovisa", "barbara", "intesa", "aria")


def edge(a: str, b: str, rate_bps: float = 1e4, **more: object) -> Edge:
    return Edge(LinkId(f"{a}-{b}"), (KmeId(a), KmeId(b)), rate_bps, **more)  # pyright: ignore[reportArgumentType]


def network(*edges: Edge, relays: set[str] | None = None) -> Network:
    sites = tuple({end for one in edges for end in one.ends})
    return Network(sites, edges, None if relays is None else frozenset(map(KmeId, relays)))


def ring(**of_first: object) -> Network:
    first = edge(RING[0], RING[1], **of_first)  # pyright: ignore[reportArgumentType]
    return network(first, *(edge(RING[i], RING[(i + 1) % 5]) for i in range(1, 5)))


def sites(text: str) -> tuple[KmeId, ...]:
    return tuple(map(KmeId, text.split()))


def test_a_ring_is_gone_round_the_shorter_way() -> None:
    way = ring().shortest(KmeId("leonardo"), KmeId("barbara"))
    assert way is not None
    assert way.sites == sites("leonardo bovisa barbara")
    assert way.links == ("leonardo-bovisa", "bovisa-barbara")
    assert way.weight == 2.0


def test_a_low_stock_sends_key_the_other_way_round() -> None:
    way = ring(stock_bits=1e3, low_water_bits=1e5).shortest(KmeId("leonardo"), KmeId("barbara"))
    assert way is not None
    assert way.sites == sites("leonardo aria intesa barbara")


def test_a_demand_avoids_a_link_that_is_too_slow_for_it() -> None:
    slow = ring(rate_bps=100.0)
    a, b = KmeId("leonardo"), KmeId("bovisa")
    small, large = slow.shortest(a, b, 10.0), slow.shortest(a, b, 1e4)
    assert small is not None
    assert large is not None
    assert len(small.links) == 1
    assert len(large.links) == 4


@pytest.mark.parametrize(
    ("rate_bps", "stock_bits", "low_water_bits", "demand_bps", "weight"),
    [
        (1e3, math.inf, 0.0, 0.0, 1.0),
        (1e3, math.inf, 1e6, 500.0, 1.5),
        (1e3, 5e5, 1e6, 0.0, 3.0),
        (1e3, 0.0, 1e6, 250.0, 5.25),
        (1e3, 2e6, 1e6, 1e9, 9.0),
        (0.0, 2e6, 1e6, 1.0, 9.0),
    ],
)
def test_weight_is_hop_and_load_and_lack_of_stock(
    rate_bps: float, stock_bits: float, low_water_bits: float, demand_bps: float, weight: float
) -> None:
    one = edge("a", "b", rate_bps, stock_bits=stock_bits, low_water_bits=low_water_bits)
    assert key_weight(one, demand_bps) == pytest.approx(weight)


def test_a_pair_is_found_where_the_shortest_way_blocks_all_pairs() -> None:
    trap = network(
        edge("s", "a", weight=1.0),
        edge("a", "b", weight=1.0),
        edge("b", "t", weight=1.0),
        edge("s", "b", weight=3.0),
        edge("a", "t", weight=3.0),
    )
    shortest = trap.shortest(KmeId("s"), KmeId("t"))
    assert shortest is not None
    assert shortest.sites == sites("s a b t")
    pair = trap.disjoint(KmeId("s"), KmeId("t"), 2)
    assert [way.sites for way in pair] == [sites("s a t"), sites("s b t")]
    assert trap.disjoint(KmeId("s"), KmeId("t"), 3) == ()


def test_a_trap_of_sites_in_common_is_left_too() -> None:
    """The lightest way passes the middle of both ways of the only pair (Bhandari's interlacing, at nodes)."""
    trap = network(
        *(edge(a, b, weight=1.0) for a, b in ("sa", "ab", "bc", "ct")),
        *(edge(a, b, weight=4.0) for a, b in ("sb", "ac", "bt")),
    )
    pair = trap.disjoint(KmeId("s"), KmeId("t"), 2)
    assert {way.sites for way in pair} == {sites("s a c t"), sites("s b t")}


def test_a_site_that_may_not_relay_may_be_an_end() -> None:
    line = network(edge("a", "b"), edge("b", "c"), relays={"c"})
    assert line.shortest(KmeId("a"), KmeId("b")) is not None
    assert line.shortest(KmeId("a"), KmeId("c")) is None


def test_hops_are_limited_to_what_a_relay_may_carry() -> None:
    names = [f"n{i}" for i in range(10)]
    line = network(*(edge(a, b) for a, b in pairwise(names)))
    assert line.shortest(KmeId("n0"), KmeId("n8")) is not None
    assert line.shortest(KmeId("n0"), KmeId("n9")) is None


def test_a_short_heavy_way_is_taken_where_the_light_one_has_too_many_hops() -> None:
    names = [f"n{i}" for i in range(10)]
    line = [edge(a, b, weight=0.1) for a, b in pairwise(names)]
    way = network(*line, edge("n0", "n8", weight=5.0)).shortest(KmeId("n0"), KmeId("n9"))
    assert way is not None
    assert way.sites == sites("n0 n8 n9")


def test_ways_without_a_common_duct_are_found_and_said_to_be_such() -> None:
    duct = frozenset({"bridge"})
    city = network(
        edge("s", "a", groups=duct),
        edge("a", "t"),
        edge("s", "b", groups=duct),
        edge("b", "t"),
        edge("s", "c", weight=2.0),
        edge("c", "t", weight=2.0),
    )
    assert {way.sites[1] for way in city.disjoint(KmeId("s"), KmeId("t"), 2)} == {"a", "b"}
    spread = city.spread(KmeId("s"), KmeId("t"), 2)
    assert spread is not None
    assert spread.is_risk_disjoint
    assert [way.sites for way in spread.ways] == [sites("s a t"), sites("s c t")]


def test_ways_that_cannot_but_share_a_duct_say_so() -> None:
    duct = frozenset({"bridge"})
    city = network(edge("s", "a", groups=duct), edge("a", "t"), edge("s", "b", groups=duct), edge("b", "t"))
    spread = city.spread(KmeId("s"), KmeId("t"), 2)
    assert spread is not None
    assert not spread.is_risk_disjoint
    assert city.spread(KmeId("s"), KmeId("t"), 3) is None


def test_of_parallel_links_the_lighter_is_taken_and_the_other_when_it_is_avoided() -> None:
    a, b = KmeId("a"), KmeId("b")
    both = Network(
        (a, b), (Edge(LinkId("one"), (a, b), 1e3, weight=1.0), Edge(LinkId("two"), (b, a), 1e3, weight=2.0))
    )
    first = both.shortest(a, b)
    second = both.shortest(a, b, limits=Limits(without=frozenset({LinkId("one")})))
    assert first is not None
    assert second is not None
    assert (first.links, second.links) == (("one",), ("two",))


@pytest.mark.parametrize(("a", "b"), [("leonardo", "leonardo"), ("leonardo", "roma")])
def test_a_question_about_no_pair_is_refused(a: str, b: str) -> None:
    with pytest.raises(ValueError, match="two different sites"):
        ring().shortest(KmeId(a), KmeId(b))


def test_a_link_to_a_site_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="not both sites"):
        Network((KmeId("a"),), (edge("a", "b"),))


@pytest.mark.parametrize("rate_bps", [-1.0, math.nan])
def test_a_link_with_an_impossible_rate_is_refused(rate_bps: float) -> None:
    with pytest.raises(ValueError, match="no edge"):
        edge("a", "b", rate_bps)
