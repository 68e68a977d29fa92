"""What the tools of a laboratory put into a store: results as a job, with the files it read.

A job is found again where nothing has changed of: its parameters, name and content of every file by its role, this
program and the packages that compute.
"""

from __future__ import annotations

import functools
import json
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from poliqi.base.errors import ConfigError, DataRefused

if TYPE_CHECKING:
    from poliqi.lab.store.records import Dataset, DatasetId, Task
    from poliqi.lab.store.tenant import TenantStore

__all__ = ["COMPUTING", "Filing", "Read", "computing", "with_linked"]

COMPUTING: Final = (
    "NewareNDA",
    "bpx",
    "casadi",
    "fabio",
    "galvani",
    "gemmi",
    "h5py",
    "hdf5plugin",
    "lib3mf",
    "manifold3d",
    "npxpy",
    "numba",
    "numpy",
    "openpyxl",
    "pillow",
    "polars",
    "poliqi",
    "pyFAI",
    "pyarrow",
    "pybamm",
    "rietx",
    "sasmodels",
    "scipy",
    "trimesh",
)
"""Packages whose versions decide results."""
_LISTED: Final = 64
_TOLD: Final = 3
_MOST_BYTES: Final = 256 << 20
_HASHED_AGAIN: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Read:
    """Files that a tool reads as one thing, such as "mask". `is_simulated`: somebody said so of these files."""

    role: str
    paths: tuple[Path, ...]
    is_simulated: bool = False


def with_linked(frames: Sequence[Path], dataset: str | None = None) -> tuple[Path, ...]:
    """Files of frames, and after them those that HDF5 files among them name. Raises ConfigError, DataRefused."""
    from poliqi.lab.xray.frames import HDF5_SUFFIXES
    from poliqi.lab.xray.h5tree import linked_files

    given, linked = {path.resolve() for path in frames}, dict[Path, None]()
    for path in frames:
        if path.suffix.lower() in HDF5_SUFFIXES:
            linked |= dict.fromkeys(linked_files(path, dataset))
    return (*frames, *(path for path in linked if path not in given))


@functools.cache
def computing() -> Mapping[str, str]:
    """Versions of the packages that compute, as far as they are installed, and the BLAKE3 of this one's modules."""
    from importlib.metadata import PackageNotFoundError, version

    from blake3 import blake3

    import poliqi

    found: dict[str, str] = {}
    for name in COMPUTING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    root, code = Path(str(poliqi.__file__)).parent, blake3()
    for path in sorted(root.rglob("*.py")):
        code.update(f"{path.relative_to(root)}\0".encode()).update(blake3(path.read_bytes()).digest())
    return found | {"poliqi code": code.hexdigest()[:32]}


class Filing:
    """The store that results go to, or none. Its files are read before the work: what changes meanwhile is refused.

    Raises ConfigError for a tenant without a store, DataRefused for a file that cannot be read, StoreError.
    """

    def __init__(self, root: Path | None, tenant: str, reads: Iterable[Read]) -> None:
        if tenant and root is None:
            raise ConfigError("--tenant: says whose part of a store; give --store with it")
        self._root: Final = root
        self._tenant: Final = tenant
        self._reads: Final = tuple(reads)
        self._hashes: Final[dict[Path, str]] = {}
        self._states: Final[dict[Path, _State]] = {}
        self.is_simulated = False
        """Whether the store knows that one of the files is simulated."""
        if root is None:
            return
        for path in dict.fromkeys(path for read in self._reads for path in read.paths):
            self._states[path] = _state(path)
            self._hashes[path] = _blake3(path)
        with self._open() as part:
            held = [part.holding_content(digest) for digest in self._hashes.values()]
        telling = {one.id: one.title for one in held if one is not None and one.is_simulated}
        self.is_simulated = bool(telling)
        _tell_simulated(telling)

    def _open(self) -> TenantStore:
        from poliqi.ops.commands.lab_store_open import open_tenant

        return open_tenant(self._root, self._tenant)

    def put(
        self,
        program: str,
        parameters: Mapping[str, Any],
        work: Callable[[Path], None],
        *,
        title: str,
        keywords: tuple[str, ...] = (),
        simulated: bool = False,
        said: Sequence[str] = (),
        inputs: Sequence[str] = (),
        leave: Collection[Path] = (),
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> str | None:
        """The dataset of the results; None where there is no store.

        `simulated`: the results are. `said` are roles of files that said so themselves. `inputs` begin identifiers
        of further datasets. Files that no dataset holds are put in beside, unless they are in `leave`: as one
        dataset for each folder, so that no two have a name. `progress` tells of their bytes.
        """
        if self._root is None:
            return None
        self._check_unchanged()
        with self._open() as part:
            sources = [part.resolve(start) for start in inputs]
            for read in self._reads:
                found = self._sources(part, read, leave, progress, is_said=read.role in said)
                sources += [one.id for one in found]
            task = replace(
                self._task(program, parameters, sources, simulated=simulated), title=title[:200], keywords=keywords
            )
            dataset, _ = part.run(task, work)
        return str(dataset.id)

    def standing(
        self,
        program: str,
        parameters: Mapping[str, Any],
        suffix: str,
        *,
        simulated: bool = False,
        said: Sequence[str] = (),
        inputs: Sequence[str] = (),
        leave: Collection[Path] = (),
    ) -> tuple[str, bytes] | None:
        """What `put` would find done: the dataset, and its only file of that ending. Nothing is entered."""
        if self._root is None:
            return None
        with self._open() as part:
            sources = [part.resolve(start) for start in inputs]
            for read in self._reads:
                held, missing = self._held(part, read, leave, is_said=read.role in said)
                if missing:
                    return None
                sources += [one.id for one in held.values() if one is not None]
            job = part.find_job(self._task(program, parameters, sources, simulated=simulated))
            if job is None:
                return None
            files = [file for file in part.dataset(job.output).files if file.path.endswith(suffix)]
            return (str(job.output), part.content(files[0], _MOST_BYTES)) if len(files) == 1 else None

    def _check_unchanged(self) -> None:
        """That what was read is what was hashed, also where the store holds that content. Raises DataRefused.

        A file that was written and set back has another state; one that was written within a tick of the clock has
        another hash, which is not taken anew of large files.
        """
        for path, state in self._states.items():
            is_same = _state(path) == state
            if not is_same or (state.size_bytes <= _HASHED_AGAIN and _blake3(path) != self._hashes[path]):
                raise DataRefused(f"{path} changed while it was worked on, or was touched; run it again")

    def _task(
        self, program: str, parameters: Mapping[str, Any], sources: Iterable[DatasetId], *, simulated: bool
    ) -> Task:
        """All that decides the results."""
        from importlib.metadata import version

        from poliqi.lab.store.records import Task

        whole = {**parameters, "files": self.files, "software": dict(computing())}
        return Task(program, version("poliqi"), whole, tuple(dict.fromkeys(sources)), simulated=simulated)

    @property
    def files(self) -> dict[str, Any]:
        """Name and BLAKE3 of every file, by role; of more than 64, how many and the BLAKE3 over that list."""
        from blake3 import blake3

        found: dict[str, list[dict[str, str]]] = {}
        for read in self._reads:
            found.setdefault(read.role, []).extend(
                {"name": path.name, "blake3": self._hashes[path]} for path in read.paths
            )
        return {
            role: files
            if len(files) <= _LISTED
            else {"files": len(files), "blake3": blake3(json.dumps(files).encode()).hexdigest()}
            for role, files in found.items()
        }

    @property
    def paths(self) -> Collection[Path]:
        """Every file that is read."""
        return self._hashes.keys()

    def named(self, role: str) -> str:
        """The name of the first file of a role."""
        return next(read.paths[0].name for read in self._reads if read.role == role)

    def _sources(
        self,
        part: TenantStore,
        read: Read,
        leave: Collection[Path],
        progress: Callable[[int, int], None],
        *,
        is_said: bool,
    ) -> list[Dataset]:
        """The datasets that hold these files; what is said to be simulated is held by one that says so too."""
        from poliqi.lab.store.records import Kind

        is_simulated = is_said or read.is_simulated
        held, missing = self._held(part, read, leave, is_said=is_said)
        for paths in missing.values():
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            made = part.register(
                paths,
                title=f"{read.role.capitalize()}: {paths[0].name}{more}"[:200],
                kind=Kind.SIMULATED if is_simulated else Kind.MEASURED,
                expected={path.name: self._hashes[path] for path in paths},
                once=True,
                progress=progress,
            )
            held |= dict.fromkeys(paths, made)
        return [one for one in held.values() if one is not None]

    def _held(
        self, part: TenantStore, read: Read, leave: Collection[Path], *, is_said: bool
    ) -> tuple[dict[Path, Dataset | None], dict[Path, list[Path]]]:
        """The dataset of each file, and by folder those that are to be put in."""
        held = {path: part.holding_content(self._hashes[path]) for path in read.paths}
        missing: dict[Path, list[Path]] = {}
        for path, one in held.items():
            if path not in leave and (one is None or ((is_said or read.is_simulated) and not one.is_simulated)):
                missing.setdefault(path.resolve().parent, []).append(path)
        return held, missing


def _tell_simulated(telling: Mapping[DatasetId, str]) -> None:
    """Why results are simulated, on stderr: the datasets that files of theirs stand in."""
    from poliqi.ops.message_text import plain

    for name, title in list(telling.items())[:_TOLD]:
        click.echo(plain(f"a file that is read stands in the simulated dataset {name}, {title!r}"), err=True)
    if len(telling) > _TOLD:
        click.echo(f"and in {len(telling) - _TOLD} more simulated datasets", err=True)


class _State(NamedTuple):
    """What changes when somebody writes a file or puts another one in its place."""

    device: int
    inode: int
    size_bytes: int
    written_ns: int
    changed_ns: int


def _state(path: Path) -> _State:
    try:
        state = path.stat()
    except OSError as error:
        raise DataRefused(f"{path} cannot be read ({error.strerror}); give it again") from error
    if not stat.S_ISREG(state.st_mode) and not stat.S_ISDIR(state.st_mode):
        raise DataRefused(f"{path}: a pipe or device, not a regular file; save its content and name that file")
    return _State(state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _blake3(path: Path) -> str:
    from blake3 import blake3

    try:
        return blake3().update_mmap(path).hexdigest()
    except OSError as error:
        raise DataRefused(f"{path} cannot be read ({error.strerror}); give it again") from error
