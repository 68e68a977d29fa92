"""Every attack from full strength to none: detected, harmless or outside the proof's assumptions, never wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from poliqi.link.monitor import Level, Verdict
from poliqi.ops.attack_sweep import STRENGTHS, Bench, Outcome, Point, outcome_of, sweep
from poliqi.ops.commands.link import command
from poliqi.ops.commands.link_attacks import markdown
from poliqi.ops.config import default_link
from poliqi.optics.parameters import Attack, AttackKind
from poliqi.optics.truth import Truth

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "attacks.md"
SEEDS = 200


@pytest.fixture(scope="module")
def points() -> list[Point]:
    return list(sweep(Bench(default_link()), SEEDS))


def test_no_block_is_wrongly_called_secure(points: list[Point]) -> None:
    assert {point.outcomes[Outcome.WRONG] for point in points} == {0}
    assert {sum(point.outcomes.values()) for point in points} == {SEEDS}


def test_every_attack_is_seen_at_full_strength_and_nothing_at_none(points: list[Point]) -> None:
    for name in {point.attack for point in points}:
        of_kind = [point for point in points if point.attack == name]
        assert len(of_kind) >= 6
        assert of_kind[0].outcomes[Outcome.DETECTED] == of_kind[0].named == SEEDS, name
        assert of_kind[0].interval[0] > 0.98
        assert of_kind[-1].strength == 0.0
        assert of_kind[-1].outcomes[Outcome.DETECTED] == 0, name


def test_detection_grows_with_strength(points: list[Point]) -> None:
    for name in {point.attack for point in points}:
        found = [point.outcomes[Outcome.DETECTED] for point in points if point.attack == name]
        assert found == sorted(found, reverse=True), name


def test_the_page_is_the_commands_output(points: list[Point]) -> None:
    line = f"poliqi link attacks --seeds {SEEDS} --markdown"
    made = markdown(points, default_link().name, SEEDS, 1e-6, line)
    assert PAGE.read_text() == made + "\n", f"write it again: {line} > docs/reference/attacks.md"


def test_every_attack_of_the_library_is_swept() -> None:
    assert set(STRENGTHS) == set(AttackKind) - {AttackKind.NONE}


def test_the_rule_of_outcomes() -> None:
    clear, seen = Verdict(Level.CLEAR), Verdict(Level.ATTACK)
    half = Truth(vacuum=0.0, untouched=0.5, touched=0.0, entropy=1.0, phase_error=0.0)  # 500 bits of 1000
    for verdict, length, is_covered, outcome in (
        (seen, 900, True, Outcome.DETECTED),
        (clear, 0, True, Outcome.HARMLESS),
        (clear, 400, True, Outcome.HARMLESS),
        (clear, 600, True, Outcome.WRONG),
        (clear, 600, False, Outcome.OUTSIDE),
        (clear, 1, False, Outcome.OUTSIDE),  # however little Eve learns: the proof says nothing of her
        (clear, 0, False, Outcome.HARMLESS),
        (Verdict(Level.SUSPECT), 600, True, Outcome.WRONG),
    ):
        assert outcome_of(verdict, length, half, 1000.0, 0.0, is_covered=is_covered) is outcome


def test_what_a_proof_does_not_pay_for_is_never_harmless_with_a_key(points: list[Point]) -> None:
    for name in (AttackKind.BLINDING, AttackKind.TIME_SHIFT, AttackKind.TROJAN_HORSE):
        weak = [point for point in points if point.attack == name and point.strength > 0]
        assert all(point.outcomes[Outcome.HARMLESS] == 0 for point in weak), name
        assert weak[-1].outcomes[Outcome.OUTSIDE] > 0, name


def test_a_blinded_link_would_have_given_key(points: list[Point]) -> None:
    """Without the monitor nothing would have stopped it: that is why it is there."""
    full = next(point for point in points if point.attack == AttackKind.BLINDING and point.strength == 1.0)
    assert full.with_key == SEEDS


def test_the_command_prints_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poliqi.ops.attack_sweep.STRENGTHS", {AttackKind.BLINDING: (1.0, 0.0)})
    result = CliRunner().invoke(command, ["attacks", "--seeds", "2", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)["points"]
    assert found[0]["outcomes"] == {"detected": 2, "harmless": 0, "outside": 0, "wrong": 0}
    assert found[0]["detected_interval"][0] == pytest.approx(0.1581, abs=1e-3)  # Clopper-Pearson of 2 of 2


def test_a_point_depends_on_its_seed_alone() -> None:
    bench = Bench(default_link())
    attack = Attack(AttackKind.PHOTON_NUMBER_SPLITTING, 0.1)
    assert bench.point(attack, 5) == bench.point(attack, 5)
