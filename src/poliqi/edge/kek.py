"""Keys that protect the store's keys: where they live, and how all of them are destroyed at once.

A provider holds one key-encryption key (KEK) per epoch of a store and wraps one epoch key with each. Destroying
the KEKs makes everything on the store's disk, and every copy of it, unreadable for ever.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poliqi.base.errors import StoreError
from poliqi.base.secret import SecretBytes
from poliqi.edge.folder import check_private, make_private_folder, sync_folder
from poliqi.edge.sealing import KEY_BYTES, NONCE_BYTES

__all__ = ["TOMBSTONE", "FileKek", "KekProvider", "kek_name", "zeroise"]

TOMBSTONE: Final = "ZEROISED"
_NAME: Final = re.compile(r"kek-([0-9a-f]{32})-([0-9]{1,18})\Z")


def kek_name(instance: bytes, epoch: int) -> str:
    """What a KEK is called, as a file or in a token."""
    return f"kek-{instance.hex()}-{epoch}"


def parse_kek_name(name: str) -> tuple[bytes, int] | None:
    """Instance and epoch of a KEK's name; None where it is no such name."""
    match = _NAME.match(name)
    return None if match is None else (bytes.fromhex(match[1]), int(match[2]))


class KekProvider(Protocol):
    """Where KEKs live. Every method raises StoreError, with what to do next."""

    @property
    def place(self) -> str:
        """Where that is, for messages."""
        ...

    def epochs(self, instance: bytes) -> set[int]:
        """Epochs of this store whose KEK stands here."""
        ...

    def count(self) -> int:
        """How many KEKs stand here, of any store."""
        ...

    def create(self, instance: bytes, epoch: int) -> None:
        """Draw a new KEK; durable when this returns."""
        ...

    def wrap(self, instance: bytes, epoch: int, key: SecretBytes, bound_to: bytes) -> bytes:
        """The epoch key, sealed by the KEK."""
        ...

    def unwrap(self, instance: bytes, epoch: int, wrapped: bytes, bound_to: bytes) -> SecretBytes:
        """The epoch key."""
        ...

    def destroy(self, instance: bytes, epoch: int) -> None:
        """Destroy one KEK; nothing happens where there is none."""
        ...

    def destroy_all(self) -> list[str]:
        """Destroy every KEK here, of every store and epoch; their names."""
        ...


class FileKek:
    """KEKs as files of 32 random bytes in a private folder, best on a medium of its own.

    The folder belongs to one site. Files are overwritten before they are removed; flash memory and copying file
    systems may keep the old bytes all the same: where that matters, use a token.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder

    @property
    def place(self) -> str:
        return f"folder {self.folder}"

    def epochs(self, instance: bytes) -> set[int]:
        """Epochs of this store whose KEK stands here."""
        found = (parse_kek_name(path.name) for path in self._files())
        return {name[1] for name in found if name is not None and name[0] == instance}

    def create(self, instance: bytes, epoch: int) -> None:
        """Draw a new KEK; durable when this returns."""
        path = self.folder / kek_name(instance, epoch)
        partial = path.with_name(path.name + ".new")
        try:
            make_private_folder(self.folder)
            check_private(self.folder)
            partial.unlink(missing_ok=True)
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.write(handle, os.urandom(KEY_BYTES))
                os.fsync(handle)
            finally:
                os.close(handle)
            os.link(partial, path)  # unlike a rename, refuses to replace
            partial.unlink()
            sync_folder(self.folder)
        except OSError as error:
            raise StoreError(
                f"KEK {path} cannot be written: {error.strerror}; mend or mount the medium and start again"
            ) from error

    def wrap(self, instance: bytes, epoch: int, key: SecretBytes, bound_to: bytes) -> bytes:
        """The epoch key, sealed by the KEK: nonce, then AES-256-GCM."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(instance, epoch).encrypt(nonce, key.view(), bound_to)

    def unwrap(self, instance: bytes, epoch: int, wrapped: bytes, bound_to: bytes) -> SecretBytes:
        """The epoch key."""
        try:
            opened = self._cipher(instance, epoch).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound_to)
        except (InvalidTag, ValueError) as error:
            raise StoreError(
                f"the key of epoch {epoch} does not open under KEK {self.folder / kek_name(instance, epoch)}: one "
                "of them was changed; put back the right KEK, or zeroise this store and start with an empty one"
            ) from error
        return SecretBytes(opened)

    def _cipher(self, instance: bytes, epoch: int) -> AESGCM:
        path = self.folder / kek_name(instance, epoch)
        check_private(self.folder)
        check_private(path)
        try:
            key = path.read_bytes()
        except OSError as error:
            raise StoreError(f"KEK {path} cannot be read: {error.strerror}; mount its medium") from error
        if len(key) != KEY_BYTES:
            raise StoreError(f"KEK {path} has {len(key)} bytes instead of {KEY_BYTES}: it is damaged")
        return AESGCM(key)

    def count(self) -> int:
        """How many KEKs stand here, of any store."""
        return len(self._files())

    def destroy(self, instance: bytes, epoch: int) -> None:
        """Destroy one KEK; nothing happens where there is none."""
        self._shred(self.folder / kek_name(instance, epoch))

    def destroy_all(self) -> list[str]:
        """Destroy every KEK here, of every store and epoch; their names."""
        destroyed: list[str] = []
        failed: StoreError | None = None
        for path in self._files():
            try:
                self._shred(path)
                destroyed.append(path.name)
            except StoreError as error:
                failed = error
        if failed is not None:
            raise failed
        return destroyed

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.name.startswith("kek-"))
        except FileNotFoundError:
            return []
        except OSError as error:
            message = f"KEK folder {self.folder} cannot be read: {error.strerror}; mount its medium"
            raise StoreError(message) from error

    def _shred(self, path: Path) -> None:
        """Overwrite and remove; where the overwriting fails, remove all the same, then say so."""
        failed: OSError | None = None
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            failed = error
        else:
            try:
                os.write(handle, os.urandom(max(KEY_BYTES, os.fstat(handle).st_size)))
                os.fsync(handle)
            except OSError as error:
                failed = error
            finally:
                os.close(handle)
        try:
            path.unlink(missing_ok=True)
            sync_folder(self.folder)
        except OSError as error:
            failed = error
        if failed is not None:
            raise StoreError(
                f"KEK {path} could not be destroyed: {failed.strerror}; destroy its medium by hand"
            ) from failed


def zeroise(folder: Path, kek: KekProvider) -> list[str]:
    """Destroy every KEK of a site, so that nothing in `folder` nor in any copy of it can be read again.

    Needs neither the database nor the site: it may run, hang or be broken. A running site keeps what it holds in
    memory until it is stopped, and cannot make a new KEK: the tombstone forbids it. Returns the names of what was
    destroyed. Raises StoreError where a KEK stands after all.
    """
    with suppress(OSError):  # a dead disk must not save the keys
        (folder / TOMBSTONE).touch(mode=0o600)
        sync_folder(folder)
    destroyed = kek.destroy_all()
    return destroyed + kek.destroy_all()  # one that was made before the tombstone stood
