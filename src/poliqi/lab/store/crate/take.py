"""A crate taken into a store: its files held against what it promises, its metadata kept beside them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from poliqi.apps.share.receipt import RECEIPT_BYTES
from poliqi.apps.share.tree import Tree
from poliqi.base.errors import DataRefused
from poliqi.lab.store.crate.archive import is_archive, unpack
from poliqi.lab.store.crate.graph import METADATA_BYTES, read_graph
from poliqi.lab.store.crate.paths import METADATA
from poliqi.lab.store.crate.read import Declared, Described, describe
from poliqi.lab.store.crate.terms import TOLD_RECEIPT
from poliqi.lab.store.records import ActionKind, Dataset, Kind, NewAction
from poliqi.lab.store.tenant import TenantStore

__all__ = ["Taken", "import_crate", "look", "new_import", "take_crate"]

_RECEIPTS_MOST: Final = 2000
_RECEIPTS_BYTES: Final = 32 << 20
"""Of all receipts together that are kept beside the files."""
_NOTED: Final = 50

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a crate."""

    dataset: Dataset
    described: Described


def _untold(*_: int) -> None:
    """For who wants no progress."""


def import_crate(
    tenant: TenantStore, path: Path, action: NewAction, *, licence: str = "", progress: Progress = _untold
) -> Taken:
    """Take in a folder or a ZIP file that is a crate. Raises as `take_crate`."""
    if not is_archive(path):
        return take_crate(tenant, path, action, licence=licence, progress=progress)
    with tenant.scratch() as scratch:
        unpack(path, scratch, tenant.limits)
        return take_crate(tenant, scratch, action, licence=licence, progress=progress)


def take_crate(
    tenant: TenantStore, folder: Path, action: NewAction, *, licence: str = "", progress: Progress = _untold
) -> Taken:
    """A new dataset of the files below `folder`, with `action` and the crate's own words in it. All, or nothing.

    `licence` stands for one of the crate that nobody knows. Every file that the crate names has to be there, with
    the size and the hash (BLAKE3, SHA-256) that it promises; other files are taken in as they are. Nothing is left
    out: metadata and receipts are kept with `action`, all else is a file of the dataset. Raises DataRefused for all
    that is refused, StoreError.
    """
    with _opened(folder) as tree:
        metadata = _small(tree, METADATA, METADATA_BYTES)
        described = describe(read_graph(metadata), licence)
        receipts = _receipts(tree, described)
        files = [*described.files, *(one for one in described.receipts if one.path not in receipts)]
        for declared in files:
            _check(tree, declared)
    kept = {f"{TOLD_RECEIPT}{number:03}.json": data for number, data in enumerate(receipts.values())}
    dataset = tenant.register(
        [folder],
        title=described.title,
        kind=Kind.SIMULATED if described.is_simulated else Kind.RECEIVED,
        description=described.description,
        licence=described.licence,
        creator=described.creator,
        keywords=described.keywords,
        made_unix_s=described.made_unix_s,
        expected={one.path: one.blake3 for one in files if one.blake3},
        leave_out={METADATA, *receipts},
        action=replace(
            action,
            facts={**action.facts, **_facts(described, metadata)},
            files={**action.files, METADATA: metadata, **kept},
        ),
        progress=progress,
    )
    return Taken(dataset, described)


@contextmanager
def _opened(folder: Path) -> Generator[Tree]:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DataRefused(f"{folder}: {error.strerror}; name the folder or the ZIP file of a crate") from None
    tree = Tree(handle)
    try:
        yield tree
    finally:
        tree.close()


def look(folder: Path) -> Described:
    """What a crate says of itself, before anything is taken in. Raises DataRefused."""
    with _opened(folder) as tree:
        return describe(read_graph(_small(tree, METADATA, METADATA_BYTES)))


def new_import(now_unix_s: float) -> NewAction:
    """The action of bringing a crate in by hand."""
    from poliqi.lab.store.naming import new_id

    return NewAction(ActionKind.IMPORTED, new_id(), now_unix_s, now_unix_s)


def _facts(described: Described, metadata: bytes) -> Mapping[str, Any]:
    return {
        "crate_sha256": hashlib.sha256(metadata).hexdigest(),
        "remote_files": list(described.remote[:_NOTED]),
        "hashes_checked": sum(1 for one in described.files if one.blake3 or one.sha256),
        "files_named": len(described.files),
    }


def _receipts(tree: Tree, described: Described) -> dict[str, bytes]:
    """What is kept as receipts, by path. What is too large for one, or too many, is a file of the dataset."""
    found: dict[str, bytes] = {}
    room = _RECEIPTS_BYTES
    for one in described.receipts[:_RECEIPTS_MOST]:
        data = _read(tree, one.path, min(RECEIPT_BYTES, room))
        if data is not None:
            found[one.path] = data
            room -= len(data)
    return found


def _check(tree: Tree, declared: Declared) -> None:
    """Size and SHA-256 of a file; its BLAKE3 is held against it while it is taken in. Raises DataRefused."""
    try:
        handle = tree.open_file(declared.path.split("/"))
    except OSError as error:
        raise DataRefused(f"the crate promises {declared.path[:200]!r}: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(handle).st_size
        if declared.size_bytes not in (None, size):
            raise DataRefused(
                f"{declared.path[:200]!r} has {size:,} bytes, {declared.size_bytes:,} were promised; "
                "nothing was taken in"
            )
        if declared.sha256 and hashlib.file_digest(file, "sha256").hexdigest() != declared.sha256:
            raise DataRefused(
                f"{declared.path[:200]!r} is not what the crate promises: its SHA-256 is another; "
                "nothing was taken in"
            )


def _small(tree: Tree, path: str, most: int) -> bytes:
    """A file of a crate. Raises DataRefused where it is missing or larger."""
    data = _read(tree, path, most)
    if data is None:
        raise DataRefused(f"{path[:200]!r}: more than {most:,} bytes, which is too large to be read")
    return data


def _read(tree: Tree, path: str, most: int) -> bytes | None:
    """A file of a crate, reached without a symlink; None where it is larger. Raises DataRefused where none is."""
    try:
        with os.fdopen(tree.open_file(path.split("/")), "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise DataRefused(f"{path[:200]!r}: {error.strerror}: this is no whole RO-Crate") from None
    return data if len(data) <= most else None
