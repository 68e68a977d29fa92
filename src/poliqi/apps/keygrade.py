"""What a site says about a key that it gave, as an application reads it: grade, epsilon, who could know it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

__all__ = ["WORST_LAST", "GradeDemand", "KeyGrade", "Knowledge", "total_epsilon"]

_PATHS_MOST: Final = 64
_SITES_MOST: Final = 64
_TEXT_MOST: Final = 256


class Knowledge(StrEnum):
    """Who beside the two ends could know a key, from best to worst."""

    DIRECT = "direct fibre"
    DISJOINT = "disjoint paths"
    RELAYED = "relayed"
    UNKNOWN = "not told"


WORST_LAST: Final = (Knowledge.DIRECT, Knowledge.DISJOINT, Knowledge.RELAYED, Knowledge.UNKNOWN)
"""All of them, in order."""


@dataclass(frozen=True, slots=True)
class KeyGrade:
    """The members of a `key_extension` (docs/reference/etsi014.md); what is not told is taken for the worst."""

    name: str = "unknown"
    origin: str = "unknown"
    epsilon: float | None = None
    proof: str = ""
    paths: tuple[tuple[str, ...], ...] = ()
    paths_needed: int = 1
    is_hybrid: bool = False
    combiner: str = "none"
    is_authentic_information_theoretically: bool = False

    @classmethod
    def read(cls, extension: Mapping[str, Any]) -> Self:
        """What is understood of it; a member of a wrong type counts as not told."""
        needed = extension.get("paths_needed")
        return cls(
            name=_text(extension.get("grade"), "unknown"),
            origin=_text(extension.get("origin"), "unknown"),
            epsilon=_probability(extension.get("epsilon")),
            proof=_text(extension.get("proof"), ""),
            paths=_paths(extension.get("paths")),
            paths_needed=needed if isinstance(needed, int) and 1 <= needed <= _PATHS_MOST else 1,
            is_hybrid=extension.get("hybrid") is True,
            combiner=_text(extension.get("combiner"), "unknown"),
            is_authentic_information_theoretically=extension.get("authenticity") == "information-theoretic",
        )

    @property
    def is_simulated(self) -> bool:
        """True where no photon of a real device stands behind it: such a key protects nothing."""
        return self.origin in ("simulated", "replay")

    @property
    def relays(self) -> frozenset[str]:
        """The sites on its ways, but for the ends."""
        return frozenset(site for path in self.paths for site in path[1:-1])

    @property
    def knowledge(self) -> Knowledge:
        """Who could know it."""
        if not self.paths or any(len(path) < 2 for path in self.paths):
            return Knowledge.UNKNOWN
        if not self.relays:
            return Knowledge.DIRECT
        is_disjoint = sum(len(set(path[1:-1])) for path in self.paths) == len(self.relays)
        is_shared = 1 < self.paths_needed <= len(self.paths)
        return Knowledge.DISJOINT if is_shared and is_disjoint else Knowledge.RELAYED

    @property
    def is_information_theoretic(self) -> bool:
        """True where its secrecy is proven against an unbounded adversary who holds no relay."""
        return self.origin == "photons" and self.epsilon is not None and self.is_built_for_proof

    @property
    def is_built_for_proof(self) -> bool:
        """True where nothing but its light stands against `is_information_theoretic`."""
        return self.is_authentic_information_theoretically and self.combiner in ("none", "xor")


@dataclass(frozen=True, slots=True)
class GradeDemand:
    """What an application asks of a key beside what the sites' policies ask.

    `knowledge`: at worst who may know it. `min_paths`: disjoint paths that an adversary has to hold all.
    `allow_simulated` lets simulated light stand for photons, and only that: everything else is asked all the same,
    and what is made with such keys says "simulated".
    """

    information_theoretic: bool = False
    knowledge: Knowledge = Knowledge.UNKNOWN
    min_paths: int = 1
    max_epsilon: float | None = None
    allow_simulated: bool = False

    def judge(self, grade: KeyGrade) -> str | None:
        """Why a key of this grade is refused, or None."""
        if grade.origin != "photons" and not (self.allow_simulated and grade.is_simulated):
            return f"its origin is {grade.origin!r}, and only photons are taken here"
        if self.information_theoretic and not self._is_proven(grade):
            return f"its grade is {grade.name!r}, and only information-theoretic keys are taken here"
        if self.max_epsilon is not None and not grade.is_simulated and not self._is_small(grade.epsilon):
            said = "nothing is proven of it" if grade.epsilon is None else f"its epsilon is {grade.epsilon:.3g}"
            return f"{said}, and at most {self.max_epsilon:.3g} is taken here"
        return self._judge_ways(grade)

    def _judge_ways(self, grade: KeyGrade) -> str | None:
        """A key of the direct fibre meets any demand on its ways."""
        if WORST_LAST.index(grade.knowledge) > WORST_LAST.index(self.knowledge):
            return f"its way is {grade.knowledge.value!r}, and {self.knowledge.value!r} is the worst taken here"
        held = grade.paths_needed if grade.knowledge is Knowledge.DISJOINT else 1
        if grade.knowledge is not Knowledge.DIRECT and held < self.min_paths:
            return f"{held} of its paths give it away, and at least {self.min_paths} are asked for"
        return None

    def _is_proven(self, grade: KeyGrade) -> bool:
        if grade.is_simulated:
            return self.allow_simulated and grade.is_built_for_proof
        return grade.is_information_theoretic

    def _is_small(self, epsilon: float | None) -> bool:
        return epsilon is not None and self.max_epsilon is not None and epsilon <= self.max_epsilon


def total_epsilon(grades: Iterable[KeyGrade]) -> float | None:
    """The sum of what each key may fail by; None where one of them tells none."""
    total = 0.0
    for grade in grades:
        if grade.epsilon is None:
            return None
        total += grade.epsilon
    return total


def _text(value: object, otherwise: str) -> str:
    return value if isinstance(value, str) and len(value) <= _TEXT_MOST else otherwise


def _probability(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0:
        return float(value)
    return None


def _paths(value: object) -> tuple[tuple[str, ...], ...]:
    """All of them, or none where anything about them is odd."""
    if not isinstance(value, list) or len(value) > _PATHS_MOST:  # pyright: ignore[reportUnknownArgumentType]  # JSON
        return ()
    paths: list[tuple[str, ...]] = []
    for path in value:  # pyright: ignore[reportUnknownVariableType]  # JSON
        if not isinstance(path, list) or len(path) > _SITES_MOST:  # pyright: ignore[reportUnknownArgumentType]
            return ()
        if not all(isinstance(site, str) for site in path):  # pyright: ignore[reportUnknownVariableType]
            return ()
        paths.append(tuple(path))  # pyright: ignore[reportUnknownArgumentType]
    return tuple(paths)
