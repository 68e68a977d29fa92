"""What is known of a key: where it came from, what was proven, who could know it.

The grade travels with every key; along a serial relay the weakest word wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from poliqi.base.ids import KmeId

__all__ = ["Authenticity", "Combiner", "Grade", "KeyOrigin", "is_sound", "weakest"]


class KeyOrigin(StrEnum):
    """Where the bits came from. Only `photons` can carry a proof of secrecy."""

    PHOTONS = "photons"
    PQC = "pqc"
    UNPROVEN = "unproven"
    REPLAY = "replay"
    SIMULATED = "simulated"


class Authenticity(StrEnum):
    """What keeps an adversary from changing the key on its way."""

    INFORMATION_THEORETIC = "information-theoretic"
    COMPUTATIONAL = "computational"


class Combiner(StrEnum):
    """How a post-quantum secret was mixed in: not at all, by HKDF (computational), by exclusive or."""

    NONE = "none"
    HKDF = "hkdf-sha384"
    XOR = "xor"


_ORDER: Final = tuple(KeyOrigin)  # from strong to weak
_PROOF_MOST: Final = 1024
_PATHS_MOST: Final = 64
_PATH_MOST: Final = 9
_NAME_MOST: Final = 128


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of a key.

    `paths` are the chains of sites that it travelled, ends included; whoever holds the relays of `threshold`
    of them knows the bits that were relayed. `epsilon` is the sum of the proofs' failure probabilities along
    the way, None where nothing is proven.
    """

    origin: KeyOrigin
    proof: str
    epsilon: float | None
    paths: tuple[tuple[KmeId, ...], ...]
    threshold: int = 1
    authenticity: Authenticity = Authenticity.INFORMATION_THEORETIC
    combiner: Combiner = Combiner.NONE

    @property
    def relays(self) -> frozenset[KmeId]:
        """Every site between the ends, on any path."""
        return frozenset(site for path in self.paths for site in path[1:-1])

    @property
    def is_direct(self) -> bool:
        """True where no site but the two ends held the bits."""
        return not self.relays

    @property
    def is_information_theoretic(self) -> bool:
        """True where the bits' secrecy is proven against an unbounded adversary who holds no relay."""
        return (
            self.origin is KeyOrigin.PHOTONS
            and self.epsilon is not None
            and self.combiner is not Combiner.HKDF
            and self.authenticity is Authenticity.INFORMATION_THEORETIC
        )

    @property
    def name(self) -> str:
        """One word for people: the weakest thing that can be said."""
        if self.origin is not KeyOrigin.PHOTONS:
            return self.origin.value
        if self.combiner is Combiner.HKDF:
            return "hybrid"
        if not self.is_information_theoretic:
            return "computational" if self.epsilon is not None else "unproven"
        if self.is_direct:
            return "its"
        return "its-trusted-relay" if self.threshold == 1 else f"its-{self.threshold}-of-{len(self.paths)}-paths"

    def with_combiner(self, combiner: Combiner) -> Grade:
        """The grade of the same bits with a post-quantum secret mixed in."""
        return replace(self, combiner=combiner)

    def as_json(self) -> dict[str, Any]:
        """The members of a key_extension."""
        return {
            "grade": self.name,
            "origin": self.origin.value,
            "simulated": self.origin in (KeyOrigin.SIMULATED, KeyOrigin.REPLAY),
            "epsilon": self.epsilon,
            "proof": self.proof,
            "paths": [list(path) for path in self.paths],
            "paths_needed": self.threshold,
            "hybrid": self.combiner is not Combiner.NONE,
            "combiner": self.combiner.value,
            "authenticity": self.authenticity.value,
        }


def is_sound(grade: Grade) -> bool:
    """True for what a site may say of a key that it carries: bounded words, a probability, ways that can be."""
    epsilon = grade.epsilon
    return (
        (epsilon is None or 0.0 <= epsilon <= 1.0)  # a NaN is in no order
        and len(grade.proof) <= _PROOF_MOST
        and len(grade.paths) <= _PATHS_MOST
        and all(2 <= len(path) <= _PATH_MOST for path in grade.paths)
        and all(0 < len(site) <= _NAME_MOST for path in grade.paths for site in path)
        and 1 <= grade.threshold <= max(1, len(grade.paths))
        and grade.combiner is Combiner.NONE
    )


def weakest(grades: Iterable[Grade]) -> Grade:
    """The grade of bits that needed all of `grades`, one after another: each word the weakest, epsilons added.

    All their paths count, and the least threshold of those that were relayed. Raises ValueError on none.
    """
    listed = list(grades)
    if not listed:
        raise ValueError("the weakest of no grades is nothing")
    epsilons = [g.epsilon for g in listed]
    known = [e for e in epsilons if e is not None]
    combiners = {g.combiner for g in listed}
    is_mixed = len(combiners) > 1 and Combiner.HKDF in combiners
    computational = is_mixed or any(g.authenticity is Authenticity.COMPUTATIONAL for g in listed)
    return Grade(
        origin=max((g.origin for g in listed), key=_ORDER.index),
        proof=" + ".join(dict.fromkeys(g.proof for g in listed if g.proof)),
        epsilon=sum(known) if len(known) == len(epsilons) else None,
        paths=tuple(dict.fromkeys(path for g in listed for path in g.paths)),
        threshold=min((g.threshold for g in listed if not g.is_direct), default=1),
        authenticity=Authenticity.COMPUTATIONAL if computational else Authenticity.INFORMATION_THEORETIC,
        combiner=combiners.pop() if len(combiners) == 1 else Combiner.NONE,
    )
