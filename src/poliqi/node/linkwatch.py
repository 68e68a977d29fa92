"""The monitor of one end of a link: its baseline and quarantine on disk, a verdict for every block.

Two small files stand in the folder of the link's state. `baseline.json` is what commissioning found; take it away
to commission the link anew. `quarantine.json` says why no block gives key; while it is there none does, whatever
was started or restarted meanwhile, and `poliqi link release` takes it away. What could not be written is in force
all the same and is tried again until it is on disk. A third, `commissioning.json`, only tells whoever asks how far
commissioning is.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from poliqi.base.errors import ConfigError, StoreError
from poliqi.base.ids import Role
from poliqi.distill.outcome import BlockReport
from poliqi.edge.durable import replace_file
from poliqi.edge.folder import sync_folder
from poliqi.edge.privatefile import read_private
from poliqi.link.health import Health
from poliqi.link.monitor import Learned, Level, Observation
from poliqi.link.response import Action, Decision, Guard, Quarantine, WatchSettings
from poliqi.optics.parameters import LinkParameters

__all__ = [
    "BASELINE",
    "QUARANTINE",
    "LinkWatch",
    "Standing",
    "decision_lines",
    "decision_record",
    "observation_of",
    "release",
    "standing",
]

BASELINE: Final = "baseline.json"
QUARANTINE: Final = "quarantine.json"
_COMMISSIONING: Final = "commissioning.json"
"""How far commissioning is, for whoever looks; nothing reads it to decide."""
_LOOK_S: Final = 0.5
_LARGEST: Final = 1 << 20
_T = TypeVar("_T")


class LinkWatch:
    """Guards one end. `vet` may be called in a worker thread, the rest in the loop."""

    def __init__(self, state: Path, link: LinkParameters, settings: WatchSettings) -> None:
        self._folder: Final = state
        learned = _read(state / BASELINE, Learned, "baseline")
        held = _read(state / QUARANTINE, Quarantine, "quarantine")
        self._place: Final = _place(state)
        self._guard: Final = Guard(link, settings, learned, held)
        self._lock: Final = threading.Lock()
        self._decisions: Final[list[Decision]] = []
        self._looked_at = -_LOOK_S
        self._learned: Learned | None = None
        """What commissioning found and no disk holds yet."""
        self._stored = held
        """The quarantine that is on disk: only one that was there can have been taken away."""
        self._was_held = held is not None
        self._noted: tuple[int, int] | None = (-1, -1)
        self._note()
        self.trouble = ""
        """Why the disk does not hold what it should; it is tried again at every look."""
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
        """Judge a block whose figures the peer's tag covers; why it must give no key, None where it may."""
        decision = self._see(observation_of(report, health, role), now)
        return decision.refusal

    def dropped(self, report: BlockReport, health: Health | None, role: Role, now: float) -> None:
        """Judge a block that was dropped without a tag: what can be seen of it is said, nothing is learned."""
        with self._lock:
            self._decisions.append(self._guard.glance(observation_of(report, health, role), now))

    def forged(self, now: float) -> None:
        """A session ended because a tag did not fit."""
        self._see(Observation(sessions=1, forged=1), now)

    def _see(self, seen: Observation, now: float) -> Decision:
        with self._lock:
            before = self._guard.quarantine
            decision = self._guard.see(seen, now, time.time())
            self._decisions.append(decision)
            if self._guard.quarantine is not None and self._guard.quarantine is not before:
                self.released.clear()
            if decision.learned is not None:
                self._learned = decision.learned
            self._store()
            self._note()
        return decision

    def _note(self) -> None:
        """Leave word of how far commissioning is; a disk that does not take it loses nothing."""
        progress = self._guard.commissioning
        if progress == self._noted:
            return
        path = self._folder / _COMMISSIONING
        with suppress(StoreError, OSError):
            if progress is None:
                path.unlink(missing_ok=True)
            else:
                replace_file(path, msgspec.json.encode(progress))
            self._noted = progress

    def _store(self) -> None:
        """Bring the disk to where the guard is; what fails stays to be done."""
        held = self._guard.quarantine
        try:
            if held is not self._stored:
                path = self._folder / QUARANTINE
                if held is not None:
                    replace_file(path, msgspec.json.encode(held))
                elif not self._is_gone():
                    path.unlink()
                    sync_folder(self._folder)
                self._stored = held
            if self._learned is not None:
                replace_file(self._folder / BASELINE, msgspec.json.encode(self._learned))
                self._learned = None
        except (StoreError, OSError) as error:
            self.trouble = f"{error}; free space or mend the disk: it is tried again until it is stored"
        else:
            self.trouble = ""

    def take(self) -> list[Decision]:
        """Decisions since the call before."""
        with self._lock:
            taken, self._decisions[:] = list(self._decisions), []
        return taken

    def look(self) -> bool:
        """Whether the quarantine has just ended, by a person's hand or by itself; what is not stored is stored."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked_at >= _LOOK_S:
                self._looked_at = now
                held = self._guard.quarantine
                if held is not None and held is self._stored and self._is_gone():
                    self._guard.release()
                    self._stored = None
                self._store()
            held = self._guard.quarantine
        ended = self._was_held and held is None
        self._was_held = held is not None
        if ended:
            self.released.set()
        return ended

    def _is_gone(self) -> bool:
        """Whether somebody took the quarantine out of the state: the state's own folder is there and lacks the
        file. A folder that is away, is another or cannot be looked into says nothing.
        """
        try:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            state = os.fstat(folder)
            if (state.st_dev, state.st_ino) != self._place:
                return False
            os.stat(QUARANTINE, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        finally:
            os.close(folder)
        return False


def observation_of(report: BlockReport, health: Health | None, role: Role) -> Observation:
    """What this end knows of a block, and the peer's tag covers: Alice judges once Bob's announcement is tagged,
    which tells her all but the errors of the key basis.
    """
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
        has_key_errors=role is Role.BOB,
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """What the monitor has left in a state. `baseline_blocks`: how many blocks commissioning has learned from, None
    where it is not over; `lessons`: how many of how many so far, since the end was started last.
    """

    quarantine: Quarantine | None
    baseline_blocks: int | None
    lessons: tuple[int, int] | None


def standing(state: Path) -> Standing:
    """Where the monitor of a link's end stands, running or not. Raises ConfigError."""
    learned = _read(state / BASELINE, Learned, "baseline")
    lessons = None if learned is not None else _read(state / _COMMISSIONING, tuple[int, int], "commissioning")
    held = _read(state / QUARANTINE, Quarantine, "quarantine")
    return Standing(held, None if learned is None else learned.blocks, lessons)


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
        "authentic": decision.is_authentic,
    }


def decision_lines(decision: Decision) -> list[str]:
    """What an operator should read of a decision: nothing of a clear block."""
    lines: list[str] = []
    if decision.verdict.level is not Level.CLEAR:
        done = {Action.ABORT: "; the block is dropped", Action.QUARANTINE: "; the link is quarantined"}
        unsure = (
            "" if decision.is_authentic else "; no tag covers this block: the line may be to blame, not the light"
        )
        lines.append(f"monitor: {decision.verdict}{done.get(decision.action, '')}{unsure}")
    elif decision.action is Action.ABORT and decision.refusal is not None:
        lines.append(f"monitor: the block is dropped: {decision.refusal}")
    if decision.learned is not None:
        unwatched = ", ".join(decision.verdict.unwatched)
        blind = f"; no reading here would show: {unwatched}" if unwatched else ""
        lines.append(f"monitor: commissioned on {decision.learned.blocks} blocks{blind}")
    return lines


def _read(path: Path, kind: type[_T], what: str) -> _T | None:
    """A file of the state; ConfigError where it is not what it should be: nothing is watched by half a baseline."""
    try:
        path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"{what} {path}: cannot be looked at: {error.strerror}; mend the state's folder"
        ) from error
    data, _ = read_private(path, what, _LARGEST)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{what} {path}: {error}; take it away to commission or release the link anew") from None


def _place(folder: Path) -> tuple[int, int]:
    """Which folder it is, whatever stands at its path later. Raises ConfigError."""
    try:
        state = folder.stat()
    except OSError as error:
        raise ConfigError(
            f"state {folder}: cannot be looked at: {error.strerror}; name the right folder"
        ) from error
    return state.st_dev, state.st_ino
