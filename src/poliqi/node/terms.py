"""What an end proposes to its peer, and what it accepts: from its own LINK.toml and its own pairing."""

from __future__ import annotations

from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.base.ids import LeakModel, Origin
from poliqi.distill.contract import Contract
from poliqi.distill.policy import Policy
from poliqi.edge.linkrecord import LinkRecord
from poliqi.optics.channel import stated_intensities
from poliqi.optics.parameters import LinkParameters

__all__ = ["policy_of", "proposal"]

_HOPELESS_QBER: Final = 0.11  # 1 - 2 h(q) = 0: no BB84 key of one-way correction, however long the block


def policy_of(link: LinkParameters, paired: LinkRecord) -> Policy:
    """Nothing weaker than this end's own description of the link; no light but what the state was made for."""
    origins = {Origin.PHOTONS} if paired.light is Origin.PHOTONS else {Origin.SIMULATED, Origin.REPLAY}
    block = link.block
    intensities, probabilities = stated_intensities(link)
    return Policy(
        origins=frozenset(origins),
        leak_models=frozenset({LeakModel.BOTH_DIRECTIONS, block.leak_model}),
        proofs=frozenset({block.proof}),
        intensities=intensities,
        probabilities=probabilities,
        least_uncertainty=block.intensity_uncertainty,
        largest_epsilon_sec=block.epsilon_sec,
        largest_epsilon_cor=block.epsilon_cor,
        reserve_words=paired.reserve,
    )


def proposal(link: LinkParameters, paired: LinkRecord, origin: Origin, entropy: str, reconciler: str) -> Contract:
    """Alice's contract. Raises ConfigError where no block of this size gives key: it would only use up the pad."""
    from poliqi.distill.plan import block_pulses, plan_contract

    contract = plan_contract(
        link, block_pulses(link), link_id=paired.link_id, origin=origin, entropy=entropy, reconciler=reconciler
    )
    refusal = policy_of(link, paired).refusal(contract)
    if refusal is not None:
        raise ConfigError(f"link {link.name}: this end's own policy refuses its contract: {refusal}")
    if contract.length == 0 and contract.expected_qber > _HOPELESS_QBER:
        raise ConfigError(
            f"link {link.name}: no block is long enough for key at a QBER of {100 * contract.expected_qber:.1f} % "
            "in the key basis; mend the link (poliqi rate says what it can do)"
        )
    if contract.length == 0:
        raise ConfigError(
            f"link {link.name}: blocks of {link.block.sifted_key:,} sifted bits give no key and use up the pad for "
            "nothing; give a larger block.sifted_key (poliqi rate says what the link can do)"
        )
    return contract
