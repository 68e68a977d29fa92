"""Reduce frames as they appear in a folder: a curve for each file, and one of all so far.

A file is taken when its size and time have not changed for a second and every frame of it can be decoded; one that
cannot is looked at again, and reported once it has not changed for a minute. What is done stands in one file,
`live.npz`, replaced whole after each look at the folder, with the sums behind the average: a run that was killed
goes on where it was, and counts no file twice.
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

__all__ = ["AVERAGE", "GIVE_UP_S", "Done", "Live", "candidates", "check_folders"]

AVERAGE: Final = "average.h5"
_STATE: Final = "live.npz"
_PART: Final = re.compile(r".*_data_\d{6}\.(h5|nxs)")
_ARRAYS: Final = ("signal", "variance", "norm", "dark", "dark_sigma")
GIVE_UP_S: Final = 60.0
"""How long a file that cannot be read must not have changed before that is reported."""
_SETTLE_S: Final = 1.0
"""How long a file must not have changed before it is opened."""
_LOOK_S, _LOOK_FILES = 5.0, 200
"""A look ends so long after the first file that it dealt with, or after so many: then the state is written."""
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
    """Frames of `folder` to curves in `output`, by `plan`. `told` is called with every file that was dealt with.

    `sums` and `done` are what `live.npz` holds.
    """

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
    _fresh: list[tuple[Done, Sums]] = field(init=False, default_factory=list[tuple[Done, Sums]])

    def __post_init__(self) -> None:
        """Raises ConfigError where a folder is not there, StoreError where what was done cannot be read."""
        check_folders(self.folder, self.output)
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
                if count < _LOOK_FILES:
                    time.sleep(every_s)
        finally:
            os.close(handle)

    def look(self, now_s: float) -> int:
        """One look at the folder; how many files were dealt with. Of very many the next look takes the rest."""
        paths = candidates(self.folder, self.pattern, self._is_reduced)
        self._seen = {path.name: self._seen[path.name] for path in paths if path.name in self._seen}
        until_s = 0.0
        try:
            for path in paths:
                try:
                    state = path.stat()
                except OSError:  # it went away again
                    self._seen.pop(path.name, None)
                    continue
                if not stat.S_ISREG(state.st_mode) or self._is_refused(path.name, state):
                    continue
                seen = self._seen.get(path.name)
                if seen is None or (seen.size_bytes, seen.time_ns) != (state.st_size, state.st_mtime_ns):
                    self._seen[path.name] = _Seen(state.st_size, state.st_mtime_ns, now_s)
                elif now_s - seen.since_s >= self.settle_s:
                    self._take(path, seen, now_s)
                    until_s = until_s or (time.monotonic() + _LOOK_S if self._fresh else 0.0)
                if len(self._fresh) >= _LOOK_FILES or (until_s and time.monotonic() > until_s):
                    break
        finally:  # also at Ctrl-C: what is reduced is not reduced again
            count = self._keep()
        return count

    def _take(self, path: Path, seen: _Seen, now_s: float) -> None:
        """Reduce a file that has come to rest, unless it is not complete yet."""
        try:
            sums, missing = self._reduced(path)
        except PoliqiError as error:
            if not path.exists():
                return
            if not isinstance(error, DataRefused):
                raise
            if now_s - seen.since_s >= GIVE_UP_S:
                self._finish(path, seen, None, str(error))
            return
        if not missing or now_s - seen.since_s >= GIVE_UP_S:
            self._finish(path, seen, sums, f"{missing} frames of it never came" if missing else "")

    def _reduced(self, path: Path) -> tuple[Sums, int]:
        total = Sums.nothing(self.plan.map.bins)
        with open_frames(path, self.dataset) as source:
            marks = Marks(source.overflow, source.negative_marks)
            missing = _missing(source)
            for index in range(0 if missing else len(source)):
                total = total + self.plan.reduce(source.frame(index), marks, f"{path.name} frame {index}")
        return total, missing

    def _finish(self, path: Path, seen: _Seen, sums: Sums | None, refused: str) -> None:
        """Its curve; `_keep` does the rest."""
        if sums is None or refused:
            sums = Sums.nothing(self.plan.map.bins)
        else:
            self._write(self.output / f"{path.stem}.curve.h5", sums, path.name)
        self._fresh.append((Done(path.name, seen.size_bytes, seen.time_ns, sums.frames, refused), sums))

    def _keep(self) -> int:
        """Write the average and the state, after the curves: what is lost in between is done again, to the same."""
        if not self._fresh:
            return 0
        total, known = self.sums, dict(self.done)
        for done, sums in self._fresh:
            total = total + sums
            known[done.name] = done
        if total.frames > self.sums.frames:
            self._write(self.output / AVERAGE, total, f"average of {total.frames} frames")
        self._save(total, known)
        fresh, self._fresh = self._fresh, []
        self.sums, self.done = total, known
        for done, _ in fresh:
            self._seen.pop(done.name, None)
            self.told(done)
        return len(fresh)

    def _write(self, path: Path, sums: Sums, title: str) -> None:
        curve = self.plan.curve(sums, title, per_second=self.per_second, simulated=self.simulated)
        write_curve(path, curve, overwrite=True)

    def _is_reduced(self, name: str) -> bool:
        """It is done for ever; one that was refused, until it changes."""
        done = self.done.get(name)
        return done is not None and not done.refused

    def _is_refused(self, name: str, state: os.stat_result) -> bool:
        done = self.done.get(name)
        return done is not None and (done.size_bytes, done.time_ns) == (state.st_size, state.st_mtime_ns)

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


def check_folders(folder: Path, output: Path) -> None:
    """Where frames appear, and where curves go: made if need be. Raises ConfigError, StoreError."""
    if not folder.is_dir():
        raise ConfigError(f"--live {folder}: no such folder; name the one that frames appear in")
    if output.resolve() == folder.resolve():
        raise ConfigError(f"{output}: curves cannot go where frames appear; name another folder")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{output} cannot be made: {error.strerror}; name another folder") from error


def candidates(
    folder: Path, pattern: str = "", leave_out: Callable[[str], bool] = lambda _name: False
) -> list[Path]:
    """Files of frames by name. Without a pattern, not the data files of an Eiger: its master file leads to them."""
    if pattern:
        found = [p for p in folder.glob(pattern) if not leave_out(p.name)]
    else:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not leave_out(entry.name)]
        found = [folder / name for name in names if not _PART.fullmatch(name)]
    kept = (p for p in found if p.suffix.lower() in FRAME_SUFFIXES and not p.name.startswith("."))
    return sorted(kept, key=lambda p: p.name)


def _missing(source: FrameSource) -> int:
    """Frames that the file announces and does not have yet."""
    return max(0, (source.metadata.announced_frames or 0) - len(source))
