"""A dataset written as a crate: a folder of copies to keep, or of hard links where it is only to be sent."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from poliqi.apps.share.tree import Tree
from poliqi.base.errors import ConfigError, StoreError
from poliqi.edge.folder import make_private_folder, sync_folder
from poliqi.lab.store.crate.build import Built
from poliqi.lab.store.crate.paths import METADATA
from poliqi.lab.store.crate.terms import EXTRA_TERMS
from poliqi.lab.store.intake import Progress
from poliqi.lab.store.naming import check_path, new_id
from poliqi.lab.store.tenant import TenantStore

__all__ = ["link_crate", "metadata_of", "write_folder"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINK: Final = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def metadata_of(built: Built) -> bytes:
    """ro-crate-metadata.json, the same bytes for the same entities."""
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate: Any = ROCrate(version="1.1")
    crate.metadata.extra_terms = dict(EXTRA_TERMS)
    root, *others = built.entities
    for key, value in root.items():
        if not key.startswith("@"):
            crate.root_dataset[key] = value
    for entity in others:  # files are listed in hasPart already, so all are added alike
        crate.add(ContextEntity(crate, entity["@id"], properties=entity))
    return json.dumps(crate.metadata.generate(), ensure_ascii=False, indent=1).encode() + b"\n"


def write_folder(tenant: TenantStore, built: Built, folder: Path, progress: Progress) -> None:
    """A new folder, whole or not at all; files are copies, each held against its hash.

    Raises ConfigError where `folder` stands, DataRefused for what was changed in the store, StoreError.
    """
    if os.path.lexists(folder):
        raise ConfigError(f"{folder} stands already and is never overwritten: name one that is still to be made")
    partial = folder.with_name(f".{folder.name[:200]}.{new_id()}.partial")
    try:
        tenant.copy_out(built.dataset.id, partial, progress)
        _complete(partial, built)
        partial.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}; make room, or name another place") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def link_crate(tenant: TenantStore, built: Built, folder: Path) -> None:
    """A folder on the store's disk whose files are the store's own: to be read and removed, never to be changed.

    What stands there is replaced. Where links cannot be, files are copied. Raises DataRefused, StoreError.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        make_private_folder(folder.parent)
        for old in (partial, folder):
            with suppress(FileNotFoundError):
                shutil.rmtree(old)
        try:
            _link_all(tenant, built, partial)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            shutil.rmtree(partial)
            tenant.copy_out(built.dataset.id, partial)
        _complete(partial, built)
        partial.rename(folder)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}; nothing was sent, check the disk") from error


def _link_all(tenant: TenantStore, built: Built, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    tree, made = Tree(os.open(folder, _FOLDER)), set[tuple[str, ...]]()
    try:
        for file in built.dataset.files:
            names = check_path(file.path)
            for depth in range(1, len(names)):
                if tuple(names[:depth]) not in made:
                    tree.make_folder(names[:depth])
                    made.add(tuple(names[:depth]))
            os.link(tenant.file_path(file), names[-1], dst_dir_fd=tree.parent(names), follow_symlinks=False)
    finally:
        tree.close()


def _complete(folder: Path, built: Built) -> None:
    """What is enclosed, then the metadata: a folder without it is no crate."""
    tree = Tree(os.open(folder, _FOLDER))
    try:
        for one in built.enclosed:
            names = check_path(one.path)
            tree.make_folder(names[:1])
            _write(tree, names, one.data)
        _write(tree, [METADATA], metadata_of(built))
    finally:
        tree.close()


def _write(tree: Tree, names: list[str], data: bytes) -> None:
    with os.fdopen(tree.new_file(names, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
