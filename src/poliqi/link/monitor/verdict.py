"""What a monitor says of a block, and on what evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Candidate", "Evidence", "Level", "Suspected", "Verdict"]


class Level(StrEnum):
    """How bad it is."""

    CLEAR = "clear"
    """Every figure lies where an honest link's may. No attack is excluded by that: see what is not watched."""
    SUSPECT = "suspect"
    """A figure left its place by more than chance does once in 1 / suspicion blocks."""
    ATTACK = "attack"
    """A figure left its place by more than chance does once in 1 / alpha blocks."""
    BLIND = "blind"
    """There is not enough to judge by: too few detections, or a reading that used to come is missing."""


class Suspected(StrEnum):
    """What could stand behind figures that left their place."""

    INTERCEPT_RESEND = "intercept-resend"
    PHOTON_SPLITTING = "photon-number-splitting"
    BLINDING = "blinding"
    TIME_SHIFT = "time-shift"
    TROJAN_HORSE = "trojan-horse"
    TAP = "tap"
    JAMMING = "jamming"
    TAMPERING = "tampering"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A figure that left its place: `low` to `high` is honest, `seen` is not.

    The true value lies beyond `bound` with confidence `confidence`; `p_value` bounds the probability that an honest
    link shows as much. `blocks` is how many blocks this rests on: more than one where small steps added up.
    """

    figure: str
    low: float
    high: float
    seen: float
    bound: float
    confidence: float
    p_value: float
    is_high: bool
    blocks: int = 1

    @property
    def sign(self) -> str:
        """The figure and which way it went: `qber-test+`."""
        return self.figure + ("+" if self.is_high else "-")

    def __str__(self) -> str:
        beyond = "at least" if self.is_high else "at most"
        over = f" over {self.blocks} blocks" if self.blocks > 1 else ""
        wrong = max(1.0 - self.confidence, 1e-16)
        return (
            f"{self.figure} {self.seen:.4g}{over}, honest {self.low:.4g} to {self.high:.4g} "
            f"({beyond} {self.bound:.4g}, wrong with probability {wrong:.0e}, p < {max(self.p_value, 1e-99):.1e})"
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attack that would show what is seen: `score` in powers of ten, against chance. `is_covered`: the proof of
    the link's protocol pays for it, so that a key which the proof grants is secret all the same.
    """

    attack: Suspected
    score: float
    is_covered: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """`candidates` likeliest first; `evidence` strongest first; `missing` says what a blind one lacks; `unwatched`
    names attacks that no reading of this link could show.
    """

    level: Level
    candidates: tuple[Candidate, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    unwatched: tuple[Suspected, ...] = ()

    @property
    def attack(self) -> Suspected | None:
        """The likeliest attack; None where nothing is seen."""
        return self.candidates[0].attack if self.candidates else None

    @property
    def is_covered(self) -> bool:
        """Whether the proof pays for every attack that may stand behind the evidence."""
        return all(candidate.is_covered for candidate in self.candidates)

    @property
    def text(self) -> str:
        """What it rests on, in one line: the three strongest figures, or what is missing."""
        if self.level is Level.BLIND:
            return f"missing: {', '.join(self.missing[:6])}"
        return "; ".join(str(row) for row in self.evidence[:3])

    def __str__(self) -> str:
        names = " or ".join(candidate.attack for candidate in self.candidates)
        return ": ".join(part for part in (str(self.level), names, self.text) if part)
