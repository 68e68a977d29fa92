"""The acceptance test of a fixed-length contract, after error correction.

Accept if and only if leak <= cap and formula(observed counts, cap) >= length; then exactly `length`
bits come out (Wiesemann et al. 2024, arXiv 2405.16578: in one-decoy BB84 the error statistics of the
key basis are known only after error correction, so the test stands here).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from poliqi.base.errors import DataRefused
from poliqi.base.ids import BlockNumber, LeakModel, Role
from poliqi.distill.authenticate import WORD, Authenticator
from poliqi.distill.contract import Contract
from poliqi.distill.correct import Correction, counted_leak
from poliqi.distill.outcome import BlockReport
from poliqi.distill.sift import Sifted
from poliqi.distill.verify import verification_epsilon
from poliqi.proof import BasisCounts, Counts, EpsilonLedger, KeyLength, h, secret_length

__all__ = ["EARLIER", "Verdict", "judge", "split_refills"]

EARLIER: Final = "pads from earlier blocks"
"""Name of the ledger's entry that earlier blocks fill; a block's own epsilon is the total without it."""

_CONFIRM_BYTES: Final = 1024

_LEAK_ASSUMPTIONS: Final = {
    LeakModel.BOTH_DIRECTIONS: "Leak model both-directions: every bit that either end said counts.",
    LeakModel.ERROR_STRING: "Leak model error-string: Alice's bits alone count, and Eve is given the whole error "
    "string; this rests on a squashed qubit receiver and the phase-error argument (see the documentation on "
    "reconciliation).",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the block gives its `length` bits; `reason` says why not. `report` holds what was seen."""

    accepted: bool
    reason: str | None
    report: BlockReport
    key_errors: int
    refills: tuple[int, int]


def judge(
    number: BlockNumber,
    detections: int,
    sifted: Sifted,
    correction: Correction,
    contract: Contract,
    authenticator: Authenticator,
    earlier: float,
) -> Verdict:
    """Apply the acceptance test to a corrected block (or to one that stopped at the leak cap).

    `earlier` is the sum of the epsilons of the pairing's confirmed blocks before this one.
    """
    done = correction.finished
    counts, flaw = _counts(sifted, correction, contract)
    leak_alice, leak_bob = correction.leak(Role.ALICE), correction.leak(Role.BOB)
    counted = counted_leak(contract.leak_model, leak_alice, leak_bob)
    bound = None if counts is None else _bound(counts, contract)
    n, m = sifted.key.size, sum(correction.key_errors)
    correctness = verification_epsilon(correction.tested)
    reason = _reason(contract, n, counted, flaw, bound, correctness)
    refills = split_refills(authenticator.refill_words(), contract.length) if reason is None else (0, 0)
    refill_bits = 8 * WORD * sum(refills)
    report = BlockReport(
        block=number,
        origin=contract.origin,
        pulses=contract.pulses,
        detections=detections,
        sifted_key=n,
        sifted_test=sum(sifted.test_detections),
        counts=counts,
        qber_key=m / n if n and done else None,
        qber_test=_ratio(sum(sifted.test_errors), sum(sifted.test_detections)),
        leak_alice=leak_alice,
        leak_bob=leak_bob,
        leak_model=contract.leak_model,
        leak_counted=counted,
        leak_cap=contract.leak_cap,
        efficiency=_efficiency(leak_alice, n, m) if done else None,
        reconciler=contract.reconciler,
        rounds=correction.rounds,
        failed_frames=correction.failed_frames,
        verified=done,
        bound=bound,
        ledger=None if bound is None else _ledger(bound, earlier, n, correctness, authenticator, contract),
        gross_bits=contract.length if reason is None else 0,
        refill_bits=refill_bits,
        net_bits=(contract.length - refill_bits) // 8 * 8 if reason is None else 0,
    )
    return Verdict(reason is None, reason, report, m, refills)


def split_refills(wanted: tuple[int, int], length: int) -> tuple[int, int]:
    """Words that each lane gets back out of a block of `length` bits: what it wants, else half and half."""
    total = length // (8 * WORD)
    alice, bob = (max(w, 0) for w in wanted)
    if alice + bob <= total:
        return alice, bob
    alice = min(alice, max(total // 2, total - bob))
    return alice, min(bob, total - alice)


def _counts(sifted: Sifted, correction: Correction, contract: Contract) -> tuple[Counts | None, str | None]:
    if not correction.finished:
        return None, "error correction did not finish"
    try:
        return Counts(
            intensities=contract.intensities,
            probabilities=contract.probabilities,
            key=BasisCounts(sifted.key_detections(), correction.key_errors),
            test=BasisCounts(sifted.test_detections, sifted.test_errors),
        ), None
    except DataRefused as error:
        return None, str(error)


def _bound(counts: Counts, contract: Contract) -> KeyLength:
    bound = secret_length(
        counts,
        proof=contract.proof,
        leak_bits=contract.leak_cap,
        epsilon_sec=contract.epsilon_sec,
        epsilon_cor=contract.epsilon_cor,
        clamp=contract.clamp,
        intensity_uncertainty=contract.intensity_uncertainty or None,
        tolerated_error=contract.tolerated_error,
    )
    return replace(bound, assumptions=(*bound.assumptions, _LEAK_ASSUMPTIONS[contract.leak_model]))


def _reason(
    contract: Contract, n: int, counted: int, flaw: str | None, bound: KeyLength | None, correctness: float
) -> str | None:
    if counted > contract.leak_cap:
        return f"error correction revealed {counted} bits, the contract's leak cap is {contract.leak_cap}"
    if bound is None:
        return flaw
    if correctness > contract.epsilon_cor:
        return f"verification errs with {correctness:.1e}, the contract's epsilon_cor is {contract.epsilon_cor:.1e}"
    if contract.length == 0:
        return "the contract only measures: its length is 0" + (f"; {bound.reason}" if bound.reason else "")
    if bound.length < contract.length:
        why = f" ({bound.reason})" if bound.reason else ""
        return f"the counts support at most {bound.length} secret bits, the contract asks {contract.length}{why}"
    if n < contract.length:
        return f"{n} sifted key bits cannot give the {contract.length} secret bits that the contract asks"
    return None


def _ledger(
    bound: KeyLength,
    earlier: float,
    n: int,
    correctness: float,
    authenticator: Authenticator,
    contract: Contract,
) -> EpsilonLedger:
    """The proof's ledger with what the session adds. Pads are keys of earlier blocks: their epsilons add too."""
    more_bytes = n // 8 + _CONFIRM_BYTES
    return (
        bound.ledger.with_entry("authentication", authenticator.epsilon(more_bytes), authenticator.name)
        .with_entry(EARLIER, earlier, "all confirmed blocks of this pairing before: their keys pad the tags")
        .with_entry("verification", 0.0, f"polynomial hash errs with {correctness:.1e}, within epsilon_cor")
        .with_entry("entropy", 0.0, contract.entropy)
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _efficiency(leak_alice: int, n: int, m: int) -> float | None:
    limit = n * h(m / n) if n else 0.0
    return leak_alice / limit if limit else None
