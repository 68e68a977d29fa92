"""Entangled pairs through the real session: equal keys, lengths by the paper's formula, what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal, getcontext
from typing import Any

import msgspec
import numpy as np
import pytest
from pair_links import pair_link
from two_parties import LINK, Disk, Wire

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import LeakModel, Origin, Role
from poliqi.distill.contract import Contract, check_contract, encode_contract
from poliqi.distill.messages import Detect
from poliqi.distill.plan import block_pulses, choose_reconciler, plan_contract
from poliqi.distill.policy import Policy
from poliqi.distill.sift import PackedDetections, alice_sift, bob_sift, detect_message
from poliqi.link.device import Detections
from poliqi.link.simulated import SimulatedReceiver, SimulatedTransmitter
from poliqi.optics.attack import parse_attack
from poliqi.optics.channel import expectation
from poliqi.optics.parameters import LinkParameters
from poliqi.proof import ProofName

HONEST = pair_link(source__intensities=(0.01,), detector__dark_rate_hz=100.0)
POLICY = Policy(origins=frozenset(Origin), proofs=frozenset({ProofName.BBM92}), intensities=(), probabilities=())


@dataclass
class Devices:
    """The simulated devices as the wire of two parties knows light; both ends may know the link differently."""

    alice: SimulatedTransmitter
    bob: SimulatedReceiver
    first_slot: int = 0

    def detect(self, pulses: int) -> Detections:
        return self.bob.detect(pulses)

    def prepared(self, slots: np.ndarray) -> np.ndarray:
        return self.alice.states(slots)


def contract_of(link: LinkParameters = HONEST, **changes: Any) -> Contract:
    pulses = block_pulses(link)
    planned = plan_contract(link, pulses, link_id=LINK, origin=Origin.SIMULATED, entropy="test")
    return msgspec.structs.replace(planned, **changes)


def run(contract: Contract, light: LinkParameters = HONEST, seed: int = 3, policy: Policy = POLICY) -> Wire:
    alice, bob = Disk.pair()
    sessions = {
        Role.ALICE: alice.session(contract=contract, policy=policy),
        Role.BOB: bob.session(seed=2, policy=policy),
    }
    devices: Any = Devices(SimulatedTransmitter(HONEST, seed), SimulatedReceiver(light, seed))
    return Wire({Role.ALICE: alice, Role.BOB: bob}, sessions, devices, pulses=contract.pulses).run()


def length_by_hand(n: int, k: int, tolerated: float, leak: int, sec: float, cor: float) -> int:
    """Tomamichel et al. 2012, theorem 2, in 50 decimal digits."""
    getcontext().prec = 50
    dn, dk, q, ln2 = Decimal(n), Decimal(k), Decimal(tolerated), Decimal(2).ln()
    phi = q + ((dn + dk) / (dn * dk) * (dk + 1) / dk * (4 / Decimal(sec)).ln()).sqrt()
    entropy = -(phi * phi.ln() + (1 - phi) * (1 - phi).ln()) / ln2
    cost = (2 / (Decimal(sec) ** 2 * Decimal(cor))).ln() / ln2
    return math.floor(dn * (1 - entropy) - leak - cost)


@pytest.fixture(scope="module")
def accepted() -> tuple[Contract, Wire]:
    contract = contract_of()
    return contract, run(contract)


def test_both_ends_hold_one_key_of_the_agreed_length(accepted: tuple[Contract, Wire]) -> None:
    contract, ran = accepted
    keys = [ran.disks[role].keys[1] for role in Role]
    assert keys[0] == keys[1]
    report = ran.confirmed(Role.BOB)[0].report
    assert report.gross_bits == contract.length > 10_000
    assert len(keys[0]) * 8 == report.net_bits == (contract.length - report.refill_bits) // 8 * 8


def test_the_bound_is_the_papers_formula_on_the_observed_counts(accepted: tuple[Contract, Wire]) -> None:
    contract, ran = accepted
    report = ran.confirmed(Role.ALICE)[0].report
    tolerated = contract.tolerated_error
    assert tolerated is not None and report.bound is not None
    counted = (report.sifted_key, report.sifted_test)
    expected = length_by_hand(*counted, tolerated, contract.leak_cap, contract.epsilon_sec, contract.epsilon_cor)
    assert report.bound.length == expected >= contract.length
    assert report.bound.proof is ProofName.BBM92


def test_counts_are_those_of_the_light(accepted: tuple[Contract, Wire]) -> None:
    contract, ran = accepted
    report, mean = ran.confirmed(Role.BOB)[0].report, expectation(HONEST)
    assert report.counts is not None
    assert report.counts.intensities == ()
    for seen, basis in ((report.counts.key, mean.key), (report.counts.test, mean.test)):
        for count, expected in ((seen.detections, basis.detections), (seen.errors, basis.errors)):
            average = expected[0] * contract.pulses
            assert len(count) == 1
            assert abs(count[0] - average) < 5 * math.sqrt(average)


def test_slots_in_which_alice_saw_nothing_are_announced_and_never_sifted(accepted: tuple[Contract, Wire]) -> None:
    contract, ran = accepted
    report = ran.confirmed(Role.BOB)[0].report
    clicks = expectation(HONEST).clicks * contract.pulses
    assert report.detections == pytest.approx(clicks, rel=0.02)
    assert report.sifted_key + report.sifted_test < 0.6 * report.detections


def test_test_errors_above_what_was_tolerated_are_refused() -> None:
    ran = run(contract_of(), pair_link(source__intensities=(0.01,), receiver__error_test=0.05))
    for role in Role:
        assert ran.disks[role].keys == {}
        assert "test errors above Q_tol" in ran.aborts(role)[0].reason
        assert not ran.aborts(role)[0].fatal


@pytest.mark.parametrize("eve", ["intercept=0.1", "intercept-key=0.1", "intercept=1"])
def test_an_eve_who_intercepts_pairs_gets_no_key_made(eve: str) -> None:
    light = replace(HONEST, attack=parse_attack(eve))
    ran = run(contract_of(leak_cap=1 << 40, length=1024), light)
    assert ran.disks[Role.BOB].keys == ran.disks[Role.ALICE].keys == {}
    assert ran.aborts(Role.BOB)


def test_a_planned_contract_says_what_it_tolerates_and_names_no_intensity() -> None:
    contract, mean = contract_of(), expectation(HONEST)
    assert contract.proof is ProofName.BBM92
    assert contract.intensities == contract.probabilities == ()
    rounds = mean.test.total_detections * contract.pulses
    q = mean.qber_test
    assert contract.tolerated_error == pytest.approx(q + 4 * math.sqrt(q * (1 - q) / rounds))
    stated = contract_of(replace(HONEST, block=replace(HONEST.block, tolerated_error=0.07)))
    assert stated.tolerated_error == 0.07
    assert stated.length < contract.length


def test_honest_blocks_meet_their_contract() -> None:
    contract = contract_of()
    for seed in range(10, 14):
        assert run(contract, seed=seed).disks[Role.BOB].keys.keys() == {1}


def test_the_reconciler_is_chosen_by_what_the_pairs_give() -> None:
    assert choose_reconciler(HONEST, block_pulses(HONEST)).reconciler in {
        "cascade",
        "cascade-few-rounds",
        "ldpc-blind",
    }


def test_contracts_of_weak_pulses_have_the_bytes_they_had() -> None:
    from two_parties import make_contract

    fields = msgspec.msgpack.decode(encode_contract(make_contract()))
    assert list(fields)[-1] == "entropy"
    assert "tolerated_error" not in fields
    assert msgspec.msgpack.decode(encode_contract(contract_of()))["tolerated_error"] > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tolerated_error": None}, "needs one"),
        ({"tolerated_error": 0.5}, "error rate"),
        ({"tolerated_error": math.nan}, "error rate"),
        ({"tolerated_error": -0.01}, "error rate"),
        ({"intensities": (0.01,), "probabilities": (1.0,)}, "no intensities"),
        ({"intensity_uncertainty": 0.02}, "intensity_uncertainty of 0"),
        ({"leak_model": LeakModel.ERROR_STRING}, "both-directions"),
        ({"proof": ProofName.WIESEMANN}, "tolerated_error belongs to proof bbm92"),
        ({"proof": ProofName.WIESEMANN, "tolerated_error": None}, "intensities"),
    ],
)
def test_a_contract_that_mixes_pairs_and_weak_pulses_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        check_contract(contract_of(**change))


def test_an_end_that_expects_weak_pulses_refuses_pairs() -> None:
    weak = Policy(origins=frozenset(Origin))
    assert weak.refusal(contract_of()) is not None
    ran = run(contract_of(), policy=replace(POLICY, proofs=frozenset({ProofName.WIESEMANN})))
    assert ran.disks[Role.BOB].next_block == 1


# ---------------------------------------------------------------- sifting


def sifted_of(states: list[int], outcomes: list[int]) -> tuple[Any, Any, Detect]:
    seen = np.array(outcomes, np.uint8)
    packed = PackedDetections.of(Detections(0, 1000, np.arange(len(seen), dtype=np.int64), seen))
    message = detect_message(1, packed)  # type: ignore[arg-type]
    mine, answer = alice_sift(message, np.array(states, np.uint8), 1, bytes(8))
    return mine, bob_sift(packed, 1, answer, 1), message  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 500])
def test_sifting_of_pairs_keeps_what_both_saw_in_one_basis(count: int) -> None:
    rng = np.random.default_rng(count)
    states, outcomes = rng.integers(0, 8, count).tolist(), rng.integers(0, 4, count).tolist()
    alice, bob, _ = sifted_of(states, outcomes)
    kept = [(a, b) for a, b in zip(states, outcomes, strict=True) if a < 4 and (a ^ b) & 2 == 0]
    key, test = [[pair for pair in kept if bool(pair[0] & 2) == basis] for basis in (False, True)]
    assert alice.key.to_bits().tolist() == [a & 1 for a, _ in key]
    assert bob.key.to_bits().tolist() == [b & 1 for _, b in key]
    for end in (alice, bob):
        assert end.planes == ()
        assert end.key_detections() == (len(key),)
        assert end.test_detections == (len(test),)
        assert end.test_errors == (sum((a ^ b) & 1 for a, b in test),)


def test_a_state_of_a_third_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="intensity 2"):
        sifted_of([8], [0])
