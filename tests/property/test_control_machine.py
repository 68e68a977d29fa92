"""Agents and controllers under every order of events: frames lost or late, restarts, rivals, links that change.

After each step the rules hold that need no rest; `settle` brings the city to rest, where the others hold.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec
from control_rig import RING, Rig, demand, make_city
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from poliqi.base.ids import KmeId
from poliqi.control.allocation import Allocation, fast_reroute
from poliqi.control.controller import Controller
from poliqi.control.messages import LightState
from poliqi.control.records import load

SITES = st.sampled_from(RING)
LINKS = st.sampled_from([f"{a}-{b}" for a, b in pairwise((*RING, RING[0]))])
STATES = st.sampled_from(list(LightState))


class CityMachine(RuleBasedStateMachine):
    """Hypothesis chooses what happens."""

    rig: Rig

    @initialize()
    def begin(self) -> None:
        demands = (demand("bank", "intesa", "leonardo", 500.0, 5), demand("split", "aria", "intesa", 90.0, 7, 2))
        self.rig = Rig(make_city(demands=demands), {"leonardo": frozenset({KmeId("bovisa")})})
        self.rig.connect_all()
        self.epochs: dict[str, int] = {}

    @rule(seconds=st.floats(0.01, 8.0))
    def time_passes(self, seconds: float) -> None:
        self.rig.now += seconds
        self.rig.tick()

    @rule(site=SITES, count=st.integers(1, 4), is_up=st.booleans())
    def frames_arrive(self, site: str, count: int, is_up: bool) -> None:
        for _ in range(count):
            if is_up:
                self.rig.deliver_to_controller(site)
            else:
                self.rig.deliver_to_agent(site)

    @rule(is_solved=st.booleans())
    def controller_acts(self, is_solved: bool) -> None:
        if is_solved:
            self.rig.plan_fast()
        self.rig.controller_out()

    @rule()
    def answer_that_comes_late(self) -> None:
        """A question is answered after the city changed."""
        rig = self.rig
        if rig.problem is None:
            rig.problem = rig.controller.take_problem()
        else:
            rig.controller.planned(fast_reroute(rig.problem, Allocation((), {})), rig.now)
            rig.problem = None

    @rule(site=SITES)
    def stream_breaks(self, site: str) -> None:
        self.rig.cut_stream(site)

    @rule(site=SITES)
    def stream_opens(self, site: str) -> None:
        if self.rig.sites[KmeId(site)].is_alive:
            self.rig.connect(site)

    @rule(site=SITES)
    def frames_are_lost(self, site: str) -> None:
        """A connection breaks with frames on it, and is back at once."""
        if self.rig.sites[KmeId(site)].is_alive:
            self.rig.cut_stream(site)
            self.rig.connect(site)

    @rule(site=SITES)
    def site_dies(self, site: str) -> None:
        self.rig.kill(site)

    @rule(site=SITES)
    def site_restarts(self, site: str) -> None:
        self.rig.restart(site)
        self.rig.connect(site)

    @rule(link=LINKS, state=STATES)
    def link_changes(self, link: str, state: LightState) -> None:
        self.rig.set_link(link, state=state)

    @rule(site=SITES, is_draining=st.booleans())
    def drain(self, site: str, is_draining: bool) -> None:
        self.rig.controller.drain(KmeId(site), is_draining, self.rig.now)

    @rule(site=SITES, other=SITES)
    def sites_part(self, site: str, other: str) -> None:
        if site != other:
            self.rig.sites[KmeId(site)].deaf_to ^= {other}

    @rule(data=st.data(), is_clean=st.booleans())
    def controller_restarts(self, data: st.DataObject, is_clean: bool) -> None:
        """From the whole log, or from any prefix of what it meant to write."""
        rig = self.rig
        if is_clean:
            rig.controller_out()
        waiting = rig.controller.take_records()
        kept = data.draw(st.integers(0, len(waiting)))
        rig.start_controller([*rig.log, *waiting[:kept]])
        rig.connect_all()

    @rule(length=st.integers(0, 40))
    def a_rival_starts_with_an_old_log(self, length: int) -> None:
        """Two controllers by mistake: the other one is younger by the clock, or obeyed by nobody."""
        rig = self.rig
        rival = Controller(
            rig.city, KmeId("control"), f"rival-{rig.starts}", rig.log[:length], rig.now, rig.wall_ns() - 10**12
        )
        number = rival.connected(KmeId("aria"), rig.now)
        aria = rig.sites[KmeId("aria")]
        if not aria.is_alive:
            return
        rig.cut_stream("aria")
        aria.agent.connected(rig.now)
        for frame in aria.agent.take_frames():
            rival.received(aria.name, number, frame, rig.now, rig.wall_ns())
        for frame in rival.take_frames().get(aria.name, []):
            aria.agent.received(frame, rig.now)
        aria.agent.disconnected(rig.now)
        rig.take_out(aria)

    @precondition(lambda self: hasattr(self, "rig"))
    @rule()
    def settle(self) -> None:
        """Everything is connected and at rest: no route leads where there is no key."""
        rig = self.rig
        for site in rig.sites.values():
            if not site.is_alive:
                rig.restart(site.name)
            if site.connection is None:
                rig.connect(site.name)
        rig.run(3.0, 1.0, solve=False)
        if rig.controller.has_rival:
            rig.controller.take_charge(rig.now, rig.wall_ns())
        rig.run(70.0, 5.0, solve=False)
        for site in rig.sites.values():
            if site.connection is None:
                rig.connect(site.name)
        rig.run(4.0, 1.0, solve=False)
        self.check_at_rest()

    def check_at_rest(self) -> None:
        rig = self.rig
        draining = {s.kme for s in rig.controller.view(rig.now).sites if s.is_draining}
        dead = {
            frozenset(link.ends) for link in rig.city.links if rig.link[link.link].state is not LightState.LIT
        } | {frozenset((s.name, other)) for s in rig.sites.values() for other in s.deaf_to}
        for site in rig.sites.values():
            for found in site.routes:
                for path in found.paths:
                    assert dead.isdisjoint(frozenset(hop) for hop in pairwise(path)), (site.name, path)
                    assert draining.isdisjoint(path[1:-1]), (site.name, path)
                relays = [s for path in found.paths for s in path[1:-1]]
                assert len(relays) == len(set(relays))
                if "leonardo" in (site.name, found.to):
                    assert "bovisa" not in relays
        applied = {s.kme: s.table for s in rig.controller.view(rig.now).sites}
        assert applied == {name: rig.controller._state.sites[name].table for name in applied}  # intent

    @invariant()
    def sites_never_obey_a_lower_epoch(self) -> None:
        if not hasattr(self, "rig"):
            return
        for name, site in self.rig.sites.items():
            if site.kept is not None:
                epoch = msgspec.json.decode(site.kept)["epoch"]
                assert epoch >= self.epochs.get(name, 0)
                self.epochs[name] = epoch

    @invariant()
    def what_is_written_can_be_read(self) -> None:
        if hasattr(self, "rig") and self.rig.log:
            found = load(self.rig.log[-40:])
            assert found.torn is None


CityMachine.TestCase.settings = settings(max_examples=16, stateful_step_count=30, deadline=None)
TestCity = CityMachine.TestCase
