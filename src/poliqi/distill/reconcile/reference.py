"""Cascade in plain Python: the definition of docs/spec/cascade.md, slow and short.

It keeps lists of positions and counts parities from nothing each time; it shares the public parameters with
`poliqi.distill.reconcile.cascade` and none of its kernels. Both say the same bytes on every transcript.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from poliqi.base.bits import BitString, pack_bits, unpack_bits
from poliqi.base.errors import DataRefused, ProtocolError
from poliqi.base.ids import Role
from poliqi.distill.reconcile.plan import (
    LANES,
    MASK_STREAM,
    TILE_BITS,
    CascadeParameters,
    fitted_sizes,
    frame_places,
    public_word,
)
from poliqi.distill.reconcile.protocol import ReconcilerTerms

__all__ = ["PublicCascade", "ReferenceCascade", "lane_places", "mask_places"]

_FINISHED: Final = LANES + 1
_NARROW: Final = 64  # searches over at most that many places are named before the others


def _permutation(seed: int, stream: int, count: int) -> list[int]:
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = (public_word(seed, stream, i) >> 32) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


def lane_places(places: int, lane: int, seed: int) -> list[int]:
    """Which place of the frame stands at each place of a lane."""
    natural = list(range(places))
    if lane == 0:
        return natural
    words = [natural[w : w + 64] for w in range(0, places, 64)]
    rotated: list[list[int]] = []
    for i, w in enumerate(_permutation(seed, 16 * lane, len(words))):
        turn = public_word(seed, 16 * lane + 1, i) >> 58
        rotated.append(words[w][64 - turn :] + words[w][: 64 - turn])
    turned = [[rotated[t + row][c] for row in range(64)] for t in range(0, len(words), 64) for c in range(64)]
    return [place for w in _permutation(seed, 16 * lane + 2, len(words)) for place in turned[w]]


def mask_places(places: int, mask: int, seed: int) -> set[int]:
    """The places of a frame that a mask chooses."""
    words = [public_word(seed, MASK_STREAM + mask, w) for w in range(places // 64)]
    return {p for p in range(places) if words[p // 64] >> p % 64 & 1}


@dataclass
class _Search:
    """An odd range of a lane that is being halved."""

    frame: _Frame
    lane: int
    start: int
    size: int

    def left(self) -> list[int]:
        """The places of the frame in the left half."""
        return self.frame.members(self.lane, self.start, self.start + self.size // 2)

    def go_on(self, odd: int) -> None:
        """Go on with the half that is odd."""
        self.size //= 2
        if self.lane < LANES:
            self.frame.starts[self.lane].add(self.start + self.size)
        self.start += 0 if odd else self.size


class _Frame:
    """The public state of one frame."""

    def __init__(
        self, offset: int, bits: int, sizes: tuple[int, int, int], lanes: list[list[int]], masks: list[set[int]]
    ) -> None:
        self.offset, self.places, self.sizes = offset, len(lanes[0]), sizes
        self.lanes, self.masks = lanes, masks
        self.place_in = [{natural: p for p, natural in enumerate(lane)} for lane in lanes]
        self.starts = [set(range(0, self.places, k)) for k in sizes]  # where the known ranges of a lane begin
        self.odd: list[set[int]] = [set() for _ in lanes]
        self.errors: set[int] = set()
        self.odd_masks: set[int] = set()
        self.stage, self.asks, self.open = 0, -(-bits // sizes[0]), 0

    def members(self, lane: int, start: int, stop: int) -> list[int]:
        if lane < LANES:
            return self.lanes[lane][start:stop]
        return [p for p in range(start, min(stop, self.places)) if p in self.masks[lane - LANES]]

    def stop(self, lane: int, start: int) -> int:
        return min((s for s in self.starts[lane] if s > start), default=self.places)

    def asked(self) -> list[list[int]]:
        """Blocks or masks that the frame asks in this round."""
        if self.stage == LANES:
            return [self.members(LANES + j, 0, self.places) for j in range(self.asks)]
        size = self.sizes[self.stage] if self.asks else 0
        return [self.members(self.stage, i * size, (i + 1) * size) for i in range(self.asks)]

    def take(self, differences: list[int]) -> list[_Search]:
        """The answers to what the frame asked; returns searches of the odd blocks."""
        self.asks = 0
        if self.stage == LANES:
            self.odd_masks = {j for j, odd in enumerate(differences) if odd}
            return []
        if self.stage > 0:
            differences = [*differences, sum(differences) % 2]
        size = self.sizes[self.stage]
        return [_Search(self, self.stage, i * size, size) for i, odd in enumerate(differences) if odd]

    def note_error(self, lane: int, place: int) -> None:
        """A search has come down to one place."""
        if lane < LANES:
            natural = self.lanes[lane][place]
        elif place >= self.places or place in self.errors:  # no honest transcript leads here
            self.odd_masks.discard(lane - LANES)
            return
        else:
            natural = place
        self.errors ^= {natural}
        for other in range(min(self.stage + 1, LANES)):
            if other != lane:
                self._turn(other, self.place_in[other][natural])
        if self.stage == LANES:
            self.odd_masks ^= {j for j, mask in enumerate(self.masks) if natural in mask}

    def _turn(self, lane: int, place: int) -> None:
        start = max(s for s in self.starts[lane] if s <= place)
        if self.stop(lane, start) > start + 1:  # else no honest transcript leads here
            self.odd[lane] ^= {start}

    def next_searches(self) -> list[_Search]:
        """What a frame without searches does: the lowest lane with odd ranges, the lowest odd mask, a new stage."""
        while True:
            for lane in range(min(self.stage + 1, LANES)):
                starts, self.odd[lane] = sorted(self.odd[lane]), set()
                if starts:
                    return [_Search(self, lane, start, self.stop(lane, start) - start) for start in starts]
            if self.odd_masks:
                size = 1 << (self.places - 1).bit_length()
                return [_Search(self, LANES + min(self.odd_masks), 0, size)]
            self.stage += 1
            if self.stage < LANES:
                self.asks = self.places // self.sizes[self.stage] - 1
            elif self.stage == LANES:
                self.asks = len(self.masks)
            if self.asks or self.stage == _FINISHED:
                return []


class PublicCascade:
    """The machine that both parties run on the differences of their answers; it knows no string."""

    def __init__(self, size: int, terms: ReconcilerTerms, parameters: CascadeParameters) -> None:
        self._parameters, self.rounds, self.size = parameters, 0, size
        sizes = parameters.sizes(terms.qber)
        self._frames: list[_Frame] = []
        for offset in range(0, size, terms.frame_bits):
            bits = min(terms.frame_bits, size - offset)
            places = frame_places(bits)
            lanes = [lane_places(places, lane, terms.seed) for lane in range(LANES)]
            masks = [mask_places(places, j, terms.seed) for j in range(parameters.random_passes)]
            self._frames.append(_Frame(offset, bits, fitted_sizes(sizes, places), lanes, masks))
        self._narrow: list[_Search] = []
        self._wide: list[_Search] = []

    def asked(self) -> list[list[int]]:
        """The ranges asked in this round, each as the places of the string it holds; places from `size` on are
        padding, zero at the start."""
        if self.rounds >= self._parameters.round_limit:
            return []
        asked = [(s.frame, s.left()) for s in (*self._narrow, *self._wide)]
        asked += [(frame, members) for frame in self._frames for members in frame.asked()]
        return [[frame.offset + p for p in members] for frame, members in asked]

    def take(self, differences: list[int]) -> None:
        """The differences of both parties' answers to what was asked."""
        told = iter(differences)
        for search in (*self._narrow, *self._wide):
            search.go_on(next(told))
        for search in self._narrow:
            if search.size == 1:
                search.frame.note_error(search.lane, search.start)
        searches = [s for s in (*self._narrow, *self._wide) if s.size > 1]
        busy = {id(search.frame) for search in searches}
        for frame in self._frames:
            if id(frame) in busy or frame.stage == _FINISHED:
                continue
            new = frame.take([next(told) for _ in range(frame.asks)]) if frame.asks else []
            searches += new or frame.next_searches()
        self._narrow = [s for s in searches if s.size <= _NARROW]
        self._wide = [s for s in searches if s.size > _NARROW]
        self.rounds += 1

    def errors(self) -> list[int]:
        """The places found to differ; only a peer that lies makes one of padding differ."""
        return sorted(f.offset + p for f in self._frames for p in f.errors)


class ReferenceCascade:
    """As `poliqi.distill.reconcile.cascade.Cascade`, with the same parameters; for a few thousand bits."""

    def __init__(
        self, role: Role, bits: BitString, terms: ReconcilerTerms, parameters: CascadeParameters | None = None
    ) -> None:
        self._role, self._bits, self._terms = role, bits.to_bits(), terms
        self._machine = PublicCascade(bits.size, terms, CascadeParameters() if parameters is None else parameters)
        self.sent_bits = 0

    def _own(self) -> list[int]:
        """The own parities of this round; Bob's are those of his corrected string."""
        working = np.concatenate([self._bits, np.zeros(TILE_BITS, np.uint8)])
        if self._role is Role.BOB:
            working[self._machine.errors()] ^= 1
        return [int(working[members].sum()) % 2 for members in self._machine.asked()]

    @property
    def asked_bits(self) -> int:
        return len(self._machine.asked())

    @property
    def done(self) -> bool:
        return not self.asked_bits

    @property
    def both_learn(self) -> bool:
        return True

    @property
    def rounds(self) -> int:
        return self._machine.rounds

    @property
    def received_bits(self) -> int:
        return self.sent_bits

    @property
    def errors(self) -> BitString:
        found = np.zeros(self._bits.size, np.uint8)
        found[[p for p in self._machine.errors() if p < found.size]] = 1
        return BitString.from_bits(found)

    def message(self) -> bytes | None:
        own = self._own()
        return pack_bits(np.array(own, np.uint8)) if own else None

    def receive(self, data: bytes | memoryview) -> None:
        own = self._own()
        if not own:
            raise ProtocolError("a message came after the last round")
        try:
            theirs = unpack_bits(data, len(own)).tolist()
        except DataRefused as error:
            raise ProtocolError(str(error)) from error
        self._machine.take([mine ^ other for mine, other in zip(own, theirs, strict=True)])
        self.sent_bits += len(own)

    def frame_bounds(self) -> list[tuple[int, int]]:
        step, n = self._terms.frame_bits, self._bits.size
        return [(start, min(start + step, n)) for start in range(0, n, step)]
