"""Files named by the BLAKE3 of what they hold: `blobs/ab/cdef...`, read-only, each content once for a tenant."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from blake3 import blake3

from poliqi.apps.share.kernel import sync_all
from poliqi.base.errors import DataRefused, StoreError
from poliqi.edge.folder import make_private_folder, sync_folder
from poliqi.lab.store.copying import FEW, Tell, hash_of
from poliqi.lab.store.naming import check_hash
from poliqi.lab.store.records import StoredFile

__all__ = ["MODE", "Blobs"]

MODE: Final = 0o400
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


class Blobs:
    """The folder. Writing happens inside a transaction of the catalogue, so that one process places at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder

    def path(self, digest: str) -> Path:
        """Where this content stands, or would."""
        check_hash(digest)
        return self.folder / digest[:2] / digest[2:]

    def place(self, staged: Path, digests: Iterable[str], known: Iterable[str]) -> None:
        """Give files of a staging folder, named by their hash, their places. `known` are in the catalogue.

        What is known is replaced by the new copy, which holds the same: a file that has rotted is mended so. The
        others are linked: their names in the staging folder tell a sweep what to take back. Raises OSError.
        """
        standing, touched = set(known), set[Path]()
        for digest in digests:
            target = self.path(digest)
            if target.parent not in touched:
                make_private_folder(target.parent)
                touched.add(target.parent)
            if digest in standing:
                (staged / digest).replace(target)
            else:
                _link(staged / digest, target)
        if len(touched) > FEW:
            self._sync_all()
        else:
            for folder in (*touched, self.folder):
                sync_folder(folder)

    def _sync_all(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_all(handle)
        finally:
            os.close(handle)

    def remove(self, digest: str) -> None:
        """Take back what the catalogue does not know."""
        with suppress(FileNotFoundError):
            self.path(digest).unlink()

    def open(self, file: StoredFile) -> int:
        """A handle to read it. Raises DataRefused where it is missing or has another size, StoreError."""
        place = self.path(file.blake3)
        try:
            handle = os.open(place, _READ)
        except FileNotFoundError:
            raise DataRefused(f"{file.path}: its content {file.blake3[:16]}... is missing from the store") from None
        except OSError as error:
            raise StoreError(f"{place}: cannot be read: {error.strerror}; check the disk") from error
        size = os.fstat(handle).st_size
        if size != file.size_bytes:
            os.close(handle)
            raise DataRefused(
                f"{file.path}: {size} bytes in the store, {file.size_bytes} were put in: it was changed"
            )
        return handle

    def content(self, file: StoredFile, most_bytes: int) -> bytes:
        """All of it, held against its hash. Raises DataRefused where it is larger or was changed, StoreError."""
        if file.size_bytes > most_bytes:
            raise DataRefused(f"{file.path}: {file.size_bytes:,} bytes, at most {most_bytes:,} are read at once")
        handle = self.open(file)
        try:
            with os.fdopen(handle, "rb") as opened:
                data = opened.read(file.size_bytes + 1)
        except OSError as error:
            raise StoreError(f"{file.path}: cannot be read: {error.strerror}; check the disk") from error
        if blake3(data).hexdigest() != file.blake3:
            raise DataRefused(f"{file.path}: it was changed in the store: {file.blake3[:16]}... was put in")
        return data

    def problem(self, file: StoredFile, tell: Tell) -> str | None:
        """Read all of it: why it is no longer what was put in, or None. Raises StoreError."""
        try:
            handle = self.open(file)
        except DataRefused as refused:
            return str(refused)
        try:
            digest, _ = hash_of(handle, tell)
        except OSError as error:
            return f"{file.path}: cannot be read: {error.strerror}"
        finally:
            os.close(handle)
        if digest != file.blake3:
            return f"{file.path}: BLAKE3 is {digest[:16]}..., {file.blake3[:16]}... was put in: it was changed"
        return None


def _link(staged: Path, target: Path) -> None:
    try:
        os.link(staged, target, follow_symlinks=False)
    except FileExistsError:  # of a registration that was killed and is still to be swept
        target.unlink()
        os.link(staged, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise StoreError(
                f"{target.parent}: this file system has no hard links; put the store on ext4, XFS, btrfs or ZFS"
            ) from error
        raise
