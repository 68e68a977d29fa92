"""Walking an HDF5 file that others wrote: bounded, without recursion, and never out of the file's own folder.

External links and virtual datasets are how an Eiger's master file names its data files: they are followed to files
in the folder of the master or below it, and refused elsewhere. libhdf5 itself opens what a virtual dataset is made
of, and follows whatever stands there: that is walked first, through every link, down to plain datasets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from poliqi.base.errors import ConfigError, DataRefused, words_of

__all__ = ["Tree", "h5py_module", "linked_files"]

_MOST_OBJECTS: Final = 20_000
_DEEPEST: Final = 16
_MOST_FILES: Final = 10_000
_MOST_SOURCES: Final = 100_000
_DEEPEST_VIRTUAL: Final = 4
"""Virtual datasets made of virtual ones: one made of itself would never end."""


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    group: Any
    depth: int


def h5py_module() -> Any:
    """h5py with the decoders of hdf5plugin registered. Raises ConfigError."""
    try:
        import h5py
        import hdf5plugin  # noqa: F401  # registers bitshuffle, LZ4 and others  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ConfigError(f'HDF5 cannot be read ({error}); run: pip install "poliqi[xray]"') from error
    return h5py


class Tree:
    """An open file, and those that it names. `swmr`: its writer may still be at work."""

    def __init__(self, path: Path, *, swmr: bool = False) -> None:
        self._h5py: Any = h5py_module()
        self._folder = path.resolve().parent
        self._files: dict[Path, Any] = {}
        self._swmr = swmr
        self.opened: Final[set[Path]] = set()
        """Every file that was opened so far."""
        self.root: Any = self._open(path.resolve())

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def datasets(self) -> Iterator[tuple[str, Any]]:
        """Path and dataset of every dataset that can be reached, breadth first, no link that leads nowhere."""
        waiting, seen, count = [_Place("", self.root, 0)], set[tuple[str, int]](), 0
        for place in waiting:
            for name in place.group:
                count += 1
                if count > _MOST_OBJECTS:
                    raise DataRefused(
                        f"{self.root.filename}: more than {_MOST_OBJECTS:,} objects; name the frames with --dataset"
                    )
                found = self._member(place.group, str(name))
                path = f"{place.path}/{name}"
                if isinstance(found, self._h5py.Dataset):
                    self._check_sources(found)
                    yield path, found
                elif isinstance(found, self._h5py.Group) and place.depth < _DEEPEST:
                    info = self._h5py.h5o.get_info(found.id)
                    key = (str(found.file.filename), int(info.addr))
                    if key not in seen:
                        seen.add(key)
                        waiting.append(_Place(path, found, place.depth + 1))

    def dataset(self, path: str) -> Any:
        """The dataset at `path`. Raises DataRefused where there is none."""
        found = self._down(self.root, path)
        if found is None:
            raise DataRefused(
                f"{self.root.filename}: no dataset {path[:200]!r}; leave out --dataset to have it found"
            )
        self._check_sources(found)
        return found

    def _down(self, file: Any, path: str) -> Any:
        """The dataset at a path of a file; None where there is none."""
        found: Any = file
        for part in PurePosixPath("/", path).parts[1:]:
            found = self._member(found, part) if isinstance(found, self._h5py.Group) else None
        return found if isinstance(found, self._h5py.Dataset) else None

    def _member(self, group: Any, name: str) -> Any:
        """The object of that name, None where its link leads nowhere. Raises DataRefused for one that leads out."""
        hops = 0
        link = self._link(group, name)
        while isinstance(link, self._h5py.SoftLink | self._h5py.ExternalLink):
            hops += 1
            if hops > _DEEPEST:
                return None
            if isinstance(link, self._h5py.ExternalLink):
                path = self._beside(group, str(link.filename))
                if not path.is_file():
                    return None
                group = self._open(path)
                target = PurePosixPath("/", str(link.path))
            else:
                text = str(link.path)
                target = PurePosixPath(text)
                if target.is_absolute():
                    group = group.file
            parts = [part for part in target.parts if part != "/"]
            if not parts:
                return group
            for part in parts[:-1]:
                inner = self._link(group, part)
                if (
                    not isinstance(inner, self._h5py.HardLink)
                    or group.get(part, getclass=True) is not self._h5py.Group
                ):
                    return None
                group = group[part]
            name = parts[-1]
            link = self._link(group, name)
        if link is None:
            return None
        try:
            return group[name]
        except (KeyError, OSError, ValueError, RuntimeError):
            return None

    @staticmethod
    def _link(group: Any, name: str) -> Any:
        try:
            return group.get(name, getlink=True)
        except TypeError:  # of a kind that a program defined for itself
            return None

    def _beside(self, namer: Any, name: str) -> Path:
        """Where a file lies that another names: counted from the folder of the one that names it."""
        path = (Path(str(namer.file.filename)).parent / name).resolve()
        if not path.is_relative_to(self._folder):
            raise DataRefused(
                f"{self.root.filename}: names the file {name[:200]!r} outside of its folder; put both in one folder"
            )
        return path

    def _check_sources(self, dataset: Any) -> None:
        """Where the numbers of a dataset lie: nowhere in raw files, and in files below the folder of this one."""
        left = self._sources(dataset)
        for _ in range(_DEEPEST_VIRTUAL):
            left = {deeper for path, inner in left for deeper in self._sources_at(path, inner)}
        if left:
            raise DataRefused(
                f"{dataset.file.filename}: {dataset.name} is virtual, made of virtual ones, more than"
                f" {_DEEPEST_VIRTUAL} deep; repack it (h5repack)"
            )

    def _sources_at(self, path: Path, inner: str) -> set[tuple[Path, str]]:
        """The sources of what a virtual dataset is made of; files that only this opened are closed again."""
        before = set(self._files)
        try:
            found = self._down(self._open(path), inner)
            if found is None:
                raise DataRefused(
                    f"{self.root.filename}: a virtual dataset is made of {inner[:200]!r} in {path.name}, which has"
                    " no such dataset; copy the file again"
                )
            return self._sources(found)
        finally:
            for opened in set(self._files) - before:
                self._files.pop(opened).close()

    def _sources(self, dataset: Any) -> set[tuple[Path, str]]:
        """Files and datasets that one is made of: none, unless it is virtual. Raises DataRefused."""
        told = f"{dataset.file.filename}: {dataset.name}"
        if dataset.external:
            raise DataRefused(f"{told} keeps its numbers in raw files; repack it (h5repack)")
        if not dataset.is_virtual:
            return set()
        sources = dataset.virtual_sources()
        if len(sources) > _MOST_SOURCES:
            raise DataRefused(f"{told} has {len(sources):,} sources; repack it")
        found: set[tuple[Path, str]] = set()
        for name, inner in {(str(source.file_name), str(source.dset_name)) for source in sources}:
            if "%" in name or "%" in inner:
                raise DataRefused(f"{told} names its sources by a pattern, {name[:200]!r}; repack it (h5repack)")
            path = Path(str(dataset.file.filename)) if name == "." else self._beside(dataset, name)
            if not path.is_file():  # libhdf5 would look for it elsewhere, and else show zeros
                raise DataRefused(f"{told} is made of {name[:200]!r}, which is not there; put it beside")
            found.add((path, inner))
        return found

    def _open(self, path: Path) -> Any:
        if path in self._files:
            return self._files[path]
        if len(self._files) >= _MOST_FILES:
            raise DataRefused(f"{path}: more than {_MOST_FILES:,} files are named; split the stack")
        try:
            file: Any = self._h5py.File(path, "r", swmr=self._swmr, libver="latest" if self._swmr else None)
        except (OSError, ValueError, RuntimeError) as error:
            raise DataRefused(f"{path}: not an HDF5 file that can be opened ({words_of(error)})") from error
        self._files[path] = file
        self.opened.add(path)
        return file


def linked_files(path: Path, dataset: str | None = None) -> tuple[Path, ...]:
    """The files in which numbers of this one lie, beside itself; of one dataset where it is named, else of all.

    Raises ConfigError without h5py, DataRefused.
    """
    tree = Tree(path)
    try:
        if dataset is None:
            for _ in tree.datasets():
                pass
        else:
            tree.dataset(dataset)
        return tuple(sorted(tree.opened - {path.resolve()}))
    finally:
        tree.close()
