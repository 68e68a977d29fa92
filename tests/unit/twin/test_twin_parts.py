"""Clock, wires, light and healing of a twin, each alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from twin_city import DEVICE, quiet, ring

from poliqi.base.ids import LinkId
from poliqi.control.messages import LightState
from poliqi.control.prediction import link_parameters
from poliqi.optics.parameters import Attack, AttackKind, ClassicalChannel
from poliqi.optics.prediction import predict
from poliqi.twin.clock import Clock, generator
from poliqi.twin.light import Condition, Light
from poliqi.twin.network import Network, Stream
from poliqi.twin.scenario import Fault, FaultKind, Pace
from poliqi.twin.world import run

# ---------------------------------------------------------------- clock


def test_things_happen_in_their_order_and_equal_ones_as_planned() -> None:
    clock, seen = Clock(), list[str]()
    clock.at(2.0, lambda: seen.append("c"))
    clock.at(1.0, lambda: seen.append("a"))
    clock.at(1.0, lambda: seen.append("b"))
    clock.run(1.5)
    assert (seen, clock.now) == (["a", "b"], 1.5)
    clock.at(0.0, lambda: seen.append("late"))
    clock.run(3.0)
    assert seen == ["a", "b", "late", "c"]


def test_dice_of_different_parts_do_not_touch_each_other() -> None:
    assert generator(1, "a").random() == generator(1, "a").random()
    assert len({generator(1, "a").random(), generator(1, "b").random(), generator(2, "a").random()}) == 3


# ---------------------------------------------------------------- wires


@dataclass
class Ear:
    name: str
    is_alive: bool = True
    heard_frames: list[bytes] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    ends: int = 0

    def began(self, stream: Stream) -> None:
        self.streams.append(stream)

    def heard(self, stream: Stream, frame: bytes) -> None:
        self.heard_frames.append(frame)

    def ended(self, stream: Stream) -> None:
        self.ends += 1


def wires(jitter_s: float = 0.5) -> tuple[Clock, Network, Ear, Ear]:
    clock = Clock()
    network = Network(clock, generator(1, "test"), 0.01, jitter_s)
    a, b = Ear("a"), Ear("b")
    network.keep_calling(a, b)
    clock.run(5.0)
    return clock, network, a, b


def test_a_stream_keeps_its_order_however_slow_frames_are() -> None:
    clock, _, a, b = wires()
    for i in range(50):
        a.streams[-1].send(a, b"%d" % i)
    clock.run(10.0)
    assert b.heard_frames == [b"%d" % i for i in range(50)]


def test_a_broken_stream_is_noticed_and_made_again_and_its_frames_are_lost() -> None:
    clock, network, a, b = wires()
    a.streams[-1].send(a, b"lost")
    network.break_stream("a", "b")
    clock.run(10.0)
    assert (a.ends, b.ends, len(a.streams), b.heard_frames) == (1, 1, 2, [])


def test_a_short_partition_delays_and_a_long_one_ends_streams() -> None:
    clock, network, a, b = wires()
    pair = frozenset(("a", "b"))
    network.part([pair], patience_s=100.0)
    a.streams[-1].send(a, b"late")
    clock.run(10.0)
    assert b.heard_frames == []
    network.heal([pair])
    clock.run(12.0)
    assert (b.heard_frames, a.ends) == ([b"late"], 0)
    network.part([pair], patience_s=1.0)
    clock.run(20.0)
    assert (a.ends, b.ends, len(a.streams)) == (1, 1, 1)
    network.heal([pair])
    clock.run(30.0)
    assert len(a.streams) == 2


def test_partitions_that_overlap_are_over_when_all_are() -> None:
    _, network, _, _ = wires()
    pair = frozenset(("a", "b"))
    network.part([pair], 1.0)
    network.part([pair], 1.0)
    network.heal([pair])
    assert network.is_apart("a", "b")
    network.heal([pair])
    assert not network.is_apart("a", "b")


def test_a_power_cut_is_noticed_late_and_a_kill_at_once() -> None:
    clock, network, a, b = wires(0.0)
    a.is_alive = False
    network.lose(a, is_noticed=False, patience_s=4.0)
    clock.run(clock.now + 1.0)
    assert b.ends == 0
    clock.run(clock.now + 6.0)
    assert b.ends == 1


# ---------------------------------------------------------------- light

CITY = ring(3)
LINK = link_parameters(CITY, CITY.links[0], DEVICE)


def light(condition: Condition | None = None, blocks: float = 60.5) -> Light:
    found = Light(LINK, np.random.default_rng(5), 0.0)
    if condition is not None:
        found.change(condition, 0.0)
    found.gather(found.block_s * blocks)
    return found


def test_an_honest_link_makes_what_is_predicted() -> None:
    predicted, lit = predict(LINK), light()
    assert lit.reading.state is LightState.LIT
    rate = lit.secret_bits / (60 * lit.block_s)
    assert predicted.rate_hz * 0.9 < rate <= predicted.rate_hz
    assert lit.reading.qber_key == pytest.approx(predicted.expectation.qber_key, rel=0.05)
    assert lit.reading.loss_db == pytest.approx(CITY.loss_db(CITY.links[0]), abs=0.05)


@pytest.mark.parametrize(
    "condition",
    [
        Condition(attack=Attack(AttackKind.INTERCEPT_RESEND, 0.3)),
        Condition(attack=Attack(AttackKind.PHOTON_NUMBER_SPLITTING)),
        Condition(channels=(ClassicalChannel(0.0),)),
        Condition(error=0.05),
        Condition(extra_db=3.0),
    ],
)
def test_no_key_from_attacked_or_spoilt_light(condition: Condition) -> None:
    lit = light(condition)
    assert (lit.secret_bits, lit.reading.state) == (0, LightState.KEYLESS)
    assert lit.reading.reason


def test_an_intercepted_quarter_shows_in_the_errors() -> None:
    """Intercept-resend of every pulse errs in a quarter of the bits (Bennett and Brassard, 1984)."""
    lit = light(Condition(attack=Attack(AttackKind.INTERCEPT_RESEND, 0.4)))
    assert lit.reading.qber_key == pytest.approx(0.4 * 0.25 + 0.6 * 0.006, abs=0.01)


def test_a_loss_step_is_measured() -> None:
    assert light(Condition(extra_db=3.0)).reading.loss_db == pytest.approx(
        CITY.loss_db(CITY.links[0]) + 3.0, abs=0.1
    )


def test_a_cut_is_dark_and_a_missing_end_is_silent() -> None:
    assert light(Condition(is_cut=True)).reading.state is LightState.DARK
    assert light(Condition(is_away=True)).reading.state is LightState.SILENT


def test_one_unlucky_block_is_no_alarm() -> None:
    lit = light()
    lit.change(Condition(error=0.2), lit.block_s * 60.5)
    lit.gather(lit.block_s * 61.5)
    assert lit.reading.state is LightState.LIT
    lit.gather(lit.block_s * 64.5)
    assert lit.reading.state is LightState.KEYLESS


# ---------------------------------------------------------------- healing


def test_routes_go_around_a_cut_within_a_second() -> None:
    fault = Fault(FaultKind.CUT, at_s=15.0, for_s=20.0, span=CITY.spans[0].span)
    city = ring(4)
    result = run(replace(quiet(city, 40.0, fault), pace=Pace(0.25, 0.1, 5.0)), 1)
    assert result.broken == ""
    assert result.worst_heal_s is not None
    assert result.worst_heal_s <= 1.0


def test_a_city_without_a_way_around_does_not_heal() -> None:
    city = ring(2)
    result = run(quiet(city, 30.0, Fault(FaultKind.CUT, at_s=12.0, for_s=10.0, span=city.spans[0].span)), 1)
    assert result.broken == ""
    assert result.worst_heal_s is None


def test_points_show_links_going_dark() -> None:
    fault = Fault(FaultKind.CUT, at_s=20.0, for_s=10.0, span=CITY.spans[0].span)
    result = run(quiet(CITY, 40.0, fault), 2)
    name = LinkId(CITY.spans[0].span)
    assert [name in p.lit for p in result.points if p.at_s in (15.0, 25.0, 40.0)] == [True, False, True]
