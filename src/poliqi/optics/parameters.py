"""One parameter object for a link: the closed form, the count level and the event stream all read it.

Times are seconds, lengths metres, losses decibels, rates per second, probabilities per pulse or per bin.
A basis is *key* (Z) or *test* (X); intensities stand brightest first. Everything is checked here, once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from poliqi.base.errors import ConfigError
from poliqi.base.ids import LeakModel
from poliqi.optics.instruments import Instruments
from poliqi.proof import ProofName

__all__ = [
    "Attack",
    "AttackKind",
    "BasisChoice",
    "Block",
    "ClassicalChannel",
    "DeadTimeModel",
    "Detector",
    "DetectorKind",
    "Direction",
    "Fibre",
    "FrontEnd",
    "LinkParameters",
    "PairStatistics",
    "Pairs",
    "Receiver",
    "Source",
]

_SUM_TOLERANCE: Final = 1e-9
_MOST_INTENSITIES: Final = 4  # bits 2 and 3 of the state byte
_LONGEST_DEAD_TIME: Final = 1 << 30  # slots


class FrontEnd(StrEnum):
    """How a bit rides on light."""

    TIME_BIN = "time-bin"
    POLARISATION = "polarisation"


class BasisChoice(StrEnum):
    """How Bob chooses his basis: a splitter and two arms, or a modulator and one arm."""

    PASSIVE = "passive"
    ACTIVE = "active"


class DetectorKind(StrEnum):
    """What Bob detects single photons with."""

    SNSPD = "snspd"
    GATED_APD = "gated-apd"
    FREE_RUNNING_APD = "free-running-apd"


class DeadTimeModel(StrEnum):
    """Whether light that falls into the dead time is ignored or prolongs it."""

    NON_PARALYSABLE = "non-paralysable"
    PARALYSABLE = "paralysable"


class Direction(StrEnum):
    """Which way a classical channel runs, against the quantum light."""

    FORWARD = "forward"
    BACKWARD = "backward"


class AttackKind(StrEnum):
    """What stands on the fibre between Alice and Bob."""

    NONE = "none"
    INTERCEPT_RESEND = "intercept-resend"
    PHOTON_NUMBER_SPLITTING = "photon-number-splitting"
    BLINDING = "blinding"
    TIME_SHIFT = "time-shift"
    TROJAN_HORSE = "trojan-horse"
    TAP = "tap"
    CUT = "cut"
    JAMMING = "jamming"


class PairStatistics(StrEnum):
    """How many pairs a slot has: many modes of light share them, or one mode in each polarisation has all."""

    POISSON = "poisson"
    THERMAL = "thermal"


@dataclass(frozen=True, slots=True)
class Source:
    """Alice: a phase-randomised weak coherent pulse per clock period.

    Of a link of entangled pairs it says the clock of the slots, the mean number of pairs in one (the only one of
    `intensities`) and how often Alice measures in the key basis.

    `intensities` are mean photon numbers, brightest first; `key_basis` is the probability that she
    prepares in the key basis, whatever the intensity; `intensity_noise` is the relative standard
    deviation of the mean photon number from pulse to pulse.
    """

    clock_hz: float
    intensities: tuple[float, ...]
    probabilities: tuple[float, ...]
    key_basis: float
    intensity_noise: float = 0.0
    pulse_fwhm_s: float = 0.0
    wavelength_m: float = 1550e-9
    linewidth_m: float = 0.0

    def __post_init__(self) -> None:
        _within("source.clock", self.clock_hz, 1.0, 1e12)
        levels = len(self.intensities)
        if not 1 <= levels <= _MOST_INTENSITIES:
            raise ConfigError(f"source.intensities: {levels} of them; give 1 to {_MOST_INTENSITIES}")
        for mu in self.intensities:
            _within("source.intensities", mu, 0.0, 10.0)
        if any(a <= b for a, b in zip(self.intensities, self.intensities[1:], strict=False)):
            given = ", ".join(f"{mu:g}" for mu in self.intensities)
            raise ConfigError(f"source.intensities: {given} do not fall; write the brightest first, no two equal")
        if self.intensities[0] == 0:
            raise ConfigError("source.intensities: the brightest is 0, so no light is sent")
        if len(self.probabilities) != levels:
            raise ConfigError(
                f"source.probabilities: {len(self.probabilities)} of them for {levels} intensities; give one each"
            )
        for p in self.probabilities:
            _within("source.probabilities", p, 1e-6, 1.0)
        total = math.fsum(self.probabilities)
        if abs(total - 1) > _SUM_TOLERANCE:
            raise ConfigError(f"source.probabilities: they sum to {total:.9g}, not to 1; mend one of them")
        _within("source.key_basis", self.key_basis, 0.0, 1.0)
        _within("source.intensity_noise", self.intensity_noise, 0.0, 0.2)
        _within("source.pulse_fwhm", self.pulse_fwhm_s, 0.0, 1.0)
        _within("source.wavelength", self.wavelength_m, 400e-9, 2000e-9)
        _within("source.linewidth", self.linewidth_m, 0.0, 100e-9)


@dataclass(frozen=True, slots=True)
class Fibre:
    """What lies between the two sites; every loss but the fibre's own is a lump sum in dB."""

    length_m: float
    attenuation_db_per_km: float = 0.2
    connectors_db: float = 0.0
    mux_db: float = 0.0
    switch_db: float = 0.0
    dispersion_ps_nm_km: float = 17.0

    def __post_init__(self) -> None:
        _within("fibre.length", self.length_m, 0.0, 2e6)
        _within("fibre.attenuation", self.attenuation_db_per_km, 0.0, 100.0)
        _within("fibre.connectors", self.connectors_db, 0.0, 100.0)
        _within("fibre.mux", self.mux_db, 0.0, 100.0)
        _within("fibre.switch", self.switch_db, 0.0, 100.0)
        _within("fibre.dispersion", self.dispersion_ps_nm_km, -1000.0, 1000.0)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Bob's optics, from the fibre's end to the detectors.

    `key_basis` is the share of light (passive) or of slots (active) that he measures in the key basis;
    None means "as the source's". `error_key` and `error_test` are the probabilities that a photon of a
    perfect pulse goes to the wrong detector. `drift` is the rate of a random walk of the phase (time-bin;
    it touches the test basis) or of each component of the polarisation rotation (both bases), which a
    loop of time constant `tracking_time_s` follows.
    """

    error_key: float
    error_test: float
    front_end: FrontEnd = FrontEnd.POLARISATION
    basis_choice: BasisChoice = BasisChoice.PASSIVE
    key_basis: float | None = None
    loss_db: float = 0.0
    test_loss_db: float = 0.0
    filter_db: float = 0.0
    filter_width_m: float = 0.8e-9
    drift_rad_per_sqrt_s: float = 0.0
    tracking_time_s: float = 0.0

    def __post_init__(self) -> None:
        _within("receiver.error_key", self.error_key, 0.0, 0.5)
        _within("receiver.error_test", self.error_test, 0.0, 0.5)
        if self.key_basis is not None:
            _within("receiver.key_basis", self.key_basis, 0.0, 1.0)
        _within("receiver.loss", self.loss_db, 0.0, 100.0)
        _within("receiver.test_loss", self.test_loss_db, 0.0, 100.0)
        _within("receiver.filter_loss", self.filter_db, 0.0, 100.0)
        _within("receiver.filter_width", self.filter_width_m, 1e-15, 100e-9)
        _within("receiver.drift", self.drift_rad_per_sqrt_s, 0.0, 1e6)
        _within("receiver.tracking_time", self.tracking_time_s, 0.0, 1e6)
        if self.drift_rad_per_sqrt_s > 0 and self.tracking_time_s == 0:
            raise ConfigError("receiver.tracking_time: missing; receiver.drift needs the time constant of its loop")


@dataclass(frozen=True, slots=True)
class Detector:
    """Each of Bob's detectors, all alike; the dead time is common to all of them.

    Dark counts: `dark_rate_hz` of one detector, or `dark_per_gate` of one bin where the kind is gated.
    `afterpulse` is the probability that a click is followed by a false one after the dead time if no
    other click comes first, `afterpulse_time_s` the 1/e time of its delay. `window_s` is the width of one
    bin's acceptance window; None means the whole bin (half a slot for time-bin, a slot for polarisation).
    `pixels` share a detector's light, so that each is blind to 1/pixels of it after a click: taken as one
    common dead time of dead_time_s / pixels, which loses the same share of light.
    """

    kind: DetectorKind
    efficiency: float
    dark_rate_hz: float = 0.0
    dark_per_gate: float = 0.0
    dead_time_s: float = 0.0
    pixels: int = 1
    dead_time_model: DeadTimeModel = DeadTimeModel.NON_PARALYSABLE
    afterpulse: float = 0.0
    afterpulse_time_s: float = 0.0
    jitter_fwhm_s: float = 0.0
    window_s: float | None = None

    def __post_init__(self) -> None:
        _within("detector.efficiency", self.efficiency, 0.0, 1.0)
        _within("detector.dark_rate", self.dark_rate_hz, 0.0, 1e9)
        _within("detector.dark_per_gate", self.dark_per_gate, 0.0, 0.5)
        _within("detector.dead_time", self.dead_time_s, 0.0, 10.0)
        _within("detector.pixels", self.pixels, 1, 64)
        _within("detector.afterpulse", self.afterpulse, 0.0, 0.9)
        _within("detector.afterpulse_time", self.afterpulse_time_s, 0.0, 10.0)
        _within("detector.jitter", self.jitter_fwhm_s, 0.0, 1.0)
        gated = self.kind is DetectorKind.GATED_APD
        if gated and self.dark_rate_hz > 0:
            raise ConfigError("detector.dark_rate: a gated detector takes detector.dark_per_gate instead")
        if not gated and self.dark_per_gate > 0:
            raise ConfigError(f"detector.dark_per_gate: a {self.kind} detector takes detector.dark_rate instead")
        if self.afterpulse > 0 and self.afterpulse_time_s == 0:
            raise ConfigError("detector.afterpulse_time: missing; detector.afterpulse needs its 1/e delay")
        if self.afterpulse > 0 and self.dead_time_model is DeadTimeModel.PARALYSABLE:
            raise ConfigError(
                "detector.afterpulse: not modelled together with a paralysable dead time; set one to 0"
            )


@dataclass(frozen=True, slots=True)
class ClassicalChannel:
    """A classical channel in the same fibre: `launch_dbm` at its own input, `rho` per km and nm of filter."""

    launch_dbm: float
    direction: Direction = Direction.FORWARD
    rho_per_km_nm: float = 2e-9

    def __post_init__(self) -> None:
        _within("classical_channel.launch", self.launch_dbm, -100.0, 40.0)
        _within("classical_channel.rho", self.rho_per_km_nm, 0.0, 1e-3)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A source of entangled pairs, and Alice's receiver of them.

    `place` is where the source stands along the fibre, 0 at Alice, 1 at Bob: each loss of the fibre falls on the
    two arms in that proportion. `visibility_key` and `visibility_test` are those of the pairs, before either
    receiver's own errors. Alice's `receiver` and `detector` are like Bob's where they are None.
    """

    statistics: PairStatistics = PairStatistics.POISSON
    place: float = 0.0
    visibility_key: float = 1.0
    visibility_test: float = 1.0
    receiver: Receiver | None = None
    detector: Detector | None = None

    def __post_init__(self) -> None:
        _within("pairs.place", self.place, 0.0, 1.0)
        _within("pairs.visibility_key", self.visibility_key, 0.0, 1.0)
        _within("pairs.visibility_test", self.visibility_test, 0.0, 1.0)
        if self.receiver is not None and self.receiver.key_basis is not None:
            raise ConfigError("pairs.receiver.key_basis: Alice's share of the key basis is source.key_basis")


@dataclass(frozen=True, slots=True)
class Attack:
    """Eve. `fraction` is her strength, from 0 (as if she were not there) to 1.

    It is the share of the pulses that she attacks (intercept-resend, photon-number splitting, blinding, time
    shift), of the light that she takes (tap, cut), or photons a slot: that come back out of Alice's device (Trojan
    horse), or that she adds at Bob's end of the fibre (jamming). `key_basis` is how often an intercepting Eve
    measures in the key basis. docs/explanation/attacks.md has the formulas.
    """

    kind: AttackKind = AttackKind.NONE
    fraction: float = 1.0
    key_basis: float = 0.5

    def __post_init__(self) -> None:
        _within("attack.fraction", self.fraction, 0.0, 1.0)
        _within("attack.key_basis", self.key_basis, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Block:
    """What a block is and under which statement it becomes key.

    `sifted_key` is the size that people think in: a block is as many pulses as give, on average, that many
    sifted bits in the key basis. `efficiency` is the f of a *prediction*
    (bits that one direction reveals over n h(q)); a real block counts the bits it revealed. `tolerated_error` is
    the Q_tol that a block of entangled pairs agrees on beforehand; None lets the link's model say it.
    """

    sifted_key: int = 10_000_000
    proof: ProofName = ProofName.WIESEMANN
    clamp: bool = True
    epsilon_sec: float = 1e-10
    epsilon_cor: float = 1e-15
    leak_model: LeakModel = LeakModel.BOTH_DIRECTIONS
    efficiency: float = 1.05
    intensity_uncertainty: float = 0.0
    tolerated_error: float | None = None

    def __post_init__(self) -> None:
        _within("block.sifted_key", self.sifted_key, 1, 1 << 40)
        if self.proof is ProofName.BBM92:
            self._check_pairs()
        elif self.tolerated_error is not None:
            raise ConfigError(f"block.tolerated_error: proof {self.proof} agrees on none; it is for proof bbm92")
        if self.leak_model is LeakModel.ERROR_STRING and self.proof is not ProofName.WIESEMANN:
            raise ConfigError(
                "block.leak_model: error-string gives Eve the bits of vacuum detections, which proof "
                f"{self.proof} counts as secret; use both-directions, or proof wiesemann"
            )
        _within("block.epsilon_sec", self.epsilon_sec, 1e-60, 1e-3)
        _within("block.epsilon_cor", self.epsilon_cor, 1e-60, 1e-3)
        _within("block.efficiency", self.efficiency, 1.0, 10.0)
        _within("block.intensity_uncertainty", self.intensity_uncertainty, 0.0, 0.2)

    def _check_pairs(self) -> None:
        if self.tolerated_error is not None:
            _within("block.tolerated_error", self.tolerated_error, 0.0, 0.499999)
        if self.leak_model is LeakModel.ERROR_STRING:
            raise ConfigError(
                "block.leak_model: error-string is argued for proof wiesemann alone; use both-directions"
            )
        if self.intensity_uncertainty > 0.0:
            raise ConfigError("block.intensity_uncertainty: entangled pairs have no intensities; leave it out")


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """A whole link, from Alice's laser to the statement about the key."""

    name: str
    source: Source
    fibre: Fibre
    receiver: Receiver
    detector: Detector
    classical_channels: tuple[ClassicalChannel, ...] = ()
    attack: Attack = field(default_factory=Attack)
    block: Block = field(default_factory=Block)
    instruments: Instruments = field(default_factory=Instruments)
    pairs: Pairs | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 64:
            raise ConfigError(f"name: {len(self.name)} characters; give 1 to 64")
        if self.dead_slots > _LONGEST_DEAD_TIME:
            raise ConfigError(f"detector.dead_time: {self.dead_slots} slots; at most {_LONGEST_DEAD_TIME}")
        if self.window_s > self.bin_s * (1 + 1e-12):
            raise ConfigError(
                f"detector.window: {self.window_s:g} s is wider than its bin of {self.bin_s:g} s; make it narrower"
            )
        if (self.block.proof is ProofName.BBM92) != (self.pairs is not None):
            raise ConfigError(
                f"block.proof: {self.block.proof} "
                + ("does not fit weak pulses" if self.pairs is None else "does not fit pairs")
                + "; proof bbm92 and a table [pairs] go together"
            )
        if self.pairs is not None:
            self._check_pairs(self.pairs)

    def _check_pairs(self, pairs: Pairs) -> None:
        if len(self.source.intensities) != 1 or self.source.intensity_noise > 0.0:
            raise ConfigError("source.intensities: entangled pairs have one mean number a slot, and no noise of it")
        if pairs.receiver is not None and pairs.receiver.front_end is not self.receiver.front_end:
            raise ConfigError(
                f"pairs.receiver.front_end: {pairs.receiver.front_end} at Alice, {self.receiver.front_end} at Bob; "
                "a bit rides on light in one way"
            )

    @property
    def receiver_key_basis(self) -> float:
        """Bob's share of the key basis."""
        own = self.receiver.key_basis
        return self.source.key_basis if own is None else own

    @property
    def dead_slots(self) -> int:
        """Common dead time in whole slots, rounded up: a slot that is dead in part is dead."""
        return math.ceil(self.detector.dead_time_s / self.detector.pixels * self.source.clock_hz - 1e-6)

    @property
    def bin_s(self) -> float:
        """Distance of neighbouring bins: half a slot for time-bin, a slot for polarisation."""
        bins = 2 if self.receiver.front_end is FrontEnd.TIME_BIN else 1
        return 1.0 / (bins * self.source.clock_hz)

    @property
    def window_s(self) -> float:
        """Width of one bin's acceptance window."""
        own = self.detector.window_s
        return self.bin_s if own is None else own

    @property
    def mismatch_time_s(self) -> float:
        """How early or late light comes for which Bob's detectors are as unequal as the instruments say."""
        own = self.instruments.mismatch_time_s
        return self.bin_s / 4.0 if own is None else own


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name}: {value:g} is outside {low:g} to {high:g}")
