"""Runs: keys of one size, side by side in a segment, promised by the segment's owner to named applications.

Both sites hold the same run until its last key is delivered; a key leaves a site only when both have marked it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from poliqi.base.ids import KmeId, SaeId
from poliqi.keys.grade import Combiner, Grade

__all__ = ["Run", "RunKey"]


class RunKey(NamedTuple):
    """Who made the run, and its number there (64 bits, counted from a random one at every start)."""

    owner: KmeId
    number: int


@dataclass(slots=True)
class Run:
    """`count` keys of `size` bytes from `offset` on; `used` has one bit a key and slave, key by key.

    `ids` are the keys' 16-byte names one after another where they are not derived from the place; `cipher`
    holds the values under this range as a one-time pad where the values came from elsewhere. `grade` overrides
    the segment's. `kem_epoch` is 0 or names the post-quantum secret that `combiner` mixes in. At the owner,
    `user` is the start (boot) of the peer that was granted keys last and `user_used` the bits granted to it: the
    same start may ask again after a broken connection, another may not.
    """

    key: RunKey
    peer: KmeId
    segment: int
    offset: int
    size: int
    count: int
    master: SaeId
    slaves: tuple[SaeId, ...]
    ids: bytes | None = None
    cipher: bytes | None = None
    grade: Grade | None = None
    combiner: Combiner = Combiner.NONE
    kem_epoch: int = 0
    used: int = 0
    user: bytes = b""
    user_used: int = 0

    @property
    def end(self) -> int:
        """First byte after the run."""
        return self.offset + self.size * self.count

    @property
    def all_used(self) -> bool:
        """True where every slave has every key."""
        return self.used == (1 << (self.count * len(self.slaves))) - 1
