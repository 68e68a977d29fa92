"""Where a link's confirmed blocks go: a key file, or a site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from poliqi.base.ids import BlockNumber, Origin
from poliqi.base.secret import SecretBytes

__all__ = ["ConfirmedBlock", "KeySink", "Postponed"]


@dataclass(frozen=True, slots=True)
class ConfirmedBlock:
    """A block that both ends hold. `epsilon` is None unless the light was real."""

    number: BlockNumber
    origin: Origin
    epsilon: float | None
    proof: str
    key: SecretBytes


@dataclass(frozen=True, slots=True)
class Postponed:
    """Not taken now: why, and the least time to wait. `lasting`: time alone will not change it."""

    reason: str
    retry_s: float = 0.0
    lasting: bool = False


class KeySink(Protocol):
    """A place that holds blocks durably. Both methods may wait for a disk or a socket."""

    def reach(self) -> str | Postponed:
        """The place's lasting name, once it can be written to: blocks begun there are finished there."""
        ...

    def append(self, block: ConfirmedBlock) -> Postponed | None:
        """Make the block durable there; doing it again for the same block changes nothing."""
        ...

    def close(self) -> None:
        """Let go of the place."""
        ...
