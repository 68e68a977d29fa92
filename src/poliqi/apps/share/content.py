"""BLAKE3 over what files hold: fast enough to be made between the socket and the disk, and `b3sum` checks it."""

from __future__ import annotations

import os
from typing import Final

from blake3 import blake3

__all__ = ["Hasher", "hash_prefix", "holds"]

Hasher = blake3
_BLOCK_BYTES: Final = 256 << 10


def hash_prefix(handle: int, size_bytes: int) -> Hasher | None:
    """Over the first bytes of an open file, ready to go on; None where it is shorter. Raises OSError."""
    hasher, buffer, at = Hasher(), memoryview(bytearray(min(_BLOCK_BYTES, size_bytes))), 0
    while at < size_bytes:
        count = os.preadv(handle, [buffer[: size_bytes - at]], at)
        if not count:
            return None
        hasher.update(buffer[:count])
        at += count
    return hasher


def holds(handle: int, size_bytes: int, digest: bytes) -> bool:
    """True where an open file has that size and that BLAKE3. Raises OSError."""
    if os.fstat(handle).st_size != size_bytes:
        return False
    hasher = hash_prefix(handle, size_bytes)
    return hasher is not None and hasher.digest() == digest
