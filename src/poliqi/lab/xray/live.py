"""Reduce frames as they appear in a folder: a curve for each file, and one of all so far.

A file is taken when its size and time have not changed for a second and every frame of it can be decoded; one that
cannot is looked at again, and reported once it has not changed for a minute. What is done stands in one file,
`live.npz`, replaced whole after each frame file, with the sums behind the average: a run that was killed goes on
where it was, and counts no file twice.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import msgspec
import numpy as np

from poliqi.base.errors import ConfigError, DataRefused, PoliqiError, StoreError
from poliqi.edge.folder import lock_folder
from poliqi.edge.wholefile import whole_file
from poliqi.lab.xray.frames import FRAME_SUFFIXES, FrameSource, open_frames
from poliqi.lab.xray.nxcansas import write_curve
from poliqi.lab.xray.reduction import Marks, Plan, Sums

__all__ = ["AVERAGE", "Done", "Live", "candidates"]

AVERAGE: Final = "average.h5"
_STATE: Final = "live.npz"
_PART: Final = re.compile(r".*_data_\d{6}\.(h5|nxs)")
_ARRAYS: Final = ("signal", "variance", "norm", "dark", "dark_sigma")
_GIVE_UP_S: Final = 60.0
_SETTLE_S: Final = 1.0
"""How long a file must not have changed before it is opened."""
_MOST_FILES: Final = 1_000_000


class Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that was dealt with: its size and time then, its frames, or why it was refused."""

    name: str
    size_bytes: int
    time_ns: int
    frames: int
    refused: str = ""


@dataclass(slots=True)
class _Seen:
    size_bytes: int
    time_ns: int
    since_s: float


@dataclass(slots=True)
class Live:
    """Frames of `folder` to curves in `output`, by `plan`. `told` is called with every file that was dealt with."""

    plan: Plan
    folder: Path
    output: Path
    pattern: str = ""
    dataset: str | None = None
    per_second: bool = False
    simulated: bool = False
    settle_s: float = _SETTLE_S
    told: Callable[[Done], None] = lambda _done: None
    sums: Sums = field(init=False)
    done: dict[str, Done] = field(init=False)
    _seen: dict[str, _Seen] = field(init=False, default_factory=dict[str, _Seen])

    def __post_init__(self) -> None:
        """Raises ConfigError where a folder is not there, StoreError where what was done cannot be read."""
        if not self.folder.is_dir():
            raise ConfigError(f"--live {self.folder}: no such folder; name the one that frames appear in")
        if self.output.resolve() == self.folder.resolve():
            raise ConfigError(f"{self.output}: curves cannot go where frames appear; name another folder")
        try:
            self.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.output} cannot be made: {error.strerror}; name another folder") from error
        self.sums, self.done = self._load()

    def run(self, *, every_s: float = 0.5, idle_s: float | None = None) -> None:
        """Look every `every_s` seconds, until interrupted, or until nothing has come for `idle_s` seconds.

        Raises StoreError where a curve cannot be written, or another run writes into the same folder.
        """
        handle = lock_folder(self.output, "another live run writes there; stop it or name another folder")
        try:
            last = time.monotonic()
            while True:
                count = self.look(time.monotonic())
                if count or self._is_waiting():
                    last = time.monotonic()
                elif idle_s is not None and time.monotonic() - last >= idle_s:
                    return
                time.sleep(every_s)
        finally:
            os.close(handle)

    def look(self, now_s: float) -> int:
        """One look at the folder; how many files were dealt with."""
        count = 0
        for path in candidates(self.folder, self.pattern):
            try:
                state = path.stat()
            except OSError:  # it went away again
                self._seen.pop(path.name, None)
                continue
            if not stat.S_ISREG(state.st_mode) or self._is_done(path.name, state.st_size, state.st_mtime_ns):
                continue
            seen = self._seen.get(path.name)
            if seen is None or (seen.size_bytes, seen.time_ns) != (state.st_size, state.st_mtime_ns):
                self._seen[path.name] = _Seen(state.st_size, state.st_mtime_ns, now_s)
            elif now_s - seen.since_s >= self.settle_s:
                count += self._take(path, seen, now_s)
        return count

    def _take(self, path: Path, seen: _Seen, now_s: float) -> int:
        """Reduce a file that has come to rest, unless it is not complete yet."""
        try:
            sums, missing = self._reduced(path)
        except PoliqiError as error:
            if not path.exists():
                return 0
            if not isinstance(error, DataRefused):
                raise
            if now_s - seen.since_s < _GIVE_UP_S:
                return 0
            self._finish(path, seen, None, str(error))
            return 1
        if missing and now_s - seen.since_s < _GIVE_UP_S:
            return 0
        self._finish(path, seen, sums, f"{missing} frames of it never came" if missing else "")
        return 1

    def _reduced(self, path: Path) -> tuple[Sums, int]:
        total = Sums.nothing(self.plan.map.bins)
        with open_frames(path, self.dataset) as source:
            marks = Marks(source.overflow, source.negative_marks)
            missing = _missing(source)
            for index in range(0 if missing else len(source)):
                total = total + self.plan.reduce(source.frame(index), marks, f"{path.name} frame {index}")
        return total, missing

    def _finish(self, path: Path, seen: _Seen, sums: Sums | None, refused: str) -> None:
        """Curves first, then the state: what is lost in between is done again, to the same curves."""
        done = Done(
            path.name, seen.size_bytes, seen.time_ns, 0 if refused or sums is None else sums.frames, refused
        )
        total = self.sums
        if sums is not None and not refused:
            total = total + sums
            self._write(self.output / f"{path.stem}.curve.h5", sums, path.name)
        known = {**self.done, path.name: done}
        if done.frames:
            self._write(self.output / AVERAGE, total, f"average of {total.frames} frames")
        self._save(total, known)
        self.sums, self.done = total, known
        del self._seen[path.name]
        self.told(done)

    def _write(self, path: Path, sums: Sums, title: str) -> None:
        curve = self.plan.curve(sums, title, per_second=self.per_second, simulated=self.simulated)
        write_curve(path, curve, overwrite=True)

    def _is_done(self, name: str, size_bytes: int, time_ns: int) -> bool:
        """A file that was reduced is done for ever; one that was refused, until it changes."""
        done = self.done.get(name)
        return done is not None and (not done.refused or (done.size_bytes, done.time_ns) == (size_bytes, time_ns))

    def _is_waiting(self) -> bool:
        return bool(self._seen)

    def _load(self) -> tuple[Sums, dict[str, Done]]:
        path = self.output / _STATE
        if not path.exists():
            return Sums.nothing(self.plan.map.bins), {}
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                key = bytes(held["key"])
                known = msgspec.json.decode(bytes(held["files"]), type=list[Done])
                frames, overflowed = (int(n) for n in held["whole"])
                arrays = [np.asarray(held[name], np.float64) for name in _ARRAYS]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, msgspec.MsgspecError) as error:
            raise StoreError(f"{path} cannot be read ({error}); move it away to reduce everything anew") from error
        if key != self._key():
            raise ConfigError(
                f"{self.output} holds curves of other settings or another geometry; name another folder for these"
            )
        return Sums(frames, arrays[0], arrays[1], arrays[2], arrays[3], arrays[4], overflowed), {
            one.name: one for one in known
        }

    def _save(self, sums: Sums, known: dict[str, Done]) -> None:
        if len(known) > _MOST_FILES:
            raise StoreError(f"{self.output}: more than {_MOST_FILES:,} files; name another folder and go on")
        with whole_file(self.output / _STATE, overwrite=True) as file:
            np.savez(
                file,
                allow_pickle=False,
                key=np.frombuffer(self._key(), np.uint8),
                files=np.frombuffer(msgspec.json.encode(list(known.values())), np.uint8),
                whole=np.array([sums.frames, sums.overflowed], np.int64),
                **{name: getattr(sums, name) for name in _ARRAYS},
            )

    def _key(self) -> bytes:
        return self.plan.recipe.key().encode()


def candidates(folder: Path, pattern: str = "") -> list[Path]:
    """Files of frames by name. Without a pattern, not the data files of an Eiger: its master file leads to them."""
    if pattern:
        found = [p for p in folder.glob(pattern) if p.suffix.lower() in FRAME_SUFFIXES]
    else:
        found = [p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES and not _PART.fullmatch(p.name)]
    return sorted((p for p in found if not p.name.startswith(".")), key=lambda p: p.name)


def _missing(source: FrameSource) -> int:
    """Frames that the file announces and does not have yet."""
    return max(0, (source.metadata.announced_frames or 0) - len(source))
