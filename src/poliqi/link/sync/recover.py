"""Tags at hand: the clock, its course and the number of each slot, found in one go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.link.sync.clock import MAX_OFF, Timeline, Tone, find_clock
from poliqi.link.sync.gates import Aligner, Filters
from poliqi.link.sync.offset import Offset, find_offset
from poliqi.link.sync.rows import bins_of_tags
from poliqi.link.sync.tracking import Tracker
from poliqi.link.timetags.tags import KEY_BY_BIN, Channel, Meaning, Tagging, Tags

__all__ = ["Arm", "Recovered", "SyncSettings", "arms_of", "recover", "seek_slots"]

_ARM_TAGS: Final = 1 << 18
_APART: Final = 0.3
"""Bins: arms further apart than this cannot both stand in the middle of their gates."""
_KINDS: Final = (Meaning.KEY_0, Meaning.KEY_1, Meaning.TEST_0, Meaning.TEST_1, Meaning.KEY)


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How slots are found. Alice's slot 0 begins at `start_ps` by the tagger, give or take `uncertainty_s`.

    `most_off` is the largest relative error of the stated clock, `wander` how far it walks in a second (relative
    standard deviation; 1e-9 fits a temperature-compensated crystal, 1e-11 a rubidium clock).
    """

    start_ps: int = 0
    uncertainty_s: float = 0.01
    most_off: float = MAX_OFF
    wander: float = 1e-9
    filters: Filters = field(default_factory=Filters)

    def check(self) -> None:
        """DataRefused for a value that cannot be meant."""
        for name, value, low, high in (
            ("uncertainty_s", self.uncertainty_s, 0.0, 1.0),
            ("most_off", self.most_off, 1e-9, 1e-3),
            ("wander", self.wander, 1e-15, 1e-6),
        ):
            if not low <= value <= high:
                raise DataRefused(f"synchronisation: {name} is {value}, must be {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class Arm:
    """What one detector's tags look like: how many, how much of a period they show, how late they are (ps)."""

    meaning: Meaning
    channel: int
    tags: int
    visibility: float
    late_ps: float


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """Tags of detectors with their delays taken off, and the line on which they are numbered by Alice's count."""

    tone: Tone
    offset: Offset
    line: Timeline
    arms: tuple[Arm, ...]
    lost: str
    times_ps: NDArray[np.int64] = field(repr=False)
    codes: NDArray[np.uint8] = field(repr=False)


def recover(tags: Tags, tagging: Tagging, states: NDArray[np.uint8], settings: SyncSettings) -> Recovered:
    """Find the slots of these tags by Alice's published `states` of slots 0 on.

    Raises DataRefused, by name: tags out of order, an empty arm, no periodic signal, a wrong clock, no offset,
    swapped channels. `lost` of the answer says why the line ends before the tags do, if it does.
    """
    settings.check()
    aligner = Aligner(tagging)
    times, codes = aligner.take(tags, last=True)
    aligner.check_arms()
    tone = find_clock(times, tagging.clock_hz, tagging.bins, settings.most_off)
    tracker = Tracker(tone, tagging.bins, settings.wander)
    dark = int(np.searchsorted(times, tone.from_ps))
    times, codes = times[dark:], codes[dark:]
    tracking = tracker.follow(times, last=True)
    if tracking.line is None:
        raise DataRefused(f"no periodic signal that lasts: {tracking.lost or 'the tags are too few'}; gather more")
    arms = arms_of(times, codes, tracking.line, tagging)
    offset = seek_slots(times, codes, tracking.line, tagging, states, settings)
    line = tracking.line.moved(-offset.bins // tagging.bins, (-offset.bins % tagging.bins) / tagging.bins)
    used = tracking.tags
    return Recovered(tone, offset, line, arms, tracking.lost, times[:used], codes[:used])


def seek_slots(
    times: NDArray[np.int64],
    codes: NDArray[np.uint8],
    line: Timeline,
    tagging: Tagging,
    states: NDArray[np.uint8],
    settings: SyncSettings,
) -> Offset:
    """The offset of the window that begins at `start_ps`, give or take the uncertainty, on Bob's own line."""
    unsure = round(settings.uncertainty_s * 1e12)
    slot, part = line.at(settings.start_ps)
    about = round((slot + part) * tagging.bins)
    reach = int(settings.uncertainty_s * tagging.clock_hz * (1.0 + settings.most_off)) * tagging.bins + tagging.bins
    length = round(states.size * tagging.slot_ps * (1.0 + 2.0 * settings.most_off))
    first, end = np.searchsorted(times, [settings.start_ps - unsure, settings.start_ps + unsure + length])
    at_bin = bins_of_tags(times[first:end], line, tagging.bins)
    return find_offset(at_bin, codes[first:end], states, tagging.bins, about - reach, about + reach)


def arms_of(
    times: NDArray[np.int64], codes: NDArray[np.uint8], line: Timeline, tagging: Tagging
) -> tuple[Arm, ...]:
    """How each arm stands to the light, from the first tags. Raises DataRefused for one that does not see it."""
    times, codes = times[:_ARM_TAGS], codes[:_ARM_TAGS]
    turns = np.exp(2j * np.pi * (tagging.bins * line.phases(times) - 0.5))
    arms: list[Arm] = []
    for code, meaning in enumerate(_KINDS):
        channel = _channel_of(tagging, meaning)
        if channel is None:
            continue
        own = turns[codes == code]
        mean = complex(own.mean()) if own.size else 0j
        late = float(np.angle(mean)) / (2.0 * np.pi)
        arms.append(Arm(meaning, channel.number, own.size, abs(mean), late * tagging.slot_ps / tagging.bins))
        if own.size >= 1000 and own.size * abs(mean) ** 2 < 12.0:
            raise DataRefused(
                f"empty arm: the {own.size} tags of channel {channel.number} ({meaning}) do not come with the "
                f"light; see that light reaches its detector"
            )
    clear = [arm for arm in arms if arm.tags * arm.visibility**2 > 100.0]
    if clear:
        first, last = min(clear, key=lambda arm: arm.late_ps), max(clear, key=lambda arm: arm.late_ps)
        apart = last.late_ps - first.late_ps
        if apart > _APART * tagging.slot_ps / tagging.bins:
            raise DataRefused(
                f"late channel: light comes to channel {last.channel} ({last.meaning}) {apart:.0f} ps after "
                f"channel {first.channel} ({first.meaning}), give or take whole bins, and would leave its gate; "
                f"add that to its delay_ps"
            )
    return tuple(arms)


def _channel_of(tagging: Tagging, meaning: Meaning) -> Channel | None:
    return next((c for c in tagging.channels if c.meaning is meaning), None)


assert _KINDS.index(Meaning.KEY) == KEY_BY_BIN
