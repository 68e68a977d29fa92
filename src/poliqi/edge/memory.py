"""How this process keeps the memory of large blocks.

A block of 10^8 bits moves through buffers of tens of megabytes, made and dropped a few times a second. By default
the C library maps such buffers afresh each time and the kernel clears every page of them: several times the cost of
the copying itself. Here freed memory stays with the process, up to the most it ever needed.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["keep_freed_memory"]

# malloc.h of glibc
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_M_ARENA_MAX: Final = -8
_NEVER: Final = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep what is freed for the next buffer; call before any thread starts. False where the C library cannot."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER))
    return all(mallopt(option, value) for option, value in settings)
