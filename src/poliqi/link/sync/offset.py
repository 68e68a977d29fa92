"""Which slot is which: Bob's clicks against what Alice prepared in a public window.

Alice's states become a row z of points: her bit as +1 or -1, real in the key basis and imaginary in the test basis;
with two bins a slot, a key state is its sign in the early bin and the opposite in the late one, a test state its
sign in the late one. Bob's clicks become a row y in the same way. At the true offset d the sum of
Re(conj(z[k]) y[k + d]) is the number of matching right clicks less that of wrong ones; at any other it is a sum of
coin tosses. All d at once are one product of Fourier transforms, of length N: both rows are folded mod N, and the
multiple of N is found among the few that the start's uncertainty leaves, click by click. (Calderaro et al., Phys.
Rev. Applied 13, 054041 (2020), correlate with a string sent for the purpose; here any public states will do.)

How sure: at a wrong offset the sum is one over Alice's bits, independent and even, each weighted by at most the sum
of the clicks that meet it, so that Hoeffding's inequality bounds the chance that it reaches C by
exp(-C^2 / (2 sum of squared weights)); times the offsets tried this bounds that of a wrong choice. States that
repeat are not independent: a second offset then fits as the best one does, and none is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.link.sync.rows import Agreement, Row, agreement, alice_row, click_values, folded, weights
from poliqi.link.timetags.tags import KEY_BY_BIN

__all__ = ["FALSE_OFFSET", "Offset", "find_offset"]

FALSE_OFFSET: Final = 1e-9
"""The largest accepted bound on the chance of a wrong offset."""

_SMALLEST: Final = 1 << 18
_LARGEST: Final = 1 << 26
_ENOUGH: Final = 14.0
_MATCHED: Final = 0.35
"""Share of clicks that the choice of N counts on as sum: half in the other basis, errors, noise of the rest."""
_CLEAR: Final = 6.0
_RIVAL: Final = 0.25
"""Share of the peak from which another one is a rival. Below it chance cannot have swapped the two; afterpulses and
tags that a tagger gives twice make such small peaks at their own delays."""
_OUTCOMES: Final = ("key0", "key1", "test0", "test1")


@dataclass(frozen=True, slots=True)
class Offset:
    """Alice's slot 0 begins `bins` bins after Bob's bin 0. `score`: the peak in standard deviations at most."""

    bins: int
    score: float
    false_alarm: float
    tried: int
    length: int
    agreement: Agreement


def find_offset(
    at_bin: NDArray[np.int64],
    codes: NDArray[np.uint8],
    states: NDArray[np.uint8],
    bins: int,
    first_guess: int,
    last_guess: int,
) -> Offset:
    """The offset between `first_guess` and `last_guess` (bins) at which Bob's clicks fit Alice's `states`.

    `at_bin` int64 [n] (rising) and `codes` uint8 [n] are Bob's clicks; `states` those of slots 0 on. Raises
    DataRefused where no offset fits, and says what is swapped where another reading of the channels does.
    """
    first, end = np.searchsorted(at_bin, [first_guess, last_guess + bins * states.size])
    at_bin, codes = at_bin[first:end], codes[first:end]
    tried = last_guess - first_guess + 1
    if at_bin.size < 64:
        raise DataRefused(
            f"no offset: {at_bin.size} clicks where the synchronisation window may lie; see that the tags begin "
            f"before slot 0 or within the uncertainty of the start, and that light comes"
        )
    by_bin = bool((codes == KEY_BY_BIN).any())
    search = _Search(at_bin, codes, states, bins, by_bin)
    size = search.size_for(tried)
    z, y = search.alice(size), search.bob(size, click_values(codes, by_bin=by_bin))
    found = np.real(_correlation(y, z))
    offsets = _allowed(size, first_guess, tried)
    best = _highest(found, offsets)
    score = float(found[best]) / search.spread(size, y)
    chance = tried * math.exp(-min(score * abs(score) / 2.0, 700.0)) if score > 0 else 1.0
    if chance > FALSE_OFFSET:
        raise DataRefused(search.why_not(size, first_guess, tried, score))
    found[(best + np.arange(1 - 2 * bins, 2 * bins)) % size] = -np.inf  # its own satellites and jitter
    second = _highest(found, offsets)
    if _rivals(score, float(found[second]) / search.spread(size, y), tried):
        raise DataRefused(_two_fit(abs((second - best + size // 2) % size - size // 2) / bins))
    chosen, seen, other = search.resolve(best, size, first_guess, last_guess)
    chance += (tried // size + 1) * seen.false_alarm
    if chance > FALSE_OFFSET:
        raise DataRefused(search.why_not(size, first_guess, tried, seen.score))
    if other is not None and _rivals(seen.score, other[0].score, tried // size + 1):
        raise DataRefused(_two_fit(abs(chosen - other[1]) / bins))
    search.check_channels(chosen)
    return Offset(chosen, score, min(1.0, chance), tried, size, seen)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    at_bin: NDArray[np.int64]
    codes: NDArray[np.uint8]
    states: NDArray[np.uint8]
    bins: int
    by_bin: bool

    def size_for(self, tried: int) -> int:
        """The shortest transform that will do: its length sets how much of Alice's row falls on one place."""
        row = self.bins * self.states.size
        most = min(_LARGEST, 1 << (row - 1).bit_length())
        clicks = self.at_bin.size * row / (row + tried)
        size = _SMALLEST
        while size < most and _MATCHED * clicks / math.sqrt(self.at_bin.size * max(1.0, row / size)) < _ENOUGH:
            size *= 2
        return min(size, most)

    def alice(self, size: int) -> Row:
        return folded(alice_row(self.states, self.bins, by_bin=self.by_bin), size)

    def bob(self, size: int, values: Row) -> Row:
        place = self.at_bin % size
        row = np.empty(size, np.complex64)
        row.real = np.bincount(place, values.real, size)
        row.imag = np.bincount(place, values.imag, size)
        return row

    def spread(self, size: int, y: Row) -> float:
        """Root of the sum of squared weights of Alice's bits, each met once a fold of her row; an upper bound."""
        once = weights(y, self.bins, by_bin=self.by_bin)
        return math.sqrt(once * math.ceil(self.bins * self.states.size / size))

    def resolve(
        self, best: int, size: int, first: int, last: int
    ) -> tuple[int, Agreement, tuple[Agreement, int] | None]:
        """Which multiple of `size`: the offset, how it fits, and the next best one (None: there is one only)."""
        start = first + (best - first) % size
        seen = [
            (agreement(self.at_bin, self.codes, self.states, self.bins, d), d) for d in range(start, last + 1, size)
        ]
        seen.sort(key=lambda pair: -pair[0].score)
        fits, chosen = seen[0]
        return chosen, fits, seen[1] if len(seen) > 1 else None

    def why_not(self, size: int, first: int, tried: int, score: float) -> str:
        """The reason for no offset, by a search that does not care which channel is which."""
        text = (
            f"no offset: {self.at_bin.size} clicks fit Alice's {self.states.size} published states at none of "
            f"{tried} offsets (best {score:.1f} standard deviations)"
        )
        z = self.alice(size)
        total: NDArray[np.float32] = np.zeros(size, np.float32)
        present = np.unique(self.codes)
        for code in present:
            y = self.bob(size, (self.codes == code).astype(np.complex64))
            total += (np.abs(_correlation(y, z)) / np.float32(self.spread(size, y))) ** 2
        offsets = _allowed(size, first, tried)
        best = int(offsets[int(np.argmax(total[offsets]))])
        # a sum of c squares of complex sums: the tail of chi-squared with 2 c degrees, generously
        if float(total[best]) / 2.0 > math.log(tried / FALSE_OFFSET) + 2.0 * present.size * math.log(
            2.0 + total[best]
        ):
            at, _ = self._best_multiple(best, size, first, tried)
            told = self._table(at) or "no single channel stands out"
            return f"{text}. Swapped channels: {told}; mend the channel table"
        return (
            f"{text}. See that both ends speak of the same window, that it lies within the uncertainty of the "
            f"start, and that enough light of it was seen"
        )

    def _best_multiple(self, best: int, size: int, first: int, tried: int) -> tuple[int, float]:
        start = first + (best - first) % size
        found = [(self._strength(d), d) for d in range(start, first + tried, size)]
        strength, at = max(found)
        return at, strength

    def _strength(self, offset: int) -> float:
        return sum(abs(v) ** 2 for v in self._readings(offset).values())

    def _readings(self, offset: int) -> dict[int, complex]:
        """For each code how what Alice prepared where it clicked adds up, in standard deviations of coin tosses.

        A test detector counts in its own bin only: beside it stand satellites, which follow the key bits.
        """
        row = alice_row(self.states, self.bins, by_bin=self.by_bin)
        first, end = np.searchsorted(self.at_bin, [offset, offset + row.size])
        place, code = self.at_bin[first:end] - offset, self.codes[first:end]
        counts = (code >> 1 != 1) | (place % self.bins == self.bins - 1)
        place, code = place[counts], code[counts]
        met = {int(c): row[place[code == c]] for c in np.unique(code)}
        return {c: complex(_score(values.real), _score(values.imag)) for c, values in met.items()}

    def check_channels(self, offset: int) -> None:
        """Refuse channels that behave as another outcome than the one they are named for."""
        told = self._table(offset)
        if told:
            raise DataRefused(f"swapped channels: {told}; mend the channel table")

    def _table(self, offset: int) -> str:
        """Which channels behave as another outcome: their sum points elsewhere by more than chance explains."""
        names: list[str] = []
        for code, value in self._readings(offset).items():
            behaves = _behaves(value)
            meant = 0 if code == KEY_BY_BIN else code
            if behaves != meant and max(abs(value.real), abs(value.imag)) > _CLEAR:
                name = "key" if code == KEY_BY_BIN else _OUTCOMES[code]
                names.append(f"the channel named {name} behaves as {_OUTCOMES[behaves]}")
        return ", ".join(names)


def _rivals(score: float, other: float, tried: int) -> bool:
    """Whether another offset fits too well for chance, among so many, and too well beside the best."""
    return other > _RIVAL * score and tried * math.exp(-min(other * other / 2.0, 700.0)) < FALSE_OFFSET


def _two_fit(slots: float) -> str:
    return (
        f"no offset: two fit, {slots:g} slots apart: the published states repeat, and no click can tell which is "
        f"right. Let Alice draw the window's states one by one from a generator that does not repeat (no PRBS, no "
        f"pattern played again and again), or give a start that is surer than the repeat is long"
    )


def _score(signs: NDArray[np.float32]) -> float:
    return float(signs.sum()) / math.sqrt(max(1, np.count_nonzero(signs)))


def _behaves(value: complex) -> int:
    """The outcome whose clicks would add up to this."""
    is_test = abs(value.imag) > abs(value.real)
    return 2 * int(is_test) + int((value.imag if is_test else value.real) < 0)


def _correlation(y: Row, z: Row) -> Row:
    """Sum over k of conj(z[k]) y[k + d] for every d, round the circle."""
    from scipy import fft

    forward = cast("Callable[[Row], Row]", fft.fft)  # pyright: ignore[reportUnknownMemberType]  # scipy is untyped
    back = cast("Callable[[Row], Row]", fft.ifft)  # pyright: ignore[reportUnknownMemberType]  # scipy is untyped
    return back(forward(y) * np.conj(forward(z)))


def _highest(found: NDArray[np.float32], offsets: NDArray[np.int64]) -> int:
    """Which of these offsets has the highest peak."""
    return int(np.argmax(found)) if offsets.size == found.size else int(offsets[int(np.argmax(found[offsets]))])


def _allowed(size: int, first: int, tried: int) -> NDArray[np.int64]:
    return (first + np.arange(min(size, tried), dtype=np.int64)) % size
