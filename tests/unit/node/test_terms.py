"""An end proposes what its link can hold and accepts nothing weaker than its own description of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from link_states import LINK

from poliqi.base.errors import ConfigError
from poliqi.base.ids import LeakModel, Origin, Role
from poliqi.distill.contract import Contract
from poliqi.edge.linkrecord import LinkRecord
from poliqi.node.terms import policy_of, proposal
from poliqi.ops.config import default_link
from poliqi.proof import ProofName

PAIRED = LinkRecord(LINK, Role.ALICE, Origin.SIMULATED, "carried by hand", "00", reserve=64, capacity=1024)
WIDE = default_link()
LINK_OF_TESTS = replace(WIDE, block=replace(WIDE.block, sifted_key=1_000_000))


def proposed(**changes: object) -> Contract:
    return msgspec.structs.replace(proposal(LINK_OF_TESTS, PAIRED, Origin.SIMULATED, "test", "cascade"), **changes)


def test_both_ends_of_one_description_agree() -> None:
    assert policy_of(LINK_OF_TESTS, PAIRED).refusal(proposed()) is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"origin": Origin.PHOTONS}, "origin"),
        ({"epsilon_sec": 1e-9}, "epsilon_sec"),
        ({"epsilon_cor": 1e-14}, "epsilon_cor"),
        ({"leak_model": LeakModel.ERROR_STRING}, "leak model"),
        ({"proof": ProofName.RUSCA}, "proof"),
        ({"intensities": (0.5, 0.2)}, "intensities"),
    ],
)
def test_anything_weaker_is_refused_by_name(changes: dict[str, object], word: str) -> None:
    refusal = policy_of(LINK_OF_TESTS, PAIRED).refusal(proposed(**changes))
    assert refusal is not None
    assert word in refusal


def test_state_made_for_photons_takes_nothing_else() -> None:
    policy = policy_of(LINK_OF_TESTS, replace(PAIRED, light=Origin.PHOTONS))
    assert policy.origins == {Origin.PHOTONS}


def test_a_link_with_too_many_errors_is_told_that_no_block_helps() -> None:
    bad = replace(WIDE, receiver=replace(WIDE.receiver, error_key=0.15))
    with pytest.raises(ConfigError, match=r"no block is long enough for key at a QBER of 15\.\d %"):
        proposal(bad, PAIRED, Origin.SIMULATED, "test", "cascade")


def test_blocks_too_short_for_any_key_are_not_begun() -> None:
    short = replace(WIDE, block=replace(WIDE.block, sifted_key=10_000))
    with pytest.raises(ConfigError, match=r"blocks of 10,000 sifted bits give no key.*larger block.sifted_key"):
        proposal(short, PAIRED, Origin.SIMULATED, "test", "cascade")
