"""Contracts that an honest link meets: judged on fresh counts, never on those they were planned with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poliqi.base.errors import ConfigError
from poliqi.base.ids import LinkId, Origin
from poliqi.distill.plan import block_pulses, measuring_contract, plan_contract
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
