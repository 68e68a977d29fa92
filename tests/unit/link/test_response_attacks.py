"""What somebody who knows the monitor tries: hide one attack behind another, blind it, keep it from learning."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from poliqi.link.health import Health
from poliqi.link.monitor import Baseline, Learned, Level, Observation, Suspected
from poliqi.link.monitor.signatures import candidates
from poliqi.link.monitor.verdict import Evidence
from poliqi.link.played import PlayedLink
from poliqi.link.response import Action, Guard, WatchSettings
from poliqi.ops.config import default_link
from poliqi.optics.parameters import Attack, AttackKind

LINK = default_link()
NAN = float("nan")
SPLIT = Attack(AttackKind.PHOTON_NUMBER_SPLITTING, 0.2)


def blocks(count: int, attack: Attack | None = None, seed: int = 1) -> list[Observation]:
    played, dice = PlayedLink(replace(LINK, attack=attack or Attack())), np.random.default_rng(seed)
    return [played.block(130_000_000, dice).observation() for _ in range(count)]


@cache
def learned() -> Learned:
    found = Baseline.of(LINK).commissioned(blocks(20)).learned
    assert found is not None
    return found


def guard() -> Guard:
    return Guard(LINK, WatchSettings(), learned())


def readings_under(seen: Observation, attack: Attack) -> Observation:
    """The counts of `seen`, the readings of both devices as an attack leaves them."""
    (other,) = blocks(1, attack, seed=9)
    assert seen.bob is not None
    assert other.bob is not None
    bob = replace(
        seen.bob,
        photocurrent_a=other.bob.photocurrent_a,
        arrival_s=other.bob.arrival_s,
        arrival_spread_s=other.bob.arrival_spread_s,
    )
    return replace(seen, bob=bob, alice=other.alice)


@pytest.mark.parametrize(
    ("hidden", "named"),
    [
        (Attack(AttackKind.TROJAN_HORSE, 1e-3), Suspected.TROJAN_HORSE),
        (Attack(AttackKind.BLINDING, 0.3), Suspected.BLINDING),
        (Attack(AttackKind.TIME_SHIFT, 1.0), Suspected.TIME_SHIFT),
    ],
)
@pytest.mark.parametrize(
    "loud", [Attack(AttackKind.TAP, 0.6), Attack(AttackKind.INTERCEPT_RESEND, 0.1)], ids=["tap", "intercept"]
)
def test_a_loud_attack_that_the_proof_pays_for_hides_none_that_it_does_not(
    loud: Attack, hidden: Attack, named: Suspected
) -> None:
    (seen,) = blocks(1, loud)
    alone = guard().see(replace(seen, alice=None), 0.0, 0.0)
    assert alone.verdict.is_covered
    found = guard().see(readings_under(seen, hidden), 0.0, 0.0)
    assert found.action is Action.QUARANTINE
    assert found.refusal is not None
    assert named in {candidate.attack for candidate in found.verdict.candidates}
    assert not found.verdict.is_covered


def test_a_sign_that_no_attack_of_the_proofs_shows_is_not_hidden_either() -> None:
    (seen,) = blocks(1, Attack(AttackKind.TAP, 0.6))
    assert seen.alice is not None
    (own,) = blocks(1)
    assert own.alice is not None
    dark = replace(seen, alice=replace(own.alice, back_light_w=-1e-6))
    found = guard().see(dark, 0.0, 0.0)
    assert Suspected.UNKNOWN in {candidate.attack for candidate in found.verdict.candidates}
    assert found.action is Action.QUARANTINE


# ---------------------------------------------------------------- readings that are no numbers


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_a_reading_that_is_no_number_is_one_that_is_missing(value: float) -> None:
    (seen,) = blocks(1, Attack(AttackKind.TROJAN_HORSE, 1e-3))
    assert seen.alice is not None
    assert seen.bob is not None
    for blind in (
        replace(seen, alice=replace(seen.alice, back_light_w=value)),
        replace(blocks(1)[0], bob=replace(seen.bob, arrival_s=(value,) * 4)),
    ):
        found = guard().see(blind, 0.0, 0.0)
        assert (found.verdict.level, found.action) == (Level.BLIND, Action.ABORT)


def test_only_what_is_a_measurement_comes_in() -> None:
    odd = Health(9, (1, -2, 3, 4), -1, NAN, (1e-12, NAN, None, float("inf")), NAN, NAN, -float("inf"))
    assert odd.sound() == Health(9, arrival_s=(1e-12, None, None, None))
    right = Health(9, (1, 2, 3, 4), 1, 1e-6, (1e-12, None, None, 0.0), 1e-11, 3.0, 0.0)
    assert right.sound() == right


# ---------------------------------------------------------------- commissioning


def test_commissioning_that_learns_nothing_ends_in_no_key() -> None:
    made = Guard(LINK, WatchSettings())
    found = [made.see(block, 0.0, 0.0) for block in blocks(20, SPLIT)]
    assert made.commissioning == (0, 20)
    assert [decision.refusal is None for decision in found] == [True] * 10 + [False] * 10
    assert "not commissioned" in (found[-1].refusal or "")
    clear = [made.see(block, 0.0, 0.0) for block in blocks(21, seed=4)]
    assert made.commissioning is None
    assert [decision.refusal is None for decision in clear] == [False] * 19 + [True] * 2, "it ends once it is over"


@pytest.mark.parametrize("at", [0, 7])
def test_a_block_that_lacks_a_reading_leaves_no_reading_unwatched(at: int) -> None:
    made = Guard(LINK, WatchSettings(commissioning=10))
    lessons = blocks(11, seed=2)
    bob = lessons[at].bob
    assert bob is not None
    lessons[at] = replace(lessons[at], bob=replace(bob, arrival_s=None), alice=None)
    found = [made.see(block, 0.0, 0.0).learned for block in lessons]
    (taught,) = [one for one in found if one is not None]
    assert {"back-light", "arrival-key-0", "arrival-test-1"} <= set(taught.readings)
    assert taught.readings["back-light"].blocks == (9 if at == 0 else 10), (
        "the odd one is no lesson once others are"
    )
    (shone,) = blocks(1, Attack(AttackKind.TROJAN_HORSE, 1e-3))
    assert made.see(shone, 0.0, 0.0).action is Action.QUARANTINE


def test_a_reading_that_too_few_lessons_had_is_not_learned() -> None:
    lessons = [replace(block, alice=None) if number < 5 else block for number, block in enumerate(blocks(12))]
    found = Baseline.of(LINK).commissioned(lessons)
    assert "back-light" not in found.readings
    assert "photocurrent" in found.readings


# ---------------------------------------------------------------- what no tag covers


def test_a_block_without_a_tag_teaches_nothing_and_quarantines_nothing() -> None:
    made = guard()
    (bright,) = blocks(1, Attack(AttackKind.BLINDING, 1.0))
    for _ in range(5):
        found = made.glance(bright, 0.0)
        assert (found.verdict.level, found.action, found.is_authentic) == (Level.ATTACK, Action.ABORT, False)
    assert made.quarantine is None
    assert made.see(blocks(1, seed=3)[0], 0.0, 0.0).verdict.level is Level.CLEAR
    fresh = Guard(LINK, WatchSettings())
    for block in blocks(3):
        fresh.glance(block, 0.0)
    assert fresh.commissioning == (0, 20)


def test_an_end_that_knows_no_key_errors_yet_does_without() -> None:
    (seen,) = blocks(1)
    found = guard().see(replace(seen, has_key_errors=False), 0.0, 0.0)
    assert found.verdict.level is Level.CLEAR


@pytest.mark.parametrize("loud", ["clicks+", "doubles+", "qber-test+", "clicks-"])
@pytest.mark.parametrize("sign", ["basis+", "arms-"])
def test_detection_that_depends_on_the_basis_is_never_covered(loud: str, sign: str) -> None:
    """Proofs exclude it; light from aside, errors or a bend beside it explain nothing of it."""
    rows = [
        Evidence(name[:-1], 0.4, 0.5, 0.6, 0.55, 1.0 - 1e-9, 1e-20, name.endswith("+")) for name in (loud, sign)
    ]
    watched = {row.figure for row in rows} | {"photocurrent", "back-light", "spread"}
    found = candidates(rows, watched, {row.sign for row in rows})
    assert Suspected.UNKNOWN in {candidate.attack for candidate in found}
    assert not all(candidate.is_covered for candidate in found)


def test_a_louder_attack_buys_no_weaker_action() -> None:
    strict = Guard(LINK, WatchSettings(suspect=Action.ABORT, commissioning=0))
    split = blocks(1, Attack(AttackKind.PHOTON_NUMBER_SPLITTING, 1.0), seed=3)[0]
    assert strict.see(split, 0.0, 0.0).action in (Action.ABORT, Action.QUARANTINE)
