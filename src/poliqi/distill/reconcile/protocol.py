"""What a reconciler is: rounds in which each party may say something about its own string."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from poliqi.base.bits import BitString
from poliqi.base.ids import Role

__all__ = ["Reconciler", "ReconcilerMaker", "ReconcilerTerms"]


@dataclass(frozen=True, slots=True)
class ReconcilerTerms:
    """What both ends know and agree on before the first round.

    `qber` is the public estimate, 0 to 1; `seed` 64 public bits, fresh for each block; `frame_bits` a frame's
    length, a multiple of 4096.
    """

    qber: float
    seed: int
    frame_bits: int


class Reconciler(Protocol):
    """One party's half of a reconciliation.

    Until `done`, a round is: send `message()` (which may be empty), wait for the peer's message of the same
    round, hand it to `receive`. Both ends are done after the same round. What is said is counted, each direction
    apart: every bit that leaves an end and depends on a key string, padding not counted.
    """

    @property
    def done(self) -> bool:
        """True once no more rounds follow."""
        ...

    @property
    def both_learn(self) -> bool:
        """Whether Alice's end learns the errors too; Bob's end always does."""
        ...

    @property
    def errors(self) -> BitString | None:
        """Where Alice's and Bob's strings are known to differ; None at Alice's end unless both learn."""
        ...

    @property
    def sent_bits(self) -> int:
        """Bits said in completed rounds."""
        ...

    @property
    def received_bits(self) -> int:
        """Bits heard in completed rounds."""
        ...

    @property
    def rounds(self) -> int:
        """Rounds completed."""
        ...

    def message(self) -> bytes | None:
        """What to send in this round; None once done. Asking twice gives the same bytes."""
        ...

    def receive(self, data: bytes | memoryview) -> None:
        """Take the peer's message of this round; ProtocolError, and no change, where it cannot be one."""
        ...

    def frame_bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of each frame: the parts that are verified one by one."""
        ...


ReconcilerMaker: TypeAlias = Callable[[Role, BitString, ReconcilerTerms], Reconciler]
"""Makes one party's half from its role, its own string and the terms. ValueError for what cannot be reconciled."""
