"""SIMULATED light of an emulated QSN-d-1: the seed is the fibre, and whoever knows it knows the key.

Alice's qubits of a batch and Bob's settings and counts are drawn from (seed, key ID, batch), so the two ends may
run on two machines and no light travels. The chance of a count is that of `poliqi.optics` for one gated detector
behind an analyser that is set to one of four states; a state is 2 basis + bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError

__all__ = ["LARGE_BATCH", "MOST_BATCHES", "SMALL_BATCH", "LightSettings", "SimulatedLight", "count_probabilities"]

LARGE_BATCH: Final = 102_000
"""Gates of a batch as the manual advises for hardware."""
SMALL_BATCH: Final = 3_000
"""And as it advises for simulation."""
MOST_BATCHES: Final = 1_024
"""For one key; an end that has not counted enough by then gives up."""

_SEEDS: Final = 1 << 64
_DARK_DB: Final = 100.0  # nothing comes through, nor beyond


class _Draw(IntEnum):
    """Independent streams of one batch."""

    ALICE = 0
    BOB = 1
    EVE = 2


@dataclass(frozen=True, slots=True)
class LightSettings:
    """The simulated link. `eve_fraction` of the gates is measured in a random basis and sent on as found."""

    attenuation_db: float = 3.0
    batch: int = LARGE_BATCH
    eve_fraction: float = 0.0
    mean_photons: float = 0.1
    receiver_loss_db: float = 3.0
    efficiency: float = 0.2
    dark_per_gate: float = 1e-5
    misalignment: float = 0.015

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= 1 << 20:
            raise ConfigError(f"batch: {self.batch} gates, must be 1 to {1 << 20}")
        if not 0.0 <= self.eve_fraction <= 1.0:
            raise ConfigError(f"eve: a fraction of {self.eve_fraction:g}, must be 0 to 1")


def count_probabilities(settings: LightSettings) -> tuple[float, float, float]:
    """Chance that a gate counts: the analyser at the state sent, at the orthogonal one, at one of the other basis.

    Polarisation, active choice, no dead time; 1 - q exp(-mu s) with q and s of `poliqi.optics.receiver`.
    """
    from poliqi.optics.parameters import (
        BasisChoice,
        Detector,
        DetectorKind,
        Fibre,
        FrontEnd,
        LinkParameters,
        Receiver,
        Source,
    )
    from poliqi.optics.receiver import bob_optics

    wrong = settings.misalignment
    arm = bob_optics(
        LinkParameters(
            name="qsn-d-1",
            source=Source(1e6, (settings.mean_photons,), (1.0,), 0.5),
            fibre=Fibre(0.0, connectors_db=min(settings.attenuation_db, _DARK_DB)),
            receiver=Receiver(
                wrong, wrong, FrontEnd.POLARISATION, BasisChoice.ACTIVE, 0.5, settings.receiver_loss_db
            ),
            detector=Detector(DetectorKind.GATED_APD, settings.efficiency, dark_per_gate=settings.dark_per_gate),
        )
    ).key
    same, orthogonal, other = (
        1.0 - arm.quiet * math.exp(-settings.mean_photons * share) for share in (arm.right, arm.wrong, arm.even)
    )
    return same, orthogonal, other


class SimulatedLight:
    """The fibre between two emulated ends that were given the same seed."""

    __slots__ = ("_seed",)

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < _SEEDS:
            raise ConfigError(f"light seed: {seed} is outside 0 to {_SEEDS - 1}")
        self._seed: Final = seed

    def sent(self, key_id: str, number: int, gates: int) -> NDArray[np.uint8]:
        """States that Alice prepares in batch `number` of this key, uint8 [gates] of 0 to 3."""
        return self._draws(key_id, number, _Draw.ALICE).integers(0, 4, gates, dtype=np.uint8)

    def received(
        self, key_id: str, number: int, settings: LightSettings
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Bob's settings, uint8 [gates] of 0 to 3, and his counts, uint8 [gates] of 0 and 1, of that batch."""
        arriving = self._attacked(self.sent(key_id, number, settings.batch), key_id, number, settings)
        draws = self._draws(key_id, number, _Draw.BOB)
        chosen = draws.integers(0, 4, settings.batch, dtype=np.uint8)
        apart = chosen ^ arriving  # 0 same state, 1 orthogonal, 2 and 3 other basis
        same, orthogonal, other = count_probabilities(settings)
        chances = np.array([same, orthogonal, other, other])
        counts = (draws.random(settings.batch) < chances[apart]).astype(np.uint8)
        return chosen, counts

    def _attacked(
        self, states: NDArray[np.uint8], key_id: str, number: int, settings: LightSettings
    ) -> NDArray[np.uint8]:
        """Intercept-resend in unbiased bases: a wrong basis leaves a random state of that basis."""
        if settings.eve_fraction == 0.0:
            return states
        draws = self._draws(key_id, number, _Draw.EVE)
        found = draws.integers(0, 4, states.size, dtype=np.uint8)
        missed = (draws.random(states.size) < settings.eve_fraction) & (found >> 1 != states >> 1)
        return np.where(missed, found, states)

    def _draws(self, key_id: str, number: int, which: _Draw) -> np.random.Generator:
        name = UUID(key_id).int
        words = (self._seed, name & (1 << 64) - 1, name >> 64, number, which)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
