"""What an application makes of the grade of a key: the words of the standard answer, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.apps.keygrade import GradeDemand, KeyGrade, Knowledge, total_epsilon
from poliqi.base.ids import KmeId
from poliqi.keys.grade import Authenticity, Combiner, Grade, KeyOrigin

ANY = GradeDemand()
PROVEN = GradeDemand(information_theoretic=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def path(*sites: str) -> tuple[KmeId, ...]:
    return tuple(KmeId(site) for site in sites)


def grade(**changes: Any) -> Grade:
    members: dict[str, Any] = {
        "origin": KeyOrigin.PHOTONS,
        "proof": "one-decoy",
        "epsilon": 1e-10,
        "paths": (path("a", "b"),),
        "authenticity": Authenticity.INFORMATION_THEORETIC,
        "combiner": Combiner.NONE,
        **changes,
    }
    return Grade(**members)


@pytest.mark.parametrize("origin", list(KeyOrigin))
@pytest.mark.parametrize("epsilon", [None, 1e-9])
@pytest.mark.parametrize("combiner", list(Combiner))
@pytest.mark.parametrize("authenticity", list(Authenticity))
def test_it_reads_what_a_site_writes_as_the_site_means_it(
    origin: KeyOrigin, epsilon: float | None, combiner: Combiner, authenticity: Authenticity
) -> None:
    written = grade(origin=origin, epsilon=epsilon, combiner=combiner, authenticity=authenticity)
    read = KeyGrade.read(written.as_json())
    assert read.is_information_theoretic == written.is_information_theoretic
    assert read.is_simulated == written.as_json()["simulated"]
    assert (PROVEN.judge(read) is None) == written.is_information_theoretic
    assert (ANY.judge(read) is None) == (origin is KeyOrigin.PHOTONS)


@pytest.mark.parametrize(
    ("paths", "needed", "knowledge"),
    [
        ((("a", "b"),), 1, Knowledge.DIRECT),
        ((("a", "r", "b"),), 1, Knowledge.RELAYED),
        ((("a", "r", "b"), ("a", "s", "b")), 2, Knowledge.DISJOINT),
        ((("a", "r", "b"), ("a", "s", "b")), 1, Knowledge.RELAYED),
        ((("a", "r", "b"), ("a", "s", "r", "b")), 2, Knowledge.RELAYED),
        ((), 1, Knowledge.UNKNOWN),
        ((("a",),), 1, Knowledge.UNKNOWN),
    ],
)
def test_who_could_know_a_key(paths: tuple[tuple[str, ...], ...], needed: int, knowledge: Knowledge) -> None:
    read = KeyGrade.read({"paths": [list(way) for way in paths], "paths_needed": needed, "origin": "photons"})
    assert read.knowledge is knowledge
    order = list(Knowledge)
    for worst in Knowledge:
        refused = GradeDemand(knowledge=worst).judge(read)
        assert (refused is None) == (order.index(knowledge) <= order.index(worst)), worst


def test_simulated_light_is_taken_only_where_it_is_allowed_and_only_for_photons() -> None:
    simulated = KeyGrade.read(grade(origin=KeyOrigin.SIMULATED, epsilon=None).as_json())
    assert "simulated" in (ANY.judge(simulated) or "")
    assert GradeDemand(information_theoretic=True, allow_simulated=True).judge(simulated) is None
    hashed = KeyGrade.read(
        grade(origin=KeyOrigin.SIMULATED, epsilon=None, authenticity=Authenticity.COMPUTATIONAL).as_json()
    )
    assert GradeDemand(information_theoretic=True, allow_simulated=True).judge(hashed) is not None
    pqc = KeyGrade.read({**grade().as_json(), "origin": "pqc"})
    assert GradeDemand(allow_simulated=True).judge(pqc) is not None


def test_a_demand_for_epsilon_refuses_what_is_larger_or_not_told() -> None:
    demand = GradeDemand(max_epsilon=1e-9)
    assert demand.judge(KeyGrade.read(grade(epsilon=1e-10).as_json())) is None
    assert "1e-08" in (demand.judge(KeyGrade.read(grade(epsilon=1e-8).as_json())) or "")
    assert demand.judge(KeyGrade.read(grade(epsilon=None).as_json())) is not None


def test_fewer_disjoint_paths_than_asked_are_refused_but_never_a_direct_fibre() -> None:
    three = GradeDemand(knowledge=Knowledge.DISJOINT, min_paths=3)
    two = KeyGrade.read(grade(paths=(path("a", "r", "b"), path("a", "s", "b")), threshold=2).as_json())
    assert "at least 3" in (three.judge(two) or "")
    assert three.judge(KeyGrade.read(grade().as_json())) is None


@pytest.mark.parametrize("knowledge", list(Knowledge))
def test_a_relayed_key_is_one_path_whatever_it_says_of_the_paths_needed(knowledge: Knowledge) -> None:
    one = KeyGrade.read({**grade(paths=(path("a", "r", "b"),)).as_json(), "paths_needed": 9})
    assert one.knowledge is Knowledge.RELAYED
    assert GradeDemand(knowledge=knowledge, min_paths=2).judge(one) is not None
    assert GradeDemand(knowledge=Knowledge.UNKNOWN, min_paths=1).judge(one) is None


def test_epsilons_add_up_and_one_that_is_not_told_leaves_none() -> None:
    small, large = (KeyGrade.read(grade(epsilon=e).as_json()) for e in (1e-10, 3e-10))
    assert total_epsilon([small, large]) == pytest.approx(4e-10)
    assert total_epsilon([small, KeyGrade.read(grade(epsilon=None).as_json())]) is None


@given(st.dictionaries(st.sampled_from(list(grade().as_json())), JSON, max_size=3), st.booleans())
def test_any_json_is_read_and_what_is_odd_is_never_taken_for_good(changed: dict[str, Any], is_whole: bool) -> None:
    extension = {**(grade().as_json() if is_whole else {}), **changed}
    read = KeyGrade.read(extension)
    if is_whole and not changed:
        assert read.is_information_theoretic
        assert read.knowledge is Knowledge.DIRECT
    if read.is_information_theoretic:
        assert extension["origin"] == "photons"
        assert extension["authenticity"] == "information-theoretic"
        assert 0.0 <= extension["epsilon"] <= 1.0
        assert extension["combiner"] in ("none", "xor")
    if read.knowledge is Knowledge.DIRECT:
        assert all(len(way) == 2 for way in extension["paths"])
