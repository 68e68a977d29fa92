"""The arrays that one party's Cascade kernels work on, laid out and grown.

`poliqi.distill.kernels.ranges` and `.search` say what each of them holds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.bits import BitString, packed_size
from poliqi.base.ids import Role
from poliqi.distill.reconcile.plan import (
    LANES,
    CascadeParameters,
    fitted_sizes,
    frame_places,
    interleaver,
    masks,
)
from poliqi.distill.reconcile.protocol import ReconcilerTerms

__all__ = ["CascadeState"]

_EIGHT: Final = 8  # searches are gone through in steps of that many
_NODES: Final = 64  # errors that lanes are to be told of, for each frame, before the first growth


class CascadeState:
    """All frames of a party: `asked` bits are due in this round, and `said()` answers them."""

    __slots__ = (
        "_advance",
        "_blocks",
        "_book",
        "_bytes",
        "_cells",
        "_difference",
        "_frames",
        "_index",
        "_nodes",
        "_pool",
        "_room",
        "_said",
        "_searches",
        "_tables",
        "asked",
    )

    def __init__(self, role: Role, bits: BitString, terms: ReconcilerTerms, parameters: CascadeParameters) -> None:
        """`bits` has at least one bit."""
        from poliqi.distill.kernels import search
        from poliqi.distill.kernels.cascade import advance, begin

        full, rest = divmod(bits.size, terms.frame_bits)
        frames = full + (rest > 0)
        places = frame_places(min(bits.size, terms.frame_bits)), frame_places(rest or terms.frame_bits)
        sizes = [fitted_sizes(parameters.sizes(terms.qber), p) for p in places]
        words, last_words = (p // 64 for p in places)
        drawn = masks(terms.seed, parameters.random_passes, words)
        stride = 7 * words + LANES * (words // 64 + 1)
        scratch = frames * stride + drawn.size

        book = np.zeros(search.HEADER + search.FIELDS * frames, np.int64)
        book[search.FRAMES], book[search.FULL] = frames, max(full, 1)
        book[search.WORDS], book[search.LAST_WORDS] = words, last_words
        for at, each in zip((search.SIZES, search.LAST_SIZES), sizes, strict=True):
            book[at : at + LANES] = [k.bit_length() - 1 for k in each]
        book[search.MASKS], book[search.MINE] = parameters.random_passes, -1 if role is Role.BOB else 0
        book[search.STRIDE], book[search.MASK_CELLS] = stride, frames * stride
        book[search.SCRATCH], book[search.DRAFT] = scratch, scratch + words + words // 64
        book[search.FREE] = -1
        cells = np.empty(scratch + 2 * words + words // 64, np.uint64)
        cells[frames * stride : scratch] = drawn.ravel()
        cells[scratch:] = 0
        tables = [interleaver(terms.seed, lane, w) for w in (words, last_words) for lane in range(1, LANES)]

        self._book, self._cells, self._tables = book, cells, np.concatenate([t.ravel() for t in tables])
        self._index = search.NARROW, search.PENDING, search.ASKED
        self._advance = advance
        k1, k2, k3 = sizes[0]
        self._blocks = frames * max(places[0] // k1, places[0] // k2, places[0] // k3, parameters.random_passes)
        self._frames, self._room, self._nodes = frames, 0, 0
        self._said = self._difference = np.zeros(0, np.uint64)
        self._searches = self._said, self._said, self._said
        self._pool = np.zeros(0, np.int32)
        self._grow(self._blocks + frames, _NODES * frames)
        begin(bits.words, bits.size, self._said, cells, book)
        self.asked = int(book[search.ASKED])

    def _grow(self, room: int, nodes: int) -> None:
        """Make room for `room` searches of either kind, and `nodes` errors that lanes are to be told of."""
        if room > self._room:
            self._room = 2 * room
            words, tags, wide = (_grown(each, self._room + _EIGHT) for each in self._searches)
            self._searches = words, tags, wide
            self._said = _grown(self._said, (2 * self._room + self._blocks) // 64 + 2)
            self._difference = np.zeros(self._said.size, np.uint64)
            self._bytes = memoryview(self._said.data).cast("B")
        if nodes > self._nodes:
            self._nodes = 2 * nodes
            pool = np.empty(2 * self._nodes, np.int32)
            pool[: self._pool.size] = self._pool
            self._pool = pool

    def said(self) -> bytes:
        """The own parities of this round."""
        return bytes(self._bytes[: packed_size(self.asked)])

    def take(self, heard: bytes | memoryview) -> None:
        """The peer's parities of this round, of the right size."""
        book, (narrow, pending, asked) = self._book, self._index
        # an answer opens a search, so may the last block of a frame, which is implied, and each error in every lane
        nodes = int(book[pending]) + LANES * int(book[narrow])
        room = self.asked + nodes + self._frames
        if room > self._room or nodes > self._nodes:
            self._grow(room, nodes)
        self._advance(
            np.frombuffer(heard, np.uint8),
            self._said,
            self._difference,
            *self._searches,
            self._cells,
            book,
            self._pool,
            self._tables,
        )
        self.asked = int(book[asked])

    def errors(self, size: int) -> BitString:
        """The errors found so far."""
        from poliqi.distill.kernels.cascade import collect_errors

        found = np.zeros(-(-size // 64), np.uint64)
        collect_errors(self._cells, self._book, self._pool, found)
        if size % 64:  # a peer that lies may point at padding
            found[-1] &= np.uint64((1 << size % 64) - 1)
        return BitString(found, size)


def _grown(words: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    grown = np.zeros(size, np.uint64)
    grown[: words.size] = words
    return grown
