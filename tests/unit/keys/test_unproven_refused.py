"""Keys of other people's devices: whoever asks for proven ones is not given them, directly or through a relay."""

from __future__ import annotations

import pytest

from poliqi.apps.keygrade import GradeDemand, KeyGrade
from poliqi.base.ids import KmeId
from poliqi.keys.grade import Authenticity, Combiner, Grade, KeyOrigin, weakest
from poliqi.keys.graderule import GradeRule

ENDS = ((KmeId("leonardo"), KmeId("bovisa")),)
UNPROVEN = Grade(KeyOrigin.UNPROVEN, "", None, ENDS)
PROVEN = Grade(KeyOrigin.PHOTONS, "wiesemann", 1e-10, ENDS)


@pytest.mark.parametrize(
    "rule",
    [
        GradeRule(),
        GradeRule(information_theoretic_only=True),
        GradeRule(origins=frozenset(KeyOrigin), information_theoretic_only=True),
        GradeRule(origins=frozenset(KeyOrigin), max_epsilon=1e-6),
    ],
    ids=["default", "strict", "strict, any origin", "any origin, epsilon"],
)
def test_a_rule_that_does_not_name_them_refuses_them(rule: GradeRule) -> None:
    assert rule.judge(PROVEN) is None
    assert rule.judge(UNPROVEN) is not None


def test_a_rule_has_to_name_them_at_the_site_and_at_the_pair() -> None:
    taking = GradeRule(origins=frozenset({KeyOrigin.PHOTONS, KeyOrigin.UNPROVEN}))
    assert taking.judge(UNPROVEN) is None
    assert taking.joined(GradeRule()).judge(UNPROVEN) is not None


def test_one_unproven_hop_makes_a_relayed_key_unproven() -> None:
    relayed = weakest([PROVEN, UNPROVEN, PROVEN])
    assert (relayed.origin, relayed.epsilon, relayed.is_information_theoretic) == (KeyOrigin.UNPROVEN, None, False)
    assert GradeRule().judge(relayed) is not None


def test_no_hybrid_makes_them_information_theoretic() -> None:
    for combiner in Combiner:
        assert not UNPROVEN.with_combiner(combiner).is_information_theoretic


def test_an_application_that_demands_proof_refuses_them() -> None:
    assert UNPROVEN.authenticity is Authenticity.INFORMATION_THEORETIC, "the ends did compare them so"
    told = KeyGrade.read(UNPROVEN.as_json())
    assert GradeDemand(information_theoretic=True).judge(told) is not None
    assert GradeDemand(information_theoretic=True, allow_simulated=True).judge(told) is not None
