"""What one sender may have in the inbox unfinished: no lie, no haste and no cut gets it more."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from transfer_rig import Transfer, content

from poliqi.apps.share.listing import Entry
from poliqi.apps.share.messages import (
    ITEM,
    Begin,
    Kind,
    Offer,
    Refusal,
    RefusalCode,
    Refused,
    pack,
    pack_begin,
    read_json,
)
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import ProtocolError

ID = "ab" * 16


def list_of(*files: tuple[str, int]) -> bytes:
    entries = [Entry("d", 0, 0, "r"), *(Entry("f", size, 1, f"r/{name}") for name, size in files)]
    return b"".join(entry.line() for entry in entries)


def offer(lines: bytes, transfer: str = ID, **more: Any) -> bytes:
    fields = [line.split(b" ") for line in lines.splitlines() if line.startswith(b"f")]
    facts: dict[str, Any] = {
        "transfer": transfer,
        "entries": lines.count(b"\n"),
        "files": len(fields),
        "size_bytes": sum(int(line[1]) for line in fields),
        "list_bytes": len(lines),
        "list_sha256": hashlib.sha256(lines).hexdigest(),
        "clock_ns": 0,
    }
    return pack(Kind.OFFER, Offer(**(facts | more)))


def receive(channel: Channel) -> tuple[int, memoryview]:
    message = channel.receive()
    assert message is not None
    return message[0], message[1:]


def until_go(transfer: Transfer, lines: bytes) -> Channel:
    """A stream on which files may be sent."""
    channel = transfer.open()
    channel.send(offer(lines))
    kind, _ = receive(channel)
    if kind == Kind.SEND_LIST:
        channel.send(lines)
    while kind != Kind.GO:
        kind, _ = receive(channel)
    return channel


def refusal(channel: Channel) -> Refusal:
    kind, body = receive(channel)
    assert kind == Kind.REFUSED
    return read_json(body, Refusal)


def hang_up(transfer: Transfer, channel: Channel) -> None:
    channel.close()
    transfer.join()


def folder_of(transfer: Transfer, name: str = ID) -> Path:
    return transfer.receiver.inbox / ".partial/office" / name


def state_of(transfer: Transfer) -> dict[str, Any]:
    return msgspec.json.decode((folder_of(transfer) / "state").read_bytes())


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def held_by(lines: bytes, size_bytes: int) -> int:
    """Files, list, and a record of 50 bytes for each entry (docs/spec/transfer.md)."""
    return size_bytes + len(lines) + 50 * lines.count(b"\n")


@pytest.mark.parametrize("is_batch", [True, False])
def test_a_file_beyond_its_listed_size_is_held_to_the_quota(tmp_path: Path, is_batch: bool) -> None:
    lines = list_of(("x", 1))
    limit = held_by(lines, 1) + 999
    transfer = Transfer(tmp_path, inbox={"max_bytes": limit})
    channel = until_go(transfer, lines)
    if is_batch:
        channel.send(bytes([Kind.BATCH]) + ITEM.pack(1, 0, 1, 1001) + bytes(1001))
    else:
        channel.send(pack_begin(Begin(1, False, 50_000_000, 1, 0)))
    assert refusal(channel) == Refusal(RefusalCode.TOO_LARGE, limit=limit)
    hang_up(transfer, channel)
    assert bytes_below(folder_of(transfer) / "tree") == 0


@pytest.mark.parametrize(("more", "code"), [(1000, None), (1001, RefusalCode.TOO_LARGE)])
def test_a_file_that_grew_since_it_was_listed_comes_as_far_as_the_quota_goes(
    tmp_path: Path, more: int, code: RefusalCode | None
) -> None:
    path = tmp_path / "log"
    path.write_bytes(bytes(200_000))
    os.utime(path, ns=(10**18, 10**18))
    lines = f"f 200000 {10**18} log\n".encode()
    transfer = Transfer(tmp_path, inbox={"max_bytes": held_by(lines, 200_000) + 1000})

    def opening() -> Channel:
        with path.open("ab") as file:
            file.write(b"+" * more)
        return transfer.open()

    if code is None:
        assert transfer.send(path, opening=opening).size_bytes == 201_000
        return
    with pytest.raises(Refused) as caught:
        transfer.send(path, opening=opening)
    assert caught.value.refusal.code is code


def test_what_a_file_has_grown_is_counted_once(tmp_path: Path) -> None:
    lines = list_of(("x", 1))
    transfer = Transfer(tmp_path, inbox={"max_bytes": held_by(lines, 1) + 300_000})
    for _ in range(3):
        channel = until_go(transfer, lines)
        channel.send(pack_begin(Begin(1, False, 300_001, 1, 0)))
        channel.send(bytes(1000))
        channel.send(b"")
        channel.send(pack_begin(Begin(1, False, 300_001, 1, 0)))
        channel.send(bytes([Kind.GO]))
        hang_up(transfer, channel)
        assert state_of(transfer)["grown_bytes"] == 300_000


def test_a_file_that_grows_beyond_what_is_to_be_left_free_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = Transfer(tmp_path)
    channel = until_go(transfer, list_of(("x", 1)))
    monkeypatch.setattr("poliqi.apps.share.inbox.Inbox.free_bytes", lambda _self: 5000)
    channel.send(pack_begin(Begin(1, False, 50_000_000, 1, 0)))
    assert refusal(channel).code is RefusalCode.NO_SPACE
    hang_up(transfer, channel)


def test_a_disk_that_others_fill_keeps_what_is_to_be_left_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = Transfer(tmp_path)
    size = 8 << 20
    channel = until_go(transfer, list_of(("x", size)))
    monkeypatch.setattr("poliqi.apps.share.inbox.Inbox.free_bytes", lambda _self: 0)
    channel.send(pack_begin(Begin(1, False, size, 1, 0)))
    assert refusal(channel).code is RefusalCode.NO_SPACE
    hang_up(transfer, channel)


def test_another_list_leaves_no_file_larger_than_it_says(tmp_path: Path) -> None:
    """Else a list after the other makes another file the large one, and all of them stay."""
    big = 300_000
    lists = [list_of(*((name, big if name == large else 1) for name in "abc")) for large in ("a", "b", "c")]
    limit = held_by(lists[0], big + 2) + held_by(lists[0], 0)
    transfer = Transfer(tmp_path, inbox={"max_bytes": limit})
    for number, lines in enumerate(lists, 1):
        channel = until_go(transfer, lines)
        assert bytes_below(folder_of(transfer)) <= limit
        channel.send(pack_begin(Begin(number, False, big, 1, 0)))
        for _ in range(3 - (number == 1)):
            channel.send(bytes(100_000))
        channel.send(bytes([Kind.GO]))
        hang_up(transfer, channel)
        assert bytes_below(folder_of(transfer) / "tree") <= big + 2


def test_a_crash_while_one_list_replaces_another_believes_nothing_unhashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new list is without a file that was there; the old list is offered again."""
    transfer, old, new = Transfer(tmp_path), list_of(("a", 3), ("b", 3)), list_of(("b", 3))
    channel = until_go(transfer, old)
    channel.send(bytes([Kind.BATCH]) + ITEM.pack(1, 0, 1, 3) + b"one")
    channel.send(bytes([Kind.GO]))
    hang_up(transfer, channel)
    assert (folder_of(transfer) / "tree/r/a").read_bytes() == b"one"

    def crash(_self: object) -> None:
        raise ProtocolError("crash")

    with monkeypatch.context() as patch:
        patch.setattr("poliqi.apps.share.staged.Staged._sweep", crash)
        channel = transfer.open()
        channel.send(offer(new))
        assert receive(channel)[0] == Kind.SEND_LIST
        channel.send(new)
        transfer.join()
        channel.close()
    channel = transfer.open()
    channel.send(offer(old))
    kinds = [receive(channel)[0], receive(channel)[0]]
    # no groups: nothing of it is there
    assert kinds == [Kind.PARTIAL, Kind.GO]
    hang_up(transfer, channel)


def test_lists_that_are_cut_are_counted_and_do_not_stay(tmp_path: Path) -> None:
    lines = list_of(("x", 1))
    transfer = Transfer(tmp_path, inbox={"max_bytes": 10_000})
    for number in range(4):
        channel = transfer.open()
        channel.send(offer(lines, list_bytes=8000, list_sha256=f"{number:x}" * 64))
        assert receive(channel)[0] == Kind.SEND_LIST
        channel.send(bytes(7000))
        hang_up(transfer, channel)
        assert not list(folder_of(transfer).glob("list-*"))
    channel = transfer.open()
    channel.send(offer(list_of(*((f"{number:03}", 0) for number in range(200)))))
    assert refusal(channel).code is RefusalCode.TOO_LARGE
    hang_up(transfer, channel)


def test_a_list_left_by_a_crash_is_removed(tmp_path: Path) -> None:
    lines = list_of(("x", 1))
    transfer = Transfer(tmp_path)
    hang_up(transfer, until_go(transfer, lines))
    for name in ("list-coming", "list-0123456789abcdef"):
        (folder_of(transfer) / name).write_bytes(bytes(100_000))
    hang_up(transfer, until_go(transfer, lines))
    (left,) = folder_of(transfer).glob("list-*")
    assert left.read_bytes() == lines


def test_a_list_with_more_bytes_than_its_lines_can_have_is_refused(tmp_path: Path) -> None:
    transfer = Transfer(tmp_path)
    channel = transfer.open()
    channel.send(offer(list_of(("x", 1)), list_bytes=1 << 29))
    transfer.join()
    assert [type(error) for error in transfer.errors] == [ProtocolError]
    assert not folder_of(transfer).exists()
    channel.close()


def test_offers_at_the_same_moment_share_one_quota(tmp_path: Path) -> None:
    lines = list_of(("x", 1000))
    transfer = Transfer(tmp_path, inbox={"max_bytes": 2 * held_by(lines, 1000)})
    channels = [transfer.open() for _ in range(6)]
    for number, channel in enumerate(channels):
        channel.send(offer(lines, f"{number:032x}"))
    kinds = [receive(channel)[0] for channel in channels]
    assert sorted(kinds) == [Kind.SEND_LIST] * 2 + [Kind.REFUSED] * 4
    for channel in channels:
        channel.close()
    transfer.join()
    # who was refused left nothing behind
    assert len(list(folder_of(transfer).parent.iterdir())) == 2


def test_offers_at_the_same_moment_share_one_number_of_transfers(tmp_path: Path) -> None:
    lines = list_of(("x", 1000))
    transfer = Transfer(tmp_path, inbox={"max_transfers": 2})
    channels = [transfer.open() for _ in range(6)]
    threads = [
        threading.Thread(target=channel.send, args=(offer(lines, f"{number:032x}"),))
        for number, channel in enumerate(channels)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = [receive(channel)[0] for channel in channels]
    assert sorted(kinds) == [Kind.SEND_LIST] * 2 + [Kind.REFUSED] * 4
    for channel in channels:
        channel.close()
    transfer.join()


def test_a_folder_that_cannot_be_opened_once_is_not_held_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("a")
    transfer = Transfer(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(Refused):
        patch.setattr("poliqi.apps.share.staged.Ledger", full)
        transfer.send(tmp_path / "a")
    transfer.send(tmp_path / "a")
    assert content(transfer.arrived / "a") == content(tmp_path / "a")
