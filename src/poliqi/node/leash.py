"""A child that ends with its parent: `python -m poliqi.node.leash PID WORDS` is `poliqi WORDS` on a leash.

The kernel kills it (PR_SET_PDEATHSIG) when the thread that started it is gone, however that ended.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
from typing import Final

__all__ = ["leashed", "main", "take_leash"]

_PR_SET_PDEATHSIG: Final = 1  # prctl.h


def leashed(*words: str) -> list[str]:
    """The command line that runs `poliqi WORDS` as a child of this process, and ends it with this process."""
    return [sys.executable, "-m", "poliqi.node.leash", str(os.getpid()), *words]


def take_leash(parent: int) -> bool:
    """End with the process of this number, which must be the parent. False where that is gone already."""
    done = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0
    return done and os.getppid() == parent


def main() -> None:
    """Take the leash, then become `poliqi`."""
    if not take_leash(int(sys.argv[1])):
        sys.exit(1)
    sys.argv = ["poliqi", *sys.argv[2:]]
    runpy.run_module("poliqi", run_name="__main__")


if __name__ == "__main__":
    main()
