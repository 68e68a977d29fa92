"""Holds files against a manifest, and a manifest against its receipt."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from poliqi.apps.share.content import holds
from poliqi.apps.share.listing import LINE_BYTES, Entry
from poliqi.apps.share.receipt import Receipt
from poliqi.apps.share.tree import Tree
from poliqi.base.errors import DataRefused, ProtocolError

__all__ = ["check_manifest", "differing_files", "read_manifest"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def check_manifest(path: Path, receipt: Receipt) -> None:
    """Raises DataRefused where the file at `path` is not the manifest of the receipt, OSError."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != receipt.manifest_sha256:
            raise DataRefused(f"{path} is not the manifest of this receipt: it was changed or is another's")


def read_manifest(path: Path) -> Iterator[tuple[Entry, bytes]]:
    """Entries, and their BLAKE3 (empty for a folder). Raises DataRefused, OSError."""
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES + 65):
            try:
                kind, size, mtime, digest, name = line.rstrip(b"\n").split(b" ", 4)
                entry = Entry.read(b" ".join((kind, size, mtime, name)))
                value = b"" if entry.is_folder else bytes.fromhex(digest.decode())
            except (ValueError, ProtocolError):
                raise DataRefused(f"{path}: a line of it ({line[:80]!r}) is none of a manifest") from None
            yield entry, value


def differing_files(manifest: Path, root: Path) -> list[str]:
    """Paths of the manifest whose files below `root`, the file or folder that was received, have changed."""
    tree = Tree(os.open(root.parent, _FOLDER))
    try:
        return [entry.path for entry, digest in read_manifest(manifest) if not _is_same(tree, root, entry, digest)]
    finally:
        tree.close()


def _is_same(tree: Tree, root: Path, entry: Entry, digest: bytes) -> bool:
    names = [root.name, *entry.names[1:]]
    try:
        if entry.is_folder:
            tree.parent([*names, "."])
            return True
        handle = tree.open_file(names)
    except OSError:
        return False
    try:
        return holds(handle, entry.size_bytes, digest)
    finally:
        os.close(handle)
