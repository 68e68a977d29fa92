"""What a plan gives: closed forms of rings, failures and who outlives them, pairs, and what is proposed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import pytest

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.candidates import Candidates, Costs, Survives
from poliqi.control.city import City, Demand, QuantumLink, Site, Span, SpanId
from poliqi.control.design import DesignState
from poliqi.control.failures import FailureKind, failures, hardest
from poliqi.control.pairs import pair_forecasts, shortest_widest
from poliqi.control.planner import check_city
from poliqi.control.prediction import LinkForecast
from poliqi.control.proposal import bypasses, candidate_links, propose
from poliqi.optics.parameters import Source

SOURCE = Source(1e9, (0.3, 0.1), (0.5, 0.5), 0.9)


@dataclass
class Rates:
    """Stands in for the predictor: 100 kbit/s at no loss, 10 kbit/s less for each dB, whatever the device."""

    devices: dict[str, object]

    def forecast(self, city: City, link: QuantumLink) -> LinkForecast:
        loss = city.loss_db(link)
        rate = max(0.0, 100e3 - 10e3 * loss)
        return LinkForecast(link, 1.0, loss, rate, rate, 0.01, 0.01, 1.0, 0.0, None, 10.0, SOURCE)


RATES = Rates({"d": None})


def ring(size: int, demands: tuple[Demand, ...] = (), **site: object) -> City:
    """`size` sites, a link of 0 dB on each span of the ring."""
    names = [KmeId(f"r{i}") for i in range(size)]
    pairs = [(names[i], names[(i + 1) % size]) for i in range(size)]
    return City(
        "ring",
        tuple(Site(n, n, 45.0, 9.0 + 0.001 * i, **site) for i, n in enumerate(names)),  # pyright: ignore
        tuple(Span(SpanId(f"s{i}"), p, 5.0, 0.0) for i, p in enumerate(pairs)),
        tuple(QuantumLink(LinkId(f"l{i}"), p, (SpanId(f"s{i}"),), "d") for i, p in enumerate(pairs)),
        demands,
    )


def all_pairs(size: int, rate: float) -> tuple[Demand, ...]:
    return tuple(
        Demand(f"r{i}.r{j}", (KmeId(f"r{i}"), KmeId(f"r{j}")), rate) for i, j in combinations(range(size), 2)
    )


def test_headroom_of_a_ring_of_five_is_its_closed_form() -> None:
    """Whole: 5 neighbours and 5 pairs two hops apart load 15 R on 5 links. Cut: the middle link of the line that is
    left carries 2 x 3 pairs."""
    check = check_city(ring(5, all_pairs(5, 1e3)), RATES, {})
    assert check.headroom == pytest.approx(100e3 / 3e3, rel=1e-4)
    assert [s.headroom_cut for s in check.spans] == pytest.approx([100e3 / 6e3] * 5, rel=1e-4)
    assert check.is_sound


def test_one_decibel_more_on_a_span_costs_its_link_and_what_must_cross_it() -> None:
    one = Demand("d", (KmeId("r0"), KmeId("r1")), 10e3)
    check = check_city(ring(5, (one,)), RATES, {})
    span = next(s for s in check.spans if s.span == "s0")
    assert check.headroom == pytest.approx(20.0, rel=1e-4)  # both ways round
    assert span.headroom_worse == pytest.approx(19.0, rel=1e-4)
    assert span.headroom_cut == pytest.approx(10.0, rel=1e-4)


def test_demands_outlive_what_their_rule_names() -> None:
    demands = (
        Demand("two-ways", (KmeId("r1"), KmeId("r3")), 60e3),
        Demand("guarded", (KmeId("r0"), KmeId("r2")), 1e3, never_through=frozenset({KmeId("r1")})),
        Demand("careless", (KmeId("r0"), KmeId("r2")), 1e3, never_through=frozenset({KmeId("r1")})),
    )
    rules = {"two-ways": Survives.SITE, "guarded": Survives.SPAN, "careless": Survives.NONE}
    found = {d.demand.name: d for d in check_city(ring(4, demands), RATES, rules).demands}
    assert found["two-ways"].survives and not found["two-ways"].hurts
    assert {(str(f), share) for f, share in found["careless"].hurts} == {
        ("span s2", 0.0),
        ("span s3", 0.0),
        ("site r3", 0.0),
    }
    assert not found["guarded"].survives
    assert {str(f) for f in found["guarded"].fails_at} == {"span s2", "span s3"}
    assert found["guarded"].worst_share == 0.0
    assert found["careless"].survives and found["careless"].worst_share == 0.0


def test_the_strictest_limits_of_a_pair_hold_for_all_of_its_demands() -> None:
    """As the controller grants: 150 kbit/s that could take both ways singly need them twice over."""
    ends = (KmeId("r0"), KmeId("r2"))
    demands = (Demand("summed", ends, 1e3, paths=2), Demand("plain", ends, 150e3))
    check = check_city(ring(4, demands), RATES, dict.fromkeys(("summed", "plain"), Survives.NONE))
    assert check.headroom == pytest.approx(100e3 / 151e3, rel=1e-3)
    assert not check.is_sound


def test_a_group_that_holds_both_ways_is_found() -> None:
    city = ring(4, all_pairs(4, 1e3)[:1])
    spans = tuple(replace(s, groups=frozenset({"bridge"})) if s.span in ("s0", "s2") else s for s in city.spans)
    (d,) = check_city(replace(city, spans=spans), RATES, {}).demands
    assert [str(f) for f in d.fails_at] == ["group bridge"]
    assert d.worst is not None and d.worst.kind is FailureKind.GROUP


def test_a_demand_that_is_too_large_is_not_served() -> None:
    (d,) = check_city(ring(3, (Demand("d", (KmeId("r0"), KmeId("r1")), 400e3),)), RATES, {}).demands
    assert not d.is_served
    assert d.share == pytest.approx(0.5, rel=1e-6)


def test_a_site_that_goes_takes_the_light_that_passes_it() -> None:
    city = ring(4, (), switch_loss_db=0.0)
    through = QuantumLink(LinkId("x"), (KmeId("r0"), KmeId("r2")), (SpanId("s0"), SpanId("s1")), "d")
    demand = Demand("d", (KmeId("r0"), KmeId("r2")), 1e3)
    city = replace(city, links=(through,), demands=(demand,))
    (d,) = check_city(city, RATES, {"d": Survives.SITE}).demands
    assert {str(f) for f in d.fails_at} == {"span s0", "span s1", "site r1"}


def test_failures_that_another_contains_need_no_trial() -> None:
    city = ring(4)
    spans = tuple(replace(s, groups=frozenset({"g"})) if s.span in ("s0", "s1") else s for s in city.spans)
    every = failures(replace(city, spans=spans))
    assert len(every) == 4 + 1 + 4
    assert {f.name for f in hardest(every)} == {"s2", "s3", "g", "r0", "r1", "r2", "r3"}
    assert failures(city, Survives.NONE) == ()


def test_pairs_of_a_ring() -> None:
    city = ring(5)
    pairs = pair_forecasts(city, {link.link: 90e3 for link in city.links})
    assert len(pairs) == 10
    assert {p.ways for p in pairs} == {2}
    assert [p.alone_bps for p in pairs] == [90e3] * 10
    assert [p.together_bps for p in pairs] == pytest.approx([30e3] * 10, rel=1e-6)
    assert {p.path for p in pairs if p.ends == (KmeId("r0"), KmeId("r2"))} == {("r0", "r1", "r2")}


def test_shortest_way_passes_only_relays_and_takes_the_widest_of_equals() -> None:
    k = KmeId
    hops = {
        frozenset(p): r for p, r in ((("a", "x"), 9.0), (("x", "b"), 5.0), (("a", "y"), 7.0), (("y", "b"), 6.0))
    }
    rates = {frozenset(map(k, pair)): rate for pair, rate in hops.items()}
    assert shortest_widest(rates, k("a"), k("b"), frozenset({k("x"), k("y")})) == (("a", "y", "b"), 6.0)
    assert shortest_widest(rates, k("a"), k("b"), frozenset({k("x")})) == (("a", "x", "b"), 5.0)
    assert shortest_widest(rates, k("a"), k("b"), frozenset()) == ((), 0.0)


def test_candidates_are_all_ways_of_up_to_three_spans_over_switches() -> None:
    """A ring of six with switches everywhere: 6 of one span, 6 of two, 6 of three; without, only the first."""
    assert len(list(candidate_links(ring(6, (), switch_loss_db=1.0), {"d": None}))) == 18
    assert len(list(candidate_links(ring(6), {"d": None}))) == 6


def test_bypasses_that_give_no_key_are_not_offered() -> None:
    """A switch of 6 dB leaves 40 kbit/s over two spans, none over three (two switches)."""
    found = bypasses(ring(6, (), switch_loss_db=6.0), RATES)
    assert len(found) == 6
    assert [f.key_rate_bps for f in found] == pytest.approx([40e3] * 6)


def test_cheapest_ring_needs_every_fibre_for_a_second_way() -> None:
    """From scratch, two neighbours: their own link (10), and the way round the square: three links and two trusted
    nodes (30 + 10). Nothing else is a way apart."""
    city = ring(4, (Demand("d", (KmeId("r0"), KmeId("r1")), 1e3),))
    found = propose(city, Candidates(), Costs(device={"d": 10.0}, relay=5.0), RATES, {}, is_from_scratch=True)
    assert found.design.state is DesignState.OPTIMAL
    assert (found.design.cost, found.design.gap) == (50.0, 0.0)
    assert len(found.city.links) == 4
    assert {s.kme for s in found.city.sites if s.is_relay} == {"r2", "r3"}
    assert check_city(found.city, RATES, {}).is_sound


def test_a_bypass_is_taken_where_it_is_cheaper_than_trust() -> None:
    """Switches at 1 in place of trusted nodes at 20: the second way passes both sites as light."""
    city = ring(4, (Demand("d", (KmeId("r0"), KmeId("r1")), 1e3),), is_relay=False)
    switches = {KmeId("r2"): 1.0, KmeId("r3"): 1.0}
    costs = Costs(device={"d": 10.0}, relay=20.0, switch=1.0)
    found = propose(replace(city, links=()), Candidates(switches=switches), costs, RATES, {})
    assert found.design.cost == 22.0
    assert found.design.switches == {"r2", "r3"}
    (light,) = [link for link in found.city.links if link.is_bypass]
    assert len(light.spans) == 3
    assert check_city(found.city, RATES, {}).is_sound


def test_new_fibres_are_paid_and_the_city_grows_by_them() -> None:
    city = ring(3, (Demand("d", (KmeId("r0"), KmeId("n")), 1e3),))
    sites = (*city.sites, Site(KmeId("n"), "N", 45.01, 9.0))
    new = [Span(SpanId(f"n{i}"), (KmeId(f"r{i}"), KmeId("n")), 2.0 + i, 0.0) for i in range(3)]
    costs = Costs(span=1.0, span_km=1.0, device={"d": 10.0})
    found = propose(replace(city, sites=sites), Candidates(spans=tuple(new)), costs, RATES, {})
    assert found.design.spans == {"n0", "n1"}
    assert found.design.cost == (1 + 2 + 10) + (1 + 3 + 10)
    assert {s.span for s in found.city.spans} == {"s0", "s1", "s2", "n0", "n1"}
    assert found.city.version == city.version + 1


def test_what_no_candidate_can_serve_is_named() -> None:
    city = ring(3, (Demand("d", (KmeId("r0"), KmeId("n")), 1e3),))
    found = propose(
        replace(city, sites=(*city.sites, Site(KmeId("n"), "N", 45.01, 9.0))), Candidates(), Costs(), RATES, {}
    )
    assert found.design.state is DesignState.IMPOSSIBLE
    assert {(s.demand, s.share) for s in found.design.short} == {("d", 0.0)}
