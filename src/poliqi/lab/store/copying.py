"""Copies a file and hashes the copy, at the speed of the disk, in constant memory.

The kernel copies (copy_file_range: shared blocks on btrfs and XFS, on the server over NFS, in the page cache
elsewhere) while another thread hashes what stands in the copy already; writing to the disk is begun at once. So the
hash is that of what is kept, whatever happens to the source meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from blake3 import blake3

__all__ = ["FEW", "SMALL", "Tell", "copy_hashed", "hash_of", "is_let_go"]

Tell = Callable[[int], None]
"""Told the bytes done since it was told last."""

FEW: Final = 4
"""So many files are made durable one by one; more of them at once with all that is on their file system: 32 files
cost 64 turns of the disk otherwise."""
SMALL: Final = 1 << 20
"""Bytes up to which a file is copied in one piece."""
_PART: Final = 32 << 20
_BLOCK: Final = SMALL
_CANNOT: Final = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EPERM)


def copy_hashed(source: int, target: int, most: int, tell: Tell) -> tuple[str, int]:
    """Copy an open file into an empty one (open to read and write): its BLAKE3, its size. Raises OSError.

    A source that grows beyond `most` bytes meanwhile is copied up to there.
    """
    if most <= SMALL:
        return _copy_small(source, target, most, tell)
    hasher, size = blake3(), 0
    with ThreadPoolExecutor(1) as pool:
        last: Future[None] | None = None
        for count in _copied(source, target, most):
            os.posix_fadvise(target, size, count, os.POSIX_FADV_DONTNEED)  # begins to write it to the disk
            if last is not None:
                last.result()
            last = pool.submit(_hash_part, hasher, target, size, size + count)
            size += count
            tell(count)
        if last is not None:
            last.result()
    return hasher.hexdigest(), size


def _copy_small(source: int, target: int, most: int, tell: Tell) -> tuple[str, int]:
    """As copy_hashed, where a second thread would cost more than it saves."""
    hasher, buffer, size = blake3(), memoryview(bytearray(most)), 0
    while count := os.preadv(source, [buffer[: most - size]], size):
        hasher.update(buffer[:count])
        _write(target, buffer[:count], size)
        size += count
        tell(count)
    return hasher.hexdigest(), size


def hash_of(source: int, tell: Tell) -> tuple[str, int]:
    """The BLAKE3 of all of an open file, and its size. Raises OSError."""
    hasher, buffer, size = blake3(), memoryview(bytearray(_BLOCK)), 0
    while count := os.preadv(source, [buffer], size):
        hasher.update(buffer[:count])
        size += count
        tell(count)
    return hasher.hexdigest(), size


def is_let_go(source: int, mode: int) -> bool:
    """Set the mode of a file that is open for reading: whether nobody can write to it under any name any more.

    The kernel gives a lease for reading only where no process has it open, or mapped, for writing. False also where
    it has other names, belongs to somebody else, or its file system cannot tell.
    """
    if os.fstat(source).st_nlink != 1:
        return False
    try:
        os.fchmod(source, mode)
        fcntl.fcntl(source, fcntl.F_SETSIG, signal.SIGURG)  # who opens it now sends nothing that ends a process
        fcntl.fcntl(source, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(source, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True


def _copied(source: int, target: int, most: int) -> Iterator[int]:
    """The sizes of parts, each once it is copied."""
    at = 0
    try:
        while count := os.copy_file_range(source, target, min(_PART, most - at), at, at):
            yield count
            at += count
    except OSError as error:
        if at or error.errno not in _CANNOT:
            raise
    # between two file systems, and where the kernel sees no end (some network file systems): by hand
    buffer = memoryview(bytearray(_BLOCK))
    while count := os.preadv(source, [buffer[: most - at]], at):
        _write(target, buffer[:count], at)
        yield count
        at += count


def _write(target: int, part: memoryview, at: int) -> None:
    while part:
        count = os.pwrite(target, part, at)
        part, at = part[count:], at + count


def _hash_part(hasher: blake3, target: int, start: int, end: int) -> None:
    buffer = memoryview(bytearray(min(_BLOCK, end - start)))
    while start < end:
        count = os.preadv(target, [buffer[: end - start]], start)
        if not count:
            raise OSError(errno.EIO, "the copy ends before its end: the disk has lost it")
        hasher.update(buffer[:count])
        start += count
