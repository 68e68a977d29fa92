"""Compiled kernels: one decorator, and one place that decides where compiled code is kept.

numba's own cache notices an edit of the file a kernel stands in, but not of a file whose kernels it
inlines: the cache folder therefore carries a hash of all of POLIQI's sources. Where no folder can be
written (a read-only installation without a home), kernels are compiled anew in each process.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import platformdirs

__all__ = ["cache_folder", "kernel"]

F = TypeVar("F", bound=Callable[..., object])


def _sources(folder: Traversable) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += [(f"{entry.name}/{name}", text) for name, text in _sources(entry)]
        elif entry.name.endswith(".py"):
            found.append((entry.name, entry.read_bytes()))
    return found


@cache
def cache_folder() -> Path | None:
    """The folder of compiled kernels, or None where none can be written."""
    digest = hashlib.sha256()
    for name, text in sorted(_sources(files("poliqi"))):
        digest.update(name.encode() + b"\0" + hashlib.sha256(text).digest())
    try:
        folder = platformdirs.user_cache_path("poliqi") / "kernels" / digest.hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        return None


@cache
def _prepare() -> bool:
    from numba.core import config

    folder = cache_folder()
    if folder is None:
        return False
    config.CACHE_DIR = str(folder)  # pyright: ignore[reportAttributeAccessIssue]  # set by numba at run time
    return True


def kernel(function: F) -> F:
    """Compile `function` with numba on first call: no Python objects, no GIL, cached where possible."""
    import numba

    jitted: F = numba.njit(nogil=True, cache=_prepare(), boundscheck=False)(function)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAssignmentType]
    return jitted
