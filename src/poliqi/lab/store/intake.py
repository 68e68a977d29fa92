"""From files on disk to a draft: walked without following a symlink, copied, hashed, held against limits."""

from __future__ import annotations

import errno
import hashlib
import mimetypes
import os
import stat
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poliqi.apps.share.tree import Tree
from poliqi.base.errors import DataRefused, StoreError
from poliqi.lab.store.blobs import MODE
from poliqi.lab.store.copying import FEW, SMALL, copy_hashed, hash_of, is_let_go
from poliqi.lab.store.naming import check_path, new_id
from poliqi.lab.store.records import StoredFile
from poliqi.lab.store.settings import Limits
from poliqi.lab.store.staging import Draft

__all__ = ["Found", "Progress", "content_hash", "disk_words", "media_type", "survey", "take_bytes", "take_in"]

Progress = Callable[[int, int], None]
"""Told the bytes done and the bytes of all."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_TYPES: Final = mimetypes.MimeTypes()
_OWN_TYPES: Final = {
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
    ".nxs": "application/x-hdf5",
    ".cif": "chemical/x-cif",
    ".poni": "text/plain",
    ".dat": "text/plain",
    ".toml": "application/toml",
    ".md": "text/markdown",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A file to be taken in: where it stands below `base`, a folder, and its path in the dataset."""

    base: Path
    names: tuple[str, ...]
    path: str
    size_bytes: int


def media_type(path: str) -> str:
    """By the ending of its name, the same on every machine."""
    ending = os.path.splitext(path)[1].lower()  # noqa: PTH122  # a path of a dataset is text
    own = _OWN_TYPES.get(ending)
    return own or _TYPES.guess_type("x" + ending)[0] or "application/octet-stream"


def content_hash(files: Sequence[StoredFile]) -> str:
    """SHA-256 over paths and hashes, in the order of the paths: equal for what holds the same."""
    text = "".join(f"{file.blake3} {file.path}\n" for file in sorted(files, key=lambda file: file.path))
    return hashlib.sha256(text.encode()).hexdigest()


def survey(paths: Sequence[Path], limits: Limits, leave_out: Collection[str] = ()) -> list[Found]:
    """Every file that `paths` mean: a file under its name, a folder's files under their paths below it.

    Those whose paths are in `leave_out` stay where they are.

    Raises DataRefused for a symlink or anything that is no file, for two files of one path, for nothing at all, for
    a name that no other machine takes, and beyond the limits.
    """
    found: dict[str, Found] = {}
    total = 0
    for path in paths:
        for item in _walk(path):
            check_path(item.path)
            if item.path in leave_out:
                continue
            if item.path in found:
                raise DataRefused(
                    f"two files would be called {item.path!r}: rename one, or put them into one folder"
                )
            if item.size_bytes > limits.file_bytes:
                raise _oversize(item.path, item.size_bytes, limits.file_bytes, "file_gb")
            found[item.path] = item
            total += item.size_bytes
            if len(found) > limits.dataset_files:
                raise DataRefused(
                    f"more than {limits.dataset_files:,} files for one dataset: pack them, or "
                    "raise limits.dataset_files in lab.toml"
                )
    if total > limits.dataset_bytes:
        raise _oversize("all files together", total, limits.dataset_bytes, "dataset_gb")
    if not found:
        raise DataRefused(f"no file in {', '.join(map(str, paths)) or 'nothing'}: a dataset holds at least one")
    return [found[path] for path in sorted(found)]


def _oversize(what: str, size: int, limit: int, name: str) -> DataRefused:
    return DataRefused(
        f"{what}: {size:,} bytes, limits.{name} in lab.toml allows {limit:,}; split it, or raise that"
    )


def _walk(path: Path) -> Iterator[Found]:
    try:
        state = path.lstat()
    except OSError as error:
        raise DataRefused(f"{path}: {error.strerror}; name a file or a folder") from error
    if stat.S_ISDIR(state.st_mode):
        yield from _below(path)
    else:
        _check_regular(str(path), state.st_mode)
        yield Found(path.parent, (path.name,), path.name, state.st_size)


def _below(base: Path) -> Iterator[Found]:
    """A folder's files; a folder that is swapped for a symlink meanwhile is found out when its files are opened."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        names = waiting.pop()
        with os.scandir(base.joinpath(*names)) as entries:
            for entry in entries:
                inner = (*names, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    check_path("/".join(inner))
                    waiting.append(inner)
                    continue
                state = entry.stat(follow_symlinks=False)
                _check_regular(entry.path, state.st_mode)
                yield Found(base, inner, "/".join(inner), state.st_size)


def _check_regular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = "a symlink: put the file itself there" if stat.S_ISLNK(mode) else "neither a file nor a folder"
        raise DataRefused(f"{path} is {what}; nothing was taken in")


def take_in(
    found: Sequence[Found],
    draft: Draft,
    limits: Limits,
    expected: Mapping[str, str],
    progress: Progress,
    *,
    own: bool = False,
) -> list[StoredFile]:
    """Copy them into the draft, each under its hash. `expected` are the BLAKE3 by path that a sender promised.

    `own` files are the draft's, and go with it: what is not small and nobody writes any more is not copied.

    Raises DataRefused for a file that changes meanwhile, grows beyond its limit or is not what was promised, and
    StoreError where the disk does not take it; the caller removes the draft.
    """
    total, done = sum(item.size_bytes for item in found), 0
    files: list[StoredFile] = []
    is_few = len(found) <= FEW
    trees: dict[Path, Tree] = {}

    def tell(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    for path in expected.keys() - {item.path for item in found}:
        raise DataRefused(f"{path[:200]!r} was promised and is missing")
    try:
        with disk_words(draft.folder, limits, lambda: total - done):
            for item in found:
                tree = trees.get(item.base)
                if tree is None:
                    tree = trees[item.base] = Tree(os.open(item.base, _FOLDER))
                    _check_room(draft.folder, limits, total)
                digest = _take(tree, item, draft, tell, is_durable=is_few, own=own)
                promised = expected.get(item.path)
                if promised is not None and promised != digest:
                    raise DataRefused(
                        f"{item.path!r} has BLAKE3 {digest[:16]}..., {promised[:16]}... was promised: it was "
                        "changed on its way; nothing was taken in"
                    )
                files.append(StoredFile(item.path, item.size_bytes, digest, media_type(item.path)))
            if not is_few:
                draft.sync()
    finally:
        for tree in trees.values():
            tree.close()
    return files


def _take(
    tree: Tree, item: Found, draft: Draft, tell: Callable[[int], None], *, is_durable: bool, own: bool
) -> str:
    try:
        source = tree.open_file(item.names)
    except OSError as error:
        raise DataRefused(f"{item.path!r}: {error.strerror}; nothing was taken in") from error
    try:
        before = os.fstat(source)
        partial = draft.content / new_id()
        is_linked = own and item.size_bytes > SMALL and is_let_go(source, MODE)
        if is_linked:
            os.link(item.base.joinpath(*item.names), partial, follow_symlinks=False)
            target = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        else:
            target = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if not is_linked:
                digest, size = copy_hashed(source, target, item.size_bytes, tell)
            elif os.path.samestat(os.fstat(target), before):
                digest, size = hash_of(target, tell)
            else:
                raise DataRefused(f"{item.path!r} was replaced while it was taken in; nothing was taken in")
            after = os.fstat(source)
            if (size, after.st_size, after.st_mtime_ns) != (item.size_bytes, item.size_bytes, before.st_mtime_ns):
                raise DataRefused(
                    f"{item.path!r} changed while it was read: wait until it is written, then try again"
                )
            os.fchmod(target, MODE)
            if is_durable:
                os.fsync(target)
        finally:
            os.close(target)
        partial.replace(draft.content / digest)
    finally:
        os.close(source)
    return digest


def take_bytes(path: str, data: bytes, draft: Draft) -> StoredFile:
    """A small file out of memory. Raises OSError."""
    from blake3 import blake3

    check_path(path)
    digest = blake3(data).hexdigest()
    place = draft.content / digest
    if not place.exists():
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    return StoredFile(path, len(data), digest, media_type(path))


def _check_room(folder: Path, limits: Limits, needed: int) -> None:
    state = os.statvfs(folder)
    missing = needed + limits.free_bytes - state.f_bavail * state.f_frsize
    if missing > 0:
        raise StoreError(
            f"{folder}: {needed:,} bytes are to be written and {missing:,} are missing on the disk "
            "(limits.free_gb of lab.toml stays free); make room and try again, nothing was taken in"
        )


@contextmanager
def disk_words(
    folder: Path, limits: Limits, left: Callable[[], int], *, only_full: bool = False
) -> Generator[None]:
    """Turn errors of the disk into StoreError; of a full one it says how many bytes are missing."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            _check_room(folder, limits, left())
            raise StoreError(
                f"{folder}: the disk is full, {left():,} bytes were still to come; nothing was taken in"
            ) from error
        if only_full:
            raise
        raise StoreError(f"{folder}: {error.strerror or error}; nothing was taken in, check the disk") from error
