"""A file layer for SQLite that fails, and a disk that loses power.

`register()` gives a layer over the real files. Every write, truncation, synchronisation and deletion counts as one
operation. `fail(at, error)` makes operations fail from a number on (or that one alone); what a
failed synchronisation should have saved is still read, but no later one saves it. `cut_power(at)` makes the
disk die at an operation; `lose_power(choice)` then rewrites the files as a real disk may have left them: everything
that was synchronised, and of the later writes any, in any order, the last of them torn.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

_numbers = itertools.count(1)
SECTOR = 512


@dataclass
class ShadowFile:
    """What is surely on the disk, and what was written since."""

    durable: bytearray
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut off there
    deleted: bool = False

    def settle(self) -> None:
        for change in self.pending:
            _do(self.durable, change)
        self.pending.clear()


def _do(content: bytearray, change: tuple[int, bytes | None]) -> None:
    at, data = change
    if data is None:
        del content[at:]
        return
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


class FaultyVfs(apsw.VFS):
    """Use its `name` as the `vfs` of a database. Only main databases and their logs are modelled."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kinds: list[str] = []
        self.files: dict[str, ShadowFile] = {}
        self._at: int | None = None
        self._error: type[apsw.Error] = apsw.IOError
        self._once = False
        self._dead = self._killed = False
        super().__init__(name, "unix", 0)

    # -------------------------------------------------------------- what goes wrong

    def heal(self) -> None:
        """Nothing fails from now on; operations are counted from 0."""
        self._at, self._dead, self._killed = None, False, False
        self.kinds.clear()

    def fail(self, at: int, error: type[apsw.Error] = apsw.FullError, *, once: bool = False) -> None:
        """Operation number `at` (from 0) fails, and the later ones too, unless `once`."""
        self.heal()
        self._at, self._error, self._once = at, error, once

    def kill(self) -> None:
        """As if the process were killed: nothing reaches the files any more, what was written stays written."""
        self.fail(0, apsw.IOError)
        self._killed = True

    def cut_power(self, at: int) -> None:
        """The disk does nothing any more from operation `at` on; that one may be half done."""
        self.fail(at, apsw.IOError)
        self._dead = True

    @property
    def happened(self) -> bool:
        """True where the operation that was to fail was reached."""
        return self._at is not None and self.operations > self._at

    @property
    def forgets(self) -> bool:
        """True where a synchronisation fails though the machine goes on."""
        return not self._dead and not self._killed

    @property
    def dies_now(self) -> bool:
        """True at the operation at which power is cut."""
        return self._dead and self.operations - 1 == self._at

    def lose_power(self, choice: random.Random | None) -> None:
        """Leave the files as after a power cut; None drops all that was not synchronised. Heals."""
        for path, shadow in self.files.items():
            content = bytearray(shadow.durable)
            pending = list(shadow.pending)
            if choice is not None and pending:
                pending = [change for change in pending if choice.random() < 0.6]
                choice.shuffle(pending)
                if pending and pending[-1][1] is not None:
                    at, data = pending[-1]
                    pending[-1] = (at, data[: choice.randrange(0, len(data) + 1, min(SECTOR, len(data)))])
            for change in pending if choice is not None else ():
                _do(content, change)
            place = Path(path)
            place.with_name(place.name + "-shm").unlink(missing_ok=True)
            if shadow.deleted and (choice is None or choice.random() < 0.5):
                place.unlink(missing_ok=True)
                continue
            place.write_bytes(content)
            shadow.durable, shadow.deleted = content, False
            shadow.pending.clear()
        self.files = {path: shadow for path, shadow in self.files.items() if not shadow.deleted}
        self.heal()

    @property
    def operations(self) -> int:
        """How many there were since the last `heal`; `kinds` names each."""
        return len(self.kinds)

    def step(self, kind: str) -> None:
        """Count one operation, and fail where it is its turn."""
        number = self.operations
        self.kinds.append(kind)
        if self._at is not None and (number == self._at or (number > self._at and not self._once)):
            raise self._error(f"made to fail at operation {number}")

    # -------------------------------------------------------------- what SQLite calls

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> FaultyFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return FaultyFile(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.step("delete")
        super().xDelete(filename, syncdir)
        if filename in self.files:
            if syncdir:
                del self.files[filename]
            else:
                self.files[filename].deleted = True


class FaultyFile(apsw.VFSFile):
    def __init__(self, vfs: FaultyVfs, path: str | None, name: object, flags: list[int]) -> None:
        self.vfs = vfs
        super().__init__("unix", name, flags)
        kept = flags[0] & (apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL)
        if path is None or not kept:
            self.shadow = ShadowFile(bytearray())
            return
        known = vfs.files.get(path)
        if known is None:
            known = vfs.files[path] = ShadowFile(bytearray(Path(path).read_bytes()))
        elif known.deleted:  # made again: what the old one held may still come back
            known.deleted = False
            known.pending = [(0, None)]
        self.shadow = known

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        try:
            self.vfs.step("write")
        except apsw.Error:
            if self.vfs.dies_now:
                self.shadow.pending.append((offset, bytes(data)))  # begun, perhaps done
            raise
        super().xWrite(data, offset)
        self.shadow.pending.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self.vfs.step("truncate")
        super().xTruncate(newsize)
        self.shadow.pending.append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        try:
            self.vfs.step("sync")
        except apsw.Error:
            if self.vfs.forgets:
                self.shadow.pending.clear()  # as Linux does: seen until the next start, but never written
            raise
        self.shadow.settle()  # the real disk is not asked: the model decides what survives


@contextmanager
def register() -> Generator[FaultyVfs]:
    """A layer of its own, under a name of its own."""
    vfs = FaultyVfs(f"faulty-{next(_numbers)}")
    try:
        yield vfs
    finally:
        vfs.unregister()
