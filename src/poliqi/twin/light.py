"""Light of a twin's links at count level: what is done to a fibre changes the averages, blocks are drawn from them.

A block under way when the light goes is lost, as its session is; one under way when the light merely changes is
drawn as if it had been so from its beginning. Contracts are made as the real ends make them: a length and a cap of
the leak that an honest block misses about once in ten thousand times, or no key at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from poliqi.control.messages import LightState
from poliqi.optics.attack import OUTSIDE_PROOFS
from poliqi.optics.channel import Expectation, expectation
from poliqi.optics.counts import CountSampler
from poliqi.optics.fibre import way_loss_db
from poliqi.optics.parameters import Attack, ClassicalChannel, LinkParameters
from poliqi.optics.prediction import predicted_leak
from poliqi.optics.raman import detected_noise_rate_hz
from poliqi.proof import Counts, exact_length
from poliqi.twin.watch import Watch

__all__ = ["Condition", "Light", "Reading"]

_DRAWS: Final = 100
_SIGMAS: Final = 4.0
_DARK_S: Final = 0.2
"""How long a device looks for light before it says that there is none."""
_KEYLESS: Final = 3
"""Blocks without key in a row after which a device says so: an honest one fails now and then by chance."""
_RETRY_S: Final = 1.0
"""Between two tries to agree on a session."""
_AWAY_S: Final = 2.0
"""How long an end waits for a session before it says that the other one is away."""


_HONEST: Final = Attack()


@dataclass(frozen=True, slots=True)
class Condition:
    """What is done to a link's light at the moment. `error` adds to the errors of both bases (a drift)."""

    is_cut: bool = False
    is_off: bool = False
    """Alice's device stands still: no light comes."""
    is_away: bool = False
    """The two ends cannot talk, or Bob's device stands still: no session."""
    extra_db: float = 0.0
    error: float = 0.0
    attack: Attack = _HONEST
    channels: tuple[ClassicalChannel, ...] = ()
    forged: str = ""
    """Somebody changes (`tampering`) or repeats (`replay`) the messages of the two ends: no session is agreed. The
    ends see the same of both: a tag that does not fit."""

    @property
    def is_dark(self) -> bool:
        """No light arrives."""
        return self.is_cut or self.is_off

    @property
    def has_light(self) -> bool:
        """Blocks can be made."""
        return not (self.is_dark or self.is_away or self.forged)

    @property
    def is_useless(self) -> bool:
        """No key comes of it, or none that a proof covers: keys should take another way."""
        return not self.has_light or self.attack.kind in OUTSIDE_PROOFS


_SOUND: Final = Condition()


@dataclass(frozen=True, slots=True)
class Reading:
    """What both devices know of the light."""

    state: LightState
    key_rate_bps: float | None = None
    qber_key: float | None = None
    qber_test: float | None = None
    loss_db: float | None = None
    noise: float | None = None
    blocks: int = 0
    at: float = 0.0
    reason: str = ""
    verdict: str = ""
    attack: str = ""
    evidence: str = ""
    is_quarantined: bool = False


@dataclass(frozen=True, slots=True)
class _Contract:
    """What blocks of an honest link promise."""

    pulses: int
    block_s: float
    leak_cap: float
    length: int


class Light:
    """One link's light and the two devices that share it. `dice` is the physics' own."""

    def __init__(self, link: LinkParameters, dice: np.random.Generator, now: float) -> None:
        self.link: Final = link
        self._dice: Final = dice
        self._contract: Final = _contract(link)
        self._honest: Final = _expected(link)
        self.condition = Condition()
        self._since = now
        """Since when the block under way gathers light."""
        self._changed = now
        self._sampler: CountSampler | None = _sampler(link)
        self._noise = _noise(link)
        self._keyless = 0
        self._watch: Final = Watch(link, self._contract.pulses, dice.spawn(1)[0])
        self._forged_at = now
        self.reading: Reading = Reading(LightState.SILENT, reason="no block yet")
        self.blocks = 0
        self.secret_bits = 0
        """Made since the start."""

    @property
    def block_s(self) -> float:
        """How long a block gathers light."""
        return self._contract.block_s

    def change(self, condition: Condition, now: float) -> None:
        """Something is done to the fibre from now on."""
        if condition == self.condition:
            return
        before, self.condition = self.condition, condition
        if before.has_light != condition.has_light:
            self._since = self._changed = now
            self._keyless = 0
        self._sampler = _sampler(_under(self.link, condition)) if condition.has_light else None
        self._noise = _noise(_under(self.link, condition))

    def gather(self, now: float) -> list[int]:
        """Let the devices work until `now`: lengths in bits of the blocks with key that were finished."""
        if self._sampler is None:
            self._look(now)
            return []
        block_s, made = self._contract.block_s, list[int]()
        while self._since + block_s <= now:
            self._since += block_s
            length = self._block(self._sampler)
            if length:
                made.append(length)
        return made

    def _look(self, now: float) -> None:
        """Nothing is measured: the devices notice it, each in its time."""
        waited_s = now - self._changed
        if self.condition.forged and not self.condition.is_away:
            self._meet_forger(now)
            return
        if self.condition.is_dark and waited_s >= _DARK_S:
            state, reason = LightState.DARK, "no light arrives"
        elif waited_s >= _AWAY_S:
            state, reason = LightState.SILENT, "the other end is away"
        else:
            return
        if self.reading.state is not state:
            self.reading = Reading(state, blocks=self.blocks, at=now, reason=reason)

    def _meet_forger(self, now: float) -> None:
        """Each try to agree on a session ends with a tag that does not fit."""
        if now - self._forged_at < _RETRY_S:
            return
        self._forged_at = now
        self._watch.forged(now)
        w, reason = self._watch, "authentication failed: a tag does not fit"
        self.reading = Reading(
            LightState.SILENT,
            blocks=self.blocks,
            at=now,
            reason=reason,
            verdict=w.verdict,
            attack=w.attack,
            evidence=w.evidence,
            is_quarantined=w.is_quarantined,
        )

    def _block(self, sampler: CountSampler) -> int:
        """One block: its counts, and the key that its contract gives."""
        contract, block = self._contract, self.link.block
        clicks = sampler.draw_clicks(contract.pulses, self._dice)
        counts = sampler.draw_of(clicks, self._dice)
        refusal = None
        if self._watch.wants(self.condition.attack.kind):
            refusal = self._watch.block(_under(self.link, self.condition), clicks, counts, self._since)
        elif self._watch.verdict and self.condition != _SOUND:
            self._watch.unasked()
        leak = predicted_leak(counts, block.leak_model, block.efficiency)
        reason, length = "", 0
        if refusal is not None:
            reason, self._keyless = refusal, _KEYLESS
        elif contract.length == 0:
            reason = "no block of this size gives key"
        elif leak > contract.leak_cap:
            reason = f"correction reveals {leak:.0f} bits, {contract.leak_cap:.0f} are allowed"
        elif _length(counts, self.link, contract.leak_cap) < contract.length:
            reason = "the bounds on single photons and their errors grant less than was promised"
        else:
            length = contract.length
        self.blocks += bool(length)
        self._keyless = 0 if length else self._keyless + 1
        self.secret_bits += length
        self._read(counts, length, reason)
        return length

    def _read(self, counts: Counts, length: int, reason: str) -> None:
        before = self.reading
        is_lit = bool(length) or (before.state is LightState.LIT and self._keyless < _KEYLESS)
        contract, w = self._contract, self._watch
        self.reading = Reading(
            LightState.LIT if is_lit else LightState.KEYLESS,
            key_rate_bps=(length or is_lit * contract.length) / contract.block_s,
            qber_key=_qber(counts.key.total_errors, counts.key.total_detections),
            qber_test=_qber(counts.test.total_errors, counts.test.total_detections),
            loss_db=self._loss_db(counts),
            noise=self._noise * (1.0 + 0.01 * float(self._dice.standard_normal())),
            blocks=self.blocks,
            at=self._since,
            reason="" if is_lit else reason,
            verdict=w.verdict,
            attack=w.attack,
            evidence=w.evidence,
            is_quarantined=w.is_quarantined,
        )

    def _loss_db(self, counts: Counts) -> float:
        """The channel's loss from how often anything is detected, dead time taken out; noise looks like less loss.

        `optics.lossestimate` does it to the last digit, a thousand times slower.
        """
        honest = self._honest
        planned = honest.key.total_detections + honest.test.total_detections
        seen = (counts.key.total_detections + counts.test.total_detections) / self._contract.pulses
        clicks = honest.clicks * seen / planned
        live = max(1e-3, 1.0 - clicks * self.link.dead_slots)
        return way_loss_db(self.link.fibre) - 10.0 * math.log10(max(1e-12, clicks / live / honest.click))


def _qber(errors: float, detections: float) -> float | None:
    return errors / detections if detections else None


def _under(link: LinkParameters, condition: Condition) -> LinkParameters:
    """The link as it is under a condition."""
    receiver = link.receiver
    if condition.error:
        receiver = replace(
            receiver,
            error_key=min(0.5, receiver.error_key + condition.error),
            error_test=min(0.5, receiver.error_test + condition.error),
        )
    return replace(
        link,
        fibre=replace(link.fibre, connectors_db=link.fibre.connectors_db + condition.extra_db),
        receiver=receiver,
        attack=condition.attack,
        classical_channels=(*link.classical_channels, *condition.channels),
    )


@lru_cache(maxsize=512)
def _sampler(link: LinkParameters) -> CountSampler:
    return CountSampler(link)


@lru_cache(maxsize=512)
def _expected(link: LinkParameters) -> Expectation:
    return expectation(link)


@lru_cache(maxsize=512)
def _noise(link: LinkParameters) -> float:
    """Clicks a slot that none of Alice's photons made: darkness and Raman light."""
    detector = link.detector
    dark = detector.dark_per_gate + detector.dark_rate_hz * link.window_s
    raman = detected_noise_rate_hz(link) * min(1.0, link.window_s / link.bin_s) / link.source.clock_hz
    return min(1.0, 2.0 * dark + raman)


@lru_cache(maxsize=512)
def _contract(link: LinkParameters) -> _Contract:
    """Leak cap and length stand four standard deviations beyond the means of a hundred honest blocks."""
    mean = _expected(link)
    pulses = math.ceil(link.block.sifted_key / mean.key.total_detections)
    dice, sampler = np.random.Generator(np.random.PCG64(0)), _sampler(link)
    drawn = [sampler.draw(pulses, dice) for _ in range(_DRAWS)]
    leaks = np.array([predicted_leak(c, link.block.leak_model, link.block.efficiency) for c in drawn])
    cap = float(leaks.mean() + _SIGMAS * leaks.std())
    lengths = np.array([_length(counts, link, cap) for counts in drawn])
    length = math.floor(float(lengths.mean() - _SIGMAS * lengths.std()))
    return _Contract(pulses, pulses / link.source.clock_hz, cap, max(0, length) & ~7)


def _length(counts: Counts, link: LinkParameters, cap: float) -> float:
    block = link.block
    return exact_length(
        counts,
        proof=block.proof,
        leak_bits=cap,
        epsilon_sec=block.epsilon_sec,
        epsilon_cor=block.epsilon_cor,
        clamp=block.clamp,
    )
