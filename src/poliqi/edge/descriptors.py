"""How many files and connections this process may hold."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

__all__ = ["raise_open_files"]

_OPEN_FILES: Final = 65536


def raise_open_files() -> None:
    """As many as the system lets this process have, up to 65,536: each connection takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
