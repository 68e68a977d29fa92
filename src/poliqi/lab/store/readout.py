"""A dataset's files out of the store, into a folder that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from poliqi.apps.share.kernel import sync_all
from poliqi.apps.share.tree import Tree
from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.edge.folder import sync_folder
from poliqi.lab.store.blobs import Blobs
from poliqi.lab.store.copying import FEW, Tell, copy_hashed
from poliqi.lab.store.naming import check_path, new_id
from poliqi.lab.store.records import Dataset, StoredFile

__all__ = ["copy_out"]


def copy_out(dataset: Dataset, folder: Path, blobs: Blobs, tell: Tell) -> None:
    """Raises ConfigError where `folder` stands already, DataRefused for what was changed, StoreError."""
    if os.path.lexists(folder):
        raise ConfigError(
            f"{folder} stands already and is never overwritten: name a folder that is still to be made"
        )
    partial = folder.with_name(f".{folder.name[:200]}.{new_id()}.partial")
    try:
        partial.mkdir(mode=0o700)
        try:
            tree = Tree(os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            try:
                is_few = len(dataset.files) <= FEW
                for file in dataset.files:
                    _copy(file, tree, blobs, tell, is_durable=is_few)
                if not is_few:
                    sync_all(tree.parent(["."]))
            finally:
                tree.close()
            partial.rename(folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}; make room, or name another place") from error


def _copy(file: StoredFile, tree: Tree, blobs: Blobs, tell: Tell, *, is_durable: bool) -> None:
    names = check_path(file.path)
    for depth in range(1, len(names)):
        tree.make_folder(names[:depth])
    source = blobs.open(file)
    try:
        target = tree.new_file(names, 0o600)
        try:
            digest, _ = copy_hashed(source, target, file.size_bytes, tell)
            if is_durable:
                os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)
    if digest != file.blake3:
        raise DataRefused(
            f"{file.path!r}: BLAKE3 is {digest[:16]}..., {file.blake3[:16]}... was put in: it was changed in the "
            "store; nothing was written"
        )
