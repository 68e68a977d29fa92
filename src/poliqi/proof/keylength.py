"""A secret length and what it rests on: the answer of every proof."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from poliqi.base.errors import ConfigError
from poliqi.proof.epsilon import EpsilonLedger
from poliqi.proof.names import ProofName

__all__ = ["KeyLength", "check_epsilons", "check_leak"]


@dataclass(frozen=True, slots=True)
class KeyLength:
    """A secret length and what it rests on.

    `length` is in bits, 0 with a `reason` where there is no key. `exact_length` is the formula before rounding
    down, continuous in the counts and negative without a key: what an optimiser climbs. Bounds are in rounds
    and unclipped: `phase_error` may exceed 1/2, and is inf where there is nothing to divide by. `vacuum` is
    the vacuum term that the length counts, None where the proof has none. For BBM92 the single-photon fields
    hold the rounds themselves, and `tolerated_error` is the Q_tol of the length, None elsewhere. `intensities`
    is where the length was evaluated: the worst point of the box where the source is uncertain.
    """

    length: int
    phase_error: float
    single_photon_key: float
    single_photon_test: float
    single_photon_test_errors: float
    vacuum: float | None
    proof: ProofName
    paper: str
    clamped: bool
    assumptions: tuple[str, ...]
    ledger: EpsilonLedger
    reason: str | None
    leak_bits: float
    exact_length: float
    intensities: tuple[float, ...]
    tolerated_error: float | None = None


def check_epsilons(epsilon_sec: float, epsilon_cor: float) -> None:
    """Raise ConfigError unless both are probabilities strictly between 0 and 1."""
    for name, value in (("epsilon_sec", epsilon_sec), ("epsilon_cor", epsilon_cor)):
        if not 0.0 < value < 1.0:
            raise ConfigError(f"{name}: {value!r} is not a probability between 0 and 1; 1e-10 is usual")


def check_leak(leak_bits: float) -> None:
    """Raise ConfigError unless it is a number of bits."""
    if not (isfinite(leak_bits) and leak_bits >= 0.0):
        raise ConfigError(f"leak_bits: {leak_bits!r} is not a number of bits, 0 or more; count what was revealed")
