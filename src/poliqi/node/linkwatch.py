"""The monitor of one end of a link: its baseline and quarantine on disk, a verdict for every block.

Two small files stand in the folder of the link's state. `baseline.json` is what commissioning found; take it away
to commission the link anew. `quarantine.json` says why no block gives key; while it is there none does, whatever
was started or restarted meanwhile, and `poliqi link release` takes it away.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.ids import Role
from poliqi.distill.outcome import BlockReport
from poliqi.edge.privatefile import read_private, write_private
from poliqi.link.health import Health
from poliqi.link.monitor import Learned, Level, Observation
from poliqi.link.response import Action, Decision, Guard, Quarantine, WatchSettings
from poliqi.optics.parameters import LinkParameters

__all__ = ["BASELINE", "QUARANTINE", "LinkWatch", "decision_lines", "decision_record", "observation_of", "release"]

BASELINE: Final = "baseline.json"
QUARANTINE: Final = "quarantine.json"
_LOOK_S: Final = 0.5
_LARGEST: Final = 1 << 20
_T = TypeVar("_T")


class LinkWatch:
    """Guards one end. `vet` is called in a worker thread, the rest in the loop."""

    def __init__(self, state: Path, link: LinkParameters, settings: WatchSettings) -> None:
        self._folder: Final = state
        learned = _read(state / BASELINE, Learned, "baseline")
        held = _read(state / QUARANTINE, Quarantine, "quarantine")
        self._guard: Final = Guard(link, settings, learned, held)
        self._decisions: Final[list[Decision]] = []
        self._looked_at = 0.0
        self._stored = held
        """The quarantine that is on disk: only one that was there can have been taken away."""
        self._was_held = held is not None
        self.released: Final = asyncio.Event()
        """Set when a quarantine ends."""

    @property
    def quarantine(self) -> Quarantine | None:
        """Why no block gives key; None where they may."""
        return self._guard.quarantine

    @property
    def waits_for_release(self) -> bool:
        """Whether a person has to end a quarantine: until then no block is worth its light."""
        return self._guard.quarantine is not None and not self._guard.releases_itself

    @property
    def commissioning(self) -> tuple[int, int] | None:
        """How many blocks of how many have taught the baseline; None once it stands."""
        return self._guard.commissioning

    def vet(self, report: BlockReport, health: Health | None, role: Role, now: float) -> str | None:
        """Judge a block; why it must give no key, None where it may. Raises StoreError."""
        decision = self._see(observation_of(report, health, role), now)
        return decision.refusal

    def forged(self, now: float) -> None:
        """A session ended because a tag did not fit."""
        self._see(Observation(sessions=1, forged=1), now)

    def _see(self, seen: Observation, now: float) -> Decision:
        before = self._guard.quarantine
        decision = self._guard.see(seen, now, time.time())
        if decision.learned is not None:
            _write(self._folder / BASELINE, decision.learned, "baseline")
        held = self._guard.quarantine
        if held is not None and held is not before:
            self.released.clear()
            _write(self._folder / QUARANTINE, held, "quarantine")
            self._stored = held
        elif before is not None and held is None:
            (self._folder / QUARANTINE).unlink(missing_ok=True)
        self._decisions.append(decision)
        return decision

    def take(self) -> list[Decision]:
        """Decisions since the call before."""
        taken, self._decisions[:] = list(self._decisions), []
        return taken

    def look(self) -> bool:
        """Whether the quarantine has just ended, by a person's hand or by itself."""
        held, now = self._guard.quarantine, time.monotonic()
        if held is not None and held is self._stored and now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            if not (self._folder / QUARANTINE).exists():
                self._guard.release()
                held = None
        ended = self._was_held and held is None
        self._was_held = held is not None
        if ended:
            self.released.set()
        return ended


def observation_of(report: BlockReport, health: Health | None, role: Role) -> Observation:
    """What this end knows of a block."""
    errors = None if report.qber_test is None else report.qber_test * report.sifted_test
    return Observation(
        pulses=report.pulses,
        detections=report.detections,
        counts=report.counts,
        sifted_key=report.sifted_key,
        sifted_test=report.sifted_test,
        test_errors=errors,
        bob=health if role is Role.BOB else None,
        alice=health if role is Role.ALICE else None,
        sessions=1,
    )


def release(state: Path) -> Quarantine | None:
    """End the quarantine of a link's end, running or not: what it was for, None where there was none."""
    held = _read(state / QUARANTINE, Quarantine, "quarantine")
    with suppress(FileNotFoundError):
        (state / QUARANTINE).unlink()
    return held


def decision_record(decision: Decision) -> dict[str, Any]:
    """A decision's fields for the log."""
    verdict = decision.verdict
    return {
        "verdict": verdict.level.value,
        "action": decision.action.value,
        "attacks": {candidate.attack.value: candidate.score for candidate in verdict.candidates},
        "evidence": [
            {
                "figure": row.figure,
                "honest": [row.low, row.high],
                "seen": row.seen,
                "bound": row.bound,
                "confidence": row.confidence,
                "p_value": row.p_value,
                "blocks": row.blocks,
            }
            for row in verdict.evidence[:8]
        ],
        "missing": list(verdict.missing[:8]),
        "unwatched": [attack.value for attack in verdict.unwatched],
    }


def decision_lines(decision: Decision) -> list[str]:
    """What an operator should read of a decision: nothing of a clear block."""
    lines: list[str] = []
    if decision.verdict.level is not Level.CLEAR:
        done = {Action.ABORT: "; the block is dropped", Action.QUARANTINE: "; the link is quarantined"}
        lines.append(f"monitor: {decision.verdict}{done.get(decision.action, '')}")
    if decision.learned is not None:
        unwatched = ", ".join(decision.verdict.unwatched)
        blind = f"; no reading here would show: {unwatched}" if unwatched else ""
        lines.append(f"monitor: commissioned on {decision.learned.blocks} blocks{blind}")
    return lines


def _read(path: Path, kind: type[_T], what: str) -> _T | None:
    """A file of the state; ConfigError where it is not what it should be: nothing is watched by half a baseline."""
    if not path.exists():
        return None
    data, _ = read_private(path, what, _LARGEST)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{what} {path}: {error}; take it away to commission or release the link anew") from None


def _write(path: Path, value: msgspec.Struct, what: str) -> None:
    """Replace a file of the state as a whole."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    write_private(fresh, msgspec.json.encode(value), what)
    try:
        fresh.replace(path)
    except OSError as error:
        raise StoreError(f"{what} {path}: cannot be written: {error.strerror}; free space and try again") from error
