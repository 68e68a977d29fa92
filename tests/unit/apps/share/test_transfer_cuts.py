"""Cut anywhere, gone on with, byte for byte; and no key serves twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transfer_rig import Transfer, content

from poliqi.apps.share.messages import RefusalCode, Refused
from poliqi.apps.share.progress import Progress
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import LinkDown


class CutChannel:
    """A channel whose connection breaks after so many messages, sent or received."""

    def __init__(self, inner: Channel, messages: int) -> None:
        self.inner = inner
        self.left = messages

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _count(self) -> None:
        if not self.left:
            self.inner.close()
            raise LinkDown("cut")
        self.left -= 1

    def send(self, data: bytes) -> None:
        self._count()
        self.inner.send(data)

    def receive(self) -> memoryview | None:
        found = self.inner.receive()
        self._count()
        return found


def cutting(transfer: Transfer, messages: int) -> Callable[[], Channel]:
    return lambda: CutChannel(transfer.open(), messages)  # pyright: ignore[reportReturnType]


def make_tree(folder: Path) -> Path:
    root = folder / "root"
    (root / "sub/empty").mkdir(parents=True)
    (root / "a").write_bytes(b"a" * 1000)
    (root / "sub/big").write_bytes(os.urandom(700_000))
    (root / "sub/z").write_bytes(b"")
    (root / "tail").write_bytes(os.urandom(140_000))
    return root


def test_a_cut_before_any_message_costs_nothing(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    cuts = 0
    for messages in range(100):
        folder = tmp_path / f"{messages}"
        folder.mkdir()
        transfer = Transfer(folder)
        try:
            transfer.send(root, opening=cutting(transfer, messages))
        except LinkDown:
            cuts += 1
            transfer.send(root)
        assert content(transfer.arrived / "root") == content(root)
        assert [path.name for path in transfer.arrived.iterdir()] == ["root"]
        assert len(set(transfer.site.delivered)) == len(transfer.site.delivered)
        if cuts <= messages:
            break
    # offer, list, answer, contents, end, receipt: none of them but was cut
    assert 12 <= cuts < 100


def test_one_transfer_cut_again_and_again_arrives_whole(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(3 << 20))
    transfer, sent = Transfer(tmp_path), 0
    for _ in range(100):
        try:
            receipt = transfer.send(tmp_path / "big", opening=cutting(transfer, 6))
            break
        except LinkDown:
            sent += 1
    assert sent >= 3
    assert (transfer.arrived / "big").read_bytes() == (tmp_path / "big").read_bytes()
    assert len(receipt.streams) == sent + 1
    assert len(set(receipt.key_ids)) == len(receipt.key_ids)


def test_what_was_complete_is_not_sent_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for number in range(20):
        (root / f"{number:02}").write_bytes(os.urandom(200_000))
    transfer = Transfer(tmp_path)
    with pytest.raises(LinkDown):
        # offer, answer, list, partial, go, then three messages for each file: the last of file 10 does not go
        transfer.send(root, opening=cutting(transfer, 5 + 20))
    before = transfer.receiver.inbox / ".partial"
    staged = {path.name: path.stat().st_ino for path in before.glob("office/*/tree/root/*")}
    assert len(staged) >= 10
    transfer.send(root)
    same = [name for name, node in staged.items() if (transfer.arrived / "root" / name).stat().st_ino == node]
    assert len(same) >= len(staged) - 1
    assert content(transfer.arrived / "root") == content(root)


def test_a_lost_connection_is_taken_up_without_being_asked(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(2 << 20))
    transfer, opened = Transfer(tmp_path), list[Channel]()

    def opening() -> Any:
        opened.append(CutChannel(transfer.open(), 8 if not opened else 1000))
        return opened[-1]

    transfer.send(tmp_path / "big", opening=opening, patience_s=30.0)
    assert len(opened) == 2
    assert (transfer.arrived / "big").read_bytes() == (tmp_path / "big").read_bytes()


def cut_at(transfer: Transfer, path: Path, share: float) -> None:
    """Stop when so much of it is sent."""
    total = path.stat().st_size

    class Stops(Progress):
        def add(self, count_bytes: int, files: int = 0) -> None:
            super().add(count_bytes, files)
            if self.done_bytes >= share * total:
                self.stop()

    with pytest.raises(LinkDown, match="run the same command again"):
        transfer.send(path, progress=Stops())


def test_a_source_that_changed_before_the_cut_is_sent_anew_and_named(tmp_path: Path) -> None:
    path, transfer = tmp_path / "big", Transfer(tmp_path)
    path.write_bytes(bytes(4 << 20))
    cut_at(transfer, path, 0.5)
    path.write_bytes(b"\x01" + bytes((4 << 20) - 1))
    progress = Progress()
    transfer.send(path, progress=progress)
    assert (transfer.arrived / "big").read_bytes() == path.read_bytes()
    assert any("sent anew" in note for note in progress.snapshot().notes)


def test_a_source_that_shrank_is_sent_anew(tmp_path: Path) -> None:
    path, transfer = tmp_path / "big", Transfer(tmp_path)
    path.write_bytes(bytes(4 << 20))
    cut_at(transfer, path, 0.5)
    path.write_bytes(b"short")
    transfer.send(path)
    assert (transfer.arrived / "big").read_bytes() == b"short"


def test_a_partial_file_that_rotted_is_sent_anew(tmp_path: Path) -> None:
    path, transfer = tmp_path / "big", Transfer(tmp_path)
    path.write_bytes(os.urandom(4 << 20))
    cut_at(transfer, path, 0.5)
    (staged,) = transfer.receiver.inbox.glob(".partial/office/*/tree/big")
    with staged.open("r+b") as file:
        file.seek(1000)
        file.write(b"rotten")
    transfer.send(path)
    assert (transfer.arrived / "big").read_bytes() == path.read_bytes()


def test_files_that_came_gone_and_changed_between_two_runs(tmp_path: Path) -> None:
    root, transfer = tmp_path / "root", Transfer(tmp_path)
    for name in ("a/1", "a/2", "b/1", "c"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.urandom(1000))
    (root / "z").write_bytes(os.urandom(4 << 20))
    with pytest.raises(LinkDown):
        transfer.send(root, opening=cutting(transfer, 9))
    (root / "a/1").write_text("changed")
    (root / "b/1").unlink()
    (root / "b").rmdir()
    (root / "b").write_text("a file now")
    (root / "c").unlink()
    (root / "c").mkdir()
    (root / "new").write_text("new")
    progress = Progress()
    transfer.send(root, progress=progress)
    assert content(transfer.arrived / "root") == content(root)
    assert any("root/a/1 has changed" in note for note in progress.snapshot().notes)


def test_a_lost_receipt_is_given_again_and_nothing_arrives_twice(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    transfer = Transfer(tmp_path)

    class Deaf(CutChannel):
        def receive(self) -> memoryview | None:
            found = self.inner.receive()
            if found is not None and found[0] == 10:
                self.inner.close()
                raise LinkDown("cut")
            return found

    with pytest.raises(LinkDown):
        transfer.send(tmp_path / "a", opening=lambda: Deaf(transfer.open(), 1000))
    receipt = transfer.send(tmp_path / "a")
    assert [path.name for path in transfer.arrived.iterdir()] == ["a"]
    assert receipt.stored_as == "a"
    assert transfer.send(tmp_path / "a").stored_as == "a (2)"


def test_a_receipt_for_an_earlier_state_is_no_receipt_for_this_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    transfer = Transfer(tmp_path)

    class Deaf(CutChannel):
        def receive(self) -> memoryview | None:
            found = self.inner.receive()
            if found is not None and found[0] == 10:
                self.inner.close()
                raise LinkDown("cut")
            return found

    with pytest.raises(LinkDown):
        transfer.send(tmp_path / "a", opening=lambda: Deaf(transfer.open(), 1000))
    (tmp_path / "a").write_text("new, and longer")
    receipt = transfer.send(tmp_path / "a")
    assert {path.name: path.read_text() for path in transfer.arrived.iterdir()} == {
        "a": "old",
        "a (2)": "new, and longer",
    }
    assert receipt.stored_as == "a (2)"


def test_a_machine_that_started_again_believes_no_file_unhashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "b"):
        (root / name).write_bytes(os.urandom(300_000))
    transfer = Transfer(tmp_path)
    with pytest.raises(LinkDown):
        transfer.send(root, opening=cutting(transfer, 10))
    (staged,) = transfer.receiver.inbox.glob(".partial/office/*/tree/root/a")
    assert staged.stat().st_size == 300_000
    staged.write_bytes(bytes(300_000))
    monkeypatch.setattr("poliqi.apps.share.staged.boot_id", lambda: "another")
    transfer.send(root)
    assert content(transfer.arrived / "root") == content(root)


def test_a_machine_that_does_not_say_when_it_started_is_believed_in_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a service that may not read /proc/sys."""
    monkeypatch.setattr("poliqi.apps.share.staged._BOOT", tmp_path / "not there")
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "b"):
        (root / name).write_bytes(os.urandom(300_000))
    transfer = Transfer(tmp_path)
    with pytest.raises(LinkDown):
        transfer.send(root, opening=cutting(transfer, 10))
    (staged,) = transfer.receiver.inbox.glob(".partial/office/*/tree/root/a")
    assert staged.stat().st_size == 300_000
    staged.write_bytes(bytes(300_000))
    transfer.send(root)
    assert content(transfer.arrived / "root") == content(root)


def lose_power_before_the_receipt(transfer: Transfer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came is in its place, nothing is signed; then the machine starts again."""

    def fails(*_: object) -> bytes:
        raise LinkDown("no power")

    with monkeypatch.context() as patch, pytest.raises(LinkDown):
        patch.setattr("poliqi.apps.share.service.sign_receipt", fails)
        transfer.send(path)
    assert (transfer.arrived / path.name).exists()
    monkeypatch.setattr("poliqi.apps.share.staged.boot_id", lambda: "another")


def test_a_machine_that_started_again_before_the_receipt_signs_for_what_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, transfer = make_tree(tmp_path), Transfer(tmp_path)
    lose_power_before_the_receipt(transfer, root, monkeypatch)
    receipt = transfer.send(root)
    assert (receipt.files, receipt.stored_as) == (4, "root")
    assert [path.name for path in transfer.arrived.iterdir()] == ["root"]


def test_no_receipt_is_given_for_files_that_are_not_known_to_have_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, transfer = make_tree(tmp_path), Transfer(tmp_path)
    lose_power_before_the_receipt(transfer, root, monkeypatch)
    (facts,) = transfer.receiver.inbox.glob(".partial/office/*/facts-*")
    facts.write_bytes(bytes(facts.stat().st_size))
    with pytest.raises(Refused) as caught:
        transfer.send(root)
    assert caught.value.refusal.code is RefusalCode.STORE_FAILED
    assert [path.name for path in transfer.arrived.iterdir()] == ["root"]
    assert not list(transfer.receiver.inbox.glob(".receipts/office/*.json"))


def test_a_place_that_was_chosen_before_a_crash_is_no_sign_of_having_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was chosen, not moved; then its file was on the way again when the next crash came."""
    (tmp_path / "a").write_bytes(os.urandom(300_000))
    transfer = Transfer(tmp_path)

    def fails(*_: object) -> bool:
        raise LinkDown("crash")

    with monkeypatch.context() as patch, pytest.raises(LinkDown):
        patch.setattr("poliqi.apps.share.inbox.Inbox.move", fails)
        transfer.send(tmp_path / "a")
    with pytest.raises(LinkDown):
        transfer.send(tmp_path / "a", opening=cutting(transfer, 2))
    (staged,) = transfer.receiver.inbox.glob(".partial/office/*/tree/a")
    staged.unlink()
    (facts,) = transfer.receiver.inbox.glob(".partial/office/*/facts-*")
    facts.write_bytes(bytes(facts.stat().st_size))
    transfer.send(tmp_path / "a")
    assert (transfer.arrived / "a").read_bytes() == (tmp_path / "a").read_bytes()
    assert len(list(transfer.receiver.inbox.glob(".receipts/office/*.json"))) == 1
