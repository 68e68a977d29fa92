"""What a verdict leads to: policy, quarantine, commissioning; everything fails closed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poliqi.base.errors import ConfigError
from poliqi.link.monitor import Level, Observation
from poliqi.link.played import PlayedLink
from poliqi.link.response import Action, Guard, Quarantine, WatchSettings
from poliqi.ops.config import default_link
from poliqi.optics.parameters import Attack, AttackKind

LINK = default_link()
BLINDED = Attack(AttackKind.BLINDING, 1.0)
TAPPED = Attack(AttackKind.TAP, 0.6)


def blocks(count: int, attack: Attack | None = None, seed: int = 1) -> list[Observation]:
    played, dice = PlayedLink(replace(LINK, attack=attack or Attack())), np.random.default_rng(seed)
    return [played.block(130_000_000, dice).observation() for _ in range(count)]


def guard(**changes: object) -> Guard:
    """One whose commissioning is over."""
    made = Guard(LINK, WatchSettings(commissioning=8, **changes))  # type: ignore[arg-type]
    for block in blocks(8):
        assert made.see(block, 0.0, 0.0).refusal is None
    assert made.commissioning is None
    return made


def test_blinding_quarantines_the_link_and_no_later_block_gives_key() -> None:
    made = guard()
    first = made.see(blocks(1, BLINDED)[0], 10.0, 1_700_000_000.0)
    assert (first.verdict.level, first.action) == (Level.ATTACK, Action.QUARANTINE)
    assert first.refusal is not None
    assert "blinding" in first.refusal
    assert made.quarantine is not None
    assert (made.quarantine.attack, made.quarantine.since) == ("blinding", 1_700_000_000.0)
    for later in blocks(5, seed=4):
        assert "quarantined" in (made.see(later, 1e6, 2e9).refusal or "")
    made.release()
    assert made.see(blocks(1, seed=5)[0], 1e6, 2e9).refusal is None


def test_a_quarantine_of_before_the_start_is_in_force() -> None:
    made = Guard(LINK, WatchSettings(), quarantine=Quarantine("blinding", "photocurrent", 1.0))
    assert made.see(blocks(1)[0], 0.0, 2.0).refusal is not None


def test_what_the_proof_pays_for_is_told_and_left_to_it() -> None:
    made = guard()
    found = made.see(blocks(1, TAPPED)[0], 0.0, 0.0)
    assert (found.verdict.level, found.action, found.refusal) == (Level.ATTACK, Action.ALARM, None)
    strict = guard(covered=Action.ABORT).see(blocks(1, TAPPED)[0], 0.0, 0.0)
    assert strict.refusal is not None


def test_readings_that_stop_coming_drop_the_block() -> None:
    found = guard().see(replace(blocks(1)[0], bob=None), 0.0, 0.0)
    assert (found.verdict.level, found.action) == (Level.BLIND, Action.ABORT)
    assert found.refusal is not None


def test_a_quarantine_may_end_by_itself_after_clear_blocks_without_key() -> None:
    made = guard(release_after_s=60.0)
    made.see(blocks(1, BLINDED)[0], 0.0, 0.0)
    clear = blocks(8, seed=6)
    for at, block in zip((10.0, 20.0, 40.0), clear, strict=False):
        assert made.see(block, at, 0.0).refusal is not None
    assert made.quarantine is not None, "30 s are not a minute"
    made.see(blocks(1, BLINDED, seed=7)[0], 60.0, 0.0)  # it goes on: the time counts anew
    for at, block in zip((70.0, 100.0, 129.0), clear, strict=False):
        made.see(block, at, 0.0)
    assert made.quarantine is not None
    assert made.see(clear[4], 131.0, 0.0).refusal is not None, "this one's key is dropped as well"
    assert made.quarantine is None
    assert made.see(clear[5], 132.0, 0.0).refusal is None


def test_until_commissioning_is_over_odd_blocks_are_dropped_and_teach_nothing() -> None:
    made = Guard(LINK, WatchSettings(commissioning=8))
    strange = [
        replace(b, bob=replace(b.bob, clicks=(90_000, 10_000, 5_000, 5_000)))  # type: ignore[type-var]
        for b in blocks(2)
    ]
    for block in strange:
        found = made.see(block, 0.0, 0.0)
        assert found.refusal is not None
        assert found.action is Action.ABORT
    assert made.quarantine is None
    assert made.commissioning == (0, 8)
    learned = [made.see(block, 0.0, 0.0).learned for block in blocks(8)]
    assert [found is not None for found in learned] == [False] * 7 + [True]


def test_settings_that_make_no_sense_are_refused() -> None:
    for changes in ({"alpha": 0.1, "suspicion": 0.01}, {"commissioning": 3}, {"release_after_s": -1.0}):
        with pytest.raises(ConfigError, match="monitor"):
            WatchSettings(**changes)  # type: ignore[arg-type]
