"""Work that is under way: a locked folder each, swept by whoever opens the store after its process has died.

```
staging/NAME/
  content/   files named by their hash, until the catalogue knows them
  work/      what a job writes, or what a caller unpacks
```
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from poliqi.apps.share.kernel import sync_all
from poliqi.base.errors import StoreError
from poliqi.edge.folder import make_private_folder
from poliqi.lab.store.naming import new_id

__all__ = ["Draft", "Staging"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Draft:
    """A folder of staging that this process holds."""

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        self.content: Final = folder / "content"
        self.work: Final = folder / "work"
        self.is_entered = False
        """Set once the catalogue knows all of it: then nothing is to be taken back."""
        for place in (self.content, self.work):
            make_private_folder(place)

    def sync(self) -> None:
        """Make all of it durable, with all that is on its file system. Raises OSError."""
        handle = os.open(self.content, _FOLDER)
        try:
            sync_all(handle)
        finally:
            os.close(handle)


class Staging:
    """`take_back` gets the hashes that a draft may have placed without its commit."""

    def __init__(self, folder: Path, take_back: Callable[[Iterable[str]], None]) -> None:
        self.folder: Final = folder
        self._take_back: Final = take_back

    @contextmanager
    def hold(self, name: str | None = None) -> Generator[Draft]:
        """An empty draft, removed at the end; of a `name` there is one at a time, and the next one waits.

        Raises StoreError.
        """
        place = self.folder / (name or new_id())
        try:
            lock = _lock_new(place)
        except OSError as error:
            raise StoreError(f"{place}: cannot be made: {error.strerror or error}; check the disk") from error
        try:
            try:
                self._clear(place)
                draft = Draft(place)
            except OSError as error:
                raise StoreError(f"{place}: cannot be made: {error.strerror or error}; check the disk") from error
            try:
                yield draft
            finally:
                self._remove(place, is_entered=draft.is_entered)
        finally:
            os.close(lock)

    def sweep(self) -> None:
        """Remove every draft whose process is gone, with what it had placed. Raises StoreError."""
        try:
            places = list(self.folder.iterdir())
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be read: {error.strerror}") from error
        for place in places:
            try:
                lock = os.open(place, _FOLDER)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"{place}: is no folder of a draft: remove it ({error.strerror})") from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._remove(place)
            except BlockingIOError:
                continue  # its process lives
            finally:
                os.close(lock)

    def _remove(self, place: Path, *, is_entered: bool = False) -> None:
        try:
            self._clear(place, is_entered=is_entered)
            place.rmdir()
        except OSError as error:
            raise StoreError(f"{place}: cannot be removed: {error.strerror or error}; remove it by hand") from error

    def _clear(self, place: Path, *, is_entered: bool = False) -> None:
        content = place / "content"
        if content.is_dir() and not is_entered:
            digests = [staged.name for staged in content.iterdir() if len(staged.name) == 64]
            if digests:
                self._take_back(digests)
        for inner in (content, place / "work"):
            if inner.is_dir():
                shutil.rmtree(inner)


def _lock_new(place: Path) -> int:
    """Make the folder and hold it; whoever held it before may have removed it meanwhile."""
    while True:
        try:
            make_private_folder(place)
            lock = os.open(place, _FOLDER)
        except FileNotFoundError:
            continue
        except FileExistsError:  # it stood there, and was gone when pathlib looked whether it is a folder
            if place.exists() and not place.is_dir():
                raise
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_nlink and place.stat().st_ino == os.fstat(lock).st_ino:
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
