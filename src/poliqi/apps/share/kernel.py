"""Two calls of the Linux kernel that Python's os has not."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any, Final

__all__ = ["is_there", "rename_new", "sync_all"]

_NO_REPLACE: Final = 1
_UNKNOWN: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def sync_all(handle: int) -> None:
    """Make everything on the file system of an open file durable: syncfs(2). Raises OSError."""
    _check(_libc().syncfs(handle), "")


def rename_new(name: str, inside: int, new_name: str, new_inside: int) -> None:
    """Rename in one step, never over anything: renameat2(2). Raises FileExistsError, OSError.

    A file system that cannot do that gets a look beforehand and a plain rename.
    """
    old, new = os.fsencode(name), os.fsencode(new_name)
    try:
        renaming = getattr(_libc(), "renameat2", None)
        if renaming is None:
            raise OSError(errno.ENOSYS, "renameat2")
        _check(renaming(inside, old, new_inside, new, _NO_REPLACE), new_name)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        if is_there(new_name, new_inside):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new_name) from None
        os.rename(name, new_name, src_dir_fd=inside, dst_dir_fd=new_inside)


def is_there(name: str, inside: int) -> bool:
    """True where something, be it a broken symlink, has that name. Raises OSError."""
    try:
        os.stat(name, dir_fd=inside, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, name: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
