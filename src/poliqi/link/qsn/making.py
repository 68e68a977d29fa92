"""What the key-making of both ends of an emulated QSN-d-1 has in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ProtocolError
from poliqi.base.secret import SecretBytes
from poliqi.link.qsn.correction import LEAST_BLOCK
from poliqi.link.qsn.partner import BerTest, PartnerMessage

__all__ = [
    "MOST_QBER",
    "PARTNER_S",
    "KeyDiscarded",
    "KeyMade",
    "Maker",
    "MakerNews",
    "NewKey",
    "block_size",
    "tested_and_kept",
]

MOST_QBER: Final = 0.11
"""Above it the device discards the key."""

PARTNER_S: Final = 10.0
"""Of silence end a key that is being made."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that this end now has, on its way to the store."""

    key_id: str
    key: SecretBytes = field(repr=False)
    qber: float


@dataclass(frozen=True, slots=True)
class KeyMade:
    """A key that stands in the store now."""

    key_id: str
    key_bits: int
    qber: float


@dataclass(frozen=True, slots=True)
class KeyDiscarded:
    """A key that this end gave up, and why; the error rate where one was measured."""

    key_id: str
    reason: str
    qber: float | None = None


MakerNews = NewKey | KeyDiscarded


class Maker(Protocol):
    """One end's key-making: Alice or Bob."""

    @property
    def qber(self) -> float:
        """Error rate of the last key that was tried."""
        ...

    def receive(self, message: PartnerMessage, now: float) -> bool:
        """Act on a partner's message; whether it was expected. Raises ProtocolError where it contradicts itself."""
        ...

    def tick(self, now: float) -> None:
        """Go on: the light, the next key, silence that lasts too long."""
        ...

    def next_timeout(self) -> float | None:
        """When to tick; None where nothing is to come by itself."""
        ...

    def abandon(self, reason: str, now: float) -> None:
        """Give up the key that is being made, if there is one."""
        ...

    def take_output(self) -> list[PartnerMessage]:
        """What the partner is to be told."""
        ...

    def take_news(self) -> list[MakerNews]:
        """Keys made and given up."""
        ...


def block_size(bits: int) -> int:
    """The largest power of two of `bits`, 0 where that is no block."""
    return 1 << bits.bit_length() - 1 if bits >= LEAST_BLOCK else 0


def tested_and_kept(bits: NDArray[np.uint8], test: BerTest) -> tuple[float, NDArray[np.uint8]]:
    """Share of tested bits that differ, and the block that is left of `bits`, which may be empty.

    Raises ProtocolError where positions are out of range, not ascending, or not as many as values.
    """
    places, told = np.asarray(test.index, dtype=np.int64), np.asarray(test.value, dtype=np.uint8)
    if places.size != told.size or not places.size:
        raise ProtocolError(f"QSN-d-1: Calc BER: {places.size} positions with {told.size} bits")
    if int(places[-1]) >= bits.size or bool((np.diff(places) <= 0).any()):
        raise ProtocolError(f"QSN-d-1: Calc BER: positions that do not ascend, or beyond the {bits.size} bits")
    kept = np.ones(bits.size, dtype=np.bool_)
    kept[places] = False
    left = bits[kept]
    return int(np.count_nonzero(bits[places] != told)) / places.size, left[: block_size(left.size)]
