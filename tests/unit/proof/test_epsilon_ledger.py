"""The ledger adds up, and so does what others add to it."""

from __future__ import annotations

import pytest

from poliqi.proof import EpsilonEntry, EpsilonLedger, ProofName, ledger_of

SHARES = {ProofName.WIESEMANN: 15, ProofName.RUSCA: 19, ProofName.LIM: 21}


@pytest.mark.parametrize("proof", list(ProofName))
def test_secrecy_entries_add_up_to_epsilon_sec(proof: ProofName) -> None:
    ledger = ledger_of(proof, 1e-10, 1e-15)
    assert sum(e.value for e in ledger.entries[:-1]) == pytest.approx(1e-10, rel=1e-12)
    assert ledger.entries[-1] == EpsilonEntry("correctness", 1e-15, 1, ledger.entries[-1].note)
    assert ledger.total == pytest.approx(1e-10 + 1e-15, rel=1e-12)


@pytest.mark.parametrize(("proof", "share"), SHARES.items())
def test_each_use_is_one_share_of_the_paper(proof: ProofName, share: int) -> None:
    secrecy = ledger_of(proof, 1e-10, 1e-15).entries[:-1]
    assert sum(e.uses for e in secrecy) == share
    assert {e.each for e in secrecy} == {1e-10 / share}


def test_lim_splits_as_its_equation_b4() -> None:
    uses = {e.name.split(":")[0]: 0 for e in ledger_of(ProofName.LIM, 1e-10, 1e-15).entries}
    for e in ledger_of(ProofName.LIM, 1e-10, 1e-15).entries:
        uses[e.name.split(":")[0]] += e.uses
    # 2 (2 alpha_1 + alpha_2 + alpha_3) + nu + 10 eps_1 + 2 eps_2
    assert uses == {
        "key basis": 5,
        "test basis": 7,
        "phase errors sampled in the test basis": 4,
        "chain rule for the min-entropy": 4,
        "privacy amplification": 1,
        "correctness": 1,
    }


def test_authentication_is_added_by_whoever_authenticates() -> None:
    before = ledger_of(ProofName.WIESEMANN, 1e-10, 1e-15)
    after = before.with_entry("authentication", 2e-13, "tags of one block", uses=5)
    assert after.total == pytest.approx(before.total + 1e-12, rel=1e-12)
    assert len(before.entries) == len(after.entries) - 1


def test_blocks_add_up() -> None:
    ledger = EpsilonLedger(())
    for block in range(1000):
        ledger = ledger.with_entry(f"block {block}", 1e-10, "")
    assert ledger.total == pytest.approx(1e-7, rel=1e-12)


def test_as_dict_is_plain_data() -> None:
    plain = ledger_of(ProofName.BBM92, 1e-10, 1e-15).as_dict()
    assert [(row["uses"], row["value"]) for row in plain["entries"]] == [(2, 5e-11), (1, 5e-11), (1, 1e-15)]
    assert plain["total"] == pytest.approx(1.00001e-10)
