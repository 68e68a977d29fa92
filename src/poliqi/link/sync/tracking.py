"""The clock kept: phase and rate followed from segment to segment by a Kalman filter of two states.

Each segment of tags gives one phase, with a standard deviation of 1 / (2 pi h sqrt(2 P)) slots for a peak of P (the
bound of Cramer and Rao for a phase). Between segments the rate wanders as a random walk of `wander` (relative, per
square root of a second), which is how a free oscillator behaves on the scale of a second. A broken line through the
filtered phases at the segments' ends is the timeline: it is continuous, so no slot is counted twice or skipped.

A phase is known up to whole bins only. Once its predicted standard deviation, or one measured step, comes near half
a bin, the count of slots is no longer certain: the tracker says so and stops following.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.link.sync.clock import Timeline, Tone, phasor_sums

__all__ = ["Tracker", "Tracking"]

_WANTED_POWER: Final = 60.0
_LEAST_POWER: Final = 12.0
"""A weaker segment is not believed: by chance one in exp(12), 160 thousand."""
_MOST_TAGS: Final = 1 << 11
"""Tags of a segment that are looked at, every so many of them where there are more: more would tell no more."""
_SHORTEST_PS: Final = 1_000_000_000
_LONGEST_PS: Final = 250_000_000_000
_MOST_SIGMA: Final = 0.08
"""Bins: a predicted phase less certain than this, six standard deviations from half a bin, is lost."""
_MOST_STEP: Final = 0.1
"""Bins: light whose phase jumps by more goes another way than before, and may have jumped by whole bins besides."""
_LONGEST_GAP_PS: Final = 5_000_000_000
"""Light that was away for longer (and for three segments) may have come back by another way, whatever its phase."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """What one stretch of tags gave: its timeline, and in `lost` why the count is uncertain after it, if it is."""

    line: Timeline | None
    tags: int
    lost: str


class _Doubt(NamedTuple):
    """Variances of phase (slots squared) and rate, and their covariance."""

    phase: float
    both: float
    rate: float

    def later(self, gap_ps: float, noise: float) -> _Doubt:
        """The same after so long, the rate having walked."""
        return _Doubt(
            self.phase + gap_ps * (2.0 * self.both + gap_ps * (self.rate + gap_ps * noise / 3.0)),
            self.both + gap_ps * (self.rate + gap_ps * noise / 2.0),
            self.rate + gap_ps * noise,
        )


class Tracker:
    """Follows the clock from a tone on; slots are counted from an arbitrary zero until `renumber` is called."""

    def __init__(self, tone: Tone, bins: int, wander: float) -> None:
        self._bins: Final = bins
        self._noise: Final = (wander * tone.rate) ** 2 * 1e-12
        """Variance of the rate, (slots/ps)^2, gained a picosecond."""
        since = tone.from_ps - tone.at_ps
        turns = tone.phase + since * tone.rate
        self._slot: int = math.floor(turns)
        self._fraction: float = turns - self._slot
        self._at: int = tone.from_ps
        self._rate: float = tone.rate
        variance, far = (2.0 * tone.rate_sigma) ** 2, float(since)
        spread = (2.0 * tone.phase_sigma) ** 2 + far**2 * variance  # the tone was straight up to its own start
        self._doubt = _Doubt(spread, far * variance, variance + abs(far) * self._noise)
        self._away_ps = 0.0
        self._needed: Final = _WANTED_POWER / max(tone.visibility**2, 1e-3)

    @property
    def rate(self) -> float:
        """Slots a picosecond, as of now."""
        return self._rate

    @property
    def sigma_slots(self) -> float:
        """Standard deviation of the phase at the last node."""
        return math.sqrt(self._doubt.phase)

    def sigma_after(self, gap_ps: float) -> float:
        """Standard deviation of the phase (slots) after so long without light."""
        return math.sqrt(max(self._doubt.later(gap_ps, self._noise).phase, 0.0))

    def segment_ps(self, tags: int, span_ps: float) -> int:
        """How long a segment is for tags that come at this rate."""
        return round(min(max(self._needed * span_ps / max(tags, 1), _SHORTEST_PS), _LONGEST_PS))

    def renumber(self, slots: int, part: float) -> None:
        """Count every slot later by `slots + part` from here on."""
        raised = self._fraction + part
        whole = math.floor(raised)
        self._slot, self._fraction = self._slot + slots + whole, raised - whole

    def follow(self, times: NDArray[np.int64], *, last: bool = False) -> Tracking:
        """Follow the clock through these tags, which come after all those of the call before.

        Tags of a segment that is not full are left for the next call, unless these are the `last`: the answer says
        how many were used.
        """
        span = float(times[-1] - self._at) + 1.0 if times.size else 0.0
        if span <= 0.0:
            return Tracking(None, times.size if last else 0, "")
        length = self.segment_ps(times.size, span)
        segments = int(span // length)
        if last and span - segments * length > 0:
            segments += 1
        if segments == 0:
            return Tracking(None, 0, "")
        base, start = self._rate * self._bins, self._at
        step = max(1, times.size // (segments * _MOST_TAGS))
        sums, counts = phasor_sums(np.ascontiguousarray(times[::step]), start, base, length, segments)
        at = start + length * np.arange(segments + 1, dtype=np.int64)
        slot, fraction = np.empty(segments + 1, np.int64), np.empty(segments + 1)
        slot[0], fraction[0] = self._slot, self._fraction
        done, lost = 0, ""
        for j in range(segments):
            gone = base * (j + 0.5) * length
            lost = self._step(complex(sums[j]), float(counts[j]), float(length), gone)
            if lost:
                break
            slot[j + 1], fraction[j + 1] = self._slot, self._fraction
            done += 1
        if done == 0:
            return Tracking(None, 0, lost)
        self._at = int(at[done])
        line = Timeline.through(at[: done + 1], slot[: done + 1], fraction[: done + 1])
        used = int(np.searchsorted(times, self._at))
        return Tracking(line, times.size if last and not lost else used, lost)

    def _step(self, total: complex, count: float, length_ps: float, gone: float) -> str:
        """One segment on: predict to its middle, correct by the phase measured there, go on to its end.

        `total` is the sum of points, taken at a rate that has made `gone` turns (bins) up to the middle.
        """
        half = length_ps / 2.0
        doubt = self._doubt.later(half, self._noise)
        sigma = math.sqrt(doubt.phase)
        if sigma * self._bins > _MOST_SIGMA:
            return f"no light for too long: the clock is uncertain by {sigma:.2g} slots (standard deviation)"
        middle, rate, power = self._fraction + self._rate * half, self._rate, abs(total) ** 2 / max(count, 1.0)
        if power > _LEAST_POWER:
            # light is where the sum's phase is, and by the count in the middle of a bin
            error = 0.5 + gone - cmath.phase(total) / (2.0 * math.pi) - self._bins * middle
            error = ((error + 0.5) % 1.0 - 0.5) / self._bins
            if abs(error) > max(6.0 * sigma, _MOST_STEP / self._bins):
                return f"the light's phase jumped by {error:.2f} slots: the count of slots is uncertain"
            noise = 1.0 / (2.0 * power * (2.0 * math.pi * self._bins) ** 2)
            on_phase, on_rate = doubt.phase / (doubt.phase + noise), doubt.both / (doubt.phase + noise)
            middle, rate = middle + on_phase * error, rate + on_rate * error
            doubt = _Doubt(
                doubt.phase * (1.0 - on_phase), doubt.both * (1.0 - on_phase), doubt.rate - on_rate * doubt.both
            )
            self._away_ps = 0.0
        else:
            self._away_ps += length_ps
            if self._away_ps > max(_LONGEST_GAP_PS, 3.0 * length_ps):
                return f"no light for {self._away_ps * 1e-12:.3g} s: the count of slots must be found again"
        self._doubt = doubt.later(half, self._noise)
        end = middle + rate * half
        whole = math.floor(end)
        self._slot, self._fraction, self._rate = self._slot + whole, end - whole, rate
        return ""
