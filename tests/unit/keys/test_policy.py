"""The policy: who may talk to whom; what is not allowed in so many words is refused."""

from __future__ import annotations

import pytest

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.buckets import UNLIMITED, Quota, Rate
from poliqi.keys.grade import Combiner, Grade, KeyOrigin
from poliqi.keys.graderule import GradeRule
from poliqi.keys.policy import Application, Grant, KeyLimits, Policy
from poliqi.keys.requests import Reason, Refused

LEO, BOV, ARIA = KmeId("leonardo"), KmeId("bovisa"), KmeId("aria")
BANK, VAULT, CLINIC, LAB = SaeId("bank"), SaeId("vault"), SaeId("clinic"), SaeId("lab")
PHOTONS = Grade(KeyOrigin.PHOTONS, "one-decoy", 1e-10, ((LEO, BOV),))
PAIR = Grant(frozenset({BANK}), frozenset({VAULT}))


def policy(*grants: Grant, rule: GradeRule | None = None, site: KmeId = LEO) -> Policy:
    registry = [
        Application(BANK, LEO, KeyLimits(max_number=7), Quota(keys=Rate(1.0, 2.0))),
        Application(VAULT, BOV),
        Application(CLINIC, LEO),
        Application(LAB, ARIA),
    ]
    return Policy(site, registry, grants, rule, KeyLimits(max_number=3))


def test_home_and_local() -> None:
    p = policy()
    assert (p.home(BANK), p.home(VAULT), p.home(SaeId("nobody"))) == (LEO, BOV, None)
    assert (p.is_local(BANK), p.is_local(VAULT), p.is_local(SaeId("nobody"))) == (True, False, False)


def test_nothing_is_allowed_by_default() -> None:
    answer = policy().judge_pair(BANK, (VAULT,))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.NOT_PERMITTED


def test_a_pair_is_allowed_in_its_direction_alone() -> None:
    p = policy(Grant(frozenset({BANK}), frozenset({VAULT})), Grant(frozenset({LAB}), frozenset({CLINIC})))
    assert p.judge_pair(BANK, (VAULT,)) is None
    assert p.judge_pair(CLINIC, (LAB,)) is not None
    assert p.judge_fetch(CLINIC, LAB) is None
    assert p.judge_fetch(BANK, VAULT) is not None


def test_a_group_may_in_both_directions_but_nobody_with_itself() -> None:
    everyone = frozenset({BANK, VAULT, CLINIC})
    p = policy(Grant(everyone, everyone))
    assert p.judge_pair(BANK, (VAULT, CLINIC)) is None
    assert p.judge_pair(CLINIC, (BANK,)) is None
    assert p.judge_pair(BANK, (BANK,)) is not None


def test_one_forbidden_slave_spoils_the_order() -> None:
    answer = policy(PAIR).judge_pair(BANK, (VAULT, LAB))
    assert isinstance(answer, Refused)
    assert "'lab'" in answer.message


@pytest.mark.parametrize("master", [VAULT, SaeId("nobody")])
def test_a_master_must_be_at_home_here(master: SaeId) -> None:
    everyone = frozenset({BANK, VAULT})
    assert policy(Grant(everyone, everyone)).judge_pair(master, (BANK,)) is not None


def test_a_stranger_fetches_nothing() -> None:
    answer = policy(PAIR).judge_fetch(SaeId("nobody"), BANK)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.NOT_PERMITTED


@pytest.mark.parametrize(
    ("master", "slave", "peer", "says"),
    [
        (BANK, VAULT, LEO, None),
        (BANK, VAULT, ARIA, "does not live at aria"),
        (BANK, CLINIC, LEO, "not registered at bovisa"),
        (CLINIC, VAULT, LEO, "does not allow"),
        (SaeId("nobody"), VAULT, LEO, "does not live"),
    ],
)
def test_what_a_peer_promises_is_judged_again(master: SaeId, slave: SaeId, peer: KmeId, says: str | None) -> None:
    answer = policy(PAIR, site=BOV).judge_promise(master, slave, peer)
    assert answer is None if says is None else says in str(answer)


def test_limits_of_an_application_or_of_the_site() -> None:
    p = policy()
    assert p.limits(BANK).max_number == 7
    assert p.limits(CLINIC).max_number == 3
    assert p.limits(SaeId("nobody")).max_number == 3


def test_quotas() -> None:
    pair = Quota(bits=Rate(5.0, 6.0))
    p = policy(Grant(frozenset({BANK}), frozenset({VAULT}), quota=pair))
    assert p.quota(BANK, None) == Quota(keys=Rate(1.0, 2.0))
    assert p.quota(BANK, VAULT) == pair
    assert p.quota(BANK, LAB) is UNLIMITED
    assert p.quota(SaeId("nobody"), None) is UNLIMITED


def test_readback_is_off_unless_granted() -> None:
    p = policy(PAIR)
    assert not p.initiator_readback(BANK, VAULT)
    assert p.judge_fetch(BANK, VAULT) is not None
    assert p.judge_fetch(BANK, BANK) is not None
    p = policy(Grant(frozenset({BANK}), frozenset({VAULT}), initiator_readback=True))
    assert p.initiator_readback(BANK, VAULT)
    assert p.judge_fetch(BANK, VAULT) is None
    assert p.judge_fetch(BANK, BANK) is None
    assert p.judge_fetch(CLINIC, CLINIC) is not None


def test_an_origin_needs_the_site_and_the_grant() -> None:
    simulated = Grade(KeyOrigin.SIMULATED, "one-decoy", None, ((LEO, BOV),))
    both = GradeRule(origins=frozenset({KeyOrigin.PHOTONS, KeyOrigin.SIMULATED}))
    loose = Grant(frozenset({BANK}), frozenset({VAULT}), rule=both)
    assert policy(loose).judge_grade(BANK, VAULT, simulated) is not None
    assert policy(PAIR, rule=both).judge_grade(BANK, VAULT, simulated) is not None
    assert policy(loose, rule=both).judge_grade(BANK, VAULT, simulated) is None
    assert policy(loose).judge_origin(KeyOrigin.SIMULATED) is not None
    assert policy(PAIR, rule=both).judge_origin(KeyOrigin.SIMULATED) is None


@pytest.mark.parametrize("origin", [o for o in KeyOrigin if o is not KeyOrigin.PHOTONS])
def test_only_photons_by_default(origin: KeyOrigin) -> None:
    p = policy(PAIR)
    assert p.judge_origin(KeyOrigin.PHOTONS) is None
    assert p.judge_grade(BANK, VAULT, PHOTONS) is None
    assert p.judge_origin(origin) is not None
    assert p.judge_grade(BANK, VAULT, Grade(origin, "", None, ((LEO, BOV),))) is not None


def test_a_grade_for_a_pair_that_is_not_allowed_is_refused() -> None:
    assert policy(PAIR).judge_grade(BANK, LAB, PHOTONS) is not None


def test_the_same_answer_the_second_time() -> None:
    p = policy(PAIR, rule=GradeRule(max_epsilon=1e-12))
    first = p.judge_grade(BANK, VAULT, PHOTONS)
    assert first is not None
    assert p.judge_grade(BANK, VAULT, PHOTONS) == first


def test_the_sites_hybrid_holds_where_a_grant_names_none() -> None:
    p = policy(PAIR, rule=GradeRule(combiner=Combiner.XOR))
    assert p.combiner(BANK, VAULT) is Combiner.XOR
    assert p.judge_grade(BANK, VAULT, PHOTONS.with_combiner(Combiner.XOR)) is None
    assert p.judge_grade(BANK, VAULT, PHOTONS) is not None
    assert p.judge_grade(BANK, VAULT, PHOTONS.with_combiner(Combiner.HKDF)) is not None


def test_the_highest_priority_of_the_sites_own_applications() -> None:
    registry = [Application(BANK, LEO, KeyLimits(priority=2)), Application(VAULT, BOV, KeyLimits(priority=7))]
    assert Policy(LEO, registry).top() == 2
    assert Policy(ARIA, registry, limits=KeyLimits(priority=1)).top() == 1


def test_a_pair_allowed_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="bank with vault is allowed twice"):
        policy(PAIR, Grant(frozenset({BANK, CLINIC}), frozenset({VAULT, LAB})))


def test_an_unregistered_name_in_a_grant_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nobody: allowed to have keys but not registered"):
        policy(Grant(frozenset({BANK}), frozenset({SaeId("nobody")})))


def test_two_kinds_of_hybrid_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="keep one"):
        policy(
            Grant(frozenset({BANK}), frozenset({VAULT}), rule=GradeRule(combiner=Combiner.XOR)),
            rule=GradeRule(combiner=Combiner.HKDF),
        )
