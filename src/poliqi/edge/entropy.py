"""Where secret randomness comes from on this machine."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["OperatingSystemEntropy"]

_SOURCE: Final = "operating system (os.urandom), computational"


class OperatingSystemEntropy:
    """The kernel's generator: good against every known attacker, but expanded by a cipher.

    A proof that assumes perfect randomness is weakened to a computational one by it, so its `source`
    says so and stands in every ledger. A quantum generator is another class with the same two members.
    """

    __slots__ = ()

    @property
    def source(self) -> str:
        return _SOURCE

    def draw(self, count: int) -> bytes:
        """Return `count` fresh secret bytes."""
        return os.urandom(count)
