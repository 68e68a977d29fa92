"""Simulated time tags: the sampler's clicks as a tagger of its own clock would record them, and what else it would.

`poliqi.optics.sampler` gives the slots and outcomes of the clicks that count; here each gets a time in whole
picoseconds: the time of its slot by the tagger's clock, the place of its bin, and where in the bin a click of its
cause falls. A receiver that finds the slots and applies the gate and the dead time must get the sampler's clicks
back; a double click shows as two tags, and which of them counts is the receiver's draw.

Left out: the blindness of a detector after a click that does not count, and drifts of the pulses' shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError
from poliqi.optics.counter import one_word
from poliqi.optics.parameters import LinkParameters
from poliqi.optics.sampler import Clicks, Sampler
from poliqi.optics.states import alice_states
from poliqi.optics.tag_plan import TagPlan, tag_plan

__all__ = ["TagClock", "TagSampler", "TagStream", "slot_time_ps", "synthetic_tags"]

_PS: Final = 1e12
_BLOCK_S: Final = 0.016
_CLICK_STREAM: Final = 3
_EXTRA_STREAM: Final = 4
_STEP: Final = 1 << 19
_MOST_SKEW: Final = 4
"""Slots by which the tags of the next call may come before its first slot."""


@dataclass(frozen=True, slots=True)
class TagClock:
    """Bob's tagger against Alice's clock.

    Slot n of Alice's stands at offset + n/clock (1 + `frequency_error`) + drift/2 (n/clock)^2 + wander, the latter
    a sine of amplitude `wander_s` and period `wander_period_s`. `offset_s` is where slot 0 stands (the middle of
    its early bin); below 0 the tagger was started late, and what came before is lost. `drift_per_s` is the change
    of the frequency error a second: a fibre that stretches, an oscillator that warms. `delays_ps`: how late the
    tags of key 0, key 1, test 0 and test 1 come. Times are rounded down to a multiple of `resolution_ps`.
    """

    offset_s: float = 0.0
    frequency_error: float = 0.0
    drift_per_s: float = 0.0
    wander_s: float = 0.0
    wander_period_s: float = 60.0
    delays_ps: tuple[int, int, int, int] = (0, 0, 0, 0)
    resolution_ps: int = 1

    def __post_init__(self) -> None:
        _within("offset", self.offset_s, -10.0, 1e6)
        _within("frequency_error", self.frequency_error, -1e-2, 1e-2)
        _within("drift_per_s", self.drift_per_s, -1e-4, 1e-4)
        _within("wander", self.wander_s, 0.0, 1e-3)
        _within("wander_period", self.wander_period_s, 1.0, 1e9)
        _within("resolution", self.resolution_ps, 1, 10**6)
        for delay in self.delays_ps:
            _within("delays", delay, 0, 10**9)


@dataclass(frozen=True, slots=True, eq=False)
class TagStream:
    """Tags in order of time, and the truth about them.

    `times_ps` int64[n], `channels` uint8[n]: numbered as the outcomes 0 to 3 (key 0, key 1, test 0, test 1), but
    both bins of a time-bin key arm are channel 0: one detector. `click` int64[n]: the number of the click that the
    tag belongs to, counted from the sampler's start, -1 where it must not count. `clicks`: those of this stretch.
    """

    times_ps: NDArray[np.int64] = field(repr=False)
    channels: NDArray[np.uint8] = field(repr=False)
    click: NDArray[np.int64] = field(repr=False)
    clicks: Clicks


class _Columns(NamedTuple):
    times_ps: NDArray[np.int64]
    channels: NDArray[np.uint8]
    click: NDArray[np.int64]

    def cut(self, start: int, end: int) -> _Columns:
        return _Columns(self.times_ps[start:end], self.channels[start:end], self.click[start:end])

    def copied(self) -> _Columns:
        return _Columns(self.times_ps.copy(), self.channels.copy(), self.click.copy())


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Slot times as a square in each block of 2^bits slots: whole picoseconds, and three coefficients."""

    bits: int
    first: int
    starts: NDArray[np.int64]
    curve: NDArray[np.float64]


def synthetic_tags(link: LinkParameters, seed: int, pulses: int, *, clock: TagClock | None = None) -> TagStream:
    """All tags of slots 0 to `pulses - 1` of `link` under `seed`, and of the dark time before slot 0."""
    return TagSampler(link, seed, clock).take(pulses, last=True)


def slot_time_ps(link: LinkParameters, clock: TagClock, slot: int) -> float:
    """Where the middle of a slot's early bin stands by the tagger's clock."""
    start, curve = _expansion(link.source.clock_hz, clock, slot)
    return start + float(curve[0])


class TagSampler:
    """The tags of `link` under `seed` by `clock`: the same for the same three, however they are taken."""

    def __init__(self, link: LinkParameters, seed: int, clock: TagClock | None = None) -> None:
        self._link = link
        self._seed = seed
        self._clock = clock or TagClock()
        self._plan: TagPlan = tag_plan(link)
        self._sampler = Sampler(link, seed)
        self._keys = [np.uint64(one_word(seed, stream)) for stream in (_CLICK_STREAM, _EXTRA_STREAM)]
        self._delays = np.array(self._clock.delays_ps, np.float64)
        self._bits = max(0, math.floor(math.log2(link.source.clock_hz * _BLOCK_S)))
        self._placed = 0
        self._lead = max(0, math.ceil(self._clock.offset_s * link.source.clock_hz)) + 1
        self._going = np.array([-float(self._lead), 0.0])
        self._early = True
        self._held = _room(0)

    @property
    def plan(self) -> TagPlan:
        """The tables that the tags are drawn from."""
        return self._plan

    @property
    def next_slot(self) -> int:
        """The slot that the next call starts at."""
        return self._sampler.next_slot

    def take(self, pulses: int, *, last: bool = False) -> TagStream:
        """The tags of the next `pulses` slots. Raises ConfigError beyond slot 2^62.

        Tags that may still be overtaken by later ones wait for the next call, unless this is the `last`.
        """
        from poliqi.optics.tag_kernels import merge_kernel

        clicks = self._sampler.take(pulses)
        end = self._sampler.next_slot
        grid = self._grid(min(int(self._going[0]), clicks.first_slot) - 1, end + self._plan.dead_slots + 1)
        placed, extra = self._place(clicks, grid), self._extra(end, grid)
        for part in (self._held, extra):
            merged = _room(placed.times_ps.size + part.times_ps.size)
            merge_kernel(*placed, *part, *merged)
            placed = merged
        whole = placed.times_ps.size
        if not last:
            start, _ = _expansion(self._link.source.clock_hz, self._clock, end - _MOST_SKEW)
            whole = int(np.searchsorted(placed.times_ps, start))
        self._held = placed.cut(whole, placed.times_ps.size).copied()
        lost = int(np.searchsorted(placed.times_ps[:whole], 0))
        seen = placed.cut(lost, whole)
        return TagStream(seen.times_ps, seen.channels, seen.click, clicks)

    def _grid(self, first_slot: int, last_slot: int) -> _Grid:
        first, last = first_slot >> self._bits, last_slot >> self._bits
        parts = [
            _expansion(self._link.source.clock_hz, self._clock, k << self._bits) for k in range(first, last + 1)
        ]
        return _Grid(
            self._bits,
            first,
            np.array([s for s, _ in parts], np.int64),
            np.array([c for _, c in parts], np.float64),
        )

    def _place(self, clicks: Clicks, grid: _Grid) -> _Columns:
        from poliqi.optics.tag_kernels import place_kernel

        plan, n = self._plan, clicks.slots.size
        states = alice_states(self._link.source, self._seed, clicks.slots)
        out = _room(3 * n)
        written = place_kernel(
            self._keys[0],
            self._placed,
            clicks.slots,
            clicks.outcomes,
            states,
            plan.shape,
            plan.bins,
            plan.centres,
            self._delays,
            plan.channels,
            plan.kinds,
            plan.doubles,
            plan.partners,
            plan.others,
            plan.dead_slots,
            1.0 / plan.click,
            grid.bits,
            grid.first,
            grid.starts,
            grid.curve,
            self._clock.resolution_ps,
            *out,
        )
        self._placed += n
        return out.cut(0, int(written))

    def _extra(self, end: int, grid: _Grid) -> _Columns:
        """What does not count: first the dark before slot 0, then all the rest."""
        plan = self._plan
        parts = [_room(0)]
        if self._early:
            self._early = False
            if plan.early_gap > 0.0:
                self._going[0] = self._wait(plan.early_gap, 0) - self._lead
                parts += self._draw(0, plan.early_ends, plan.early_gap, grid, thinned=False)
            self._going[0] = self._wait(plan.extra_gap, 1)
        if plan.extra_gap > 0.0:
            parts += self._draw(end, plan.extra_ends, plan.extra_gap, grid, thinned=True)
        return _Columns(
            np.concatenate([part.times_ps for part in parts]),
            np.concatenate([part.channels for part in parts]),
            np.concatenate([part.click for part in parts]),
        )

    def _wait(self, gap: float, which: int) -> float:
        """Slots until the first of what clicks beside the sampler; its word is far beyond those of the tags."""
        upper = one_word(int(self._keys[1]), (1 << 62) + which) >> 32
        return -math.log((upper + 0.5) * 2.0**-32) * gap

    def _draw(self, end: int, ends: NDArray[np.int64], gap: float, grid: _Grid, *, thinned: bool) -> list[_Columns]:
        from poliqi.optics.tag_kernels import extra_kernel

        plan = self._plan
        parts: list[_Columns] = []
        while self._going[0] < end:
            out = _room(min(_STEP, int((end - self._going[0]) / gap * 1.1) + 1024))
            written = extra_kernel(
                self._keys[1],
                self._going,
                end,
                gap,
                ends,
                plan.extra_kinds,
                plan.extra_outcomes,
                plan.extra_centres,
                plan.gates,
                thinned,
                plan.shape,
                plan.bins,
                self._delays,
                plan.channels,
                grid.bits,
                grid.first,
                grid.starts,
                grid.curve,
                self._clock.resolution_ps,
                *out,
            )
            parts.append(out.cut(0, int(written)))
        return parts


def _expansion(clock_hz: float, clock: TagClock, slot: int) -> tuple[int, tuple[float, float, float]]:
    """The time of `slot` in whole picoseconds, and rest, slope and half curvature about it, per slot."""
    period_s = 1.0 / clock_hz
    exact = Fraction(slot) * 10**12 / Fraction(clock_hz)
    at_s = float(exact) / _PS
    turn = 2.0 * math.pi / clock.wander_period_s
    later = clock.offset_s + clock.frequency_error * at_s + clock.drift_per_s * at_s * at_s / 2.0
    later += clock.wander_s * math.sin(turn * at_s)
    slope = 1.0 + clock.frequency_error + clock.drift_per_s * at_s
    slope += clock.wander_s * turn * math.cos(turn * at_s)
    bend = (clock.drift_per_s - clock.wander_s * turn * turn * math.sin(turn * at_s)) / 2.0
    start = math.floor(exact)
    whole = math.floor(later * _PS)
    rest = float(exact - start) + (later * _PS - whole)
    return start + whole, (rest, slope * period_s * _PS, bend * period_s * period_s * _PS)


def _room(n: int) -> _Columns:
    return _Columns(np.empty(n, np.int64), np.empty(n, np.uint8), np.empty(n, np.int64))


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"tag clock, {name}: {value:g} is outside {low:g} to {high:g}")
