"""Which files are written, and what stands in each: told by their endings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from poliqi.base.errors import ConfigError

__all__ = ["Target", "What", "needs_mesh", "targets_of"]


class What(StrEnum):
    """What of a design a file holds."""

    TISSUE = "tissue"
    """The domain without the lumen."""
    LUMEN = "lumen"
    """The vessels within the domain."""
    BOTH = "both"
    """Tissue and lumen, each an object."""
    BEAMS = "beams"
    """Vessels as a 3MF beam lattice."""
    LINES = "lines"
    """Centre lines."""
    JOB = "job"
    """The vectors of a print job."""


_ALLOWED: Final[dict[str, tuple[What, ...]]] = {  # the first is the default
    ".stl": (What.TISSUE, What.LUMEN),
    ".3mf": (What.BOTH, What.TISSUE, What.LUMEN, What.BEAMS),
    ".glb": (What.BOTH, What.TISSUE, What.LUMEN),
    ".nano": (What.TISSUE, What.LUMEN),
    ".swc": (What.LINES,),
    ".csv": (What.LINES,),
    ".gwl": (What.JOB,),
}
_MOST: Final = 16


@dataclass(frozen=True, slots=True)
class Target:
    """A file to write; `suffix` in lower case."""

    path: Path
    suffix: str
    what: What


def targets_of(paths: Sequence[Path], what: str | None, *, is_job: bool) -> tuple[Target, ...]:
    """Raises ConfigError for endings that are not known, files of the same name, or what a format cannot hold.

    `what` decides for the formats that can hold it; those without a choice (.swc, .csv) are written all the same.
    """
    if not 0 < len(paths) <= _MOST:
        raise ConfigError(f"--to: {len(paths)} files; give 1 to {_MOST}")
    found: list[Target] = []
    for path in paths:
        suffix = path.suffix.lower()
        allowed = _ALLOWED.get(suffix)
        if allowed is None:
            raise ConfigError(f"--to {path}: the ending is none of {', '.join(_ALLOWED)}")
        if is_job != (suffix == ".gwl"):
            other = "a vessels file" if is_job else "a job: poliqi lab print slice writes it"
            raise ConfigError(f"--to {path}: {suffix} is written from {other}")
        chosen = allowed[0] if what is None or len(allowed) == 1 else What(what)
        if chosen not in allowed:
            raise ConfigError(f"--what {chosen}: {suffix} holds {' or '.join(allowed)}; write another file for it")
        found.append(Target(path, suffix, chosen))
    names = [target.path.name for target in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--to {twice}: given twice; name each file once")
    return tuple(found)


def needs_mesh(target: Target) -> bool:
    """Whether Boolean operations are needed for it."""
    return target.what in {What.TISSUE, What.LUMEN, What.BOTH}
