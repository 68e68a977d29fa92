"""Compiled kernels are kept by the sources of the packages that hold them: none stands elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import poliqi
from poliqi.base import jit

SOURCES = Path(poliqi.__file__).parent


def test_every_kernel_stands_in_a_package_that_names_the_cache() -> None:
    holders = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if re.search(
            r"^@kernel|^from poliqi\.base\.jit import .*\bkernel\b|^(?:import|from) numba",
            path.read_text(),
            re.MULTILINE,
        )
    }
    assert any(holder.startswith("distill/") for holder in holders)
    assert not [holder for holder in holders if not holder.startswith(tuple(f"{room}/" for room in jit._ROOMS))]
