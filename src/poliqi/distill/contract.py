"""The contract of a session: what both ends agree on, authenticated, before any light is looked at."""

from __future__ import annotations

from typing import Final

import msgspec

from poliqi.base.errors import PoliqiError, ProtocolError
from poliqi.base.ids import LeakModel, Origin
from poliqi.distill.reconcile import RECONCILERS
from poliqi.proof import BasisCounts, Counts, ProofName, secret_length

__all__ = ["MAX_PULSES", "SMALLEST_LENGTH", "Contract", "check_contract", "encode_contract"]

MAX_PULSES: Final = 1 << 40
_MAX_BITS: Final = 1 << 40
SMALLEST_LENGTH: Final = 1024


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Fixed before the block; a block is accepted if and only if it meets every line of it.

    `length` is the exact number of secret bits that an accepted block gives; 0 makes a contract that
    measures and never gives a key. `leak_cap` bounds the bits that error correction and verification
    may reveal under `leak_model`, and stands in the formula in place of the leak itself.
    A block is `pulses` consecutive slots. `expected_qber` fixes how the reconciler
    works: block sizes, code. Entangled pairs have no intensities: their source is not trusted, `intensities` and
    `probabilities` are empty, and `tolerated_error` is the Q_tol of proof bbm92; elsewhere it is None and stands
    nowhere in the contract's bytes.
    """

    link_id: str
    origin: Origin
    proof: ProofName
    clamp: bool
    intensities: tuple[float, ...]
    probabilities: tuple[float, ...]
    intensity_uncertainty: float
    pulses: int
    max_detections: int
    length: int
    leak_cap: int
    leak_model: LeakModel
    epsilon_sec: float
    epsilon_cor: float
    reconciler: str
    frame_bits: int
    expected_qber: float
    entropy: str
    tolerated_error: float | None = None

    @property
    def levels(self) -> int:
        """Columns of the block's counts: one per intensity, one for pairs."""
        return len(self.intensities) or 1


def check_contract(contract: Contract) -> None:
    """Refuse a contract whose numbers make no sense, before anything is sized by them (ProtocolError)."""
    c = contract
    _in("pulses", c.pulses, 1, MAX_PULSES)
    _in("max_detections", c.max_detections, 1, min(c.pulses, 1 << 32))
    _in("length", c.length, 0, c.max_detections)
    if 0 < c.length < SMALLEST_LENGTH:
        raise ProtocolError(f"contract: length = {c.length} repays no pad: 0, or {SMALLEST_LENGTH} and more")
    if len(c.entropy) > 200 or not c.entropy.isprintable():
        raise ProtocolError("contract: entropy must be at most 200 printable characters")
    _in("leak_cap", c.leak_cap, 0, _MAX_BITS)
    _in("frame_bits", c.frame_bits, 4096, 1 << 24)
    if c.frame_bits % 4096:
        raise ProtocolError(f"contract: frame_bits = {c.frame_bits} is not a multiple of 4096")
    _in("epsilon_sec", c.epsilon_sec, 1e-60, 1e-3)
    _in("epsilon_cor", c.epsilon_cor, 1e-60, 1e-3)
    _in("expected_qber", c.expected_qber, 0.0, 0.5)
    _in("intensity_uncertainty", c.intensity_uncertainty, 0.0, 0.5)
    if c.reconciler not in RECONCILERS:
        known = ", ".join(RECONCILERS)
        raise ProtocolError(f"contract: reconciler {c.reconciler!r} is not known here; known: {known}")
    most = RECONCILERS[c.reconciler].reach[1]
    if c.expected_qber > most:
        raise ProtocolError(
            f"contract: reconciler {c.reconciler} reaches a QBER of {most:g}, not {c.expected_qber:g}; take cascade"
        )
    _check_pairs(c)
    if c.leak_model is LeakModel.ERROR_STRING and c.proof is not ProofName.WIESEMANN:
        raise ProtocolError(
            f"contract: leak model error-string gives Eve the bits of vacuum detections, which proof {c.proof} "
            "counts as secret; use both-directions, or proof wiesemann"
        )
    if not all(0 < p < 1 for p in c.probabilities) or not all(0 <= mu <= 10 for mu in c.intensities):
        raise ProtocolError(f"contract: intensities {c.intensities}, probabilities {c.probabilities}: out of range")
    try:
        _dry_run(c)
    except PoliqiError as error:
        raise ProtocolError(f"contract: {error}") from error


def _check_pairs(c: Contract) -> None:
    """Proof bbm92, no intensities and a tolerated error rate go together."""
    if c.proof is not ProofName.BBM92:
        if c.tolerated_error is not None:
            raise ProtocolError(f"contract: tolerated_error belongs to proof bbm92, not to {c.proof}")
        return
    if c.intensities or c.probabilities:
        raise ProtocolError(
            "contract: proof bbm92 belongs to entangled pairs, not to weak pulses: it has no intensities"
        )
    if c.tolerated_error is None or not 0.0 <= c.tolerated_error < 0.5:
        raise ProtocolError(
            f"contract: tolerated_error = {c.tolerated_error} is not an error rate in [0, 1/2); proof bbm92 "
            "needs one"
        )
    if c.intensity_uncertainty or c.leak_model is LeakModel.ERROR_STRING:
        raise ProtocolError(
            "contract: proof bbm92 goes with an intensity_uncertainty of 0 and leak model both-directions, not "
            f"with {c.intensity_uncertainty:g} and {c.leak_model}"
        )


def _dry_run(c: Contract) -> None:
    """Ask the proof about made-up counts: whatever it cannot digest is found before any light is spent."""
    counts = BasisCounts((1e6,) * c.levels, (1e4,) * c.levels)
    secret_length(
        Counts(c.intensities, c.probabilities, counts, counts),
        proof=c.proof,
        leak_bits=c.leak_cap,
        epsilon_sec=c.epsilon_sec,
        epsilon_cor=c.epsilon_cor,
        clamp=c.clamp,
        intensity_uncertainty=c.intensity_uncertainty or None,
        tolerated_error=c.tolerated_error,
    )


def _in(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ProtocolError(f"contract: {name} = {value!r} is outside {low:g} to {high:g}")


def encode_contract(contract: Contract) -> bytes:
    """The contract's bytes as they enter every block's transcript."""
    return msgspec.msgpack.encode(contract)
