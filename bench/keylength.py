"""Secret length of a block: bounds, assumptions and ledger, in plain Python."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.report import Metric, best
from poliqi.proof import BasisCounts, Counts, ProofName, block_needed, exact_length, secret_length, shannon_leak

ONE_DECOY = Counts(
    (0.5, 0.15),
    (0.7, 0.3),
    BasisCounts((27653995, 3618277), (277096, 36421)),
    BasisCounts((341407, 44670), (3421, 450)),
)
TWO_DECOYS = Counts(
    (0.5, 0.1, 0.0005),
    (0.7, 0.2, 0.1),
    BasisCounts((27653995, 1612248, 4212), (277096, 16281, 121)),
    BasisCounts((341407, 19904, 52), (3421, 201, 1)),
)
EPSILONS = {"epsilon_sec": 1e-9, "epsilon_cor": 1e-15}


def _microseconds(call: Any, *, quick: bool) -> float:
    repeats = 200 if quick else 1000

    def many() -> None:
        for _ in range(repeats):
            call()

    return best(many, runs=5, floor_s=0.2 if quick else 1.0) / repeats * 1e6


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Time each proof with counts checked anew, as the session and the command call it."""
    leak = shannon_leak(ONE_DECOY, 1.16)
    results: list[Metric] = []
    for name, counts, proof in (
        ("keylength us", ONE_DECOY, ProofName.WIESEMANN),
        ("keylength rusca us", ONE_DECOY, ProofName.RUSCA),
        ("keylength lim us", TWO_DECOYS, ProofName.LIM),
    ):

        def whole(counts: Counts = counts, proof: ProofName = proof) -> None:
            secret_length(replace(counts), proof=proof, leak_bits=leak, **EPSILONS)

        results.append(Metric(name, _microseconds(whole, quick=quick), "us", 50.0, "max"))

    def light() -> None:
        exact_length(ONE_DECOY, leak_bits=leak, **EPSILONS)

    def boxed() -> None:
        secret_length(ONE_DECOY, leak_bits=leak, intensity_uncertainty=0.02, **EPSILONS)

    def needed() -> None:
        block_needed(small, leak_bits=leak / 1e4, **EPSILONS)

    small = replace(ONE_DECOY, key=ONE_DECOY.key.scaled(1e-4), test=ONE_DECOY.test.scaled(1e-4))
    details = {
        "exact_length us": round(_microseconds(light, quick=quick), 2),
        "intensity box of two, us": round(best(boxed) * 1e6, 1),
        "block needed us": round(best(needed) * 1e6, 1),
        "length bits": secret_length(ONE_DECOY, leak_bits=leak, **EPSILONS).length,
    }
    return results, details
