"""Which candidates there are: built in, installed beside us, added by packages, added by a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, cast

import msgspec

from poliqi.apps.testbench.ciphers import CIPHERS
from poliqi.apps.testbench.ends import PlainStream
from poliqi.apps.testbench.programs import PROGRAMS
from poliqi.apps.testbench.project import PROJECT
from poliqi.apps.testbench.seams import Candidate, Kind, kind_of
from poliqi.apps.testbench.trialkeys import DerivedPlaces
from poliqi.base.errors import ConfigError
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.pythonfile import load_file

__all__ = [
    "GROUPS",
    "REFERENCE",
    "Origin",
    "Place",
    "candidates_at",
    "described",
    "entries",
    "from_file",
    "missing",
    "places",
    "waived",
]

GROUPS: Final = ("poliqi.encryptors", "poliqi.random_sources", "poliqi.key_sources")
_MOST_CANDIDATES: Final = 32
REFERENCE: Final = PlainStream.name
"""What is measured and never judged: no encryption at all."""


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a candidate is found; a child process is told so. Exactly one is set."""

    built_in: str | None = None
    entry: tuple[str, str] | None = None
    file: str | None = None

    def __str__(self) -> str:
        if self.file is not None:
            return Path(self.file).name
        if self.entry is not None:
            return f"entry point {self.entry[1]}"
        return "installed" if self.built_in in {program.name for program in PROGRAMS} else "built in"


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One candidate, before it is loaded again elsewhere."""

    origin: Origin
    name: str
    kind: Kind
    description: str
    is_two_way: bool = True


class SystemRandom(OperatingSystemEntropy):
    """The operating system's generator."""

    name = "operating system"
    description = "os.urandom: the kernel's generator"


_BUILT_IN: Final[tuple[Candidate, ...]] = (
    *CIPHERS,
    *PROJECT,
    PlainStream(),
    *PROGRAMS,
    SystemRandom(),
    DerivedPlaces(),
)


def places() -> list[Place]:
    """What is built in."""
    return [_place(Origin(built_in=candidate.name), candidate) for candidate in _BUILT_IN]


def candidates_at(origin: Origin) -> list[Candidate]:
    """The candidates themselves: this runs the code of a package or a file. Raises ConfigError."""
    if origin.file is not None:
        return from_file(Path(origin.file))
    if origin.entry is not None:
        return [_of_entry(*origin.entry)]
    return [candidate for candidate in _BUILT_IN if candidate.name == origin.built_in]


def described(origin: Origin) -> list[Place]:
    """What stands there; as `candidates_at`."""
    return [_place(origin, candidate) for candidate in candidates_at(origin)]


def entries() -> list[Origin]:
    """What installed packages add."""
    return [Origin(entry=(group, point.name)) for group in GROUPS for point in entry_points(group=group)]


def from_file(path: Path) -> list[Candidate]:
    """Run a Python file and take its CANDIDATES. Raises ConfigError."""
    module = load_file(path, "candidate")
    named: object = getattr(module, "CANDIDATES", None)
    if not isinstance(named, list | tuple) or not named:
        raise ConfigError(
            f"{path.name} has no CANDIDATES: write a tuple of objects, such as CANDIDATES = (Mine(),)"
        )
    found = [_checked(candidate, path.name) for candidate in cast("Iterable[object]", named)]
    if len(found) > _MOST_CANDIDATES:
        raise ConfigError(f"{path.name} has {len(found)} candidates, at most {_MOST_CANDIDATES} are taken")
    return found


def _of_entry(group: str, name: str) -> Candidate:
    found: list[EntryPoint] = [point for point in entry_points(group=group) if point.name == name]
    if not found:
        raise ConfigError(f"no installed package has the entry point {name!r} of {group}")
    try:
        loaded: object = found[0].load()
        made = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:  # as above
        raise ConfigError(f"entry point {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    return _checked(made, f"entry point {name!r}")


def _checked(candidate: object, where: str) -> Candidate:
    if kind_of(candidate) is None:
        raise ConfigError(
            f"{where}: {type(candidate).__name__} is no candidate: it has none of open_end, listen and call, draw,"
            " open_pair"
        )
    for member in ("name", "description"):
        text: object = getattr(candidate, member, None)
        if not isinstance(text, str) or not 1 <= len(text) <= (60 if member == "name" else 200):
            raise ConfigError(f"{where}: {type(candidate).__name__}.{member} is no short text")
    return cast("Candidate", candidate)


def _place(origin: Origin, candidate: Candidate) -> Place:
    kind = kind_of(candidate)
    assert kind is not None  # it was checked
    is_two_way = bool(getattr(candidate, "is_two_way", True))
    return Place(origin, candidate.name, kind, candidate.description, is_two_way)


def waived(place: Place) -> Mapping[str, str]:
    """What an installed program does not claim, by check. Candidates of others are held to everything."""
    found = next((c for c in PROGRAMS if c.name == place.origin.built_in), None)
    return getattr(found, "does_not_promise", {})


def missing(place: Place) -> str | None:
    """Why a candidate that is built in or installed cannot run here, or None. What others add is not loaded."""
    found: object = next((c for c in _BUILT_IN if c.name == place.origin.built_in), None)
    look: Callable[[], str | None] | None = getattr(found, "missing", None)
    return None if look is None else look()
