"""Files that people hand in, until they are sent: on disk, private, unlinked afterwards.

```
FOLDER/         0700, emptied at the start
FOLDER/HEX/     0700, one for each upload
FOLDER/HEX/NAME 0600, the file under the name that it has for people
```
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from poliqi.base.errors import DataRefused, StoreError
from poliqi.edge.folder import lock_folder, make_private_folder
from poliqi.ops.sae_web.limits import UploadLimits
from poliqi.ops.sae_web.trouble import Declined, Trouble

__all__ = ["Spool", "Upload", "is_file_name"]

_NAME_BYTES: Final = 255
_FORBIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def is_file_name(name: str) -> bool:
    """Whether this can stand for a file, on a disk and before people: no folder, nothing that is not seen.

    Signs that change the direction of writing are of category Cf: with one, "exe.pdf" may be no PDF.
    """
    if not name or name in (".", "..") or name != name.strip() or "/" in name or "\\" in name:
        return False
    if any(unicodedata.category(letter) in _FORBIDDEN for letter in name):
        return False
    return len(name.encode()) <= _NAME_BYTES


@dataclass(slots=True)
class Upload:
    """A file that comes in. `owner` is the visit that hands it in; nobody else can go on with it."""

    id: str
    owner: str
    name: str
    size_bytes: int
    folder: Path
    have_bytes: int = 0
    seen_s: float = 0.0
    is_taken: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def path(self) -> Path:
        return self.folder / self.name

    @property
    def is_whole(self) -> bool:
        return self.have_bytes == self.size_bytes


class Spool:
    """All of them. Any thread may call. Refusals are DataRefused, a disk that fails is StoreError."""

    def __init__(self, folder: Path, limits: UploadLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder: Final = folder
        self._limits: Final = limits
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._uploads: Final[dict[str, Upload]] = {}
        make_private_folder(folder)
        self._held: int | None = lock_folder(folder, "one process serves the pages of an application; end it first")
        for left in folder.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def begin(self, owner: str, name: str, size_bytes: int) -> Upload:
        """A new file of this size."""
        most = self._limits
        if not is_file_name(name):
            raise Declined(Trouble.NAME, f"the name {name[:80]!r} cannot be sent: rename the file")
        if not 0 <= size_bytes <= most.file_bytes:
            raise Declined(
                Trouble.TOO_LARGE, f"{name}: {size_bytes} bytes, at most {most.file_bytes} are taken here: split it"
            )
        self.forget_idle()
        with self._lock:
            if len(self._uploads) >= most.at_once:
                raise Declined(
                    Trouble.BUSY, f"{most.at_once} files are on their way in already: try again in a while"
                )
            held = sum(upload.size_bytes for upload in self._uploads.values())
            if held + size_bytes > most.total_bytes:
                raise Declined(
                    Trouble.BUSY, f"files of {held} bytes wait to be sent here already: try again in a while"
                )
            key = secrets.token_hex(16)
            upload = Upload(key, owner, name, size_bytes, self._folder / key, seen_s=self._clock())
            self._uploads[key] = upload
        try:
            upload.folder.mkdir(mode=0o700)
            os.close(os.open(upload.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            self.discard([upload])
            raise StoreError(f"{name}: cannot be kept here: {error.strerror}") from error
        return upload

    def find(self, owner: str, key: str) -> Upload | None:
        """One of this owner's that is not sent yet."""
        with self._lock:
            found = self._uploads.get(key)
        return found if found is not None and found.owner == owner and not found.is_taken else None

    def add(self, upload: Upload, at: int, part: bytes) -> int:
        """Write a part that begins `at`; what is there now. What is there already is left."""
        with upload.lock:
            upload.seen_s = self._clock()
            if at + len(part) <= upload.have_bytes:
                return upload.have_bytes
            if at != upload.have_bytes or at + len(part) > upload.size_bytes:
                raise DataRefused(
                    f"{upload.name}: bytes from {at} to {at + len(part)} came, {upload.have_bytes} of "
                    f"{upload.size_bytes} are here: go on from there"
                )
            try:
                self._write(upload.path, at, part)
            except OSError as error:
                raise StoreError(f"{upload.name}: cannot be kept here: {error.strerror}") from error
            upload.have_bytes += len(part)
            return upload.have_bytes

    @staticmethod
    def _write(path: Path, at: int, part: bytes) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            left = memoryview(part)
            while left:
                count = os.pwrite(handle, left, at)
                left, at = left[count:], at + count
        finally:
            os.close(handle)

    def take(self, owner: str, keys: Sequence[str]) -> list[Upload]:
        """Whole files that are to be sent together; from now on they are the sender's, who discards them."""
        if not 1 <= len(keys) <= self._limits.files:
            raise Declined(
                Trouble.TOO_MANY, f"{len(keys)} files at once, from 1 to {self._limits.files} are taken here"
            )
        found = [self.find(owner, key) for key in keys]
        uploads = [upload for upload in found if upload is not None]
        names = [upload.name for upload in uploads]
        if len(uploads) < len(keys) or len(set(keys)) < len(keys):
            raise Declined(Trouble.GONE, "a file is no longer here: it stood still too long; choose it again")
        for upload in uploads:
            if not upload.is_whole:
                raise Declined(
                    Trouble.GONE, f"{upload.name}: only {upload.have_bytes} of {upload.size_bytes} bytes are here"
                )
            if names.count(upload.name) > 1:
                raise Declined(
                    Trouble.SAME_NAME, f"two files are called {upload.name}: rename one, or send them one by one"
                )
        for upload in uploads:
            upload.is_taken = True
        return uploads

    def give_back(self, uploads: Sequence[Upload]) -> None:
        """They were not sent after all."""
        for upload in uploads:
            upload.seen_s, upload.is_taken = self._clock(), False

    def discard(self, uploads: Sequence[Upload]) -> None:
        """Unlink them."""
        for upload in uploads:
            shutil.rmtree(upload.folder, ignore_errors=True)
            with self._lock:
                self._uploads.pop(upload.id, None)

    def close(self) -> None:
        """Discard all of it, and let another process have the folder."""
        with self._lock:
            left, held = list(self._uploads.values()), self._held
            self._held = None
        self.discard(left)
        if held is not None:
            os.close(held)

    def forget_idle(self) -> None:
        """Discard what stands still."""
        now = self._clock()
        with self._lock:
            waiting = [upload for upload in self._uploads.values() if not upload.is_taken]
        self.discard([upload for upload in waiting if now - upload.seen_s > self._limits.idle_s])
