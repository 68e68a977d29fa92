"""Bytes that must not be seen: key, pad and hash-key material."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn, Protocol

__all__ = ["Entropy", "SecretBytes"]


class Entropy(Protocol):
    """Where secret randomness comes from; never a seeded generator.

    `source` names it in every ledger ("operating system, computational" for the kernel's generator).
    """

    @property
    def source(self) -> str: ...

    def draw(self, count: int) -> bytes:
        """Return `count` fresh secret bytes."""
        ...


class SecretBytes:
    """Secret bytes with no repr, constant-time equality and no pickling.

    `take()` hands the bytes over and empties the container: what was taken cannot be taken twice.
    `close()` overwrites the buffer. Wiping is best effort: Python may have copied what it was given.
    """

    __slots__ = ("_buffer", "_spent")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._buffer: Final = bytearray(data)
        self._spent = False

    def __len__(self) -> int:
        return len(self._buffer)

    def __repr__(self) -> str:
        return f"<SecretBytes of {len(self._buffer)} bytes>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self.view(), other.view())

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # secrets are not dictionary keys

    def __reduce__(self) -> NoReturn:
        raise TypeError("SecretBytes cannot be pickled or copied: hand over the object itself")

    def view(self) -> memoryview:
        """A read-only view, for use in place. Raises ValueError once the bytes were taken or wiped."""
        if self._spent:
            raise ValueError("these secret bytes were already taken or wiped")
        return memoryview(self._buffer).toreadonly()

    def take(self) -> bytes:
        """Return the bytes once and wipe the container."""
        data = bytes(self.view())
        self.close()
        return data

    def close(self) -> None:
        """Overwrite the buffer with zeros; the length stays."""
        self._buffer[:] = bytes(len(self._buffer))
        self._spent = True
