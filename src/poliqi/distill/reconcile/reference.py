"""Cascade in plain Python: the definition of docs/spec/cascade.md, slow and short.

It keeps lists of positions and counts parities from nothing each time; it shares the public parameters with
`poliqi.distill.reconcile.cascade` and none of its kernels. Both say the same bytes on every transcript.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import pack_bits, packed_size, unpack_bits
from poliqi.base.errors import DataRefused, ProtocolError
from poliqi.distill.reconcile.plan import (
    BLOCK_PASSES,
    MASK_STREAM,
    TILE_BITS,
    CascadeParameters,
    block_sizes,
    public_word,
)

__all__ = ["ReferenceCascade", "lane_positions"]

EMPTY: Final = -1
FINISHED: Final = BLOCK_PASSES + 1


def _permutation(seed: int, stream: int, count: int) -> list[int]:
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = (public_word(seed, stream, i) >> 32) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


def _interleaved(places: list[int], seed: int, stream: int) -> list[int]:
    words = [places[w : w + 64] for w in range(0, len(places), 64)]
    rotated: list[list[int]] = []
    for i, w in enumerate(_permutation(seed, stream, len(words))):
        turn = public_word(seed, stream + 1, i) >> 58
        rotated.append(words[w][64 - turn :] + words[w][: 64 - turn])
    turned = [[rotated[t + row][c] for row in range(64)] for t in range(0, len(words), 64) for c in range(64)]
    return [place for w in _permutation(seed, stream + 2, len(words)) for place in turned[w]]


def lane_positions(bits: int, random_passes: int, seed: int) -> list[list[int]]:
    """For each lane of a frame of `bits` bits: which bit of the frame stands at each place, -1 for none."""
    natural = [i if i < bits else EMPTY for i in range(-(-bits // TILE_BITS) * TILE_BITS)]
    lanes = [natural] + [_interleaved(natural, seed, 16 * p) for p in range(1, BLOCK_PASSES)]
    for j in range(random_passes):
        masks = [public_word(seed, MASK_STREAM + j, w) for w in range(len(natural) // 64)]
        chosen = [masks[p >> 6] >> (p & 63) & 1 for p in range(len(natural))]
        lanes.append([i if bit else EMPTY for i, bit in zip(natural, chosen, strict=True)])
        lanes.append([EMPTY if bit else i for i, bit in zip(natural, chosen, strict=True)])
    return lanes


class _Lane:
    """One order of a frame's bits and the ranges of it whose parity difference is known."""

    def __init__(self, positions: list[int]) -> None:
        self.positions, self.places = positions, len(positions)
        self.starts: list[int] = []
        self.difference: dict[int, int] = {}  # of the two original strings, by start of range

    def members(self, start: int, stop: int) -> list[int]:
        return [i for i in self.positions[start:stop] if i != EMPTY]

    def learn(self, start: int, difference: int) -> None:
        if start not in self.difference:
            insort(self.starts, start)
        self.difference[start] = difference

    def stop(self, start: int) -> int:
        after = bisect_right(self.starts, start)
        return self.starts[after] if after < len(self.starts) else self.places

    def middle(self, start: int, stop: int) -> int:
        if stop - start > 64:
            return ((start + stop) // 2 + 63) // 64 * 64
        inside = [p for p in range(start, stop) if self.positions[p] != EMPTY]
        return inside[len(inside) // 2 - 1] + 1

    def odd(self, errors: list[int]) -> Iterator[tuple[int, int]]:
        """The known ranges that hold an odd number of errors not yet found, in ascending order."""
        for start in list(self.starts):
            stop = self.stop(start)
            if (self.difference[start] + sum(errors[i] for i in self.members(start, stop))) % 2:
                yield start, stop


class _Frame:
    """The public state machine of one frame."""

    def __init__(self, bits: int, sizes: tuple[int, int, int], random_passes: int, seed: int) -> None:
        self.errors = [0] * bits
        self.lanes = [_Lane(positions) for positions in lane_positions(bits, random_passes, seed)]
        self.sizes = tuple(min(k, self.lanes[0].places) for k in sizes)
        self.stage, self.lane, self.total = 0, -1, 0

    def blocks(self, stage: int) -> list[tuple[int, int]]:
        size, lane = self.sizes[stage], self.lanes[stage]
        blocks = [(start, min(start + size, lane.places)) for start in range(0, lane.places, size)]
        return [(start, stop) for start, stop in blocks if lane.members(start, stop)]

    def asked(self) -> list[list[int]]:
        """The ranges asked in this round, each as the bits of the frame it holds."""
        if self.lane >= 0:
            lane = self.lanes[self.lane]
            return [lane.members(start, lane.middle(start, stop)) for start, stop in lane.odd(self.errors)]
        if self.stage < BLOCK_PASSES:
            blocks = self.blocks(self.stage)
            told = blocks if self.stage == 0 else blocks[:-1]
            return [self.lanes[self.stage].members(start, stop) for start, stop in told]
        if self.stage == BLOCK_PASSES:
            return [lane.members(0, lane.places) for lane in self.lanes[BLOCK_PASSES::2]]
        return []

    def take(self, differences: list[int]) -> None:
        if self.lane >= 0:
            lane = self.lanes[self.lane]
            for (start, stop), left in zip(list(lane.odd(self.errors)), differences, strict=True):
                lane.learn(lane.middle(start, stop), lane.difference[start] ^ left)
                lane.learn(start, left)
        elif self.stage < BLOCK_PASSES:
            self._take_blocks(differences)
        else:
            for lane, other, difference in zip(
                self.lanes[BLOCK_PASSES::2], self.lanes[BLOCK_PASSES + 1 :: 2], differences, strict=True
            ):
                lane.learn(0, difference)
                other.learn(0, difference ^ self.total)
        self._choose()

    def _take_blocks(self, differences: list[int]) -> None:
        lane, blocks = self.lanes[self.stage], self.blocks(self.stage)
        if self.stage == 0:
            self.total = sum(differences) % 2
        else:
            differences = [*differences, (sum(differences) + self.total) % 2]
        for start in range(0, lane.places, self.sizes[self.stage]):
            lane.learn(start, 0)
        for (start, _), difference in zip(blocks, differences, strict=True):
            lane.learn(start, difference)

    def _settle(self, lane: _Lane) -> None:
        for start, stop in list(lane.odd(self.errors)):
            members = lane.members(start, stop)
            if stop - start > 64:
                continue
            if len(members) == 1 and not self.errors[members[0]]:
                self.errors[members[0]] = 1
            elif len(members) <= 1:  # no honest transcript leads here
                lane.difference[start] ^= 1

    def _choose(self) -> None:
        while True:
            if self.lane >= 0:
                self._settle(self.lanes[self.lane])
                if any(self.lanes[self.lane].odd(self.errors)):
                    return
            odd = (k for k, lane in enumerate(self.lanes) if any(lane.odd(self.errors)))
            self.lane = next(odd, -1)
            if self.lane < 0:
                self.stage += 1
                if self.stage == FINISHED or self.asked():
                    return
                self._take_blocks([])


class ReferenceCascade:
    """As `poliqi.distill.reconcile.cascade.Cascade`, with the same parameters; for a few thousand bits."""

    name: ClassVar[str] = "cascade"

    def __init__(
        self, bits: NDArray[np.uint8], *, qber: float, seed: int, parameters: CascadeParameters | None = None
    ) -> None:
        self._bits, self._parameters = bits, CascadeParameters() if parameters is None else parameters
        sizes = self._parameters.block_sizes or block_sizes(qber)
        masks = self._parameters.random_passes
        self._frames = [_Frame(stop - start, sizes, masks, seed) for start, stop in self.frame_bounds()]
        self.rounds = self.sent_bits = 0

    def _own(self) -> list[int]:
        """The own parities of this round."""
        if self.rounds >= self._parameters.round_limit:
            return []
        parities: list[int] = []
        for (start, _), frame in zip(self.frame_bounds(), self._frames, strict=True):
            parities += [sum(int(self._bits[start + i]) for i in members) % 2 for members in frame.asked()]
        return parities

    @property
    def asked_bits(self) -> int:
        return len(self._own())

    @property
    def done(self) -> bool:
        return not self._own()

    @property
    def received_bits(self) -> int:
        return self.sent_bits

    @property
    def errors(self) -> NDArray[np.uint8]:
        return np.array([e for frame in self._frames for e in frame.errors], np.uint8)

    def message(self) -> bytes | None:
        own = self._own()
        return pack_bits(np.array(own, np.uint8)) if own else None

    def message_size(self) -> int:
        return packed_size(self.asked_bits)

    def receive(self, data: bytes) -> None:
        own = self._own()
        try:
            theirs = unpack_bits(data, len(own)).tolist() if own else None
        except DataRefused as error:
            raise ProtocolError(str(error)) from error
        if theirs is None:
            raise ProtocolError("a message came after the last round")
        differences = [mine ^ other for mine, other in zip(own, theirs, strict=True)]
        for frame in self._frames:
            if frame.stage < FINISHED:
                count = len(frame.asked())
                frame.take(differences[:count])
                del differences[:count]
        self.sent_bits += len(own)
        self.rounds += 1

    def corrected(self) -> NDArray[np.uint8]:
        return self._bits ^ self.errors

    def frame_bounds(self) -> list[tuple[int, int]]:
        step, n = self._parameters.frame_bits, self._bits.size
        return [(start, min(start + step, n)) for start in range(0, n, step)]
