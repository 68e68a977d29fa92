"""What a link does about a verdict: policy, and the quarantine that it may lead to. Everything fails closed.

A verdict can only take key away. A block that is refused here is dropped by the session before it is delivered at
either end. What no tag covers teaches nothing and quarantines nothing: it could come from anybody on the line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from poliqi.base.errors import ConfigError
from poliqi.link.monitor import LEAST_BLOCKS, Baseline, Learned, Level, Monitor, Observation, Tolerance, Verdict
from poliqi.link.monitor.observation import figures_of
from poliqi.optics.parameters import LinkParameters

__all__ = ["Action", "Decision", "Guard", "Quarantine", "WatchSettings"]

_ODD_BLOCKS: Final = 10
"""So many blocks may give key during commissioning and teach nothing; from then on none does before it is over:
else blocks that are never clear would keep every reading unwatched for ever."""
_CLEAR_BLOCKS: Final = 3
"""A quarantine ends by itself after so many clear blocks at least, however long they took."""


class Action(StrEnum):
    """What is done; each includes those before it."""

    LET = "let"
    """Nothing."""
    ALARM = "alarm"
    """Say so: the block gives what the proof grants."""
    ABORT = "abort"
    """Drop this block."""
    QUARANTINE = "quarantine"
    """Drop this block and every later one, until somebody releases the link."""


_ORDER: Final = tuple(Action)


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How a link is watched and what its verdicts lead to.

    `attack`: a pattern that the proof does not pay for, or that nobody knows; `covered`: one that it pays for, so
    that a key which it grants is secret all the same. `release_after_s`: a quarantine ends by itself after so long
    of clear blocks, whose keys are dropped; None: a person ends it. `commissioning` blocks teach the baseline.
    """

    alpha: float = 1e-6
    suspicion: float = 1e-3
    commissioning: int = 20
    least_detections: int = 1000
    attack: Action = Action.QUARANTINE
    covered: Action = Action.ALARM
    suspect: Action = Action.ALARM
    blind: Action = Action.ABORT
    release_after_s: float | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha <= self.suspicion < 1.0:
            raise ConfigError(
                f"monitor: alpha {self.alpha:g} and suspicion {self.suspicion:g}: probabilities, alpha the smaller"
            )
        if self.commissioning and self.commissioning < LEAST_BLOCKS:
            raise ConfigError(
                f"monitor.commissioning: {self.commissioning} blocks; at least {LEAST_BLOCKS}, or 0 for none"
            )
        if self.release_after_s is not None and self.release_after_s < 0.0:
            raise ConfigError(f"monitor.release_after: {self.release_after_s:g} s is negative")


class Quarantine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a link gives no key: kept in its state, so that no restart ends it. `since` is Unix time, in seconds."""

    attack: str
    evidence: str
    since: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of an observation. `refusal` says why the block may give no key; None where it may."""

    verdict: Verdict
    action: Action
    refusal: str | None = None
    learned: Learned | None = None
    """Where commissioning ended with this block: what it found."""
    is_authentic: bool = True
    """Whether the peer's tag covered what was judged: what did not may be the line's doing, not the light's."""


class Guard:
    """Monitor and policy of one end of a link. `learned` and `quarantine` are what the state holds of before."""

    def __init__(
        self,
        link: LinkParameters,
        settings: WatchSettings,
        learned: Learned | None = None,
        quarantine: Quarantine | None = None,
    ) -> None:
        self._settings: Final = settings
        self._baseline = Baseline.of(link, settings.tolerance)
        self._lessons: list[Observation] | None = [] if learned is None and settings.commissioning else None
        if learned is not None:
            self._baseline = self._baseline.with_learned(learned)
        self._figures: frozenset[str] = frozenset()
        self._odd_blocks = 0
        self._monitor = self._made()
        self._clear_since: float | None = None
        self._clear_blocks = 0
        self.quarantine: Quarantine | None = quarantine
        """Why no block gives key; None while they may."""

    @property
    def commissioning(self) -> tuple[int, int] | None:
        """How many blocks of how many have taught the baseline; None once it stands."""
        return None if self._lessons is None else (len(self._lessons), self._settings.commissioning)

    @property
    def releases_itself(self) -> bool:
        """Whether clear blocks end a quarantine."""
        return self._settings.release_after_s is not None

    def release(self) -> None:
        """A person ends the quarantine; what had added up over blocks starts anew."""
        self.quarantine, self._clear_since, self._clear_blocks = None, None, 0
        self._monitor = self._made()

    def see(self, seen: Observation, now: float, wall_s: float) -> Decision:
        """Judge a block that the peer's tag covers, before anything is made of it, or what happened to messages.
        `now` is any steady clock's, `wall_s` Unix time.
        """
        verdict = self._monitor.see(seen, now)
        action = self._action(verdict)
        held = self.quarantine
        if held is not None:
            self._wait(verdict, now, is_block=seen.pulses > 0)
            return Decision(verdict, Action.QUARANTINE, f"the link is quarantined: {held.attack}: {held.evidence}")
        if action is Action.QUARANTINE:
            self.quarantine = Quarantine(str(verdict.attack or verdict.level), verdict.text[:400], wall_s)
        if action in (Action.ABORT, Action.QUARANTINE):
            return Decision(verdict, action, f"the monitor refuses the block: {verdict}")
        lessons = self.commissioning
        learned = self._lesson(seen, verdict)
        if lessons is not None and lessons == self.commissioning and seen.pulses:
            self._odd_blocks += 1
        if self._lessons is not None and seen.pulses and self._odd_blocks > _ODD_BLOCKS:
            return Decision(verdict, Action.ABORT, self._stalled_text(len(self._lessons)), learned)
        return Decision(verdict, action, learned=learned)

    def glance(self, seen: Observation, now: float) -> Decision:
        """Judge a block that ended without the peer's tag. It gives no key anyway, and its figures may be the work
        of anybody on the line: nothing is learned from it, added up over blocks or quarantined.
        """
        verdict = self._made().see(seen, now)
        if self.quarantine is not None and verdict.level is not Level.CLEAR:
            self._clear_since, self._clear_blocks = None, 0
        action = min(self._action(verdict), Action.ABORT, key=_ORDER.index)
        return Decision(verdict, action, is_authentic=False)

    def _action(self, verdict: Verdict) -> Action:
        s = self._settings
        match verdict.level:
            case Level.CLEAR:
                return Action.LET
            case Level.SUSPECT:
                return s.suspect
            case Level.BLIND:
                return s.blind
            case Level.ATTACK:
                chosen = max(s.covered, s.suspect, key=_ORDER.index) if verdict.is_covered else s.attack
                if verdict.missing:
                    chosen = max(chosen, s.blind, key=_ORDER.index)
                # until commissioning is over it may be the LINK.toml that is wrong: no key, and it goes on
                return chosen if self._lessons is None else min(chosen, Action.ABORT, key=_ORDER.index)

    def _stalled_text(self, lessons: int) -> str:
        return (
            f"the monitor is not commissioned: {lessons} of {self._settings.commissioning} lessons, and "
            f"{self._odd_blocks} blocks that taught nothing, of which {_ODD_BLOCKS} may give key; see "
            "what the monitor says of them, and whether the LINK.toml is that of this link"
        )

    def _lesson(self, seen: Observation, verdict: Verdict) -> Learned | None:
        """Take a clear block that lacks no figure of earlier ones into the lessons; what they say, once enough."""
        if self._lessons is None or verdict.level is not Level.CLEAR or not seen.pulses or seen.counts is None:
            return None
        figures = figures_of(seen)
        if self._figures - figures:
            return None
        self._figures |= figures
        self._lessons.append(seen)
        if len(self._lessons) < self._settings.commissioning:
            return None
        self._baseline = self._baseline.commissioned(self._lessons, self._settings.alpha)
        self._lessons = None
        self._monitor = self._made()
        return self._baseline.learned

    def _wait(self, verdict: Verdict, now: float, *, is_block: bool) -> None:
        """In quarantine: release once blocks have been clear for long enough."""
        after_s = self._settings.release_after_s
        if after_s is None or not is_block:
            return
        if verdict.level is not Level.CLEAR:
            self._clear_since, self._clear_blocks = None, 0
            return
        self._clear_since = now if self._clear_since is None else self._clear_since
        self._clear_blocks += 1
        if self._clear_blocks >= _CLEAR_BLOCKS and now - self._clear_since >= after_s:
            self.release()

    def _made(self) -> Monitor:
        s = self._settings
        return Monitor(self._baseline, alpha=s.alpha, suspicion=s.suspicion, least_detections=s.least_detections)
