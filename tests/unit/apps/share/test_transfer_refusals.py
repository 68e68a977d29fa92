"""A receiver that has no room, or wants no more, says so; what came is kept and the transfer goes on later."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transfer_rig import Transfer, content

from poliqi.apps.share import taking
from poliqi.apps.share.messages import RefusalCode, Refused
from poliqi.apps.share.service import InboxService
from poliqi.base.errors import StoreError


def refusal_of(transfer: Transfer, *paths: Path, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        transfer.send(*paths, **more)
    return caught.value


def fill_after(monkeypatch: pytest.MonkeyPatch, size: int, number: int = errno.ENOSPC) -> None:
    """A disk that takes so many bytes more."""
    left, write = [size], os.write

    def writing(handle: int, data: memoryview) -> int:
        if left[0] <= 0:
            raise OSError(number, os.strerror(number))
        count = write(handle, data[: left[0]])
        left[0] -= count
        return count

    monkeypatch.setattr(taking.os, "write", writing)


def test_space_is_looked_at_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    transfer = Transfer(tmp_path, inbox={"keep_free_bytes": free * 2})
    refused = refusal_of(transfer, tmp_path / "a")
    assert refused.refusal.code is RefusalCode.NO_SPACE
    assert refused.refusal.needed_bytes >= 1000
    assert f"{refused.refusal.needed_bytes:,} bytes more are needed" in str(refused)
    assert not list(transfer.receiver.inbox.glob(".partial/office/*/tree/*"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_fills_up_keeps_what_came_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "big").write_bytes(os.urandom(8 << 20))
    transfer = Transfer(tmp_path)
    with monkeypatch.context() as patch:
        fill_after(patch, 3_500_000, number)
        refused = refusal_of(transfer, tmp_path / "big")
    assert refused.refusal.code is RefusalCode.NO_SPACE
    (staged,) = transfer.receiver.inbox.glob(".partial/office/*/tree/big")
    assert staged.stat().st_size == 3_500_000
    node = staged.stat().st_ino
    transfer.send(tmp_path / "big")
    assert (transfer.arrived / "big").read_bytes() == (tmp_path / "big").read_bytes()
    assert (transfer.arrived / "big").stat().st_ino == node


def test_a_disk_that_fails_is_told_apart_from_a_full_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    transfer = Transfer(tmp_path)
    with monkeypatch.context() as patch:
        fill_after(patch, 10, errno.EIO)
        assert refusal_of(transfer, tmp_path / "a").refusal.code is RefusalCode.STORE_FAILED
    transfer.send(tmp_path / "a")
    assert (transfer.arrived / "a").read_bytes() == bytes(1000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_real_file_system_that_is_filled_by_another_meanwhile(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "big").write_bytes(os.urandom(3 << 20))
    transfer = Transfer(tmp_path, inbox={"keep_free_bytes": 0}, receiver_folder=small_disk)
    # the check before is blind here, as it is when others fill the disk after it
    with monkeypatch.context() as patch:
        patch.setattr("poliqi.apps.share.inbox.Inbox.free_bytes", lambda _self: 1 << 40)
        (small_disk / "ballast").write_bytes(bytes(2 << 20))
        refused = refusal_of(transfer, tmp_path / "big")
    assert refused.refusal.code is RefusalCode.NO_SPACE
    (small_disk / "ballast").unlink()
    transfer.send(tmp_path / "big")
    assert (transfer.arrived / "big").read_bytes() == (tmp_path / "big").read_bytes()


def test_quotas(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for number in range(5):
        (tmp_path / f"root/{number}").write_bytes(bytes(100))
        os.utime(tmp_path / f"root/{number}", ns=(10**18, 10**18))
    # five files; their lines and that of the folder; what is known of each of the six
    held = 5 * 100 + 5 * len(f"f 100 {10**18} root/0\n") + len("d - - root\n") + 6 * 50
    for inbox, code, limit in (
        ({"max_files": 5}, RefusalCode.TOO_MANY, 5),
        ({"max_bytes": held - 1}, RefusalCode.TOO_LARGE, held - 1),
    ):
        folder = tmp_path / code
        folder.mkdir()
        refused = refusal_of(Transfer(folder, inbox=inbox), tmp_path / "root")
        assert (refused.refusal.code, refused.refusal.limit) == (code, limit)
    (tmp_path / "fits").mkdir()
    transfer = Transfer(tmp_path / "fits", inbox={"max_files": 6, "max_bytes": held})
    transfer.send(tmp_path / "root")
    assert content(transfer.arrived / "root") == content(tmp_path / "root")


def test_unfinished_transfers_count_against_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(os.urandom(1 << 20))
    transfer = Transfer(tmp_path, inbox={"max_bytes": (2 << 20) - 1})
    with monkeypatch.context() as patch:
        fill_after(patch, 500_000)
        refusal_of(transfer, tmp_path / "one")
    assert refusal_of(transfer, tmp_path / "two").refusal.code is RefusalCode.TOO_LARGE
    transfer.send(tmp_path / "one")
    transfer.send(tmp_path / "two")


def test_a_closed_service_takes_nothing_and_the_sender_may_try_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    transfer = Transfer(tmp_path)
    transfer.service.close()
    assert refusal_of(transfer, tmp_path / "a").refusal.code is RefusalCode.CLOSING
    transfer.service = InboxService(transfer.receiver)
    transfer.send(tmp_path / "a")
    assert (transfer.arrived / "a").read_text() == "a"


def test_manifests_that_differ_are_mended_in_another_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that flips in memory between hash and record: the groups show where."""
    root = tmp_path / "root"
    root.mkdir()
    for number in range(100):
        (root / f"{number:02}").write_bytes(os.urandom(100))
    transfer, hashing, flips = Transfer(tmp_path), taking.Hasher, [70]

    def flipping(data: bytes = b"") -> Any:
        flips[0] -= 1
        return hashing(b"flipped" if flips[0] == 0 else data)

    monkeypatch.setattr(taking, "Hasher", flipping)
    transfer.send(root, patience_s=10.0)
    assert flips[0] < 0
    assert content(transfer.arrived / "root") == content(root)


def test_a_full_disk_at_the_sender_is_its_own_and_leaves_no_file_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "big").write_bytes(os.urandom(1 << 20))
    transfer = Transfer(tmp_path)

    write = os.pwrite

    def full(handle: int, data: bytes, at: int) -> int:
        if threading.current_thread() is not threading.main_thread():
            return write(handle, data, at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(StoreError, match="No space"):
        patch.setattr("poliqi.apps.share.facts.os.pwrite", full)
        transfer.send(tmp_path / "big")
    assert transfer.send(tmp_path / "big").left_out == 0
