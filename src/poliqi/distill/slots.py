"""A long list of rising slots as it travels: a byte for each gap between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["WIDE_GAP", "Slots"]

WIDE_GAP: Final = 255
"""A gap of that many empty slots or more is this byte, and stands among the wide ones."""

_PART: Final = 1 << 16  # slots read in one go: half a MiB of them, which stays in cache


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Slots that rise from `first_slot` on, one detection each.

    `gaps`: uint8[n], the empty slots before each. `wide`: uint64[number of gaps that are `WIDE_GAP`].
    """

    first_slot: int
    gaps: NDArray[np.uint8] = field(repr=False)
    wide: NDArray[np.uint64] = field(repr=False)

    @staticmethod
    def of(slots: NDArray[np.int64], first_slot: int) -> Slots:
        """Encode int64[n], rising, none below `first_slot`."""
        from poliqi.distill.kernels.sift import encode_gaps

        return Slots(first_slot, *encode_gaps(slots, first_slot - 1))

    def __len__(self) -> int:
        return self.gaps.size

    def parts(self) -> Iterator[NDArray[np.int64]]:
        """The slots in order, int64 arrays of at most half a MiB each."""
        from poliqi.distill.kernels.sift import decode_gaps, tally_gaps

        before, used = self.first_slot - 1, 0
        for start in range(0, self.gaps.size, _PART):
            gaps = self.gaps[start : start + _PART]
            escapes, _ = tally_gaps(gaps)
            slots = decode_gaps(gaps, self.wide[used : used + escapes], before)
            before, used = int(slots[-1]), used + escapes
            yield slots

    def array(self) -> NDArray[np.int64]:
        """All slots, int64[n]: eight bytes each."""
        return np.concatenate([np.empty(0, np.int64), *self.parts()])
