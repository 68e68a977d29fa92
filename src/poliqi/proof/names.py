"""Names of the proofs, the paper of each, and what each assumes, in words that stand beside every number."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["ASSUMPTIONS", "PAPERS", "ProofName"]


class ProofName(StrEnum):
    """Which proof turned counts into a length."""

    WIESEMANN = "wiesemann"
    RUSCA = "rusca"
    LIM = "lim"
    BBM92 = "bbm92"


PAPERS: Final = {
    ProofName.WIESEMANN: "J. Wiesemann, J. Krause, D. Tupkary, N. Lütkenhaus, D. Rusca, N. Walenta, "
    "A consolidated and accessible security proof for finite-size decoy-state quantum key distribution, "
    "arXiv:2405.16578v3",
    ProofName.RUSCA: "D. Rusca, A. Boaron, F. Grünenfelder, A. Martin, H. Zbinden, "
    "Finite-key analysis for the 1-decoy state QKD protocol, "
    "Appl. Phys. Lett. 112, 171104 (2018), arXiv:1801.03443",
    ProofName.LIM: "C. C. W. Lim, M. Curty, N. Walenta, F. Xu, H. Zbinden, "
    "Concise security bounds for practical decoy-state quantum key distribution, "
    "Phys. Rev. A 89, 022307 (2014), arXiv:1311.7129",
    ProofName.BBM92: "M. Tomamichel, C. C. W. Lim, N. Gisin, R. Renner, "
    "Tight finite-key analysis for quantum cryptography, Nat. Commun. 3, 634 (2012), arXiv:1103.4130",
}

_FIXED: Final = (
    "Fixed length: this is the largest length a contract could have had. A key exists only where proof, block "
    "rule, length, leak cap and epsilons were agreed and authenticated before the block."
)
_RECEIVER: Final = (
    "The chance that Bob detects a pulse does not depend on his basis; detectors are alike, share one dead time, "
    "and rounds inside it are removed in both bases; double clicks become random bits."
)
_MEMORYLESS: Final = "Bob's detection in one round does not depend on earlier rounds."
_SOURCE: Final = (
    "Phase-randomised coherent pulses with Poissonian photon numbers; each intensity and its probability are as "
    "stated, are chosen independently in every round and leave no other trace on the pulse."
)
_STATES: Final = "Alice's four states are qubit states of two mutually unbiased bases; no light leaks her settings."
_LEAK: Final = (
    "leak_bits counts every bit that error correction revealed; the verification tag of log2(2/epsilon_cor) bits "
    "is subtracted apart."
)
_AUTHENTIC: Final = "The classical channel is authentic; its own failure probability is to be added to the ledger."
_APPROXIMATE: Final = (
    "The phase-error deviation is the Fung-Ma-Chau approximation to the hypergeometric tail, which is not proven "
    "for small counts."
)
_BEFORE: Final = (
    "The acceptance test is treated as if it came before error correction; Wiesemann et al. show that with one "
    "decoy the error counts are known only after it."
)

_COMMON: Final = (_FIXED, _SOURCE, _STATES, _RECEIVER, _MEMORYLESS, _LEAK, _AUTHENTIC)

ASSUMPTIONS: Final = {
    ProofName.WIESEMANN: _COMMON,
    ProofName.RUSCA: (*_COMMON, _APPROXIMATE, _BEFORE),
    ProofName.LIM: (*_COMMON, _APPROXIMATE),
    ProofName.BBM92: (
        _FIXED,
        (
            "Alice measures half of each pair in one of two mutually unbiased qubit bases (q = 1); her threshold "
            "detectors are taken as squashed to a qubit, which asks that double clicks become random bits."
        ),
        "The source of pairs is not trusted.",
        (
            "A block is a fixed number of slots; both choose bases at random, whatever was detected before, so "
            "that test rounds are a random sample, and whether a round is detected depends on neither choice."
        ),
        "A detection in one round, at either end, does not depend on earlier rounds.",
        "The tolerated error rate Q_tol was agreed before the block, and the block is dropped above it.",
        _LEAK,
        _AUTHENTIC,
    ),
}
