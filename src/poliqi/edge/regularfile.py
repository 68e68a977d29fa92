"""Files that somebody names to be read: a pipe, a socket or a device is refused, and nobody waits for it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from poliqi.base.errors import DataRefused

__all__ = ["open_regular"]

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def open_regular(path: Path) -> BinaryIO:
    """The file, open for reading; links are followed.

    Raises OSError as `open` does (a folder is IsADirectoryError), DataRefused for what is no regular file.
    """
    handle = os.open(path, _FLAGS)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise DataRefused(f"{path}: a pipe or device, not a regular file; save its content and name that file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
