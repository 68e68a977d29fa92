"""Two sites under every order of events: no bit leaves twice, both ends agree, what was acknowledged can be had.

Blocks come, applications ask, frames move one by one, disks commit or not, streams break, sites crash, are set back
to old images and run twice. `kme_world` says what must hold; the same world goes through random walks in
`tests/sim/test_kme_walk.py`.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from kme_world import DISASTERS, PLOTS, STEPS, World

PLACES = st.sampled_from(["a", "b", "g"])
SITES = st.sampled_from(["a", "b"])
SIZES = st.sampled_from([40, 1500, 9000])


class TwoSites(RuleBasedStateMachine):
    """Hypothesis chooses what the world does."""

    world: World

    @initialize(tainted=st.sampled_from(["", "a", "b"]))
    def begin(self, tainted: str) -> None:
        self.world = World(tainted)

    @rule(data=st.data())
    def episode(self, data: st.DataObject) -> None:
        self.world.episode(lambda options: data.draw(st.sampled_from(list(options))))

    @rule(name=st.sampled_from(PLOTS), master=SITES)
    def plot(self, name: str, master: str) -> None:
        self.world.plot(name, master)

    @rule(size=SIZES, is_equal=st.sampled_from([True, True, True, False]))
    def ingest(self, size: int, is_equal: bool) -> None:
        if is_equal:
            self.world.ingest(size)
        else:
            self.world.ingest_unequal(size)

    @rule(place=PLACES, number=st.integers(1, 4), bits=st.sampled_from([64, 256, 1024]))
    def order(self, place: str, number: int, bits: int) -> None:
        self.world.order(place, number, bits)

    @rule(place=PLACES, is_all=st.booleans())
    def order_much(self, place: str, is_all: bool) -> None:
        if is_all:
            self.world.use_up(place)
        else:
            self.world.ship(place)

    @rule(data=st.data(), place=PLACES)
    @precondition(lambda self: self.world.acknowledged)
    def fetch(self, data: st.DataObject, place: str) -> None:
        known = self.world.names_at(place)
        if known:
            options = st.sampled_from(known[-6:])
            self.world.fetch(place, data.draw(st.lists(options, min_size=1, max_size=3, unique=True)))

    @rule(tokens=st.lists(st.sampled_from([*STEPS, "settle"]), min_size=1, max_size=8))
    def steps(self, tokens: list[str]) -> None:
        self.world.steps(tokens)

    @rule(seconds=st.sampled_from([0.5, 6.0, 20.0]))
    def tick(self, seconds: float) -> None:
        self.world.tick(seconds)

    @rule(name=SITES)
    def bring_again(self, name: str) -> None:
        self.world.bring_again(name, everything=True)

    @rule(disaster=st.sampled_from(DISASTERS), then=st.sampled_from(["settle", "!a !b", "!a !b <a <b", None]))
    def strike(self, disaster: str, then: str | None) -> None:
        self.world.strike(disaster)
        if then is not None:
            self.world.meet(then)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.finish()


TwoSites.TestCase.settings = settings(
    max_examples=60, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTwoSites = TwoSites.TestCase
