"""Attacks in a twin that leave the counts alone, and forged messages: who notices, what it is called, its end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from twin_city import DEVICE, quiet, ring

from poliqi.control.causes import Cause
from poliqi.control.messages import LightState
from poliqi.ops.scenario_toml import ATTACKS
from poliqi.optics.attack import ATTACK_WORDS
from poliqi.optics.parameters import Attack, AttackKind
from poliqi.twin.faults import aim, expected
from poliqi.twin.light import Condition, Light
from poliqi.twin.scenario import Fault, FaultKind, Pace
from poliqi.twin.watch import WATCHED
from poliqi.twin.world import TwinWorld

CITY = ring(4)
SPAN = CITY.spans[0].span
LINK = replace(DEVICE, fibre=replace(DEVICE.fibre, length_m=5e3, connectors_db=1.5, switch_db=3.0))


def light(seed: int = 4) -> Light:
    return Light(LINK, np.random.Generator(np.random.PCG64(seed)), 0.0)


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (Attack(AttackKind.BLINDING, 0.3), "blinding"),
        (Attack(AttackKind.TIME_SHIFT, 0.3), "time-shift"),
        (Attack(AttackKind.TROJAN_HORSE, 1e-6), "trojan-horse"),
    ],
)
def test_an_attack_outside_the_proofs_gives_no_key_and_is_named(attack: Attack, named: str) -> None:
    lit = light()
    lit.change(Condition(attack=attack), 0.0)
    assert lit.gather(3.5 * lit.block_s) == []
    reading = lit.reading
    assert (reading.state, reading.verdict, reading.attack) == (LightState.KEYLESS, "attack", named)
    assert reading.is_quarantined
    assert reading.evidence
    assert lit.secret_bits == 0


def test_a_quarantine_ends_by_itself_once_blocks_are_clear() -> None:
    lit = light()
    lit.change(Condition(attack=Attack(AttackKind.BLINDING, 0.5)), 0.0)
    over = 3.5 * lit.block_s
    lit.gather(over)
    lit.change(Condition(), over)
    lit.gather(over + 10.0 + 8 * lit.block_s)
    assert lit.secret_bits > 0
    assert (lit.reading.verdict, lit.reading.attack, lit.reading.is_quarantined) == ("clear", "", False)


@pytest.mark.parametrize("forged", ["tampering", "replay"])
def test_forged_messages_let_no_session_be_agreed(forged: str) -> None:
    lit = light()
    lit.change(Condition(forged=forged), 0.0)
    for second in range(1, 9):
        assert lit.gather(float(second)) == []
    assert lit.reading.state is LightState.SILENT
    assert "authentication failed" in lit.reading.reason
    assert (lit.reading.verdict, lit.reading.attack) == ("attack", "tampering"), (
        "a tag that does not fit is all they see"
    )


@pytest.mark.parametrize(
    "condition",
    [
        Condition(),
        Condition(attack=Attack(AttackKind.TAP, 0.9)),
        Condition(attack=Attack(AttackKind.INTERCEPT_RESEND, 1.0)),
        Condition(extra_db=3.0),
    ],
)
def test_a_monitor_that_nobody_asked_says_nothing(condition: Condition) -> None:
    lit = light()
    lit.change(condition, 0.0)
    lit.gather(2.5 * lit.block_s)
    assert (lit.reading.verdict, lit.reading.attack, lit.reading.evidence) == ("", "", "")


def test_a_monitor_that_was_asked_once_does_not_clear_what_comes_later() -> None:
    lit = light()
    lit.change(Condition(attack=Attack(AttackKind.TROJAN_HORSE, 1e-12)), 0.0)
    over = 2.5 * lit.block_s
    lit.gather(over)
    assert lit.reading.verdict == "clear", "so little light comes from outside as no meter sees"
    lit.change(Condition(attack=Attack(AttackKind.TAP, 0.9)), over)
    lit.gather(over + 3.0 * lit.block_s)
    assert lit.reading.verdict == ""


def test_each_attack_is_watched_or_left_to_the_figures() -> None:
    """Whoever adds one decides which, what an alarm should call it, and how people write it."""
    by_figures = {
        AttackKind.NONE,
        AttackKind.INTERCEPT_RESEND,
        AttackKind.PHOTON_NUMBER_SPLITTING,
        AttackKind.TAP,
        AttackKind.CUT,
    }
    assert set(AttackKind) == WATCHED | by_figures
    assert not WATCHED & by_figures
    for kind in WATCHED:
        aimed = aim(Fault(FaultKind.EAVESDROPPER, span=SPAN, attack=kind), CITY, np.random.default_rng(1))
        assert kind.value in {one.cause.value for one in expected(aimed)}
    assert set(ATTACK_WORDS.values()) == set(AttackKind) - {AttackKind.NONE}
    assert set(ATTACKS.values()) == set(AttackKind) - {AttackKind.NONE, AttackKind.TAP, AttackKind.CUT}


def test_honest_light_is_as_it_was_without_a_monitor() -> None:
    """The meters draw from dice of their own: counts of a seed do not depend on who looks."""
    one, other = light(9), light(9)
    other.change(Condition(attack=Attack(AttackKind.TROJAN_HORSE, 1e-9)), 0.0)
    one.gather(5.5 * one.block_s)
    other.gather(5.5 * other.block_s)
    assert one.reading.qber_key == other.reading.qber_key


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (Fault(FaultKind.EAVESDROPPER, span=SPAN, attack=AttackKind.BLINDING), Cause.BLINDING),
        (Fault(FaultKind.TAMPER, link=CITY.links[0].link), Cause.TAMPERING),
    ],
    ids=["blinding", "tamper"],
)
def test_the_city_names_it_and_keys_take_another_way(fault: Fault, cause: Cause) -> None:
    fault = replace(fault, at_s=15.0, for_s=30.0)
    world = TwinWorld(replace(quiet(CITY, 60.0, fault), pace=Pace(0.5, 0.25, 5.0)), 1)
    link = CITY.links[0]
    a, b = sorted(link.ends)
    got: list[float] = []
    for second in range(36, 45):  # while it goes on
        order = partial(world.applications.exchange, "probes", a, b, 4, done=lambda: got.append(world.clock.now))
        world.clock.at(float(second), order)
    result = world.run()
    assert result.broken == ""
    injected = result.injected[0]
    assert injected.first_alarm is not None, "no alarm"
    assert injected.first_alarm.cause == cause
    assert injected.is_named_first, injected.first_alarm.line
    assert injected.heal_s is not None, "a site's routes still go over the link"
    assert injected.heal_s < 5.0
    during = [point for point in result.points if 20.0 <= point.at_s < 45.0]
    before = [point for point in result.points if point.at_s < 15.0]
    assert not any(link.link in point.lit for point in during)
    assert during[-1].stock_bits[a, b] > before[-1].stock_bits[a, b], "no key came over another way"
    assert len(got) == 9


def test_an_aimed_attack_knows_its_link() -> None:
    dice = np.random.default_rng(1)
    aimed = aim(Fault(FaultKind.EAVESDROPPER, span=SPAN, attack=AttackKind.JAMMING), CITY, dice)
    assert aimed.link == CITY.links[0].link
    assert {e.cause for e in expected(aimed)} == {Cause.JAMMING, Cause.STRAY_LIGHT}
    assert expected(aim(Fault(FaultKind.REPLAY), CITY, dice))[0].cause is Cause.TAMPERING
