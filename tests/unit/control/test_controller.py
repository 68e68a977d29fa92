"""The controller of a city: routes for every pair, what it does when things break, whom it believes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from control_rig import RING, WALL_NS, LinkNow, Rig, demand, make_city, started

from poliqi.base.errors import ConfigError, ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import Site
from poliqi.control.controller import Controller
from poliqi.control.events import CityEventKind, event_line
from poliqi.control.messages import (
    Applied,
    Hello,
    LightState,
    LinkReport,
    Notice,
    PoolReport,
    Report,
    Table,
    Welcome,
    decode,
    encode,
)

_K = CityEventKind
BANK = demand("bank", "intesa", "leonardo", 500.0, 5)


def hops(path: tuple[str, ...]) -> set[str]:
    return {"-".join(sorted(hop)) for hop in pairwise(path)}


def ring_links(city_links: object) -> set[str]:
    return {"-".join(sorted(link.ends)) for link in city_links}  # type: ignore[attr-defined]


# -------------------------------------------------------------------- routes


def test_every_pair_without_a_link_is_given_a_way_at_both_ends() -> None:
    rig = started(make_city())
    links = ring_links(rig.city.links)
    for a, b in rig.pairs():
        if f"{a}-{b}" in links:
            continue
        for one, other in ((a, b), (b, a)):
            paths = rig.paths(one, other)
            assert paths, f"{one} has no way to {other}"
            for path in paths:
                assert (path[0], path[-1]) == (one, other)
                assert hops(path) <= links


def test_a_pair_whose_link_serves_fills_no_relayed_stock() -> None:
    rig = started(make_city())
    assert rig.paths("aria", "bovisa") == []


def test_a_cut_moves_routes_at_once_before_any_answer_of_the_solver() -> None:
    rig = started(make_city(demands=(BANK,)))
    before = [p for p in (rig.paths("intesa", "leonardo"), rig.paths("leonardo", "intesa")) if p]
    assert before == []
    rig.set_link("intesa-leonardo", state=LightState.DARK)
    rig.now += 0.05
    rig.tick()
    for site in rig.sites.values():
        for _ in range(len(site.to_controller)):
            rig.deliver_to_controller(site.name)
    rig.controller_out()
    for site in rig.sites.values():
        for _ in range(len(site.to_agent)):
            rig.deliver_to_agent(site.name)
    (path,) = rig.paths("intesa", "leonardo")
    assert path == ("intesa", "bovisa", "aria", "santabarbara", "leonardo")
    assert _K.LINK_DARK in rig.kinds()
    moved = [e for e in rig.told(_K.REROUTED) if (e.site, e.values["other"]) == ("intesa", "leonardo")]
    assert moved[0].values["path"] == "intesa > bovisa > aria > santabarbara > leonardo"


def test_an_answer_that_comes_after_a_cut_keeps_what_was_granted_over_ways_that_are_left() -> None:
    rig = started(make_city(demands=(demand("desk", "aria", "intesa", 400.0, 5),)))
    before = rig.controller._router.allocation  # the answer to a question from before the cut
    assert before.grant["desk"].ways[0].paths == (("aria", "bovisa", "intesa"),)
    rig.set_link("aria-bovisa", state=LightState.DARK)
    rig.now += 0.1
    rig.tick()
    for _ in range(2):
        rig.deliver_to_controller("aria")
    rig.controller.planned(before, rig.now)
    (desk,) = rig.controller.view(rig.now).demands
    assert [route.paths for route in desk.routes] == [(("aria", "santabarbara", "leonardo", "intesa"),)]
    assert desk.routes[0].rate_bps >= 400.0 * (1.0 - 1e-6)


def test_after_a_cut_no_route_leads_over_the_dark_link() -> None:
    rig = started(make_city(demands=(BANK,)))
    rig.set_link("aria-bovisa", state=LightState.DARK)
    rig.run(1.0)
    for a, b in rig.pairs():
        for path in rig.paths(a, b) + rig.paths(b, a):
            assert "aria-bovisa" not in hops(path)


def test_a_link_that_comes_back_is_used_again() -> None:
    rig = started(make_city(demands=(BANK,)))
    rig.set_link("intesa-leonardo", state=LightState.DARK)
    rig.run(2.0)
    assert rig.paths("intesa", "leonardo")
    rig.set_link("intesa-leonardo", state=LightState.LIT)
    rig.run(5.0)
    assert rig.paths("intesa", "leonardo") == []
    assert rig.kinds().count(_K.LINK_LIT) == len(rig.city.links) + 1


def test_a_flapping_link_is_taken_back_later_each_time() -> None:
    rig = started(make_city())
    gone: list[float] = []
    for _ in range(5):
        rig.set_link("aria-bovisa", state=LightState.DARK)
        rig.run(0.5, 0.25)
        rig.set_link("aria-bovisa", state=LightState.LIT)
        cut_at = rig.now
        before = rig.kinds().count(_K.LINK_LIT)
        while rig.kinds().count(_K.LINK_LIT) == before:
            rig.run(0.25, 0.25)
        gone.append(rig.now - cut_at)
    assert all(later >= 1.5 * sooner for sooner, later in pairwise(gone))


def test_keyless_light_is_not_routed_over_and_says_why() -> None:
    rig = started(make_city())
    rig.set_link("aria-bovisa", state=LightState.KEYLESS, qber_key=0.14, reason="the error rate is too high")
    rig.run(1.0)
    (event,) = rig.told(_K.LINK_KEYLESS)
    assert (event.values["what"], event.values["why"]) == ("the error rate is too high", "qber")
    assert all("aria-bovisa" not in hops(p) for a, b in rig.pairs() for p in rig.paths(a, b))


def test_a_site_that_may_not_relay_is_never_passed() -> None:
    rig = started(make_city(no_relay=frozenset({"bovisa"})))
    assert rig.paths("aria", "intesa") == [("aria", "santabarbara", "leonardo", "intesa")]


def test_no_route_leads_through_a_site_that_an_end_never_lets_its_key_pass() -> None:
    rig = started(make_city(), {"intesa": frozenset({KmeId("bovisa")})})
    assert rig.paths("aria", "intesa") == [("aria", "santabarbara", "leonardo", "intesa")]
    assert rig.paths("intesa", "aria") == [("intesa", "leonardo", "santabarbara", "aria")]
    assert rig.told(_K.SITE_REFUSED) == []


def test_key_over_two_paths_is_summed_over_ways_that_share_no_site() -> None:
    rig = started(make_city(demands=(demand("split", "aria", "intesa", 100.0, paths=2),)))
    paths = rig.paths("aria", "intesa")
    assert sorted(paths) == [("aria", "bovisa", "intesa"), ("aria", "santabarbara", "leonardo", "intesa")]


def test_key_that_needs_two_paths_has_no_route_where_one_is_left() -> None:
    rig = started(make_city(demands=(demand("split", "aria", "intesa", 100.0, paths=2),)))
    rig.set_link("aria-bovisa", state=LightState.DARK)
    rig.run(1.0)
    assert rig.paths("aria", "intesa") == []
    assert [(e.site, e.values["other"]) for e in rig.told(_K.NO_ROUTE)] == [("aria", "intesa")]


def test_emergency_traffic_is_granted_before_all_other() -> None:
    """One link of 2,000 bit/s, of which its stock keeps nothing back: 1,500 go first to priority 7."""
    emergency, other = demand("army", "aria", "bovisa", 1500.0, 7), demand("bulk", "aria", "bovisa", 1500.0, 3)
    rig = started(make_city(("aria", "bovisa"), [("aria", "bovisa")], (other, emergency)))
    granted = {d.name: d.granted_bps for d in rig.controller.view(rig.now).demands}
    assert granted["army"] == pytest.approx(1500.0, rel=1e-3)
    assert granted["bulk"] == pytest.approx(500.0, rel=1e-3)


def test_a_demand_that_stays_short_is_told_and_told_again_when_it_is_met() -> None:
    rig = started(make_city(demands=(BANK,)))
    rig.link[LinkId("intesa-leonardo")].key_rate_bps = 10.0
    for name in ("aria-bovisa", "bovisa-intesa"):
        rig.set_link(name, state=LightState.DARK)
    rig.run(16.0)
    (event,) = rig.told(_K.DEMAND_SHORT)
    assert event.demand == "bank"
    rig.link[LinkId("intesa-leonardo")].key_rate_bps = 2000.0
    rig.run(12.0)
    assert [e.demand for e in rig.told(_K.DEMAND_MET)] == ["bank"]


def test_what_applications_take_beyond_every_demand_is_asked_for() -> None:
    rig = started(make_city())
    rig.sites[KmeId("aria")].free_bits["aria.intesa"] = 1 << 20
    for _ in range(90):
        taken = rig.sites[KmeId("aria")].taken_bits
        taken["aria.intesa"] = taken.get("aria.intesa", 0) + 400
        rig.run(1.0, 1.0)
    demands = {grant.demand.name: grant.demand for grant in rig.controller._router.allocation.grants}
    assert demands["aria.intesa"].priority == 2
    assert 400.0 <= demands["aria.intesa"].rate_bps <= 1.25 * 1.25 * 1.25 * 400.0


def test_rates_that_waver_send_nobody_a_new_table() -> None:
    rig = started(make_city(demands=(BANK,)))
    tables = {s.kme: s.table for s in rig.controller.view(rig.now).sites}
    for step in range(60):
        for link in rig.link.values():
            link.key_rate_bps = 2000.0 * (1.0 + 0.04 * (-1) ** step)
        rig.run(1.0, 1.0)
    assert {s.kme: s.table for s in rig.controller.view(rig.now).sites} == tables


def test_a_link_whose_rate_falls_for_good_is_planned_with_anew() -> None:
    rig = started(make_city(demands=(BANK,)))
    rig.link[LinkId("intesa-leonardo")].key_rate_bps = 100.0
    rig.run(15.0)
    assert rig.paths("intesa", "leonardo")


# -------------------------------------------------------------------- drains, joins, leaves


def test_nothing_leads_through_a_site_that_is_drained_and_its_own_key_still_flows() -> None:
    rig = started(make_city())
    rig.controller.drain(KmeId("bovisa"), True, rig.now)
    rig.settle()
    assert rig.paths("aria", "intesa") == [("aria", "santabarbara", "leonardo", "intesa")]
    assert rig.paths("bovisa", "leonardo")
    rig.controller.drain(KmeId("bovisa"), False, rig.now)
    rig.run(3.0)
    assert rig.kinds().count(_K.SITE_DRAINING) == rig.kinds().count(_K.SITE_BACK) == 1


def test_routes_leave_a_drained_site_at_once_before_any_answer_of_the_solver() -> None:
    rig = started(make_city())
    rig.controller.drain(KmeId("bovisa"), True, rig.now)
    rig.controller_out()
    rig.deliver_to_agent("aria")
    assert rig.paths("aria", "intesa") == [("aria", "santabarbara", "leonardo", "intesa")]


def test_a_site_that_drains_itself_is_passed_no_more() -> None:
    rig = started(make_city())
    rig.sites[KmeId("bovisa")].is_draining = True
    rig.run(2.0)
    assert rig.paths("aria", "intesa") == [("aria", "santabarbara", "leonardo", "intesa")]
    assert [e.site for e in rig.told(_K.SITE_DRAINING)] == ["bovisa"]


def test_a_drain_outlives_the_controller() -> None:
    rig = started(make_city())
    rig.controller.drain(KmeId("bovisa"), True, rig.now)
    rig.settle()
    rig.start_controller()
    assert [s.kme for s in rig.controller.view(rig.now).sites if s.is_draining] == ["bovisa"]


def test_a_sixth_site_joins_the_running_city() -> None:
    rig = started(make_city())
    old = rig.city
    new_site = Site(KmeId("navigli"), "navigli", 45.4, 9.2)
    wide = make_city((*RING, "navigli"), [*(link.ends for link in old.links), ("intesa", "navigli")])
    rig.city = replace(wide, version=old.version)
    assert new_site.kme in rig.city.site
    rig.link[LinkId("intesa-navigli")] = LinkNow()
    rig.controller.change(rig.city, rig.now)
    for site in list(rig.sites.values()):
        site.rule = replace(site.rule, pools={**site.rule.pools, LinkId(f"{site.name}.navigli"): KmeId("navigli")})
        if site.name > "navigli":
            site.rule = replace(
                site.rule,
                pools={
                    **{p: s for p, s in site.rule.pools.items() if s != "navigli"},
                    LinkId(f"navigli.{site.name}"): KmeId("navigli"),
                },
            )
        site.agent.obey(site.rule, rig.now)
    rig.add_site(KmeId("navigli"))
    rig.connect("navigli")
    rig.run(3.0)
    assert rig.paths("navigli", "aria") == [("navigli", "intesa", "bovisa", "aria")]
    assert rig.paths("leonardo", "navigli") == [("leonardo", "intesa", "navigli")]
    (event,) = [e for e in rig.told(_K.CITY_CHANGED) if "navigli" in str(e.values["change"])]
    assert event.values["change"] == "sites +navigli; spans +s-intesa-navigli; links +intesa-navigli"
    assert rig.controller.city.version == 2


def test_a_site_that_leaves_is_gone_from_view_and_routes() -> None:
    rig = started(make_city())
    names = [n for n in RING if n != "leonardo"]
    kept = [link.ends for link in rig.city.links if "leonardo" not in link.ends]
    rig.kill("leonardo")
    del rig.sites[KmeId("leonardo")]
    rig.city = make_city(names, [(a, b) for a, b in kept])
    rig.controller.change(rig.city, rig.now)
    rig.run(2.0)
    view = rig.controller.view(rig.now)
    assert "leonardo" not in {s.kme for s in view.sites} | {e for p in view.pools for e in p.ends}
    with pytest.raises(ProtocolError, match="no site of milan"):
        rig.controller.received(KmeId("leonardo"), 99, b"{}", rig.now, rig.wall_ns())


def test_a_plan_that_says_the_same_changes_nothing() -> None:
    rig = started(make_city(demands=(BANK,)))
    lines = len(rig.log)
    rig.controller.change(make_city(demands=(BANK,)), rig.now)
    rig.settle()
    assert len(rig.log) == lines
    assert rig.controller.city.version == 1


def test_another_city_is_no_change_of_this_one() -> None:
    rig = started(make_city())
    with pytest.raises(ValueError, match="another city"):
        rig.controller.change(replace(make_city(), name="turin"), rig.now)
    with pytest.raises(ValueError, match="no site"):
        rig.controller.drain(KmeId("turin"), True, rig.now)


# -------------------------------------------------------------------- sites and streams that are lost


def test_a_site_that_dies_is_lost_at_once_where_its_neighbours_miss_it() -> None:
    rig = started(make_city())
    rig.kill("bovisa")
    rig.now += 0.1
    rig.tick()
    rig.settle()
    assert [e.site for e in rig.told(_K.SITE_LOST)] == ["bovisa"]
    assert rig.paths("aria", "intesa") == [("aria", "santabarbara", "leonardo", "intesa")]


def test_a_site_whose_stream_alone_broke_is_not_lost_within_a_second() -> None:
    rig = started(make_city())
    rig.cut_stream("bovisa")
    rig.run(0.5, 0.25)
    rig.connect("bovisa")
    rig.settle()
    rig.run(3.0)
    assert rig.told(_K.SITE_LOST) == []
    assert rig.kinds().count(_K.SITE_CONNECTED) == 5


def test_a_site_that_the_controller_lost_is_passed_no_more_though_its_links_are_lit() -> None:
    rig = started(make_city())
    rig.cut_stream("bovisa")
    rig.run(2.0)
    assert [e.site for e in rig.told(_K.SITE_LOST)] == ["bovisa"]
    assert rig.paths("aria", "intesa") == [("aria", "santabarbara", "leonardo", "intesa")]


def test_a_site_that_says_nothing_for_five_seconds_has_its_stream_dropped() -> None:
    rig = started(make_city())
    dropped: list[KmeId] = []
    for _ in range(12):
        rig.now += 0.5
        for site in rig.sites.values():
            if site.name != "intesa":
                site.agent.observe(rig.observation(site.name), rig.now)
                site.agent.tick(rig.now, rig.wall_ns())
                rig.take_out(site)
        dropped += rig.controller.tick(rig.now, rig.wall_ns())
        rig.settle()
    assert set(dropped) == {"intesa"}


def test_a_stream_that_never_says_hello_is_dropped() -> None:
    rig = Rig(make_city())
    rig.controller.connected(KmeId("aria"), rig.now)
    assert rig.controller.tick(rig.now + 6.0, rig.wall_ns()) == ["aria"]


def test_a_site_that_lost_its_memory_is_sent_its_table_again() -> None:
    rig = started(make_city())
    rig.sites[KmeId("aria")].kept = None
    rig.restart("aria")
    assert rig.paths("aria", "intesa") == []
    rig.connect("aria")
    rig.run(1.0)
    assert rig.paths("aria", "intesa")


def test_two_sites_that_do_not_meet_are_told_once_and_their_link_is_not_used() -> None:
    rig = started(make_city())
    rig.sites[KmeId("aria")].deaf_to = {"bovisa"}
    rig.run(10.0)
    assert [(e.site, e.values["other"]) for e in rig.told(_K.PEERS_PARTED)] == [("aria", "bovisa")]
    assert all("aria-bovisa" not in hops(p) for a, b in rig.pairs() for p in rig.paths(a, b))
    rig.sites[KmeId("aria")].deaf_to = set()
    rig.run(3.0)
    assert [(e.site, e.values["other"]) for e in rig.told(_K.PEERS_MET)] == [("aria", "bovisa")]


def test_a_table_is_sent_again_until_the_site_says_that_it_is_in_force() -> None:
    rig = started(make_city())
    tables = 0
    rig.set_link("aria-bovisa", state=LightState.DARK)
    for _ in range(20):
        rig.now += 0.5
        rig.tick()
        for site in rig.sites.values():
            for _ in range(len(site.to_controller)):
                rig.deliver_to_controller(site.name)
        rig.plan()
        rig.controller_out()
        waiting = rig.sites[KmeId("leonardo")].to_agent
        tables += sum(isinstance(decode(frame), Table) for frame in waiting)
        waiting.clear()
    assert 3 <= tables <= 6


# -------------------------------------------------------------------- lies and nonsense


def lying_report(rig: Rig, name: str, **parts: object) -> Report:
    seen = rig.observation(KmeId(name))
    number = 10_000 + round(rig.now * 100)
    fields = {"links": seen.links, "pools": seen.pools, "peers": seen.peers, **parts}
    return Report(number=number, wall_ns=rig.wall_ns(), **fields)  # type: ignore[arg-type]


def hear(rig: Rig, name: str, report: Report) -> None:
    site = rig.sites[KmeId(name)]
    assert site.connection is not None
    rig.controller.received(site.name, site.connection, encode(report), rig.now, rig.wall_ns())
    rig.controller_out()


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (LinkReport(link="nowhere", state=LightState.LIT), "which the city does not have"),
        (LinkReport(link="intesa-leonardo", state=LightState.LIT), "ends at intesa and leonardo"),
        (LinkReport(link="aria-bovisa", state=LightState.LIT, key_rate_bps=1e12), "loss allows"),
        (LinkReport(link="aria-bovisa", state=LightState.LIT, qber_key=0.4), "error rate of 40.00%"),
        (LinkReport(link="aria-bovisa", state=LightState.LIT, loss_db=-20.0), "more light than was sent"),
    ],
)
def test_a_link_that_cannot_be_as_reported_is_told_and_not_routed_over(link: LinkReport, words: str) -> None:
    rig = started(make_city())
    hear(rig, "aria", lying_report(rig, "aria", links=(link,)))
    (event,) = rig.told(_K.SITE_NONSENSE)
    assert event.site == "aria"
    assert words in str(event.values["what"])
    rate = next(v.key_rate_bps for v in rig.controller.view(rig.now).links if v.link == "aria-bovisa")
    assert rate == 2000.0


def test_of_an_end_that_lies_not_even_what_it_said_before_counts() -> None:
    rig = started(make_city())
    honest = rig.link[LinkId("aria-bovisa")].report("aria-bovisa")
    hear(rig, "aria", lying_report(rig, "aria", links=(msgspec.structs.replace(honest, key_rate_bps=500.0),)))
    rate = {v.link: v.key_rate_bps for v in rig.controller.view(rig.now).links}
    assert rate[LinkId("aria-bovisa")] == 500.0
    lie = msgspec.structs.replace(honest, key_rate_bps=1e14)
    hear(rig, "aria", msgspec.structs.replace(lying_report(rig, "aria", links=(lie,)), number=30_000))
    rate = {v.link: v.key_rate_bps for v in rig.controller.view(rig.now).links}
    assert rate[LinkId("aria-bovisa")] == 2000.0


def test_of_two_ends_the_smaller_rate_counts_and_a_large_difference_is_told_once() -> None:
    rig = started(make_city())
    honest = rig.link[LinkId("aria-bovisa")].report("aria-bovisa")
    rig.sites[KmeId("aria")].says["aria-bovisa"] = msgspec.structs.replace(honest, key_rate_bps=90_000.0)
    rig.run(40.0)
    view = next(v for v in rig.controller.view(rig.now).links if v.link == "aria-bovisa")
    assert view.key_rate_bps == 2000.0
    (event,) = rig.told(_K.LINK_DISAGREE)
    assert event.values["what"] == "aria 90 kbit/s, bovisa 2 kbit/s"
    del rig.sites[KmeId("aria")].says["aria-bovisa"]
    rig.run(3.0)
    assert len(rig.told(_K.LINK_AGREE)) == 1


@pytest.mark.parametrize("name", ["keys_delivered", "requests", "requests_refused", "number"])
def test_a_counter_that_runs_backwards_makes_the_whole_report_void(name: str) -> None:
    rig = started(make_city())
    high = {"keys_delivered": 5, "requests": 9, "requests_refused": 4}
    hear(rig, "aria", lying_report(rig, "aria", **high))
    low = msgspec.structs.replace(lying_report(rig, "aria", **high), number=50_000, links=())
    hear(rig, "aria", msgspec.structs.replace(low, **{name: 1}))
    (event,) = rig.told(_K.SITE_NONSENSE)
    assert name in str(event.values["what"])
    site = next(s for s in rig.controller.view(rig.now).sites if s.kme == "aria")
    assert site.keys_delivered == 5


def test_counters_may_begin_anew_when_a_site_was_started_anew() -> None:
    rig = started(make_city())
    rig.sites[KmeId("aria")].keys_delivered = 50
    rig.sites[KmeId("aria")].taken_bits["aria-bovisa"] = 9999
    rig.run(1.0)
    rig.restart("aria")
    rig.connect("aria")
    rig.run(2.0)
    assert rig.told(_K.SITE_NONSENSE) == []


def test_a_stock_with_more_free_than_stored_is_told_and_not_counted() -> None:
    rig = started(make_city())
    before = next(p.free_bits for p in rig.controller.view(rig.now).pools if p.ends == ("aria", "bovisa"))
    lie = PoolReport(
        pool="aria-bovisa", peer="bovisa", is_relayed=False, free_bits=10**9, stored_bits=5, capacity_bits=10**10,
        taken_bits=0, filled_bits=10**9,
    )  # fmt: skip
    others = [pool for pool in rig.observation(KmeId("aria")).pools if pool.pool != lie.pool]
    hear(rig, "aria", lying_report(rig, "aria", pools=(lie, *others)))
    assert len(rig.told(_K.SITE_NONSENSE)) == 1
    after = next(p.free_bits for p in rig.controller.view(rig.now).pools if p.ends == ("aria", "bovisa"))
    assert after <= before


def test_stocks_of_links_that_make_key_are_not_gone_whatever_names_a_site_gives_them() -> None:
    rig = started(make_city(("aria", "bovisa"), [("aria", "bovisa")]))
    renamed = [
        msgspec.structs.replace(pool, pool=f"x{pool.pool}", peer="nobody")
        for pool in rig.observation(KmeId("aria")).pools
    ]
    hear(rig, "aria", lying_report(rig, "aria", pools=tuple(renamed)))
    (told,) = rig.told(_K.SITE_NONSENSE)
    assert (told.site, told.values["what"]) == ("aria", "aria-bovisa makes key, and its stock with bovisa is gone")


def test_a_stock_may_go_with_the_light_of_its_link() -> None:
    rig = started(make_city(("aria", "bovisa"), [("aria", "bovisa")]))
    hear(rig, "aria", lying_report(rig, "aria", pools=(), links=()))
    assert rig.told(_K.SITE_NONSENSE) == []


def test_a_site_that_reports_nonsense_for_an_hour_is_told_of_each_minute_and_comes_to_sense() -> None:
    rig = started(make_city(("aria", "bovisa"), [("aria", "bovisa")]))
    rig.sites[KmeId("aria")].says["aria-bovisa"] = LinkReport(
        link="aria-bovisa", state=LightState.LIT, key_rate_bps=1e13
    )
    rig.run(3600.0, 2.0)
    assert 55 <= len(rig.told(_K.SITE_NONSENSE)) <= 62
    rig.sites[KmeId("aria")].says.clear()
    rig.run(15.0)
    assert [e.site for e in rig.told(_K.SITE_SENSE)] == ["aria"]


@pytest.mark.parametrize("frame", [b"", b"{}", b"\x00" * 9, b'{"type":"report"}', b"[" * 5000, b"x" * (2 << 20)])
def test_a_frame_that_is_no_message_ends_the_stream_and_is_told(frame: bytes) -> None:
    rig = started(make_city())
    connection = rig.sites[KmeId("aria")].connection
    assert connection is not None
    with pytest.raises(ProtocolError):
        rig.controller.received(KmeId("aria"), connection, frame, rig.now, rig.wall_ns())
    rig.controller_out()
    assert len(rig.told(_K.SITE_NONSENSE)) == 1


@pytest.mark.parametrize(
    "frame",
    [
        encode(Welcome(version=1, controller="c", instance="i", epoch=1)),
        encode(Table(epoch=1, table=1, routes=())),
        encode(Hello(version=1, software="", instance="x", epoch=0, table=0)),
    ],
)
def test_what_a_site_never_says_ends_its_stream(frame: bytes) -> None:
    rig = started(make_city())
    connection = rig.sites[KmeId("aria")].connection
    assert connection is not None
    with pytest.raises(ProtocolError):
        rig.controller.received(KmeId("aria"), connection, frame, rig.now, rig.wall_ns())


def test_nothing_is_heard_before_a_hello() -> None:
    rig = Rig(make_city())
    number = rig.controller.connected(KmeId("aria"), rig.now)
    with pytest.raises(ProtocolError, match="out of turn"):
        rig.controller.received(KmeId("aria"), number, encode(Report(number=1, wall_ns=0)), rig.now, 0)


def test_frames_of_a_stream_that_was_replaced_are_not_heard() -> None:
    rig = started(make_city())
    old = rig.sites[KmeId("aria")].connection
    assert old is not None
    rig.connect("aria")
    rig.controller.received(KmeId("aria"), old, b"not even JSON", rig.now, rig.wall_ns())
    rig.controller.disconnected(KmeId("aria"), old, rig.now)
    rig.run(3.0)
    assert rig.told(_K.SITE_LOST) == []


def test_a_clock_that_is_off_is_told_once_and_again_when_it_is_right() -> None:
    rig = started(make_city())
    rig.sites[KmeId("aria")].skew_ns = -60_000_000_000
    rig.run(10.0)
    (event,) = rig.told(_K.SITE_CLOCK)
    assert event.values["skew_s"] == pytest.approx(-60.0, abs=0.1)
    assert event_line(event) == "the clock of aria is -60.0 s off; set it by NTP"
    rig.sites[KmeId("aria")].skew_ns = 0
    rig.run(3.0)
    assert len(rig.told(_K.SITE_CLOCK_RIGHT)) == 1


def test_notices_are_events_but_not_a_flood_of_them() -> None:
    rig = started(make_city())
    site = rig.sites[KmeId("aria")]
    assert site.connection is not None
    for number in range(400):
        frame = encode(Notice(kind="segment-damaged", text=f"number {number}", peer="bovisa"))
        rig.controller.received(site.name, site.connection, frame, rig.now, rig.wall_ns())
    frame = encode(Notice(kind="store-failed", text="no space left"))
    rig.controller.received(site.name, site.connection, frame, rig.now, rig.wall_ns())
    rig.controller_out()
    assert [e.values["kind"] for e in rig.told(_K.SITE_NOTICE)] == ["segment-damaged"]
    assert [e.values["what"] for e in rig.told(_K.STORE_FAILED)] == ["no space left"]


def test_a_site_that_sends_without_end_is_heard_no_more_than_is_due() -> None:
    rig = started(make_city())
    report = lying_report(rig, "aria")
    for number in range(2000):
        hear(rig, "aria", msgspec.structs.replace(report, number=report.number + number))
    assert len(rig.told(_K.SITE_NONSENSE)) == 1
    assert len(rig.sites[KmeId("aria")].to_agent) <= 600


def test_a_site_that_lets_its_key_pass_nobody_takes_no_route_from_others() -> None:
    rig = started(make_city())
    strict = rig.sites[KmeId("leonardo")]
    strict.rule = replace(strict.rule, max_relays=0)
    strict.agent.obey(strict.rule, rig.now)
    rig.connect("leonardo")
    rig.run(2.0)
    assert rig.paths("aria", "intesa")
    assert rig.paths("aria", "leonardo") == rig.paths("leonardo", "aria") == []
    assert rig.told(_K.SITE_REFUSED) == []


def test_a_site_that_comes_back_with_a_stricter_policy_is_led_another_way() -> None:
    rig = started(make_city())
    assert rig.paths("intesa", "aria") == [("intesa", "bovisa", "aria")]
    strict = rig.sites[KmeId("intesa")]
    strict.rule = replace(strict.rule, never_through=frozenset({KmeId("bovisa")}))
    strict.agent.obey(strict.rule, rig.now)
    rig.connect("intesa")
    rig.run(2.0)
    assert rig.paths("intesa", "aria") == [("intesa", "leonardo", "santabarbara", "aria")]


def test_nonsense_about_ever_new_things_is_no_flood_of_events() -> None:
    rig = started(make_city())
    for number in range(400):
        links = tuple(LinkReport(link=f"invented-{number}-{i}", state=LightState.LIT) for i in range(20))
        hear(rig, "aria", msgspec.structs.replace(lying_report(rig, "aria", links=links), number=20_000 + number))
    assert len(rig.told(_K.SITE_NONSENSE)) <= 65


def test_notices_of_ever_new_kinds_are_no_flood_of_events() -> None:
    rig = started(make_city())
    site = rig.sites[KmeId("aria")]
    assert site.connection is not None
    for number in range(400):
        frame = encode(Notice(kind=f"kind-{number}", text="x"))
        rig.controller.received(site.name, site.connection, frame, rig.now, rig.wall_ns())
    rig.controller_out()
    assert len(rig.told(_K.SITE_NOTICE)) == 1


def test_a_site_that_claims_to_give_out_more_than_its_links_make_is_not_given_the_city() -> None:
    rig = started(make_city())
    for second in range(60):
        rig.sites[KmeId("aria")].taken_bits["aria.intesa"] = 10**9 * second
        rig.run(1.0, 1.0)
    asked = {g.demand.name: g.demand.rate_bps for g in rig.controller._router.allocation.grants}
    assert asked["aria.intesa"] <= 1.25 * 2 * 2000.0


# -------------------------------------------------------------------- what is not known yet


def tables(rig: Rig) -> dict[str, object]:
    """The routes that each site has, whatever it makes of them now."""
    return {site.name: msgspec.json.decode(site.kept or b"{}").get("routes") for site in rig.sites.values()}


def test_routes_do_not_change_before_a_restarted_controller_knows_what_there_is() -> None:
    rig = started(make_city())
    before = tables(rig)
    rig.start_controller()
    for name in ("aria", "bovisa"):
        rig.connect(name)
    rig.run(1.0, 0.25)
    rig.set_link("aria-bovisa", state=LightState.DARK)
    rig.run(1.0, 0.25)
    assert tables(rig) == before
    for name in ("intesa", "leonardo", "santabarbara"):
        rig.connect(name)
    rig.run(1.0)
    assert rig.paths("aria", "intesa") == [("aria", "santabarbara", "leonardo", "intesa")]


def test_a_controller_that_lost_every_site_leaves_the_routes_as_they_are() -> None:
    rig = started(make_city())
    before = tables(rig)
    for name in RING:
        rig.cut_stream(name)
    rig.run(20.0, 1.0)
    assert rig.told(_K.NO_ROUTE) == []
    for name in RING:
        rig.connect(name)
        rig.run(0.5, 0.25)
        assert tables(rig) == before


# -------------------------------------------------------------------- two controllers


def test_a_site_that_obeyed_a_higher_epoch_makes_this_controller_give_no_more_orders() -> None:
    rig = started(make_city())
    site = rig.sites[KmeId("aria")]
    assert site.connection is not None
    rival = rig.controller.epoch + 5
    frame = encode(Applied(epoch=rival, table=3))
    rig.controller.received(site.name, site.connection, frame, rig.now, rig.wall_ns())
    rig.controller_out()
    (event,) = rig.told(_K.CONTROLLER_RIVAL)
    assert (event.site, event.values["epoch"]) == ("aria", rival)
    assert rig.controller.view(rig.now).is_in_charge, "one site may lie"
    for name in list(rig.sites)[1 : len(rig.sites) // 2 + 1]:
        other = rig.sites[name]
        assert other.connection is not None
        rig.controller.received(name, other.connection, frame, rig.now, rig.wall_ns())
    rig.controller_out()
    before = tables(rig)
    rig.controller.drain(KmeId("bovisa"), True, rig.now)
    rig.add_site(KmeId("leonardo"))
    rig.connect("leonardo")
    rig.run(5.0)
    assert not rig.controller.view(rig.now).is_in_charge
    assert len(rig.told(_K.CONTROLLER_RIVAL)) == 3, "each site that obeys another is told once"
    assert tables(rig) == {**before, "leonardo": []}


@pytest.mark.parametrize(("above", "obeyed"), [(1, "another"), (1, ""), (0, "another")])
def test_a_hello_of_a_site_that_obeys_another_is_a_rival_too(above: int, obeyed: str) -> None:
    rig = started(make_city())
    rig.cut_stream("aria")
    number = rig.controller.connected(KmeId("aria"), rig.now)
    hello = Hello(
        version=1, software="", instance="aria-1", epoch=rig.controller.epoch + above, table=1, obeyed=obeyed
    )
    rig.controller.received(KmeId("aria"), number, encode(hello), rig.now, rig.wall_ns())
    assert rig.controller.has_rival


@pytest.mark.parametrize("ahead", [2 * 86_400, (1 << 62) - 1 - 2_000_000_000])
def test_an_epoch_of_the_future_is_no_rival_and_its_stream_ends(ahead: int) -> None:
    rig = started(make_city())
    site = rig.sites[KmeId("aria")]
    assert site.connection is not None
    frame = encode(Applied(epoch=max(rig.controller.epoch, rig.wall_ns() // 10**9) + ahead, table=3))
    with pytest.raises(ProtocolError, match="lies in the future"):
        rig.controller.received(site.name, site.connection, frame, rig.now, rig.wall_ns())
    assert not rig.controller.has_rival


def test_a_hello_of_a_site_that_obeys_this_start_is_no_rival() -> None:
    rig = started(make_city())
    rig.connect("aria")
    rig.run(1.0)
    assert rig.controller.view(rig.now).is_in_charge


def test_the_younger_of_two_controllers_is_obeyed_and_the_elder_learns_of_it() -> None:
    rig = started(make_city())
    elder, log = rig.controller, list(rig.log)
    rig.now += 10.0
    rig.start_controller([])
    rig.connect_all()
    rig.run(2.0)
    assert rig.paths("aria", "intesa")
    younger = rig.controller
    for site in rig.sites.values():
        rig.cut_stream(site.name)
    rig.controller, rig.log = elder, log
    rig.connect_all()
    rig.run(1.0)
    assert not elder.view(rig.now).is_in_charge
    assert younger.view(rig.now).is_in_charge


def test_a_controller_that_is_told_to_takes_charge_above_its_rival() -> None:
    rig = started(make_city())
    site = rig.sites[KmeId("aria")]
    assert site.connection is not None
    rival = rig.controller.epoch + 1000
    frame = encode(Applied(epoch=rival, table=3))
    rig.controller.received(site.name, site.connection, frame, rig.now, rig.wall_ns())
    rig.controller.take_charge(rig.now, rig.wall_ns())
    rig.run(2.0)
    assert rig.controller.epoch == rival + 1
    assert rig.controller.view(rig.now).is_in_charge
    assert {s.agent._epoch for s in rig.sites.values()} == {rival + 1}  # what it obeys
    assert len(rig.told(_K.CONTROLLER_ALONE)) == 1


# -------------------------------------------------------------------- the log


def test_epochs_grow_with_each_start_whatever_the_clock_says() -> None:
    rig = started(make_city())
    first = rig.controller.epoch
    set_back = Controller(rig.city, KmeId("control"), "b", rig.log, 0.0, WALL_NS - 10**18)
    assert set_back.epoch == first + 1
    without_log = Controller(rig.city, KmeId("control"), "c", [], 0.0, rig.wall_ns() + 10**9)
    assert without_log.epoch > first


def test_a_restarted_controller_sends_the_routes_that_were_in_force_before_it_plans() -> None:
    rig = started(make_city(demands=(BANK,)))
    rig.set_link("intesa-leonardo", state=LightState.DARK)
    rig.run(3.0)
    before = {pair: rig.paths(*pair) for pair in rig.pairs()}
    rig.start_controller()
    rig.connect("intesa")
    rig.now += 0.1
    rig.tick()
    for _ in range(3):
        rig.deliver_to_controller("intesa")
    rig.controller_out()
    while rig.sites[KmeId("intesa")].to_agent:
        rig.deliver_to_agent("intesa")
    assert {pair: rig.paths(*pair) for pair in rig.pairs()} == before
    kept = msgspec.json.decode(rig.sites[KmeId("intesa")].kept or b"")
    assert (kept["epoch"], kept["table"]) == (rig.controller.epoch, 1)
    assert {route["pool"] for route in kept["routes"]} == set(rig.sites[KmeId("intesa")].rule.pools)


def test_from_any_prefix_of_the_log_a_controller_starts_and_the_city_settles() -> None:
    rig = started(make_city(demands=(BANK,)))
    rig.controller.drain(KmeId("aria"), True, rig.now)
    rig.set_link("intesa-leonardo", state=LightState.DARK)
    rig.run(2.0)
    whole = list(rig.log)
    for length in range(0, len(whole), 3):
        controller = Controller(rig.city, KmeId("control"), f"p{length}", whole[:length], rig.now, rig.wall_ns())
        assert controller.take_records()[0].startswith(b'{"type":"started"')
        assert controller.view(rig.now).city.name == "milan"


def test_a_last_line_that_a_crash_cut_short_is_passed_over() -> None:
    rig = started(make_city())
    torn = [*rig.log, rig.log[-1][: len(rig.log[-1]) // 2]]
    assert Controller(rig.city, KmeId("control"), "b", torn, 0.0, WALL_NS).epoch > rig.controller.epoch


def test_the_log_of_another_city_is_refused() -> None:
    rig = started(make_city())
    with pytest.raises(ConfigError, match=r"line 1 .* city 'milan', not of 'turin'"):
        Controller(replace(rig.city, name="turin"), KmeId("control"), "b", rig.log, 0.0, WALL_NS)


def test_no_table_leaves_before_the_routes_in_it_were_given_to_be_written() -> None:
    rig = started(make_city())
    rig.set_link("aria-bovisa", state=LightState.DARK)
    rig.now += 0.1
    rig.tick()
    written = rig.controller.take_records()
    for site in ("aria", "bovisa"):
        rig.deliver_to_controller(site)
    early = [decode(frame) for frames in rig.controller.take_frames().values() for frame in frames]
    assert not any(isinstance(message, Table) for message in early)
    written += rig.controller.take_records()
    assert any(line.startswith(b'{"type":"routes"') for line in written)
    late = [decode(frame) for frames in rig.controller.take_frames().values() for frame in frames]
    assert any(isinstance(message, Table) for message in late)


def test_records_are_numbered_without_gap_over_starts() -> None:
    rig = started(make_city())
    rig.start_controller()
    rig.connect_all()
    rig.run(2.0)
    assert [record["n"] for record in rig.log_records()] == list(range(1, len(rig.log) + 1))


def test_once_a_day_all_that_stands_is_written_anew() -> None:
    rig = started(make_city(demands=(BANK,)))
    rig.controller.drain(KmeId("aria"), True, rig.now)
    rig.settle()
    rig.now += 86_400.0
    rig.controller.tick(rig.now, rig.wall_ns())
    lines = len(rig.log)
    rig.controller_out()
    standing = next(i for i, line in enumerate(rig.log) if line.startswith(b'{"type":"standing"'))
    assert standing >= lines
    short = Controller(rig.city, KmeId("control"), "b", rig.log[standing:], 0.0, rig.wall_ns())
    long = Controller(rig.city, KmeId("control"), "b", rig.log, 0.0, rig.wall_ns())
    assert short._router.routes == long._router.routes  # no face shows routes of every pair
    assert short.epoch == long.epoch
    assert [s.is_draining for s in short.view(0.0).sites] == [s.is_draining for s in long.view(0.0).sites]


def test_a_minute_of_service_is_recorded() -> None:
    rig = started(make_city(demands=(BANK,)))
    aria = rig.sites[KmeId("intesa")]
    for second in range(61):
        aria.taken_bits["intesa-leonardo"] = 100 * second
        aria.keys_delivered = second
        rig.run(1.0, 1.0)
    served = [r for r in rig.log_records() if r["type"] == "served"]
    assert len(served) == 1
    (bank,) = served[0]["demands"]  # type: ignore[misc]
    assert bank["demand"] == "bank"
    assert bank["delivered_bps"] == pytest.approx(100.0, rel=0.05)
    assert bank["available_s"] == pytest.approx(served[0]["seconds"], abs=5.0)
    lit = {link["link"]: link["lit_s"] for link in served[0]["links"]}  # type: ignore[attr-defined]
    assert min(lit.values()) >= 55.0


def test_the_same_inputs_give_the_same_frames_and_records() -> None:
    def history() -> tuple[list[bytes], list[object]]:
        rig = started(make_city(demands=(BANK, demand("split", "aria", "intesa", 100.0, paths=2))))
        rig.set_link("bovisa-intesa", state=LightState.DARK)
        rig.run(2.0)
        rig.kill("leonardo")
        rig.run(2.0)
        return rig.log, [site.kept for site in rig.sites.values()]

    assert history() == history()


# -------------------------------------------------------------------- the view


def test_the_view_shows_what_is_measured() -> None:
    rig = started(make_city(demands=(BANK,)))
    view = rig.controller.view(rig.now)
    assert view.sites_up == 5
    assert view.key_rate_bps == 5 * 2000.0
    assert [(d.name, d.is_direct, d.routes) for d in view.demands] == [("bank", True, ())]
    assert {link.state for link in view.links} == {LightState.LIT}
    assert all(s.peers_up == s.peers == 4 and s.software == "poliqi test" for s in view.sites)


def test_a_demand_that_is_relayed_shows_its_way_from_its_first_end() -> None:
    rig = started(make_city(demands=(demand("desk", "leonardo", "bovisa", 100.0),)))
    (desk,) = rig.controller.view(rig.now).demands
    assert not desk.is_direct
    assert desk.routes[0].paths == (("leonardo", "intesa", "bovisa"),)


def test_a_link_of_which_nobody_speaks_any_more_is_silent_and_its_figures_are_not_shown() -> None:
    rig = started(make_city(("aria", "bovisa"), [("aria", "bovisa")]))
    rig.kill("aria")
    rig.kill("bovisa")
    rig.run(8.0)
    (link,) = rig.controller.view(rig.now).links
    assert (link.state, link.is_fresh, link.key_rate_bps) == (LightState.SILENT, False, None)
    assert {e.site for e in rig.told(_K.LINK_SILENT)} == {"aria", "bovisa"}


def test_events_and_history_keep_to_their_rings() -> None:
    rig = started(make_city(("aria", "bovisa"), [("aria", "bovisa")]))
    for number in range(800):
        rig.controller.drain(KmeId("aria"), number % 2 == 0, rig.now)
    rig.run(5000.0, 5.0)
    view = rig.controller.view(rig.now)
    assert len(view.events) <= 500
    assert 300 <= len(view.links[0].history) <= 360
    assert view.links[0].history is rig.controller.view(rig.now).links[0].history


def test_a_stock_that_runs_out_is_told_with_the_time_it_lasts() -> None:
    rig = started(make_city(("aria", "bovisa"), [("aria", "bovisa")]))
    aria, bovisa = rig.sites[KmeId("aria")], rig.sites[KmeId("bovisa")]
    bovisa.free_bits["aria-bovisa"] = 0
    for second in range(120):
        aria.taken_bits["aria-bovisa"] = 1000 * second
        aria.free_bits["aria-bovisa"] = 120_000
        rig.run(1.0, 1.0)
    (event,) = rig.told(_K.STOCK_LOW)
    assert (event.site, event.values["other"]) == ("aria", "bovisa")
    left = rig.controller.view(rig.now).hours_left
    assert left is None or left > 0.0
    (pool,) = rig.controller.view(rig.now).pools
    assert pool.taken_bps == pytest.approx(1000.0, rel=0.1)
    assert pool.hours_left == pytest.approx(120.0 / 3600.0, rel=0.1)
