"""What a reconciler is: rounds in which both parties say the same kind of thing about their own string."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reconciler"]


class Reconciler(Protocol):
    """One party's half of a symmetric reconciliation.

    Until `done`, a round is: send `message()`, wait for the peer's message of the same round, hand it to
    `receive`. Both ends see the same transcript and find the same `errors`. What is said is counted, each
    direction apart: the leak of the round is `sent_bits` of one end plus `sent_bits` of the other.
    """

    @property
    def done(self) -> bool:
        """True once no more rounds follow."""
        ...

    @property
    def errors(self) -> NDArray[np.uint8]:
        """Where the two strings are known to differ: uint8[n], 0 or 1."""
        ...

    @property
    def sent_bits(self) -> int:
        """Bits about the own string said so far, padding not counted."""
        ...

    @property
    def received_bits(self) -> int:
        """Bits about the peer's string heard so far, padding not counted."""
        ...

    @property
    def rounds(self) -> int:
        """Rounds completed."""
        ...

    def message(self) -> bytes | None:
        """What to send in this round; None once done. Asking twice gives the same bytes."""
        ...

    def receive(self, data: bytes) -> None:
        """Take the peer's message of this round; ProtocolError where it cannot be one."""
        ...

    def frame_bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of each frame: the parts that are verified one by one."""
        ...
