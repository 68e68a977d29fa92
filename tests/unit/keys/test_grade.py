"""What is said of a key, and that the weakest word wins."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.ids import KmeId
from poliqi.keys.grade import Authenticity, Combiner, Grade, KeyOrigin, weakest

A, B, C, D, E = (KmeId(x) for x in "abcde")
DIRECT = ((A, B),)
PHOTONS = Grade(KeyOrigin.PHOTONS, "BB84", 1e-10, DIRECT)
GRADES = st.builds(
    Grade,
    st.sampled_from(KeyOrigin),
    st.sampled_from(["", "BB84", "TF"]),
    st.one_of(st.none(), st.sampled_from([2.0**-40, 2.0**-33, 2.0**-50])),
    st.sampled_from([DIRECT, ((A, C, B),), ((A, C, B), (A, D, B))]),
    st.integers(1, 2),
    st.sampled_from(Authenticity),
    st.sampled_from(Combiner),
)


@pytest.mark.parametrize(
    ("grade", "name"),
    [
        (PHOTONS, "its"),
        (Grade(KeyOrigin.PHOTONS, "BB84", 1e-10, ((A, C, B),)), "its-trusted-relay"),
        (Grade(KeyOrigin.PHOTONS, "BB84", 1e-10, ((A, C, B), (A, D, B)), threshold=2), "its-2-of-2-paths"),
        (PHOTONS.with_combiner(Combiner.XOR), "its"),
        (PHOTONS.with_combiner(Combiner.HKDF), "hybrid"),
        (Grade(KeyOrigin.PHOTONS, "", None, DIRECT), "unproven"),
        (Grade(KeyOrigin.PHOTONS, "BB84", 1e-10, DIRECT, 1, Authenticity.COMPUTATIONAL), "computational"),
        *((Grade(o, "", None, DIRECT), o.value) for o in KeyOrigin if o is not KeyOrigin.PHOTONS),
    ],
)
def test_one_word_for_people_is_the_weakest_that_can_be_said(grade: Grade, name: str) -> None:
    assert grade.name == grade.as_json()["grade"] == name


@given(GRADES)
def test_only_proven_photons_with_proven_authenticity_are_information_theoretic(grade: Grade) -> None:
    proven = grade.origin is KeyOrigin.PHOTONS and grade.epsilon is not None
    sound = grade.authenticity is Authenticity.INFORMATION_THEORETIC and grade.combiner is not Combiner.HKDF
    assert grade.is_information_theoretic == (proven and sound)
    assert grade.name.startswith("its") == grade.is_information_theoretic


def test_relays_are_the_sites_between_the_ends() -> None:
    grade = Grade(KeyOrigin.PHOTONS, "BB84", 1e-10, ((A, C, B), (A, D, B)))
    assert grade.relays == {C, D} and not grade.is_direct and PHOTONS.is_direct


@given(st.lists(GRADES, min_size=1, max_size=4))
def test_nothing_gets_stronger_on_a_longer_way(grades: list[Grade]) -> None:
    order = ["photons", "pqc", "unproven", "replay", "simulated"]
    whole = weakest(grades)
    assert order.index(whole.origin) == max(order.index(g.origin) for g in grades)
    if any(g.epsilon is None for g in grades):
        assert whole.epsilon is None
    else:
        assert whole.epsilon is not None
        assert Fraction(whole.epsilon) == sum(Fraction(g.epsilon or 0) for g in grades)
    if any(g.authenticity is Authenticity.COMPUTATIONAL for g in grades):
        assert whole.authenticity is Authenticity.COMPUTATIONAL
    assert whole.relays == {relay for g in grades for relay in g.relays}


@given(st.lists(GRADES, min_size=1, max_size=4))
def test_a_way_is_proven_only_where_each_part_of_it_is(grades: list[Grade]) -> None:
    if weakest(grades).is_information_theoretic:
        assert all(g.is_information_theoretic for g in grades)


OVER_C = Grade(KeyOrigin.PHOTONS, "BB84", 1e-10, ((A, C, B),))
OVER_TWO = Grade(KeyOrigin.PHOTONS, "BB84", 1e-10, ((A, C, B), (A, D, B)), threshold=2)
OTHER_TWO = Grade(KeyOrigin.PHOTONS, "BB84", 1e-10, ((A, E, B), (A, D, B)), threshold=2)


@pytest.mark.parametrize(
    ("grades", "paths", "threshold"),
    [
        ([PHOTONS, PHOTONS], DIRECT, 1),
        ([PHOTONS, OVER_C], ((A, B), (A, C, B)), 1),
        ([OVER_C, PHOTONS], ((A, C, B), (A, B)), 1),
        # a key with parts of two grades falls with the easier part: whoever holds C has half of it
        ([OVER_TWO, OVER_C], ((A, C, B), (A, D, B)), 1),
        ([OVER_C, OVER_TWO], ((A, C, B), (A, D, B)), 1),
        # a direct part has no relay to hold, and does not make the relayed one look easier
        ([PHOTONS, OVER_TWO], ((A, B), (A, C, B), (A, D, B)), 2),
        ([OVER_TWO, OTHER_TWO], ((A, C, B), (A, D, B), (A, E, B)), 2),
    ],
)
def test_every_path_is_named_and_the_fewest_relays_that_give_a_part(
    grades: list[Grade], paths: tuple[tuple[KmeId, ...], ...], threshold: int
) -> None:
    whole = weakest(grades)
    assert (whole.paths, whole.threshold) == (paths, threshold)


@pytest.mark.parametrize(
    ("combiners", "combiner", "authenticity"),
    [
        ([Combiner.XOR, Combiner.XOR], Combiner.XOR, Authenticity.INFORMATION_THEORETIC),
        ([Combiner.HKDF, Combiner.HKDF], Combiner.HKDF, Authenticity.INFORMATION_THEORETIC),
        ([Combiner.NONE, Combiner.XOR], Combiner.NONE, Authenticity.INFORMATION_THEORETIC),
        # neither word fits all of it; that a part went through a hash must not be lost
        ([Combiner.NONE, Combiner.HKDF], Combiner.NONE, Authenticity.COMPUTATIONAL),
        ([Combiner.HKDF, Combiner.XOR], Combiner.NONE, Authenticity.COMPUTATIONAL),
    ],
)
def test_a_hash_in_one_part_is_not_lost_beside_a_part_without(
    combiners: list[Combiner], combiner: Combiner, authenticity: Authenticity
) -> None:
    whole = weakest(PHOTONS.with_combiner(each) for each in combiners)
    assert (whole.combiner, whole.authenticity) == (combiner, authenticity)
    assert whole.is_information_theoretic == (Combiner.HKDF not in combiners)


def test_the_weakest_of_none_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nothing"):
        weakest([])


def test_simulated_and_replayed_keys_say_so() -> None:
    said = {o: Grade(o, "", None, DIRECT).as_json()["simulated"] for o in KeyOrigin}
    assert [o.value for o, simulated in said.items() if simulated] == ["replay", "simulated"]
