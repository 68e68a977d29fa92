"""The inbox: names, clashes, crashes between two steps, age."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from pathlib import Path

import pytest

from poliqi.apps.share.inbox import Inbox, InboxRules
from poliqi.apps.share.names import name_problem, numbered, peer_folder
from poliqi.apps.share.staged import Staged
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId

PEER = SaeId("office")


def staged(folder: Path, name: str, text: str | None) -> int:
    """A folder with one file, or one folder (None), in it; its handle."""
    folder.mkdir()
    if text is None:
        (folder / name).mkdir()
    else:
        (folder / name).write_text(text)
    return os.open(folder, os.O_RDONLY)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/", "a\0b", "a\nb", "\x1b[31m", "x" * 256, "é" * 128, "a\u202eb", "\u2028", "\udc80"],
)
def test_names_that_are_refused(name: str) -> None:
    assert name_problem(name)


@pytest.mark.parametrize(
    "name", ["a", "...", ".bashrc", "a b", " ", "-rf", "é" * 127, "x" * 255, "日本語", "a\u202fb", "~"]
)
def test_names_that_are_taken(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "number", "is_folder", "expected"),
    [
        ("a.pdf", 1, False, "a.pdf"),
        ("a.pdf", 2, False, "a (2).pdf"),
        ("a.tar.gz", 3, False, "a.tar (3).gz"),
        (".bashrc", 2, False, ".bashrc (2)"),
        ("a.b", 2, True, "a.b (2)"),
        ("x" * 255, 2, False, "x" * 251 + " (2)"),
        ("é" * 127, 12, False, "é" * 125 + " (12)"),
    ],
)
def test_clashes_are_numbered(name: str, number: int, is_folder: bool, expected: str) -> None:
    assert numbered(name, number, is_folder) == expected
    assert len(expected.encode()) <= 255


def test_folders_of_peers_are_plain_names_and_never_two_alike() -> None:
    peers = [
        ".",
        "..",
        ".partial",
        "a/b",
        "a%2Fb",
        "a\\b",
        "%2E",
        "a",
        "A",
        "日" * 64,
        "日" * 63 + "本",
        "..a",
        "a b",
    ]
    folders = [peer_folder(SaeId(peer)) for peer in peers]
    assert len(set(folders)) == len(peers)
    for folder in folders:
        assert name_problem(folder) is None
        assert not folder.startswith(".")
        assert folder.isascii()


@pytest.mark.parametrize("text", ["file", None])
def test_what_arrives_never_stands_in_anothers_place(tmp_path: Path, text: str | None) -> None:
    inbox, handle = Inbox(tmp_path / "inbox", InboxRules()), staged(tmp_path / "staged", "x", text)
    assert inbox.free_name(PEER, "x", text is None) == "x"
    # someone is faster, be it with something empty
    place = tmp_path / "inbox/office/x"
    if text is None:
        place.mkdir()
    else:
        place.touch()
    assert not inbox.move(PEER, handle, "x", "x")
    assert inbox.free_name(PEER, "x", text is None) == "x (2)"
    assert inbox.move(PEER, handle, "x", "x (2)")
    os.close(handle)
    assert sorted(path.name for path in (tmp_path / "inbox/office").iterdir()) == ["x", "x (2)"]


def test_a_file_system_without_such_a_rename_gets_a_look_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Old:
        """A C library on a file system that knows no flags."""

        @staticmethod
        def renameat2(*_: object) -> int:
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr("poliqi.apps.share.kernel._libc", Old)
    inbox, handle = Inbox(tmp_path / "inbox", InboxRules()), staged(tmp_path / "staged", "x", "text")
    assert inbox.free_name(PEER, "x", False) == "x"
    (tmp_path / "inbox/office/x").symlink_to("nowhere")
    assert not inbox.move(PEER, handle, "x", "x")
    assert inbox.move(PEER, handle, "x", "y")
    os.close(handle)
    assert (tmp_path / "inbox/office/y").read_text() == "text"


def test_a_symlink_in_place_of_the_peers_folder_is_not_followed(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", InboxRules())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "inbox/office").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"directory|symbolic"):
        inbox.free_name(PEER, "x", False)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_old_unfinished_transfers_are_removed_and_young_ones_kept(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", InboxRules(keep_days=7))
    for name, age_days in (("old", 8), ("young", 6)):
        folder = inbox.partial_folder(PEER, name)
        (folder / "tree").mkdir(parents=True)
        (folder / "state").write_text("{}")
        moment = time.time() - 86_400 * age_days
        for path in (folder / "tree", folder / "state", folder):
            os.utime(path, (moment, moment))
    assert inbox.tidy() == ["old"]
    assert [path.name for path in inbox.unfinished(PEER)] == ["young"]


def make_old(folder: Path, *young: Path) -> None:
    """All of it older than it is kept, but for what is named."""
    moment = time.time() - 86_400 * 8
    for path in (*folder.rglob("*"), folder):
        if path not in young:
            os.utime(path, (moment, moment))


def test_a_transfer_under_way_is_kept_however_long_it_takes(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", InboxRules(keep_days=7))
    held = Staged(inbox.partial_folder(PEER, "ab"), time.time_ns(), time.time_ns())
    held.save()
    make_old(held.folder)
    assert inbox.tidy() == []
    held.close()
    assert inbox.tidy() == ["ab"]


def test_one_large_file_that_came_for_longer_than_transfers_are_kept_stays(tmp_path: Path) -> None:
    """Its bytes are all that changes, deep in the tree."""
    inbox = Inbox(tmp_path / "inbox", InboxRules(keep_days=7))
    folder = inbox.partial_folder(PEER, "ab")
    (folder / "tree/a").mkdir(parents=True)
    (folder / "partial").write_text("a/big")
    (folder / "tree/a/big").write_text("it grows")
    make_old(folder, folder / "tree/a/big")
    assert inbox.tidy() == []
    make_old(folder)
    assert inbox.tidy() == ["ab"]


def test_what_a_crash_left_of_a_transfer_with_its_receipt_counts_no_more_and_goes(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", InboxRules())
    (inbox.partial_folder(PEER, "ab") / "tree").mkdir(parents=True)
    receipt = inbox.receipt_file(PEER, "ab")
    receipt.parent.mkdir()
    receipt.write_text("{}")
    assert inbox.unfinished(PEER) == []
    assert inbox.tidy() == ["ab"]
    assert not inbox.partial_folder(PEER, "ab").exists()


def test_the_inbox_is_for_its_owner_alone(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", InboxRules())
    assert inbox.folder.stat().st_mode & 0o077 == 0


def test_settings_that_make_no_sense_are_named() -> None:
    with pytest.raises(ConfigError, match="keep_days"):
        InboxRules.of({"inbox": {"keep_days": -1}})
    with pytest.raises(ConfigError, match="max_byte"):
        InboxRules.of({"inbox": {"max_byte": 1}})
