"""Stacks of frames: a block at a time on all cores or on a cluster, in constant memory, resumed after a kill.

Each block of frames, of one file or of many, leaves one small file in a folder beside the output
(`.curve.h5.reducing`), whole or not at all; a run that was stopped finds the blocks that are done. The folder goes
when the output stands. On a cluster every worker must see the frames and that folder under the same paths.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np

from poliqi.base.errors import DataRefused, PoliqiError, StoreError
from poliqi.edge.folder import lock_folder
from poliqi.edge.sweep import SweepFailed, cores, sweep
from poliqi.edge.wholefile import whole_file
from poliqi.lab.xray.frames import open_frames
from poliqi.lab.xray.reduction import Marks, Recipe, Sums, plan_of

__all__ = ["Block", "StackRun", "load_sums", "reduce_block", "save_sums"]

Progress = Callable[[int, int], None]
"""Called with how many frames are done, and of how many."""

_MOST_BLOCKS: Final = 1000
_LEAST_A_BLOCK: Final = 16
_WORTH_PROCESSES: Final = 4_000_000_000
"""Pixels below which starting other processes, some 3 s of each, takes longer than they save."""
_ARRAYS: Final = ("signal", "variance", "norm", "dark", "dark_sigma")


@dataclass(frozen=True, slots=True)
class Block:
    """Frames whose sums go to the file `target`, of each frame if `each`: of every part a file, from, up to."""

    recipe: Recipe
    parts: tuple[tuple[Path, int, int], ...]
    dataset: str | None
    target: Path
    each: bool

    @property
    def frames(self) -> int:
        """How many it has."""
        return sum(stop - first for _, first, stop in self.parts)

    def __repr__(self) -> str:
        path, first, stop = self.parts[0]
        more = f" and {len(self.parts) - 1} more files" if len(self.parts) > 1 else ""
        return f"{path.name} frames {first} to {stop - 1}{more}"


def reduce_block(block: Block) -> int:
    """Reduce a block, unless its file stands already; how many frames it has. Runs in any process."""
    if block.target.exists():
        return block.frames
    plan = plan_of(block.recipe)
    found: list[Sums] = []
    total = Sums.nothing(plan.map.bins)
    for path, first, stop in block.parts:
        with open_frames(path, block.dataset) as source:
            marks = Marks(source.overflow, source.negative_marks)
            for index in range(first, stop):
                one = plan.reduce(source.frame(index), marks, f"{path.name} frame {index}")
                total = total + one
                if block.each:
                    found.append(one)
    if block.each:
        _save_each(found, block.target)
    else:
        save_sums(total, block.target)
    return block.frames


@dataclass(frozen=True, slots=True)
class StackRun:
    """A stack to reduce: `files` in their order, all of one shape. `each`: keep the sums of every frame."""

    recipe: Recipe
    files: tuple[Path, ...]
    output: Path
    dataset: str | None = None
    each: bool = False

    @property
    def folder(self) -> Path:
        """Where blocks are kept until the output stands."""
        return self.output.with_name(f".{self.output.name}.reducing")

    def count(self) -> int:
        """How many frames there are. Raises DataRefused for files of another shape."""
        return sum(self._length(path) for path in self.files)

    def run(
        self,
        *,
        workers: int | None = None,
        cluster: str | None = None,
        progress: Progress = lambda _done, _all: None,
    ) -> Sums:
        """Reduce what is not done yet; the sums of all frames. `done()` when the output is written.

        Raises DataRefused for a frame, ConfigError, StoreError, LinkDown for a cluster that is lost.
        """
        lengths = [self._length(path) for path in self.files]
        blocks = self._blocks(lengths)
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be made: {error.strerror}; name another output") from error
        handle = lock_folder(self.folder, "another run writes the same output; wait for it or name another")
        try:
            self._begin()
            _reduce(blocks, sum(lengths), workers, cluster, progress)
            total = Sums.nothing(self.recipe.settings.bins)
            for block in blocks:
                for one in load_sums(block.target):
                    total = total + one
            return total
        finally:
            os.close(handle)

    def frames(self) -> Iterator[Sums]:
        """The sums of every frame in order, where `each` was set: after `run` and before `done`."""
        for block in self._blocks([self._length(path) for path in self.files]):
            yield from load_sums(block.target)

    def done(self) -> None:
        """The output stands: forget the blocks."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _length(self, path: Path) -> int:
        with open_frames(path, self.dataset) as source:
            if source.shape != self.recipe.shape:
                raise DataRefused(
                    f"{path}: frames of {source.shape[0]} x {source.shape[1]} pixels, but the geometry and mask are"
                    f" for {self.recipe.shape[0]} x {self.recipe.shape[1]}; reduce it with its own"
                )
            return len(source)

    def _blocks(self, lengths: Sequence[int]) -> list[Block]:
        """Of one size, across the ends of files: one file to be synced for each, however few frames a file has."""
        size = max(_LEAST_A_BLOCK, math.ceil(sum(lengths) / _MOST_BLOCKS))
        ends = np.cumsum([0, *lengths]).tolist()
        starts = range(0, ends[-1], size)
        return [
            Block(
                self.recipe,
                tuple(_parts(self.files, ends, start, min(start + size, ends[-1]))),
                self.dataset,
                self.folder.absolute() / f"{number:06d}.npz",
                self.each,
            )
            for number, start in enumerate(starts)
        ]

    def _begin(self) -> None:
        """Keep the blocks of a run with the same frames and settings; forget those of any other."""
        key = self._key()
        note = self.folder / "key"
        if note.is_file() and note.read_text(encoding="ascii", errors="replace") == key:
            return
        for old in self.folder.iterdir():
            old.unlink()
        note.write_text(key, encoding="ascii")

    def _key(self) -> str:
        """What decides the blocks: settings, and size and time of every file."""
        state = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in self.files]
        text = repr((self.recipe.key(), state, self.dataset, self.each))
        return hashlib.sha256(text.encode()).hexdigest()


def _parts(files: Sequence[Path], ends: Sequence[int], start: int, stop: int) -> Iterator[tuple[Path, int, int]]:
    """Frames `start` to `stop` of all, as those of files: file k has those from `ends[k]` to `ends[k + 1]`."""
    for number in range(bisect_right(ends, start) - 1, len(files)):
        before, after = ends[number], ends[number + 1]
        if before >= stop:
            return
        if after > before:
            yield files[number], max(start, before) - before, min(stop, after) - before


def save_sums(sums: Sums, target: Path) -> None:
    """Sums in a file, whole or not at all."""
    _save_each([sums], target)


def load_sums(path: Path) -> list[Sums]:
    """The sums of a file. Raises StoreError where it is none of ours."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            whole = np.asarray(held["whole"], np.int64)
            arrays = np.stack([np.asarray(held[name], np.float64) for name in _ARRAYS], axis=1)
            return [
                Sums(int(frames), *(np.array(row) for row in each), overflowed=int(overflowed))
                for (frames, overflowed), each in zip(whole, arrays, strict=True)
            ]
    except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile) as error:
        raise StoreError(f"{path} cannot be read ({error}); remove it and run again") from error


def _save_each(found: Sequence[Sums], target: Path) -> None:
    whole = np.array([(one.frames, one.overflowed) for one in found], np.int64)
    arrays = {name: np.stack([getattr(one, name) for one in found]) for name in _ARRAYS}
    with whole_file(target, overwrite=True) as file:
        np.savez(file, allow_pickle=False, whole=whole, **arrays)


def _reduce(
    blocks: Sequence[Block], frames: int, workers: int | None, cluster: str | None, progress: Progress
) -> None:
    left = [block for block in blocks if not block.target.exists()]
    before = frames - sum(block.frames for block in left)
    progress(before, frames)
    if not left:
        return
    steps = np.cumsum([before] + [block.frames for block in left])
    pixels = (frames - before) * left[0].recipe.shape[0] * left[0].recipe.shape[1]
    if workers is None and cluster is None and pixels < _WORTH_PROCESSES:
        workers = 1
    try:
        sweep(
            reduce_block,
            left,
            workers=workers if workers is None else min(workers, max(1, cores())),
            cluster=cluster,
            progress=lambda done, _all: progress(int(steps[done]), frames),
        )
    except SweepFailed as error:
        if isinstance(error.__cause__, PoliqiError):
            raise error.__cause__ from error
        raise
