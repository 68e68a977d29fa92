"""A process that has imported the store of a laboratory, and forks a user of it for each command.

Usage: lab_zygote.py STORE FILES. Reads "all NUMBER DIE_AT" (register FILES with a receipt, do a job, send) and
answers with what was acknowledged before the child died, as from kill -9, before its change DIE_AT to the disk,
counted from 0 (not where that is -1), SQLite's changes among them, and "end" where it lived. "ask COUNT" has so
many children ask for one job at once and answers with how often it was done and the dataset that each got.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import apsw
from lab_stores import ROOM

from poliqi.lab.store import staging
from poliqi.lab.store.records import ActionKind, NewAction, Task
from poliqi.lab.store.tenant import TenantStore

CHANGES = ("copy_file_range", "fchmod", "fsync", "link", "mkdir", "pwrite", "rename", "replace", "rmdir", "unlink")
left = -1


def step(*_: object) -> None:
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1


def dying(change: Any) -> Any:
    def changing(*arguments: Any, **named: Any) -> Any:
        step()
        return change(*arguments, **named)

    return changing


class DyingFile(apsw.VFSFile):
    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        step()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        step()
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        step()
        super().xTruncate(newsize)


class DyingVfs(apsw.VFS):
    NAME = "dying"

    def __init__(self) -> None:
        super().__init__(self.NAME, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return DyingFile("unix", name, flags)


def writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & os.O_CREAT)


def do_all(store_folder: Path, files: Path, number: str, die_at: int, told: int) -> None:
    global left
    vfs = DyingVfs()
    (files / "own.dat").write_text(number)
    left = die_at
    for name in CHANGES:
        setattr(os, name, dying(getattr(os, name)))
    staging.sync_all = dying(staging.sync_all)
    sys.addaudithook(lambda event, how: step() if event == "open" and writes(how[2]) else None)
    with TenantStore(store_folder, "lab", ROOM, vfs=vfs.NAME) as store:
        came = NewAction(ActionKind.RECEIVED, number, 1.0, 2.0, {}, {"receipt": number.encode()})
        frames = store.register([files], title=f"frames {number}", action=came)
        os.write(told, f"{frames.id} ".encode())
        wanted = Task("reduce", "1", {"number": number}, (frames.id,), f"curve {number}")
        curve, _ = store.run(wanted, lambda folder: bool((folder / "curve.csv").write_text("1,2" + number)))
        os.write(told, f"{curve.id} ".encode())
        went = NewAction(ActionKind.SENT, number, 1.0, 2.0, {}, {"receipt": b"to " + number.encode()})
        store.add_action(curve.id, went)
    os.write(told, b"end ")


def ask(store_folder: Path, told: int) -> None:
    def work(folder: Path) -> None:
        os.write(told, b"ran ")
        time.sleep(0.02)
        (folder / "curve.csv").write_text("1,2")

    with TenantStore(store_folder, "lab", ROOM) as store:
        made, _ = store.run(Task("asked", "1", simulated=True), work)
    os.write(told, f"{made.id} ".encode())


def main() -> None:
    folder, files = Path(sys.argv[1]), Path(sys.argv[2])
    for line in sys.stdin:
        what, *arguments = line.split()
        reading, told = os.pipe()
        children = []
        for _ in range(int(arguments[0]) if what == "ask" else 1):
            child = os.fork()
            if not child:
                try:
                    if what == "ask":
                        ask(folder, told)
                    else:
                        do_all(folder, files, arguments[0], int(arguments[1]), told)
                except BaseException as error:
                    os.write(told, f"{type(error).__name__}:{error}".replace(" ", "_").encode())
                finally:
                    os._exit(0)
            children.append(child)
        os.close(told)
        for child in children:
            os.waitpid(child, 0)
        with os.fdopen(reading) as answer:
            print(answer.read(), flush=True)


main()
