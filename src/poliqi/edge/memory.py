"""How this process keeps its memory: freed buffers for the next block, keys out of swap and core files.

A block of 10^8 bits moves through buffers of tens of megabytes, made and dropped a few times a second. By default
the C library maps such buffers afresh each time and the kernel clears every page of them: several times the cost of
the copying itself. Here freed memory stays with the process, up to the most it ever needed, and the memory that the
first blocks will take is asked for in huge pages, which spares the processor most look-ups of addresses.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

__all__ = ["forbid_core_dumps", "keep_freed_memory", "lock_memory"]

# malloc.h of glibc, mman.h of Linux
_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_MAX: Final = -4
_M_ARENA_MAX: Final = -8
_NEVER: Final = -1
_MADV_HUGEPAGE: Final = 14
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
_PR_SET_DUMPABLE: Final = 4  # prctl.h

_HUGE_PAGE: Final = 1 << 21
_MOST_RESERVED: Final = 2**31 - _HUGE_PAGE  # mallopt takes an int
_USUAL_PAD: Final = 1 << 26


def keep_freed_memory() -> bool:
    """Keep what is freed for the next buffer; call before any thread starts. False where the C library cannot.

    The first 2 GiB of buffers (half of the machine's memory, where that is less) are reserved as addresses; memory
    is taken as it is first written.
    """
    try:
        reserved = min(_MOST_RESERVED, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
        libc = ctypes.CDLL(None)
        mallopt, malloc, free, sbrk, madvise = libc.mallopt, libc.malloc, libc.free, libc.sbrk, libc.madvise
    except (AttributeError, OSError, ValueError):
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, reserved))
    if not all(mallopt(option, value) for option, value in settings):
        return False
    malloc.restype = sbrk.restype = ctypes.c_void_p
    free.argtypes, madvise.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    first, end = malloc(_HUGE_PAGE), sbrk(0)
    mallopt(_M_TOP_PAD, _USUAL_PAD)
    if first is not None and end is not None:
        start = -(-first // _HUGE_PAGE) * _HUGE_PAGE
        if first < end and start < end:
            madvise(start, (end - start) // _HUGE_PAGE * _HUGE_PAGE, _MADV_HUGEPAGE)
        free(first)
    return True


def lock_memory() -> str | None:
    """Keep all that this process ever touches out of swap; None where that worked, else why not, and the remedy.

    Best effort: keys pass through memory that Python frees when it likes, but none of it reaches a disk this way.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
            return None
    except (AttributeError, OSError) as error:
        return f"memory cannot be locked on this system: {error}; encrypt the swap or turn it off"
    reason = os.strerror(ctypes.get_errno())
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    limit = "none" if soft == resource.RLIM_INFINITY else f"{soft} bytes"
    return f"memory cannot be locked: {reason} (limit: {limit}); raise LimitMEMLOCK, or encrypt the swap"


def forbid_core_dumps() -> bool:
    """No core file of this process, and no other process of its user may read its memory. False where refused."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        return ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
    except (AttributeError, OSError):
        return False
