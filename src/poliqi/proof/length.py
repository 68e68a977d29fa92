"""From counts to the largest length a contract could have had, with everything a reviewer asks for."""

from __future__ import annotations

from math import floor, isfinite
from typing import Final

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.proof.bbm92 import bbm92_exact, bbm92_length
from poliqi.proof.bounds import Bounds, Formula
from poliqi.proof.counts import Counts
from poliqi.proof.epsilon import ledger_of
from poliqi.proof.intensity import box_of, lowest_point
from poliqi.proof.keylength import KeyLength, check_epsilons, check_leak
from poliqi.proof.names import ASSUMPTIONS, PAPERS, ProofName
from poliqi.proof.one_decoy import rusca, wiesemann
from poliqi.proof.statistics import h
from poliqi.proof.two_decoy import lim

__all__ = ["exact_length", "fitting_proofs", "secret_length", "shannon_leak"]

_FORMULAS: Final[dict[ProofName, Formula]] = {
    ProofName.WIESEMANN: wiesemann,
    ProofName.RUSCA: rusca,
    ProofName.LIM: lim,
}
_SMALLEST_GAP: Final = 1e-9
_NEARLY_HALF: Final = 0.499999


def secret_length(
    counts: Counts,
    *,
    proof: ProofName = ProofName.WIESEMANN,
    leak_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    clamp: bool = True,
    intensity_uncertainty: float | tuple[float, ...] | None = None,
    tolerated_error: float | None = None,
) -> KeyLength:
    """The largest length, in bits, that `proof` grants to `counts` when `leak_bits` were revealed.

    `epsilon_sec` and `epsilon_cor` are the failure probabilities of secrecy and correctness; `clamp` matters to
    Lim's proof alone; `intensity_uncertainty` is relative (0.02 for +-2 %), one for all intensities or one for
    each; `tolerated_error` is BBM92's Q_tol, by default the error rate of the test basis: the smallest that these
    counts would have passed. To test a block against a contract, call it with the contract's leak cap and
    compare the length.

    Raises ConfigError where proof and number of intensities do not fit or an option is out of range, and
    DataRefused where the counts do not fit the proof. That there is no key is an answer, not an error.
    """
    formula = _formula(counts, proof)
    if tolerated_error is not None and proof is not ProofName.BBM92:
        raise ConfigError(f"tolerated_error: proof {proof} tolerates no error rate agreed beforehand; leave it out")
    check_epsilons(epsilon_sec, epsilon_cor)
    check_leak(leak_bits)
    if formula is None:
        return _pairs(counts, leak_bits, epsilon_sec, epsilon_cor, intensity_uncertainty, tolerated_error)
    intensities = counts.intensities
    assumptions = ASSUMPTIONS[proof]
    if intensity_uncertainty is not None:
        intensities = _worst(formula, counts, intensity_uncertainty, leak_bits, epsilon_sec, epsilon_cor, clamp)
        assumptions = (*assumptions, _uncertain(intensity_uncertainty))
    bounds = formula(counts, intensities, leak_bits, epsilon_sec, epsilon_cor, clamp)
    length = max(floor(bounds.exact_length), 0)
    return KeyLength(
        length=length,
        phase_error=bounds.phase_error,
        single_photon_key=bounds.single_photon_key,
        single_photon_test=bounds.single_photon_test,
        single_photon_test_errors=bounds.single_photon_test_errors,
        vacuum=bounds.vacuum,
        proof=proof,
        paper=PAPERS[proof],
        clamped=clamp and proof is ProofName.LIM,
        assumptions=assumptions,
        ledger=ledger_of(proof, epsilon_sec, epsilon_cor),
        reason=None if length > 0 else _why_none(bounds, counts, leak_bits),
        leak_bits=leak_bits,
        exact_length=bounds.exact_length,
        intensities=intensities,
    )


def exact_length(
    counts: Counts,
    *,
    proof: ProofName = ProofName.WIESEMANN,
    leak_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    clamp: bool = True,
    tolerated_error: float | None = None,
) -> float:
    """The length before rounding down, in bits, negative without a key: the light way, for an optimiser.

    Arguments are not checked beyond what `Counts` checked; take them from a call of `secret_length` that passed.
    """
    if proof is ProofName.BBM92:
        n, k = counts.key.total_detections, counts.test.total_detections
        tolerated = _observed(counts) if tolerated_error is None else tolerated_error
        return bbm92_exact(n, k, tolerated, leak_bits, epsilon_sec, epsilon_cor).exact_length
    formula = _FORMULAS[proof]
    return formula(counts, counts.intensities, leak_bits, epsilon_sec, epsilon_cor, clamp).exact_length


def shannon_leak(counts: Counts, f: float) -> float:
    """f N_K h(M_K / N_K): bits that a code of efficiency `f` would reveal, not rounded.

    For planning only. A contract and a block count the bits that were really revealed.
    """
    if not (isfinite(f) and f >= 1.0):
        raise ConfigError(
            f"f: {f!r} is not an efficiency of 1 or more (1 is Shannon's limit); typical is 1.05 to 1.3"
        )
    detections = counts.key.total_detections
    return f * detections * h(counts.key.total_errors / detections) if detections > 0.0 else 0.0


def fitting_proofs(counts: Counts) -> tuple[ProofName, ...]:
    """The proofs that take this number of intensities; counts of pairs have none."""
    if not counts.intensities:
        return (ProofName.BBM92,)
    if len(counts.intensities) == 2:
        return (ProofName.WIESEMANN, ProofName.RUSCA)
    return (ProofName.LIM,)


def _formula(counts: Counts, proof: ProofName) -> Formula | None:
    """The formula of `proof`, once the number and order of intensities are known to fit it; None for BBM92."""
    size = len(counts.intensities)
    if proof is ProofName.BBM92 and size:
        raise ConfigError(
            f"proof: bbm92 is for entangled pairs and takes no intensities, {size} given; leave intensities and "
            "probabilities out"
        )
    if proof not in fitting_proofs(counts):
        names = ", ".join(fitting_proofs(counts))
        raise ConfigError(f"proof: {proof} does not take {size} intensities; for {size} there is: {names}")
    if proof is ProofName.BBM92:
        return None
    if size == 2 and counts.intensities[1] == 0.0:
        raise DataRefused(
            "intensities: with one decoy the weaker must be above 0, since its single photons are what counts; "
            "send a decoy of about 0.1 to 0.2"
        )
    if size == 3 and not counts.intensities[0] - counts.intensities[1] - counts.intensities[2] >= _SMALLEST_GAP:
        mu1, mu2, mu3 = counts.intensities
        raise DataRefused(
            f"intensities: {mu1!r} is not above {mu2!r} + {mu3!r}, which Lim et al. need; send brighter signals or "
            "weaker decoys"
        )
    return _FORMULAS[proof]


def _pairs(
    counts: Counts,
    leak_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    uncertainty: float | tuple[float, ...] | None,
    tolerated_error: float | None,
) -> KeyLength:
    if uncertainty is not None:
        raise ConfigError("intensity_uncertainty: entangled pairs have no intensities; leave it out")
    return bbm92_length(
        key_bits=counts.key.total_detections,
        test_bits=counts.test.total_detections,
        test_errors=counts.test.total_errors,
        tolerated_error=_observed(counts) if tolerated_error is None else tolerated_error,
        leak_bits=leak_bits,
        epsilon_sec=epsilon_sec,
        epsilon_cor=epsilon_cor,
    )


def _observed(counts: Counts) -> float:
    """The error rate of the test basis; from 1/2 on no Q_tol lets a key out, and it is taken as just below."""
    rounds = counts.test.total_detections
    return min(counts.test.total_errors / rounds, _NEARLY_HALF) if rounds else 0.0


def _worst(
    formula: Formula,
    counts: Counts,
    uncertainty: float | tuple[float, ...],
    leak_bits: float,
    epsilon_sec: float,
    epsilon_cor: float,
    clamp: bool,
) -> tuple[float, ...]:
    box = box_of(counts.intensities, uncertainty)
    if len(box) == 3 and not box[0][0] - box[1][1] - box[2][1] >= _SMALLEST_GAP:
        raise DataRefused(
            f"intensity_uncertainty: the signal may be as weak as {box[0][0]:g}, not above the decoys' "
            f"{box[1][1]:g} + {box[2][1]:g}, which Lim et al. need; measure the intensities better"
        )
    return lowest_point(
        lambda at: formula(counts, at, leak_bits, epsilon_sec, epsilon_cor, clamp).exact_length, box
    )


def _uncertain(uncertainty: float | tuple[float, ...]) -> str:
    each = (uncertainty,) if isinstance(uncertainty, float | int) else uncertainty
    widths = ", ".join(f"{100.0 * u:g}" for u in each)
    return (
        f"Each intensity has one value during the block, within +-{widths} % of the stated one; the length is the "
        "smallest over that box. Fluctuation from pulse to pulse is not covered."
    )


def _why_none(bounds: Bounds, counts: Counts, leak_bits: float) -> str:
    """Why the length is 0, the first cause first; the opening words of each are stable."""
    s1_key, s1_test = bounds.single_photon_key, bounds.single_photon_test
    vacuum = bounds.vacuum or 0.0
    if s1_key <= 0.0:
        return f"s1_K <= 0: no single photon is certain in the key basis (bound {s1_key:.6g})"
    if s1_test <= 0.0:
        return f"s1_T <= 0: no single photon is certain in the test basis (bound {s1_test:.6g})"
    if vacuum + s1_key > counts.key.total_detections or s1_test > counts.test.total_detections:
        return (
            f"counts contradict the source: s1_K {vacuum + s1_key:.6g} or s1_T {s1_test:.6g} exceeds the "
            "detections; check intensities and probabilities"
        )
    if bounds.phase_error >= 0.5:
        return f"phi >= 1/2: the bound on the phase error is {bounds.phase_error:.6g}, so Eve may know every bit"
    secret = vacuum + s1_key * (1.0 - h(bounds.phase_error))
    return (
        f"leak exceeds s1: {leak_bits:.6g} bits revealed, and the bits that the epsilons cost, leave nothing of "
        f"{secret:.6g} secret bits"
    )
