"""The rule of grades, condition by condition, and that two rules together demand what each demands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.ids import KmeId
from poliqi.keys.grade import Authenticity, Combiner, Grade, KeyOrigin
from poliqi.keys.graderule import GradeRule

A, B, X, Y, Z = (KmeId(name) for name in "abxyz")
DIRECT = ((A, B),)
ONE_RELAY = ((A, X, B),)
DISJOINT = ((A, X, B), (A, Y, B))
SHARING = ((A, X, B), (A, Y, X, B))


def grade(**changes: Any) -> Grade:
    said: dict[str, Any] = {"origin": KeyOrigin.PHOTONS, "proof": "one-decoy", "epsilon": 1e-10, "paths": DIRECT}
    return Grade(**said | changes)


@pytest.mark.parametrize(
    ("rule", "changes", "says"),
    [
        (GradeRule(), {}, None),
        (GradeRule(), {"epsilon": None}, None),
        (GradeRule(), {"origin": KeyOrigin.REPLAY}, "origin is replay"),
        (GradeRule(origins=frozenset()), {}, "takes none"),
        (GradeRule(max_epsilon=1e-10), {}, None),
        (GradeRule(max_epsilon=1e-11), {}, "epsilon is 1e-10"),
        (GradeRule(max_epsilon=1.0), {"epsilon": None}, "nothing is proven"),
        (GradeRule(information_theoretic_only=True), {}, None),
        (GradeRule(information_theoretic_only=True), {"combiner": Combiner.XOR}, None),
        (GradeRule(information_theoretic_only=True), {"combiner": Combiner.HKDF}, "information-theoretic"),
        (GradeRule(information_theoretic_only=True), {"epsilon": None}, "information-theoretic"),
        (
            GradeRule(information_theoretic_only=True),
            {"authenticity": Authenticity.COMPUTATIONAL},
            "'computational'",
        ),
        (GradeRule(never_through=frozenset({X})), {"paths": ONE_RELAY}, "went through x"),
        (GradeRule(never_through=frozenset({Y})), {"paths": ONE_RELAY}, None),
        (GradeRule(never_through=frozenset({Y})), {"paths": DISJOINT, "threshold": 2}, "went through y"),
        (GradeRule(never_through=frozenset({A})), {}, None),
        (GradeRule(never_through=frozenset({X})), {"paths": ()}, "not told"),
        (GradeRule(max_relays=0), {"paths": ((A,),)}, "not told"),
        (GradeRule(max_relays=0), {}, None),
        (GradeRule(max_relays=0), {"paths": ONE_RELAY}, "1 relays"),
        (GradeRule(max_relays=1), {"paths": SHARING}, "2 relays"),
        (GradeRule(min_paths=2), {}, None),
        (GradeRule(min_paths=2), {"paths": ONE_RELAY}, "1 of its paths"),
        (GradeRule(min_paths=2), {"paths": DISJOINT, "threshold": 1}, "1 of its paths"),
        (GradeRule(min_paths=2), {"paths": DISJOINT, "threshold": 2}, None),
        (GradeRule(min_paths=3), {"paths": DISJOINT, "threshold": 2}, "at least 3"),
        (GradeRule(min_paths=2), {"paths": SHARING, "threshold": 2}, "disjoint"),
    ],
)
def test_judgement(rule: GradeRule, changes: dict[str, Any], says: str | None) -> None:
    answer = rule.judge(grade(**changes))
    assert answer is None if says is None else says in str(answer)


@pytest.mark.parametrize(
    ("required", "got", "passes"),
    [
        (Combiner.NONE, Combiner.NONE, True),
        (Combiner.NONE, Combiner.HKDF, True),
        (Combiner.HKDF, Combiner.HKDF, True),
        (Combiner.HKDF, Combiner.NONE, False),
        (Combiner.HKDF, Combiner.XOR, False),
        (Combiner.XOR, Combiner.HKDF, False),
    ],
)
def test_a_required_combiner_is_never_left_out(required: Combiner, got: Combiner, passes: bool) -> None:
    assert (GradeRule(combiner=required).judge(grade(combiner=got)) is None) is passes


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"max_epsilon": 0.0}, "max_epsilon"),
        ({"max_epsilon": 1.1}, "max_epsilon"),
        ({"max_relays": -1}, "max_relays"),
        ({"min_paths": 0}, "min_paths"),
        ({"information_theoretic_only": True, "combiner": Combiner.HKDF}, "computational"),
    ],
)
def test_a_rule_that_cannot_be_met_is_a_mistake(said: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        GradeRule(**said)


SITES = st.sampled_from([X, Y, Z])
RULES = st.builds(
    GradeRule,
    origins=st.frozensets(st.sampled_from(list(KeyOrigin))),
    max_epsilon=st.none() | st.sampled_from([1e-12, 1e-10, 1e-6]),
    information_theoretic_only=st.booleans(),
    never_through=st.frozensets(SITES, max_size=2),
    max_relays=st.none() | st.integers(0, 3),
    min_paths=st.integers(1, 3),
    combiner=st.sampled_from([Combiner.NONE, Combiner.XOR]),
)
GRADES = st.builds(
    Grade,
    origin=st.sampled_from(list(KeyOrigin)),
    proof=st.just("p"),
    epsilon=st.none() | st.sampled_from([1e-13, 1e-10, 1e-5]),
    paths=st.lists(st.lists(SITES, max_size=3, unique=True).map(lambda relays: (A, *relays, B)), max_size=3).map(
        tuple
    ),
    threshold=st.integers(1, 3),
    authenticity=st.sampled_from(list(Authenticity)),
    combiner=st.sampled_from(list(Combiner)),
)


@given(RULES, RULES, GRADES)
def test_joined_rules_pass_what_both_pass_and_nothing_else(one: GradeRule, other: GradeRule, g: Grade) -> None:
    passes = one.judge(g) is None and other.judge(g) is None
    assert (one.joined(other).judge(g) is None) is passes
    assert one.joined(other) == other.joined(one)
