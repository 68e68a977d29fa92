"""What a time tagger gives, what its inputs mean, and the one protocol that files and instruments satisfy.

A tag is a time in whole picoseconds of the tagger's own clock and the number of the input that it came in at.
Nothing here knows of slots: `poliqi.link.sync` finds those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

__all__ = [
    "KEY_BY_BIN",
    "MARKER",
    "MAX_TIME_PS",
    "SYNC",
    "UNKNOWN",
    "UNUSED",
    "Channel",
    "Meaning",
    "TagSource",
    "Tagging",
    "Tags",
    "check_tagging",
    "check_tags",
    "code_table",
]

MAX_TIME_PS: Final = 1 << 62
"""Times stay below this: 53 days, and sums of two fit an int64."""

MAX_CHANNELS: Final = 256
KEY_BY_BIN: Final = 4
SYNC: Final = 5
MARKER: Final = 6
UNUSED: Final = 7
UNKNOWN: Final = 255

_STRETCH: Final = 1 << 18
_LONGEST_DELAY_PS: Final = 10**12
_MOST_CLOCK_HZ: Final = 1e12


class Meaning(StrEnum):
    """What an input of the tagger is connected to."""

    KEY_0 = "key0"
    """The detector of bit 0 in the key basis; likewise the three that follow."""
    KEY_1 = "key1"
    TEST_0 = "test0"
    TEST_1 = "test1"
    KEY = "key"
    """The one detector of a time-bin key arm: its click is bit 0 in the early bin, bit 1 in the late one."""
    SYNC = "sync"
    """A clock signal; not needed to find the slots, and not used for it."""
    MARKER = "marker"
    """Anything else that is worth a tag; passed over."""
    UNUSED = "unused"


_CODES: Final = {
    Meaning.KEY_0: 0,
    Meaning.KEY_1: 1,
    Meaning.TEST_0: 2,
    Meaning.TEST_1: 3,
    Meaning.KEY: KEY_BY_BIN,
    Meaning.SYNC: SYNC,
    Meaning.MARKER: MARKER,
    Meaning.UNUSED: UNUSED,
}


@dataclass(frozen=True, slots=True)
class Channel:
    """One input: its number (0 to 255), what it means, and how late its tags come (picoseconds)."""

    number: int
    meaning: Meaning
    delay_ps: int = 0


@dataclass(frozen=True, slots=True)
class Tagging:
    """How to read the tags of one receiver.

    `clock_hz`: slots per second by Alice's clock, as nominal as it may be. `bins`: 1, or 2 for time-bin light,
    whose early and late bins stand half a slot apart; the test detectors' clicks count in the late one, where
    the interferometer's arms meet. `gate_ps`: width of a bin's acceptance window; None: the whole bin.
    """

    clock_hz: float
    channels: tuple[Channel, ...]
    bins: int = 1
    gate_ps: float | None = None

    @property
    def slot_ps(self) -> float:
        """Nominal length of a slot."""
        return 1e12 / self.clock_hz


@dataclass(frozen=True, slots=True, eq=False)
class Tags:
    """Tags in the order of their times: `times_ps` int64 [n], never falling; `channels` uint8 [n]."""

    times_ps: NDArray[np.int64] = field(repr=False)
    channels: NDArray[np.uint8] = field(repr=False)


class TagSource(Protocol):
    """Where tags come from: a file, an instrument, simulated light."""

    @property
    def tagging(self) -> Tagging:
        """What the channels mean."""
        ...

    def read(self) -> Tags | None:
        """The next tags, at least one; None at the end. Chunks follow each other in time.

        Blocks until there are some. Raises DataRefused where what came cannot be used.
        """
        ...

    def close(self) -> None:
        """Let go of the file or the instrument; a `read` that waits in another thread returns None."""
        ...


def code_table(tagging: Tagging) -> NDArray[np.uint8]:
    """What each channel number means, uint8 [256].

    0 to 3 are outcomes (bit 0 the bit value, bit 1 the basis: 0 key, 1 test), then `KEY_BY_BIN`, `SYNC`, `MARKER`,
    `UNUSED`; `UNKNOWN` for a number that the table does not name.
    """
    table = np.full(MAX_CHANNELS, UNKNOWN, np.uint8)
    for channel in tagging.channels:
        table[channel.number] = _CODES[channel.meaning]
    return table


def check_tagging(tagging: Tagging) -> None:
    """Refuse a description of tags that contradicts itself (DataRefused)."""
    clock, gate = tagging.clock_hz, tagging.gate_ps
    if not (math.isfinite(clock) and 1.0 <= clock <= _MOST_CLOCK_HZ):
        raise DataRefused(f"tags: clock_hz is {clock}, must be 1 to {_MOST_CLOCK_HZ:g}")
    if tagging.bins not in (1, 2):
        raise DataRefused(f"tags: {tagging.bins} bins a slot; must be 1, or 2 for time-bin light")
    most = tagging.slot_ps / tagging.bins
    if gate is not None and not 0.0 < gate <= most * (1 + 1e-9):
        raise DataRefused(f"tags: gate_ps is {gate}, must be more than 0 and at most the bin's {most:g}")
    numbers = [channel.number for channel in tagging.channels]
    if not numbers or any(not 0 <= number < MAX_CHANNELS for number in numbers):
        raise DataRefused(f"tags: channels {numbers[:8]}; name at least one, each from 0 to {MAX_CHANNELS - 1}")
    twice = [number for number in numbers if numbers.count(number) > 1]
    if twice:
        raise DataRefused(f"tags: channel {twice[0]} is named more than once; give each input one meaning")
    for channel in tagging.channels:
        if abs(channel.delay_ps) > _LONGEST_DELAY_PS:
            raise DataRefused(
                f"tags: channel {channel.number} has a delay of {channel.delay_ps} ps; at most {_LONGEST_DELAY_PS}"
            )
    _check_arms(tagging)


def _check_arms(tagging: Tagging) -> None:
    meanings = [channel.meaning for channel in tagging.channels]
    for meaning in (Meaning.KEY_0, Meaning.KEY_1, Meaning.TEST_0, Meaning.TEST_1, Meaning.KEY):
        if meanings.count(meaning) > 1:
            raise DataRefused(f"tags: {meaning} is given to more than one channel; one detector an outcome")
    by_bin = Meaning.KEY in meanings
    if by_bin and tagging.bins != 2:
        raise DataRefused("tags: a channel means key (its bin is the bit), which needs 2 bins a slot")
    key = (Meaning.KEY,) if by_bin else (Meaning.KEY_0, Meaning.KEY_1)
    missing = [m for m in (*key, Meaning.TEST_0, Meaning.TEST_1) if m not in meanings]
    if missing:
        raise DataRefused(f"tags: no channel means {', '.join(missing)}; name the input of every detector")
    if by_bin and (Meaning.KEY_0 in meanings or Meaning.KEY_1 in meanings):
        raise DataRefused("tags: channels mean both key and key0 or key1; a key arm has one detector or two")


def check_tags(tags: Tags, table: NDArray[np.uint8], after_ps: int = 0, first: int = 0) -> None:
    """Refuse tags whose times fall or leave 0 to 2^62 ps, or of a channel without a meaning (DataRefused).

    `table` is `code_table`'s; `after_ps` the last time before these tags, `first` the number of the first of them
    in its stream, for the error.
    """
    times, channels = tags.times_ps, tags.channels
    if times.dtype != np.int64 or channels.dtype != np.uint8 or times.ndim != 1 or channels.shape != times.shape:
        shapes = f"{times.shape} of {times.dtype} and {channels.shape} of {channels.dtype}"
        raise DataRefused(f"tags: need a row of int64 times and one of uint8 channels, as long; got {shapes}")
    before = after_ps
    for start in range(0, times.size, _STRETCH):
        part = times[start : start + _STRETCH]
        if int(part[0]) < before or (part[1:] < part[:-1]).any():
            falls = np.flatnonzero(np.diff(part, prepend=np.int64(before)) < 0)
            at = start + int(falls[0])
            earlier = int(times[at - 1]) if at else before
            raise DataRefused(
                f"tags: tag {first + at} is at {times[at]} ps after one at {earlier} ps; tags must be in order of "
                f"time. Sort them, or let the tagger sort its channels"
            )
        before = int(part[-1])
        unknown = table[channels[start : start + _STRETCH]] == UNKNOWN
        if unknown.any():
            at = start + int(unknown.argmax())
            known = ", ".join(map(str, np.flatnonzero(table != UNKNOWN)[:16]))
            raise DataRefused(
                f"tags: tag {first + at} is of channel {channels[at]}, which has no meaning; known: {known}. "
                f"Name it in the channel table (unused, if it is)"
            )
    if times.size and before >= MAX_TIME_PS:
        raise DataRefused(f"tags: a tag is at {before} ps, must be below {MAX_TIME_PS} (53 days)")
