"""Counts to secret length: one decoy, two decoys, BBM92, and the epsilon ledger.

`secret_length` gives a number with everything it rests on; `exact_length` is the same formula without the
words, for optimisers; `block_needed` says how much longer a block must be.
"""

from __future__ import annotations

from poliqi.proof.bbm92 import bbm92_length
from poliqi.proof.counts import LARGEST_COUNT, BasisCounts, Counts
from poliqi.proof.epsilon import EpsilonEntry, EpsilonLedger, ledger_of
from poliqi.proof.growth import block_needed
from poliqi.proof.keylength import KeyLength
from poliqi.proof.length import exact_length, fitting_proofs, secret_length, shannon_leak
from poliqi.proof.names import ASSUMPTIONS, PAPERS, ProofName
from poliqi.proof.statistics import h

__all__ = [
    "ASSUMPTIONS",
    "LARGEST_COUNT",
    "PAPERS",
    "BasisCounts",
    "Counts",
    "EpsilonEntry",
    "EpsilonLedger",
    "KeyLength",
    "ProofName",
    "bbm92_length",
    "block_needed",
    "exact_length",
    "fitting_proofs",
    "h",
    "ledger_of",
    "secret_length",
    "shannon_leak",
]
