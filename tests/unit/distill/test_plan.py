"""Contracts that an honest link meets: judged on fresh counts, never on those they were planned with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poliqi.base.bits import BitString
from poliqi.base.errors import ConfigError
from poliqi.base.ids import LeakModel, LinkId, Origin, Role
from poliqi.distill.plan import block_pulses, choose_reconciler, measuring_contract, plan_contract
from poliqi.distill.reconcile import RECONCILERS, ReconcilerTerms
from poliqi.ops.config import load_link
from poliqi.optics.counts import sample_counts
from poliqi.optics.parameters import Attack, AttackKind, BasisChoice, LinkParameters
from poliqi.proof import ProofName, secret_length

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
NAMES = {"link_id": LinkId("x"), "origin": Origin.SIMULATED, "entropy": "test"}


def link_named(name: str) -> LinkParameters:
    return load_link(EXAMPLES / f"{name}.toml")


@pytest.mark.parametrize("name", ["reference/snspd-10km", "reference/gated-apd-10km", "two-sites/leonardo-bovisa"])
def test_honest_blocks_meet_the_contract(name: str) -> None:
    link = link_named(name)
    pulses = block_pulses(link)
    contract = plan_contract(link, pulses, **NAMES)
    generator = np.random.Generator(np.random.PCG64(99))
    lengths = [
        secret_length(
            sample_counts(link, pulses, generator),
            proof=contract.proof,
            leak_bits=contract.leak_cap,
            epsilon_sec=contract.epsilon_sec,
            epsilon_cor=contract.epsilon_cor,
        ).length
        for _ in range(500)
    ]
    met = sum(length >= contract.length for length in lengths)
    assert contract.length > 0
    assert met >= 490
    assert contract.length > 0.85 * np.mean(lengths)


def test_a_block_has_the_sifted_bits_that_the_link_names() -> None:
    link = link_named("reference/snspd-10km")
    counts = sample_counts(link, block_pulses(link), np.random.Generator(np.random.PCG64(1)))
    assert sum(counts.key.detections) == pytest.approx(link.block.sifted_key, abs=5 * link.block.sifted_key**0.5)


def test_a_block_too_small_for_a_key_gets_a_measuring_contract() -> None:
    assert plan_contract(link_named("reference/snspd-10km"), 10_000, **NAMES).length == 0


def test_an_attack_in_the_file_does_not_change_the_contract() -> None:
    link = link_named("two-sites/leonardo-bovisa")
    attacked = replace(link, attack=Attack(kind=AttackKind.INTERCEPT_RESEND, fraction=0.5))
    assert plan_contract(attacked, 10**8, **NAMES) == plan_contract(link, 10**8, **NAMES)


def test_a_measuring_contract_never_gives_a_key() -> None:
    contract = measuring_contract(link_named("two-sites/leonardo-bovisa"), 4000, max_detections=4000, **NAMES)
    assert contract.length == 0
    assert contract.max_detections == 4000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"receiver": {"basis_choice": BasisChoice.ACTIVE, "test_loss_db": 3.0}}, "detection depend on the basis"),
        ({"block": {"epsilon_cor": 1e-40}}, "epsilon_cor 1e-40 is out of reach"),
        ({"block": {"proof": ProofName.LIM}}, "intensit"),
    ],
)
def test_what_no_block_could_keep_is_refused(change: dict[str, dict[str, object]], words: str) -> None:
    link = link_named("two-sites/leonardo-bovisa")
    for part, values in change.items():
        link = replace(link, **{part: replace(getattr(link, part), **values)})
    with pytest.raises(ConfigError, match=words):
        plan_contract(link, 10**8, **NAMES)


@pytest.mark.parametrize("asked", [{}, {"reconciler": "cascade"}, {"reconciler": "cascade", "length": 13_190}])
@pytest.mark.parametrize("end", ["bob", "alice"])
def test_a_receiver_whose_clicks_depend_on_its_basis_gets_no_contract(end: str, asked: dict[str, Any]) -> None:
    """Whichever end it stands at, and whoever chose the reconciler."""
    link = link_named("reference/bbm92-20km")
    assert link.pairs is not None
    bad = replace(link.receiver, basis_choice=BasisChoice.ACTIVE, test_loss_db=3.0, key_basis=None)
    good = replace(link.receiver, key_basis=None)
    link = replace(
        link,
        receiver=bad if end == "bob" else link.receiver,
        pairs=replace(link.pairs, receiver=bad if end == "alice" else good),
    )
    with pytest.raises(ConfigError, match=r"receiver\.test_loss 3 dB .*detection depend on the basis"):
        plan_contract(link, 10**9, **NAMES, **asked)


def test_a_length_too_short_to_repay_the_pad_is_no_length() -> None:
    link = link_named("two-sites/leonardo-bovisa")
    lengths = set()
    for size in range(277_000, 280_000, 250):
        sized = replace(link, block=replace(link.block, sifted_key=size))
        lengths.add(plan_contract(sized, block_pulses(sized), **NAMES).length)
    assert all(length == 0 or length >= 1024 for length in lengths)


def test_error_string_with_a_proof_that_counts_vacuum_is_refused() -> None:
    with pytest.raises(ConfigError, match="vacuum"):
        replace(link_named("reference/snspd-10km").block, proof=ProofName.RUSCA)


# ---------------------------------------------------------------- which reconciler, and what it may leak


def counting(link: LinkParameters, model: LeakModel, clock_hz: float | None = None) -> LinkParameters:
    source = link.source if clock_hz is None else replace(link.source, clock_hz=clock_hz)
    return replace(link, source=source, block=replace(link.block, leak_model=model))


def test_where_both_directions_count_a_link_that_decoding_keeps_up_with_takes_parity_checks() -> None:
    link = counting(link_named("reference/gated-apd-10km"), LeakModel.BOTH_DIRECTIONS)
    choice = choose_reconciler(link, block_pulses(link))
    assert choice.reconciler == "ldpc-blind"
    assert all(name in choice.reason for name in ("cascade ", "cascade-few-rounds ", "ldpc-blind "))


def test_where_one_direction_counts_cascade_says_least() -> None:
    link = counting(link_named("reference/gated-apd-10km"), LeakModel.ERROR_STRING)
    assert choose_reconciler(link, block_pulses(link)).reconciler == "cascade"


def test_a_link_faster_than_decoding_takes_cascade() -> None:
    slow = counting(link_named("reference/snspd-10km"), LeakModel.BOTH_DIRECTIONS, clock_hz=10e9)
    link = replace(slow, detector=replace(slow.detector, dead_time_s=0.0))
    assert choose_reconciler(link, block_pulses(link)).reconciler.startswith("cascade")


def test_errors_above_the_reach_of_codes_leave_cascade_and_say_why() -> None:
    link = counting(link_named("two-sites/leonardo-bovisa"), LeakModel.ERROR_STRING)
    bad = replace(link, receiver=replace(link.receiver, error_key=0.085, error_test=0.005))
    assert "ldpc-blind is for QBERs of 0.5 to 8 %" in choose_reconciler(bad, block_pulses(bad)).reason


@pytest.mark.parametrize("qber", [0.0063, 0.0195, 0.05])
@pytest.mark.parametrize("name", ["cascade", "cascade-few-rounds", "ldpc-blind", "ldpc"])
def test_the_leak_that_a_plan_allows_covers_what_is_said(name: str, qber: float) -> None:
    """Blocks of eight frames: what is said stays within the forecast at the errors they turned out to have."""
    n = 8 * 65536
    for seed in range(4):
        random = np.random.default_rng([seed, round(1e4 * qber)])
        errors = BitString.from_bits((random.random(n) < qber).astype(np.uint8))
        key = BitString.from_bits(random.integers(0, 2, n, np.uint8))
        terms = ReconcilerTerms(qber=qber, seed=seed, frame_bits=65536)
        alice, bob = (RECONCILERS[name](role, k, terms) for role, k in zip(Role, (key, key ^ errors), strict=True))
        while not bob.done:
            said, answered = alice.message(), bob.message()
            alice.receive(answered or b"")
            bob.receive(said or b"")
        allowed = RECONCILERS[name].leak(n, errors.ones() / n, qber, 65536)
        assert bob.errors is not None
        assert (bob.errors ^ errors).ones() == 0
        assert alice.sent_bits <= 1.012 * allowed[0]
        assert bob.sent_bits <= 1.012 * allowed[1] + 64


def test_a_cap_stands_four_deviations_above_the_mean_leak() -> None:
    """Leak by the forecast, over counts that the plan has not seen: hardly a block in 500 passes the cap."""
    link = counting(link_named("two-sites/leonardo-bovisa"), LeakModel.BOTH_DIRECTIONS)
    pulses = block_pulses(link)
    contract = plan_contract(link, pulses, **NAMES, reconciler="cascade")
    generator = np.random.Generator(np.random.PCG64(3))
    leaks = []
    for _ in range(500):
        counts = sample_counts(link, pulses, generator)
        n, m = sum(counts.key.detections), sum(counts.key.errors)
        leaks.append(sum(RECONCILERS["cascade"].leak(int(n), m / n, contract.expected_qber, 65536)) + 128 + 1 + 128)
    deviations = (contract.leak_cap - np.mean(leaks)) / np.std(leaks)
    assert 3.5 < deviations < 4.5


@pytest.mark.parametrize(("name", "words"), [("ldpc", "reaches a QBER of 0.08"), ("turbo", "'turbo' is not known")])
def test_a_reconciler_that_cannot_serve_the_link_is_refused(name: str, words: str) -> None:
    link = link_named("two-sites/leonardo-bovisa")
    bad = replace(link, receiver=replace(link.receiver, error_key=0.1))
    with pytest.raises(ConfigError, match=words):
        plan_contract(bad, block_pulses(bad), **NAMES, reconciler=name)
