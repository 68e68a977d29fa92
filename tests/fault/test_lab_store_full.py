"""A full disk, at any operation: nothing half, the bytes that are missing are named, and it goes on after."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fault import faulty_vfs
from lab_stores import ROOM, check_whole, new_store, quick_folder, written

from poliqi.base.errors import StoreError
from poliqi.lab.store.records import ActionKind, NewAction, Task
from poliqi.lab.store.settings import Limits
from poliqi.lab.store.tenant import TenantStore

FILES = {"a.dat": b"first", "deep/b.dat": bytes(3 << 20)}


def use(store: TenantStore, files: Path, turn: int = 0) -> None:
    came = NewAction(ActionKind.RECEIVED, str(turn), 1.0, 2.0, {}, {"receipt": b"signed"})
    frames = store.register([files], title="frames", action=came)
    store.run(
        Task("reduce", "1", {"turn": turn}, (frames.id,)), lambda folder: bool((folder / "x").write_text("1"))
    )


def test_a_database_that_cannot_grow() -> None:
    at = random.randrange(3)
    with quick_folder() as name, faulty_vfs.register() as vfs:
        place = Path(name)
        files = written(place / "files", FILES)
        while True:
            folder = place / str(at)
            with new_store(folder, vfs=vfs.name) as store:
                vfs.fail(at)
                try:
                    use(store, files)
                except StoreError as error:
                    assert "full" in str(error)
                    vfs.heal()
                    assert store.count() in (0, 1)
                    if store.count() == 0:
                        use(store, files)
                else:
                    assert not vfs.happened
                    break
                finally:
                    vfs.heal()
            check_whole(folder)
            at += 3
    assert at > 10


@pytest.mark.parametrize("call", ["copy_file_range", "pwrite", "link", "mkdir", "fsync", "write"])
def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    files, real, left = written(tmp_path / "files", FILES), getattr(os, call), [0]

    def full(*arguments: Any, **named: Any) -> Any:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        return real(*arguments, **named)

    for turn in range(3):
        store = new_store(tmp_path / "store")
        left[0] = turn
        monkeypatch.setattr(os, call, full)
        try:
            use(store, files, turn)
        except StoreError as error:
            assert "full" in str(error) or "No space" in str(error)
        monkeypatch.setattr(os, call, real)
        store.close()
        check_whole(tmp_path / "store")


def test_the_missing_bytes_are_named_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = written(tmp_path / "files", {"a.dat": b"12345"})
    monkeypatch.setattr(os, "statvfs", lambda place: SimpleNamespace(f_bavail=3, f_frsize=1000))
    with new_store(tmp_path / "store", Limits(free_bytes=2996)) as store:
        with pytest.raises(StoreError, match="5 bytes are to be written and 1 are missing"):
            store.register([files], title="x")
        assert store.count() == 0
    with new_store(tmp_path / "store", Limits(free_bytes=2995)) as store:
        store.register([files], title="x")
    check_whole(tmp_path / "store")


SMALL_DISK = """
import sys
from pathlib import Path
from lab_stores import ROOM, check_whole, new_store, quick_folder, written
from poliqi.base.errors import StoreError
small, files = Path(sys.argv[1]), Path(sys.argv[2])
with new_store(small / "store") as store:
    store.register([written(files / "fits", {"a": b"x" * 100_000})], title="fits")
    try:
        store.register([written(files / "large", {"a": b"y" * 9_000_000})], title="does not fit")
    except StoreError as error:
        print(error)
    def work(folder):
        (folder / "half").write_bytes(b"z" * 9_000_000)
    from poliqi.lab.store.records import Task
    try:
        store.run(Task("p", "1"), work)
    except StoreError as error:
        print(error)
print([one.title for one in check_whole(small / "store")])
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """In a mount namespace of its own, where a small disk can be mounted without anybody's leave."""
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, small, sys.executable, "-c", SMALL_DISK, small, tmp_path / "files"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tests}"},
        timeout=60,
        check=False,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    large, job, titles = done.stdout.splitlines()
    assert "are missing on the disk" in large
    assert "full" in job
    assert titles == "['fits']"
    assert ROOM.free_bytes == 0
