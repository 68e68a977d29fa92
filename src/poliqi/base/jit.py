"""Compiled kernels: one decorator, and one place that decides where compiled code is kept.

numba's own cache notices an edit of the file a kernel stands in, but not of a file whose kernels it
inlines: the cache folder therefore carries a hash of all of POLIQI's sources. Where no folder can be
written (a read-only installation without a home), kernels are compiled anew in each process.

Kernels that multiply without carries come in widths, one function for each: a function for an instruction that
the processor lacks must not even be compiled. `width()` says which one runs.
"""

from __future__ import annotations

import hashlib
import importlib
import tempfile
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, TypeVar

import platformdirs

from poliqi.base.errors import ConfigError

__all__ = ["Width", "cache_folder", "choose_width", "has_feature", "inlined", "kernel", "part", "width", "widths"]

F = TypeVar("F", bound=Callable[..., object])


class Width(StrEnum):
    """How kernels that multiply without carries are run."""

    PORTABLE = "portable"
    """Ordinary integer arithmetic: any processor."""
    PCLMUL = "pclmul"
    """128-bit registers, PCLMULQDQ; PEXT where there is BMI2."""
    VPCLMUL = "vpclmul"
    """512-bit registers, VPCLMULQDQ and AVX-512."""


_NEEDS = {Width.PORTABLE: (), Width.PCLMUL: ("pclmul",), Width.VPCLMUL: ("pclmul", "vpclmulqdq", "avx512f")}
_chosen: list[Width] = []


_ROOMS: Final = ("base", "distill", "lab/print", "lab/xray", "link", "optics")
"""Packages that hold kernels."""


@cache
def _features() -> dict[str, bool]:
    from llvmlite import binding

    try:
        return dict(binding.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot tell on this kind of processor
        return {}


def processor_has(name: str) -> bool:
    """Whether the processor has a feature, by LLVM's name for it."""
    return _features().get(name, False)


def has_feature(name: str) -> bool:
    """Whether kernels may use a feature of the processor: never under the portable width."""
    return width() is not Width.PORTABLE and processor_has(name)


@cache
def widths() -> tuple[Width, ...]:
    """The widths that this processor has, narrowest first."""
    features = _features()
    return tuple(w for w in Width if all(features.get(name, False) for name in _NEEDS[w]))


def width() -> Width:
    """The width that runs: the widest, unless `choose_width` named one."""
    return _chosen[-1] if _chosen else widths()[-1]


def choose_width(name: str | None) -> None:
    """Run this width from here on (None: the widest); ConfigError for one that this processor does not have."""
    if name is None:
        _chosen.clear()
    elif name not in [str(w) for w in widths()]:
        known = ", ".join(widths())
        raise ConfigError(f"kernels: width {name!r} is not to be had on this processor; it has {known}")
    else:
        _chosen[:] = [Width(name)]


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
    """The folder of compiled kernels, or None where none can be written.

    It is named by the sources of the packages that hold kernels, as those of one are compiled into another's.
    """
    digest = hashlib.sha256()
    for room in _ROOMS:
        for name, text in sorted(_sources(files("poliqi").joinpath(room))):
            digest.update(f"{room}/{name}".encode() + b"\0" + hashlib.sha256(text).digest())
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


def load_compiler() -> None:
    """Import numba, before any thread could: two threads that import it at once find it half imported."""
    importlib.import_module("numba")
    _prepare()


def kernel(function: F) -> F:
    """Compile `function` with numba on first call: no Python objects, no GIL, cached where possible."""
    import numba

    jitted: F = numba.njit(nogil=True, cache=_prepare(), boundscheck=False)(function)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAssignmentType]
    return jitted


def inlined(function: F) -> F:
    """Compile `function` into every kernel that calls it: for the small pieces that kernels share."""
    import numba

    jitted: F = numba.njit(nogil=True, boundscheck=False, forceinline=True)(function)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAssignmentType]
    return jitted


def part(*, inline: bool = False) -> Callable[[F], F]:
    """Compile a function that only kernels call; `inline`: into each of them.

    It takes arrays and makes none, so it counts no references to them, which costs more than the work of a small
    function; Python must not call it.
    """
    import numba

    def compiled(function: F) -> F:
        jitted: F = numba.njit(nogil=True, boundscheck=False, forceinline=inline, _nrt=False)(function)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAssignmentType, reportCallIssue]
        return jitted  # pyright: ignore[reportUnknownVariableType]  # numba's type of it is unknown

    return compiled
