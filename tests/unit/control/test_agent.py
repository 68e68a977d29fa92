"""The agent of a site: whom it obeys, what it refuses, what it remembers, how it goes on alone."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from poliqi.base.errors import ProtocolError, StoreError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.agent import ALONE_S, Agent, AgentRule, Observation
from poliqi.control.messages import (
    Applied,
    Heard,
    Hello,
    LightState,
    LinkReport,
    Notice,
    PeerReport,
    PoolReport,
    Report,
    Route,
    Table,
    Welcome,
    decode,
    encode,
)
from poliqi.keys.relay_messages import Scheme

A, B, C, D = (KmeId(name) for name in "abcd")
AD, AB = LinkId("a.d"), LinkId("a.b")
RULE = AgentRule({AD: D, AB: B})


def agent_of(rule: AgentRule = RULE, remembered: bytes | None = None) -> Agent:
    return Agent(A, "first", "poliqi test", rule, remembered)


def way(*paths: str, share: float = 1.0) -> Route.Way:
    return Route.Way(paths=tuple(tuple(path) for path in paths), share=share)


def route(*ways: Route.Way, pool: str = "a.d", to: str = "d", rate: float = 1e6, **more: object) -> Route:
    fields = {"priority": 3, "spares": (), **more}
    return Route(pool=pool, to=to, rate_bps=rate, ways=ways, **fields)  # type: ignore[arg-type]


def welcome(epoch: int = 5, instance: str = "one") -> bytes:
    return encode(Welcome(version=1, controller="control", instance=instance, epoch=epoch))


def table(*routes: Route, epoch: int = 5, number: int = 1) -> bytes:
    return encode(Table(epoch=epoch, table=number, routes=routes))


def said(agent: Agent) -> list[object]:
    return [decode(frame) for frame in agent.take_frames()]


def obeying(rule: AgentRule = RULE, now: float = 0.0) -> Agent:
    agent = agent_of(rule)
    agent.tick(now, 0)
    agent.connected(now)
    agent.received(welcome(), now)
    agent.take_frames()
    return agent


def paths_of(agent: Agent) -> dict[str, tuple[tuple[str, ...], ...]] | None:
    routes = agent.take_routes()
    return None if routes is None else {r.pool: r.paths for r in routes}


def seen(*, dark: tuple[str, ...] = (), lost: tuple[str, ...] = ()) -> Observation:
    """Site a with links to b and c."""
    pools = tuple(
        PoolReport(
            pool=f"a-{n}", peer=n, is_relayed=False, free_bits=0, stored_bits=0, capacity_bits=1, taken_bits=0,
            filled_bits=0,
        )
        for n in "bc"
    )  # fmt: skip
    links = tuple(LinkReport(link=f"a-{n}", state=LightState.DARK if n in dark else LightState.LIT) for n in "bc")
    peers = tuple(PeerReport(site=n, is_connected=n not in lost) for n in "bcd")
    return Observation(links=links, pools=pools, peers=peers)


# -------------------------------------------------------------------- whom it obeys


def test_the_first_frame_says_who_speaks_and_whom_the_site_obeyed() -> None:
    agent = agent_of(AgentRule({AD: D}, never_through=frozenset({C, B}), max_relays=2))
    agent.connected(0.0)
    assert said(agent) == [
        Hello(
            version=1, software="poliqi test", instance="first", epoch=0, table=0, never_through=("b", "c"),
            max_relays=2,
        )
    ]  # fmt: skip


def test_a_table_of_the_controller_that_was_welcomed_is_applied() -> None:
    agent = obeying()
    agent.received(table(route(way("abd"))), 0.0)
    assert said(agent) == [Applied(epoch=5, table=1)]
    assert paths_of(agent) == {"a.d": (("a", "b", "d"),)}


def test_a_controller_of_a_lower_epoch_is_told_so_and_its_table_is_not_used() -> None:
    agent = obeying()
    agent.received(table(route(way("abd"))), 0.0)
    agent.connected(1.0)
    said(agent)
    paths_of(agent)
    agent.received(welcome(4, "old"), 1.0)
    agent.received(table(route(way("acd")), epoch=4, number=9), 1.0)
    answers = said(agent)
    assert [type(answer) for answer in answers] == [Applied, Applied]
    assert all(isinstance(a, Applied) and (a.epoch, a.table) == (5, 1) and a.refused for a in answers)
    assert paths_of(agent) is None


def test_of_two_controllers_of_one_epoch_the_first_is_obeyed() -> None:
    agent = obeying()
    agent.connected(1.0)
    agent.received(welcome(5, "two"), 1.0)
    agent.received(table(route(way("abd"))), 1.0)
    assert [m.refused != () for m in said(agent) if isinstance(m, Applied)] == [True, True]
    assert paths_of(agent) is None


def test_a_higher_epoch_begins_its_tables_anew() -> None:
    agent = obeying()
    agent.received(table(route(way("abd")), number=7), 0.0)
    agent.connected(1.0)
    agent.received(welcome(6, "new"), 1.0)
    agent.received(table(route(way("acd")), epoch=6, number=1), 1.0)
    assert paths_of(agent) == {"a.d": (("a", "c", "d"),)}


def test_a_table_that_came_late_changes_nothing_and_is_answered_with_the_one_in_force() -> None:
    agent = obeying()
    agent.received(table(route(way("abd")), number=3), 0.0)
    agent.received(table(route(way("acd")), number=2), 0.0)
    assert said(agent) == [Applied(epoch=5, table=3), Applied(epoch=5, table=3)]
    assert paths_of(agent) == {"a.d": (("a", "b", "d"),)}


def test_a_table_before_the_welcome_of_its_stream_is_passed_over() -> None:
    agent = agent_of()
    agent.connected(0.0)
    said(agent)
    agent.received(table(route(way("abd"))), 0.0)
    assert said(agent) == []
    assert paths_of(agent) is None


@pytest.mark.parametrize(
    "message",
    [
        Hello(version=1, software="", instance="x", epoch=0, table=0),
        Report(number=1, wall_ns=0),
        Applied(epoch=1, table=1),
        Notice(kind="x", text=""),
    ],
)
def test_what_only_sites_say_ends_the_stream(message: Hello | Report | Applied | Notice) -> None:
    with pytest.raises(ProtocolError, match="only sites send"):
        obeying().received(encode(message), 0.0)


def test_a_message_of_a_later_version_is_passed_over() -> None:
    agent = obeying()
    agent.received(b'{"type":"song","verse":1}', 0.0)
    assert said(agent) == []


# -------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (route(way("axd"), pool="a.x", to="x"), "has no stock"),
        (route(way("abd"), to="b"), "shares it with d"),
        (route(way("abc")), "does not lead from a to d"),
        (route(way("bcd")), "does not lead from a to d"),
        (route(way("abcbd")), "meets a site twice"),
        (route(way("aefghd")), "passes 4 sites, 2 are allowed"),
        (route(way("abd", "abd")), "share a site"),
        (route(way("abcd", "aebd")), "share a site"),
        (route(way("azd")), "leads through z, which a never"),
        (route(way("abd", "azd")), "leads through z, which a never"),
        (route(way("abd", share=0.7), way("acd", share=0.7)), "shares of its ways are more than 1"),
    ],
)
def test_what_the_sites_own_rule_does_not_allow_is_refused_by_name(bad: Route, words: str) -> None:
    agent = obeying(AgentRule({AD: D, AB: B}, never_through=frozenset({KmeId("z")}), max_relays=2))
    agent.received(table(route(way("acb"), pool="a.b", to="b"), bad), 0.0)
    (answer,) = said(agent)
    assert isinstance(answer, Applied)
    assert len(answer.refused) == 1
    assert words in answer.refused[0]
    assert paths_of(agent) == {"a.b": (("a", "c", "b"),)}


def test_a_stock_that_stands_twice_in_a_table_goes_by_the_first() -> None:
    agent = obeying()
    agent.received(table(route(way("abd")), route(way("acd"))), 0.0)
    (answer,) = said(agent)
    assert isinstance(answer, Applied)
    assert "twice" in answer.refused[0]
    assert paths_of(agent) == {"a.d": (("a", "b", "d"),)}


def test_of_a_route_only_the_ways_that_break_the_rule_are_refused() -> None:
    agent = obeying(AgentRule({AD: D}, never_through=frozenset({B})))
    agent.received(table(route(way("abd", share=0.5), way("acd", share=0.5))), 0.0)
    assert paths_of(agent) == {"a.d": (("a", "c", "d"),)}


def test_a_stricter_rule_takes_effect_on_routes_in_force() -> None:
    agent = obeying()
    agent.received(table(route(way("abd"))), 0.0)
    paths_of(agent)
    agent.obey(AgentRule({AD: D}, never_through=frozenset({B})), 1.0)
    assert paths_of(agent) == {}


# -------------------------------------------------------------------- routes in use


def test_ways_that_are_used_together_become_one_order_with_all_shares_needed() -> None:
    agent = obeying()
    agent.received(table(route(way("abd", "acd"))), 0.0)
    (found,) = agent.take_routes() or ()
    assert (found.scheme, found.threshold, found.paths) == (Scheme.XOR, 2, (("a", "b", "d"), ("a", "c", "d")))


def test_the_most_urgent_stock_stands_first() -> None:
    agent = obeying()
    agent.received(table(route(way("acb"), pool="a.b", to="b", priority=0), route(way("abd"), priority=7)), 0.0)
    assert [found.pool for found in agent.take_routes() or ()] == ["a.d", "a.b"]


def test_blocks_take_the_ways_by_their_shares() -> None:
    """Of 100 blocks over shares of 3/4 and 1/4, 75 and 25 to within one block, at any moment."""
    agent = obeying()
    agent.received(table(route(way("abd", share=0.75), way("acd", share=0.25), rate=1e9)), 0.0)
    over: list[str] = []
    for number in range(100):
        (found,) = agent.take_routes() or agent._routes  # unchanged routes are not given again
        over.append(found.paths[0][1])
        agent.notice("relay-done", f"{found.block_bytes} bytes for a.d over 1 paths", D, float(number))
        agent.tick(float(number), 0)
        assert abs(over.count("b") - 0.75 * len(over)) <= 1.0
    assert over.count("b") == 75


def test_a_stock_is_filled_no_faster_than_granted() -> None:
    """1,000 bit/s over 400 s are 400,000 bits, and at most what may go at once."""
    agent = obeying(AgentRule({AD: D}, block_bytes=1000))
    agent.received(table(route(way("abd"), rate=1000.0)), 0.0)
    sent = 0
    for tick in range(4000):
        now = tick / 10
        agent.received(encode(Heard(epoch=5, number=tick)), now)
        agent.tick(now, 0)
        routes = agent.take_routes()
        if routes if routes is not None else agent._routes:  # as above
            sent += 8000
            agent.notice("relay-done", "1000 bytes for a.d over 1 paths", D, now)
    assert 390_000 <= sent <= 400_000 + 2 * 8000


def test_a_way_that_was_refused_rests_while_there_are_others() -> None:
    agent = obeying()
    agent.received(table(route(way("abd", share=0.9), way("acd", share=0.1))), 0.0)
    assert paths_of(agent) == {"a.d": (("a", "b", "d"),)}
    agent.notice("relay-refused", "a relay to d was given up: b: too little key", None, 1.0)
    agent.tick(1.0, 0)
    assert paths_of(agent) == {"a.d": (("a", "c", "d"),)}
    agent.tick(12.0, 0)
    assert paths_of(agent) == {"a.d": (("a", "b", "d"),)}


def test_a_refusal_of_another_sites_parcel_moves_nothing() -> None:
    agent = obeying()
    agent.received(table(route(way("abd", share=0.9), way("acd", share=0.1))), 0.0)
    paths_of(agent)
    agent.notice("relay-refused", "a has too little key with b, or no connection", B, 1.0)
    agent.tick(1.0, 0)
    assert paths_of(agent) is None


def test_a_way_whose_first_link_is_dark_gives_way_to_another_of_the_table() -> None:
    agent = obeying()
    agent.received(table(route(way("abd", share=0.9), way("acd", share=0.1))), 0.0)
    paths_of(agent)
    agent.observe(seen(dark=("b",)), 0.5)
    agent.tick(0.5, 0)
    assert paths_of(agent) == {"a.d": (("a", "c", "d"),)}


# -------------------------------------------------------------------- alone


def test_a_spare_is_used_only_when_the_controller_has_been_silent_for_two_seconds() -> None:
    agent = obeying()
    agent.received(table(route(way("abd"), spares=(way("acd"),))), 0.0)
    paths_of(agent)
    agent.observe(seen(dark=("b",)), 0.1)
    agent.tick(ALONE_S - 0.01, 0)
    assert paths_of(agent) == {"a.d": (("a", "b", "d"),)} or paths_of(agent) is None
    agent.tick(ALONE_S, 0)
    assert paths_of(agent) == {"a.d": (("a", "c", "d"),)}


def test_while_the_controller_answers_spares_stay_unused() -> None:
    agent = obeying()
    agent.received(table(route(way("abd"), spares=(way("acd"),))), 0.0)
    agent.observe(seen(dark=("b",)), 0.1)
    paths_of(agent)
    for second in range(1, 10):
        agent.received(encode(Heard(epoch=5, number=second)), float(second))
        agent.tick(float(second), 0)
        assert not paths_of(agent)


def test_a_refused_relay_moves_to_the_spare_when_alone() -> None:
    agent = obeying()
    agent.received(table(route(way("abd"), spares=(way("acd"),))), 0.0)
    paths_of(agent)
    agent.disconnected(1.0)
    agent.tick(3.0, 0)
    agent.notice("relay-refused", "a relay to d was given up: no answer in time", None, 3.5)
    agent.tick(3.5, 0)
    assert paths_of(agent) == {"a.d": (("a", "c", "d"),)}


def test_a_pair_whose_own_link_serves_uses_its_spare_only_when_that_link_is_dead_and_nobody_commands() -> None:
    agent = obeying()
    agent.received(table(route(pool="a.b", to="b", spares=(way("acb"),))), 0.0)
    agent.observe(seen(), 0.0)
    agent.disconnected(1.0)
    agent.tick(4.0, 0)
    assert not paths_of(agent)
    agent.light(LinkReport(link="a-b", state=LightState.DARK), 5.0)
    agent.tick(5.0, 0)
    assert paths_of(agent) == {"a.b": (("a", "c", "b"),)}


# -------------------------------------------------------------------- memory


def test_a_restarted_site_goes_on_by_the_table_that_it_kept() -> None:
    agent = obeying()
    agent.received(table(route(way("abd"))), 0.0)
    kept = agent.take_remembered()
    again = agent_of(remembered=kept)
    again.tick(50.0, 0)
    assert paths_of(again) == {"a.d": (("a", "b", "d"),)}
    again.connected(51.0)
    hello = said(again)[0]
    assert isinstance(hello, Hello)
    assert (hello.epoch, hello.table, hello.obeyed) == (5, 1, "one")


def test_a_restarted_site_does_not_obey_an_older_controller() -> None:
    agent = obeying()
    again = agent_of(remembered=agent.take_remembered())
    again.connected(1.0)
    again.received(welcome(4, "old"), 1.0)
    again.received(table(route(way("abd")), epoch=4), 1.0)
    assert paths_of(again) is None


def test_what_is_remembered_is_given_once_and_again_when_it_changes() -> None:
    agent = obeying()
    assert agent.take_remembered() is not None
    assert agent.take_remembered() is None
    agent.received(table(route(way("abd"))), 0.0)
    assert agent.take_remembered() is not None


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"epoch":1}', b"\xff\xfe", b"[" * 100_000])
def test_memory_that_cannot_be_read_is_an_error_with_its_remedy(broken: bytes) -> None:
    with pytest.raises(StoreError, match="remove the file"):
        agent_of(remembered=broken)


# -------------------------------------------------------------------- what it reports


def test_a_report_leaves_each_second_and_says_everything() -> None:
    agent = obeying()
    agent.observe(seen(), 0.0)
    agent.tick(0.0, 7)
    agent.tick(0.5, 8)
    agent.tick(1.0, 9)
    reports = [m for m in said(agent) if isinstance(m, Report)]
    assert [(r.number, r.wall_ns) for r in reports] == [(1, 7), (2, 9)]
    assert [link.link for link in reports[0].links] == ["a-b", "a-c"]


def test_light_that_goes_out_is_reported_within_a_twentieth_of_a_second() -> None:
    agent = obeying()
    agent.observe(seen(), 0.0)
    agent.tick(0.0, 0)
    said(agent)
    agent.light(LinkReport(link="a-b", state=LightState.DARK), 0.3)
    assert agent.next_timeout(0.3) <= 0.35
    agent.tick(0.3, 0)
    (report,) = said(agent)
    assert isinstance(report, Report)
    assert report.links[0].state is LightState.DARK


def test_news_in_a_flood_make_no_more_than_twenty_reports_a_second() -> None:
    agent = obeying()
    agent.observe(seen(), 0.0)
    states = (LightState.DARK, LightState.LIT)
    for number in range(1000):
        now = number / 1000
        agent.light(LinkReport(link="a-b", state=states[number % 2]), now)
        agent.tick(now, 0)
    assert len(said(agent)) <= 21


def test_a_figure_grows_older_while_it_waits() -> None:
    agent = obeying()
    agent.observe(Observation(links=(LinkReport(link="a-b", state=LightState.LIT, age_s=1.5),)), 0.0)
    agent.tick(0.0, 0)
    agent.tick(2.0, 0)
    ages = [m.links[0].age_s for m in said(agent) if isinstance(m, Report)]
    assert ages == [1.5, 3.5]


def test_notices_are_passed_on_but_not_without_bound() -> None:
    agent = obeying()
    for _ in range(1000):
        agent.notice("segment-damaged", "x" * 2000, B, 0.0)
    notices = said(agent)
    assert 1 <= len(notices) <= 50
    assert all(isinstance(n, Notice) and len(n.text) <= 512 for n in notices)


def test_nothing_is_queued_for_a_controller_that_is_away() -> None:
    agent = obeying()
    agent.disconnected(1.0)
    for second in range(100):
        agent.observe(seen(), float(second))
        agent.tick(float(second), 0)
        agent.notice("low-stock", "", None, float(second))
    assert agent.take_frames() == []


def test_time_that_a_caller_waits_for_always_moves_on() -> None:
    """An owner that sleeps until the next timeout never spins."""
    agent = obeying()
    agent.received(table(route(way("abd", share=0.3), way("acd", share=0.7), rate=777.7)), 0.0)
    agent.observe(seen(), 0.0)
    now, ticks = 0.0, 0
    while now < 30.0:
        agent.tick(now, 0)
        agent.notice("relay-done", "4096 bytes for a.d over 1 paths", D, now)
        agent.take_frames()
        now = agent.next_timeout(now)
        ticks += 1
    assert ticks < 30 * 60


# -------------------------------------------------------------------- weight


def test_a_sites_process_loads_no_solver_and_no_numerics_with_the_agent() -> None:
    code = (
        "import sys, poliqi.control.agent;"
        "print(sorted(m for m in sys.modules if m in "
        "('numpy', 'scipy', 'numba', 'highspy', 'rustworkx', 'starlette', 'jinja2', 'poliqi.control.allocation')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_what_is_remembered_is_plain_json() -> None:
    agent = obeying()
    agent.received(table(route(way("abd"))), 0.0)
    kept = msgspec.json.decode(agent.take_remembered() or b"")
    assert kept["epoch"] == 5
    assert kept["routes"][0]["ways"][0]["paths"] == [["a", "b", "d"]]
