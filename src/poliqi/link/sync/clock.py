"""Clock recovery: the light's period in the tagger's own time, from the clicks alone.

A click's time t stands for a point exp(2 pi i h f t) of the unit circle; h is 1, or 2 for time-bin light, whose
two bins half a slot apart cancel in h = 1. Points are summed over chunks short for any frequency that may be, and
the periodogram of the chunks' sums shows the true frequency as a peak. The power of n clicks without a period,
divided by n, has the exponential law (the Schuster periodogram), so that among K frequencies a peak of P appears by
chance with a probability of at most K exp(-P); n gives way to the measured floor where clicks come in bunches.

Sources: the periodogram for the period of qubits is that of Calderaro et al., Phys. Rev. Applied 13, 054041 (2020),
section III; here it runs over chunks, so that its length follows the duration and not the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.link.sync.kernels import PHASES, phasor_kernel

__all__ = [
    "FEWEST_TAGS",
    "MANY_TAGS",
    "MAX_OFF",
    "Timeline",
    "Tone",
    "find_clock",
    "look_for_clock",
    "phasor_sums",
]

MAX_OFF: Final = 5e-6
"""Largest relative error of the stated clock that is searched unless told otherwise."""

FALSE_ALARM: Final = 1e-12
_FEW_TAGS: Final = 4096
MANY_TAGS: Final = 1 << 20
FEWEST_TAGS: Final = 64
_SHORT_PS: Final = 4_000_000_000
_MOST_CHUNKS: Final = 1 << 21
"""Of tags looked at in one go: some 100 s at 1 GHz and 5 ppm, in 200 MB."""
_STEPS: Final = 4
_FEW: Final = 40.0
_SHOWS: Final = 12.0
_PIECES: Final = 16
_WIDE: Final = 2e-4
_SUBHARMONICS: Final = (2, 3, 4, 5)


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Slots as a broken line over the tagger's time: at `at_ps[j]` stands slot `slot[j] + fraction[j]`.

    `rate` (slots a picosecond) has one entry less: the segments between nodes.
    """

    at_ps: NDArray[np.int64] = field(repr=False)
    slot: NDArray[np.int64] = field(repr=False)
    fraction: NDArray[np.float64] = field(repr=False)
    rate: NDArray[np.float64] = field(repr=False)

    @staticmethod
    def through(at_ps: NDArray[np.int64], slot: NDArray[np.int64], fraction: NDArray[np.float64]) -> Timeline:
        """The line through these nodes, at least two."""
        steps = np.diff(slot).astype(np.float64) + np.diff(fraction)
        return Timeline(at_ps, slot, fraction, steps / np.diff(at_ps).astype(np.float64))

    def moved(self, slots: int, part: float = 0.0) -> Timeline:
        """The same line with every slot later by `slots + part`."""
        raised = self.fraction + part
        over = np.floor(raised)
        return Timeline(self.at_ps, self.slot + (slots + over.astype(np.int64)), raised - over, self.rate)

    def at(self, time_ps: int) -> tuple[int, float]:
        """Slot, and the part of it gone by, at a time; outside the nodes by the nearest segment."""
        j = min(max(int(np.searchsorted(self.at_ps, time_ps, side="right")) - 1, 0), self.rate.size - 1)
        turns = float(self.fraction[j]) + float(time_ps - int(self.at_ps[j])) * float(self.rate[j])
        whole = math.floor(turns)
        return int(self.slot[j]) + whole, turns - whole

    def time_of(self, slot: int) -> int:
        """When slot `slot` begins (picoseconds, rounded); outside the nodes by the nearest segment."""
        j = min(max(int(np.searchsorted(self.slot, slot, side="right")) - 1, 0), self.rate.size - 1)
        gone = (float(slot - int(self.slot[j])) - float(self.fraction[j])) / float(self.rate[j])
        return int(self.at_ps[j]) + round(gone)

    def phases(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """How far its slot has gone at each of these times (rising), 0 to 1: float64 of the same length."""
        segment = np.repeat(np.arange(self.rate.size), np.diff(self.bounds(times)))
        since = (times - self.at_ps[segment]).astype(np.float64)
        return (self.fraction[segment] + since * self.rate[segment]) % 1.0

    def bounds(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where each segment's tags begin among `times`, and their number at the end; none is left out."""
        inner = np.searchsorted(times, self.at_ps[1:-1])
        return np.concatenate([[0], inner, [times.size]]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Tone:
    """The light's clock near `at_ps`: slots a picosecond, and how far a slot has gone there.

    The light was seen from `from_ps` on.

    `power` is the peak's over noise, `visibility` the length of the mean point of the circle, `false_alarm` the
    bound on the chance of such a peak without light. `rate_sigma` and `phase_sigma` are standard deviations.
    """

    at_ps: int
    from_ps: int
    rate: float
    phase: float
    power: float
    visibility: float
    false_alarm: float
    rate_sigma: float
    phase_sigma: float
    tags: int

    def off(self, clock_hz: float) -> float:
        """Relative deviation from the stated clock."""
        return self.rate * 1e12 / clock_hz - 1.0


def _circle() -> NDArray[np.float64]:
    angle = 2.0 * np.pi * (np.arange(PHASES) + 0.5) / PHASES
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


_CIRCLE: Final = _circle()


def phasor_sums(
    times: NDArray[np.int64], start: int, rate: float, chunk_ps: float, chunks: int
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Sum of exp(2 pi i rate (t - start)) over the tags of each chunk from `start` on, and their number."""
    sums = np.zeros((chunks, 3), np.float64)
    phasor_kernel(times, start, rate, 1.0 / chunk_ps, _CIRCLE, sums)
    return sums[:, 0] + 1j * sums[:, 1], sums[:, 2]


def look_for_clock(
    times: NDArray[np.int64], clock_hz: float, bins: int, most_off: float = MAX_OFF
) -> tuple[Tone, bool]:
    """The strongest period in the first of these tags (at least 64), as many as it takes, and whether it is one."""
    wanted = _FEW_TAGS
    while True:
        end = max(wanted, int(np.searchsorted(times, int(times[0]) + _SHORT_PS)))
        part = times[: min(end, times.size)]
        tone = _peak(part, clock_hz, bins, most_off)
        sure = tone.false_alarm <= FALSE_ALARM
        late = int(np.searchsorted(part, tone.from_ps))
        if sure and 10 * (tone.from_ps - int(part[0])) > int(part[-1] - part[0]) and times.size - late > part.size:
            times = times[late:]  # the dark before the light would blur its rate
            continue
        if sure or part.size == times.size or part.size >= MANY_TAGS:
            return tone, sure
        wanted = 4 * part.size


def find_clock(times: NDArray[np.int64], clock_hz: float, bins: int, most_off: float = MAX_OFF) -> Tone:
    """The clock in the first tags that show one. Raises DataRefused where there is none."""
    if times.size < FEWEST_TAGS:
        raise DataRefused(f"no periodic signal: {times.size} tags are too few to look for a clock in; gather more")
    for piece in range(_PIECES):  # the light may begin late
        part = times[piece * MANY_TAGS :]
        if piece and part.size < MANY_TAGS:
            break
        tone, sure = look_for_clock(part, clock_hz, bins, most_off)
        if sure:
            lit = part[int(np.searchsorted(part, tone.from_ps)) :]
            _check_period(lit[: tone.tags], tone, bins, clock_hz)
            return tone
    part = times[:MANY_TAGS]
    raise DataRefused(_why_not(part, look_for_clock(part, clock_hz, bins, most_off)[0], clock_hz, bins, most_off))


def _peak(times: NDArray[np.int64], clock_hz: float, bins: int, most_off: float) -> Tone:
    """The strongest frequency within `most_off` of the stated one.

    With light at F and points taken at the rate `base`, the chunks' sums turn at the frequency base - F.
    """
    start, base = int(times[0]), bins * clock_hz * 1e-12
    chunk = 0.25 / (base * most_off)
    times = times[: int(np.searchsorted(times, start + math.ceil(_MOST_CHUNKS * chunk)))]
    if times.size < FEWEST_TAGS:
        raise DataRefused(
            f"no periodic signal: {times.size} tags in {_MOST_CHUNKS * chunk * 1e-12:.3g} s are too few to find a "
            f"clock that may be off by {most_off * 1e6:g} ppm; more light is needed, or a narrower search"
        )
    span = float(times[-1] - times[0]) + 1.0
    chunk = min(chunk, span / 8.0)
    sums, _ = phasor_sums(times, start, base, chunk, math.ceil(span / chunk))
    size = 1 << (2 * sums.size - 1).bit_length()
    power = np.abs(np.fft.fft(sums, size)) ** 2
    frequency = np.fft.fftfreq(size, chunk)
    near = np.abs(frequency) <= base * most_off + 1.0 / span
    # under a Hann window, lest the peak's own feet be taken for noise
    window = np.hanning(sums.size + 2)[1:-1]
    quiet = float(np.median(np.abs(np.fft.fft(sums * window, size)) ** 2)) * sums.size / float((window**2).sum())
    floor = max(float(times.size), quiet / math.log(2.0))
    rate = base - float(frequency[int(np.argmax(np.where(near, power, 0.0)))])
    # refined by the turn from the first half of the tags to the second, each at its mean time
    half, since = times.size // 2, (times - start).astype(np.float64)
    early, late = float(since[:half].mean()), float(since[half:].mean())
    first = second = 0j
    for _ in range(_STEPS):
        first, second = (_point(part, start, rate, span) for part in (times[:half], times[half:]))
        rate -= float(np.angle(second * np.conj(first))) / (2.0 * np.pi * (late - early))
    total = first + second
    strength = abs(total) ** 2 / floor
    # light in one half alone says little of the rate, however clear it is
    both = min(abs(first) ** 2 / half, abs(second) ** 2 / (times.size - half)) > _SHOWS
    chance = 2.0 * float(np.count_nonzero(near)) * math.exp(-min(strength, 700.0)) if both else 1.0
    middle = round((early + late) / 2.0)
    # the phase at the tags' mean time, where the last step in rate leaves it
    turns = (rate * middle) % 1.0 - float(np.angle(total)) / (2.0 * np.pi)
    return Tone(
        at_ps=start + middle,
        from_ps=_first_light(times, rate, span, abs(total) / times.size),
        rate=rate / bins,
        phase=((turns + 0.5) / bins) % 1.0,
        power=strength,
        visibility=abs(total) / times.size,
        false_alarm=min(1.0, chance),
        rate_sigma=math.sqrt(2.0 / max(strength, 1.0)) / (2.0 * np.pi * (late - early) * bins),
        phase_sigma=math.sqrt(0.5 / max(strength, 1.0)) / (2.0 * np.pi * bins),
        tags=times.size,
    )


def _point(times: NDArray[np.int64], start: int, rate: float, span: float) -> complex:
    return complex(phasor_sums(times, start, rate, span, 1)[0][0])


def _first_light(times: NDArray[np.int64], rate: float, span: float, visibility: float) -> int:
    """Where the light begins: the first few tags in a row that show the period by themselves."""
    length = math.ceil(_FEW / max(visibility, 0.05) ** 2)
    for at in range(0, times.size - length + 1, length):
        part = times[at : at + length]
        if abs(_point(part, int(times[0]), rate, span)) ** 2 > _SHOWS * length:
            return int(part[length // 2])  # what comes before the light may lie in it
    return int(times[0])


def _check_period(times: NDArray[np.int64], tone: Tone, bins: int, clock_hz: float) -> None:
    """Refuse a clock that is a multiple of the light's: then every m-th slot alone has light."""
    span = float(times[-1] - times[0]) + 1.0
    for m in _SUBHARMONICS:
        sums, _ = phasor_sums(times, int(times[0]), tone.rate / m, span, 1)
        share = float(abs(sums[0])) / times.size
        if share > 0.3 * tone.visibility and share * share * times.size > -math.log(FALSE_ALARM):
            raise DataRefused(
                f"wrong clock: light comes in every {m}. slot of {clock_hz:g} Hz only; the clock seems to be "
                f"{tone.rate * 1e12 / m:.9g} Hz. Mend clock_hz{' (or the bins a slot)' if bins == 2 else ''}"
            )


def _why_not(times: NDArray[np.int64], tone: Tone, clock_hz: float, bins: int, most_off: float) -> str:
    """The reason for no clock, and what is there instead."""
    text = (
        f"no periodic signal: {times.size} tags over {(times[-1] - times[0]) * 1e-12:.3g} s show no period within "
        f"{most_off * 1e6:g} ppm of {clock_hz:g} Hz (strongest {tone.power:.1f} times the noise, "
        f"chance {tone.false_alarm:.2g})"
    )
    others = [(clock_hz, bins, _WIDE), (clock_hz, 3 - bins, most_off), (clock_hz / 2.0, bins, most_off)]
    others += [(clock_hz * 2.0, bins, most_off)]
    for clock, number, off in others:
        try:
            found = _peak(times, clock, number, off)
        except DataRefused:  # too sparse to tell
            continue
        if found.false_alarm <= FALSE_ALARM:
            where = f"{clock * (1.0 + found.off(clock)):.9g} Hz with {number} bin{'s' * (number - 1)} a slot"
            return (
                f"{text}. Wrong clock: there is a period of {where}; mend clock_hz or the bins, or widen the search"
            )
    return f"{text}. See that light comes, that clock_hz is right and that jitter is well below a bin"
