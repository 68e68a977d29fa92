"""Walking an HDF5 file that others wrote: bounded, without recursion, and never out of the file's own folder.

External links and virtual datasets are how an Eiger's master file names its data files: they are followed to files
in the folder of the master or below it, and refused elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from poliqi.base.errors import ConfigError, DataRefused, words_of

__all__ = ["Tree", "h5py_module"]

_MOST_OBJECTS: Final = 20_000
_DEEPEST: Final = 16
_MOST_FILES: Final = 10_000
_MOST_SOURCES: Final = 100_000


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
        found: Any = self.root
        for part in PurePosixPath("/", path).parts[1:]:
            found = self._member(found, part) if isinstance(found, self._h5py.Group) else None
        if not isinstance(found, self._h5py.Dataset):
            raise DataRefused(
                f"{self.root.filename}: no dataset {path[:200]!r}; leave out --dataset to have it found"
            )
        self._check_sources(found)
        return found

    def _member(self, group: Any, name: str) -> Any:
        """The object of that name, None where its link leads nowhere. Raises DataRefused for one that leads out."""
        hops = 0
        link: Any = group.get(name, getlink=True)
        while isinstance(link, self._h5py.SoftLink | self._h5py.ExternalLink):
            hops += 1
            if hops > _DEEPEST:
                return None
            if isinstance(link, self._h5py.ExternalLink):
                group = self._named(str(link.filename))
                if group is None:
                    return None
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
                inner = group.get(part, getlink=True)
                if (
                    not isinstance(inner, self._h5py.HardLink)
                    or group.get(part, getclass=True) is not self._h5py.Group
                ):
                    return None
                group = group[part]
            name = parts[-1]
            link = group.get(name, getlink=True)
        if link is None:
            return None
        try:
            return group[name]
        except (KeyError, OSError, ValueError, RuntimeError):
            return None

    def _named(self, name: str) -> Any:
        """A file that this one names, None where it is not there."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder):
            raise DataRefused(
                f"{self.root.filename}: names the file {name[:200]!r} outside of its folder; put both in one folder"
            )
        return self._open(path) if path.is_file() else None

    def _check_sources(self, dataset: Any) -> None:
        """Where the numbers of a dataset lie: not in raw files, and in the folder of this file."""
        if dataset.external:
            raise DataRefused(
                f"{dataset.file.filename}: {dataset.name} keeps its numbers in raw files; repack it (h5repack)"
            )
        if not dataset.is_virtual:
            return
        sources = dataset.virtual_sources()
        if len(sources) > _MOST_SOURCES:
            raise DataRefused(f"{dataset.file.filename}: {dataset.name} has {len(sources):,} sources; repack it")
        for source in sources:
            name = str(source.file_name)
            if name != "." and not (self._folder / name).resolve().is_relative_to(self._folder):
                raise DataRefused(
                    f"{dataset.file.filename}: {dataset.name} names {name[:200]!r} outside of its folder"
                )

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
        return file
