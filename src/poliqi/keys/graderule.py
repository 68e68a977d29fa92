"""The least grade that a key must have: origins, epsilon, ways it may have gone, post-quantum secret mixed in.

Both end sites judge, each by its own rule; a controller has no say in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.keys.grade import Combiner, Grade, KeyOrigin

__all__ = ["PHOTONS_ONLY", "GradeRule"]

PHOTONS_ONLY: Final = frozenset({KeyOrigin.PHOTONS})


@dataclass(frozen=True, slots=True)
class GradeRule:
    """What is asked of a grade. The default takes keys of photons, proven or not, over any way.

    `min_paths` counts the node-disjoint ways of which an adversary has to hold all; a key that touched no third
    site satisfies any. `max_relays` bounds the sites between the ends on each path. Raises ValueError on a rule
    that no key can meet by its own words.
    """

    origins: frozenset[KeyOrigin] = PHOTONS_ONLY
    max_epsilon: float | None = None
    information_theoretic_only: bool = False
    never_through: frozenset[KmeId] = frozenset()
    max_relays: int | None = None
    min_paths: int = 1
    combiner: Combiner = Combiner.NONE

    def __post_init__(self) -> None:
        if self.max_epsilon is not None and not 0.0 < self.max_epsilon <= 1.0:
            raise ValueError(f"max_epsilon {self.max_epsilon:g} is outside 0 to 1")
        if self.max_relays is not None and self.max_relays < 0:
            raise ValueError(f"max_relays {self.max_relays} is below 0")
        if self.min_paths < 1:
            raise ValueError(f"min_paths {self.min_paths} is below 1")
        if self.information_theoretic_only and self.combiner is Combiner.HKDF:
            raise ValueError(
                "hybrid 'hkdf-sha384' makes a key computational, which information_theoretic_only forbids: "
                "mix by 'xor', or drop one of the two"
            )

    def joined(self, other: GradeRule) -> GradeRule:
        """The rule that demands what both demand. Raises ValueError where they contradict each other."""
        combiners = {self.combiner, other.combiner} - {Combiner.NONE}
        if len(combiners) > 1:
            raise ValueError("two kinds of hybrid are asked for, 'hkdf-sha384' and 'xor': keep one")
        epsilons = [e for e in (self.max_epsilon, other.max_epsilon) if e is not None]
        relays = [n for n in (self.max_relays, other.max_relays) if n is not None]
        return GradeRule(
            origins=self.origins & other.origins,
            max_epsilon=min(epsilons, default=None),
            information_theoretic_only=self.information_theoretic_only or other.information_theoretic_only,
            never_through=self.never_through | other.never_through,
            max_relays=min(relays, default=None),
            min_paths=max(self.min_paths, other.min_paths),
            combiner=combiners.pop() if combiners else Combiner.NONE,
        )

    def judge_origin(self, origin: KeyOrigin) -> str | None:
        """Why keys of this origin are refused, or None."""
        if origin in self.origins:
            return None
        allowed = ", ".join(sorted(self.origins)) or "none"
        return f"its origin is {origin}, and the policy takes {allowed}"

    def judge(self, grade: Grade) -> str | None:
        """Why a key of this grade is refused, or None. The grade is that of the key as it will be delivered."""
        refused = self.judge_origin(grade.origin) or self._judge_combiner(grade.combiner)
        if refused is not None:
            return refused
        if self.max_epsilon is not None and (grade.epsilon is None or grade.epsilon > self.max_epsilon):
            said = "nothing is proven of it" if grade.epsilon is None else f"its epsilon is {grade.epsilon:.3g}"
            return f"{said}, and the policy takes at most {self.max_epsilon:.3g}"
        if self.information_theoretic_only and not grade.is_information_theoretic:
            return f"its grade is {grade.name!r}, and the policy takes information-theoretic keys alone"
        return self._judge_ways(grade)

    def _judge_combiner(self, combiner: Combiner) -> str | None:
        """What is required is never left out or exchanged; what is not required may be mixed in."""
        if self.combiner in (Combiner.NONE, combiner):
            return None
        return f"its post-quantum combiner is {combiner.value!r}, and the policy demands {self.combiner.value!r}"

    def _judge_ways(self, grade: Grade) -> str | None:
        if not (self.never_through or self.max_relays is not None or self.min_paths > 1):
            return None
        if not grade.paths or any(len(path) < 2 for path in grade.paths):
            return "the ways it went are not told, and the policy has conditions on them"
        met = self.never_through & grade.relays
        if met:
            return f"it went through {', '.join(sorted(met))}, and the policy says never"
        longest = max(len(path) - 2 for path in grade.paths)
        if self.max_relays is not None and longest > self.max_relays:
            return f"it went through {longest} relays on one path, and the policy takes at most {self.max_relays}"
        if self.min_paths > 1 and not grade.is_direct:
            return self._judge_disjoint(grade)
        return None

    def _judge_disjoint(self, grade: Grade) -> str | None:
        if grade.threshold < self.min_paths:
            return f"{grade.threshold} of its paths give it away, and the policy demands at least {self.min_paths}"
        if sum(len(set(path[1:-1])) for path in grade.paths) != len(grade.relays):
            return "one relay is on several of its paths, and the policy demands disjoint ones"
        return None
