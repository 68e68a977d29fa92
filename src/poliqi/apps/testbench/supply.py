"""Key for a trial: bytes that both ends take in the same order, and that run out when they should."""

from __future__ import annotations

from poliqi.apps.testbench.seams import RecordEncryptor, RecordEnd, Side
from poliqi.base.errors import KeyExhausted

__all__ = ["Budget", "Supplies", "open_ends"]


class Budget:
    """A KeySupply over given bytes. `refusals` counts how often more was asked for than is left.

    With `is_endless` it begins again at its end: for timing alone, since key is used twice then.
    """

    def __init__(self, key: bytes, *, is_endless: bool = False) -> None:
        self._key = memoryview(key)
        self._at = 0
        self._is_endless = is_endless
        self.taken_bytes = 0
        self.refusals = 0

    def take(self, count: int) -> memoryview:
        """As KeySupply."""
        if count < 0:
            raise ValueError(f"{count} bytes of key cannot be taken: give 0 or more")
        if self._is_endless and self._at + count > len(self._key) >= count:
            self._at = 0
        left = len(self._key) - self._at
        if count > left:
            self.refusals += 1
            raise KeyExhausted(f"{count} bytes of key are asked for and {left} are left in this trial")
        found = self._key[self._at : self._at + count]
        self._at += count
        self.taken_bytes += count
        return found


class Supplies:
    """The key between two ends: one string of bytes for each direction, given out to both ends."""

    def __init__(self, to_answerer: bytes, to_caller: bytes, *, is_endless: bool = False) -> None:
        self._sent = {Side.CALLER: to_answerer, Side.ANSWERER: to_caller}
        self._is_endless = is_endless

    def of(self, side: Side) -> tuple[Budget, Budget]:
        """A fresh pair for one end: sending, receiving."""
        other = Side.ANSWERER if side is Side.CALLER else Side.CALLER
        sending = Budget(self._sent[side], is_endless=self._is_endless)
        return sending, Budget(self._sent[other], is_endless=self._is_endless)


def open_ends(encryptor: RecordEncryptor, supplies: Supplies) -> tuple[RecordEnd, RecordEnd]:
    """The caller's and the answerer's end."""
    caller = encryptor.open_end(Side.CALLER, *supplies.of(Side.CALLER))
    return caller, encryptor.open_end(Side.ANSWERER, *supplies.of(Side.ANSWERER))
