"""What a device that hands out finished keys is to the rest of the house: three methods at each of its two ends.

Somebody else's QKD system distils by itself, and another vendor's key management relays as it likes: of their keys
nothing can be proven here. They enter with origin `unproven` and no epsilon, once both ends were compared.

One end *leads*: it takes the next keys and tells the other end, which *follows*, their names. A device that gives
both ends the same keys under the same names needs nothing else. A driver opens its hardware in its own constructor,
blocks, is called from one thread, and inherits from nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from poliqi.base.secret import SecretBytes

__all__ = ["LONGEST_NAME", "MOST_KEY_BYTES", "DeviceKey", "KeyDevice", "Settling"]

LONGEST_NAME: Final = 128
"""Characters of a key's name: printable, no blanks."""

MOST_KEY_BYTES: Final = 1 << 20
"""Of one key."""


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """One finished key. `name` is the device's own, the same at both ends: public, and never a part of the key."""

    name: str
    bits: SecretBytes = field(repr=False)


class KeyDevice(Protocol):
    """One end of a device that hands out finished keys.

    Every method raises LinkDown where the device cannot be reached (it is opened again later), ProtocolError where
    it says something that its protocol does not allow, ConfigError where no later attempt would help.
    """

    @property
    def description(self) -> str:
        """What it is and where, in a line for people; no secret in it."""
        ...

    def fresh(self, most: int, timeout_s: float) -> list[DeviceKey]:
        """The next keys, at most `most`, each given once; fewer, or none, where no more come within `timeout_s`."""
        ...

    def named(self, names: Sequence[str], timeout_s: float) -> list[DeviceKey | None]:
        """The keys of these names, in that order; None for one that the device does not have within `timeout_s`."""
        ...

    def close(self) -> None:
        """Let go of the device; ends a call that waits in another thread, with LinkDown."""
        ...


@runtime_checkable
class Settling(Protocol):
    """What a device may offer besides, where it holds keys until somebody says that they may go."""

    def settled(self, names: Sequence[str]) -> None:
        """Both ends have stored the keys of these names, or gave them up: delete them. Raises as above."""
        ...
