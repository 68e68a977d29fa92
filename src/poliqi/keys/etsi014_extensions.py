"""The extensions of a key request: a link to take the keys from, and what their grade has to be.

ETSI GS QKD 014 v1.1.1, clause 6.2: arrays of objects. An unknown mandatory extension refuses the request;
optional ones change nothing. `link_id` is what the PoliQI prototype uses; `poliqi_grade` is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, cast

from poliqi.base.ids import LinkId
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.requests import Reason, Refused

__all__ = ["NOTHING_DEMANDED", "Demands", "read_extensions"]

_LONGEST_LINK: Final = 128


@dataclass(frozen=True, slots=True)
class Demands:
    """What mandatory extensions ask for; None and False: anything will do."""

    pool: LinkId | None = None
    origins: frozenset[KeyOrigin] | None = None
    max_epsilon: float | None = None
    is_direct: bool = False
    is_information_theoretic: bool = False

    @property
    def names_a_grade(self) -> bool:
        """True where keys of some grades will not do."""
        return self != Demands(self.pool)

    def meets(self, grade: Grade) -> bool:
        """True where a key of this grade is what was asked for."""
        return (
            (self.origins is None or grade.origin in self.origins)
            and (self.max_epsilon is None or (grade.epsilon is not None and grade.epsilon <= self.max_epsilon))
            and (grade.is_direct or not self.is_direct)
            and (grade.is_information_theoretic or not self.is_information_theoretic)
        )


NOTHING_DEMANDED: Final = Demands()


def read_extensions(mandatory: Any, optional: Any) -> Demands | Refused:
    """What the two arrays of a key request ask for."""
    for name, value in (("extension_mandatory", mandatory), ("extension_optional", optional)):
        if not isinstance(value, list) or not all(
            isinstance(e, dict) and len(cast("dict[str, Any]", e)) for e in cast("list[Any]", value)
        ):
            return _refuse(f"{name} is no array of objects with members")
    demands = NOTHING_DEMANDED
    seen: set[str] = set()
    for entry in cast("list[dict[str, Any]]", mandatory):
        for name, value in entry.items():
            if name in seen:
                return _refuse("extension_mandatory names an extension twice")
            seen.add(name)
            read = _READERS.get(name)
            if read is None:
                return _refuse(f"extension_mandatory holds one that is not supported; known: {', '.join(_READERS)}")
            changed = read(demands, value)
            if changed is None:
                return _refuse(f"the value of the mandatory extension {name} is not understood")
            demands = changed
    return demands


def _refuse(message: str) -> Refused:
    return Refused(Reason.BAD_REQUEST, message)


def _link(demands: Demands, value: Any) -> Demands | None:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_LINK or not value.isprintable():
        return None
    return replace(demands, pool=LinkId(value))


def _grade(demands: Demands, value: Any) -> Demands | None:
    if not isinstance(value, dict):
        return None
    members = cast("dict[str, Any]", value)
    if not members or not members.keys() <= {"origins", "max_epsilon", "direct", "information_theoretic"}:
        return None
    origins, epsilon = members.get("origins", ["photons"]), members.get("max_epsilon", 1.0)
    flags = members.get("direct", False), members.get("information_theoretic", False)
    known = {origin.value for origin in KeyOrigin}
    if not isinstance(origins, list) or not origins:
        return None
    if not all(isinstance(o, str) and o in known for o in cast("list[Any]", origins)):
        return None
    if type(epsilon) not in (int, float) or not 0 < epsilon <= 1 or not all(type(f) is bool for f in flags):
        return None
    return replace(
        demands,
        origins=frozenset(KeyOrigin(o) for o in cast("list[str]", origins)) if "origins" in members else None,
        max_epsilon=float(epsilon) if "max_epsilon" in members else None,
        is_direct=flags[0],
        is_information_theoretic=flags[1],
    )


_READERS: Final = {"link_id": _link, "poliqi_grade": _grade}
