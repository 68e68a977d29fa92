"""A contact that breaks the protocol, or lies: nothing leaves the staging folder, nothing is believed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transfer_rig import Transfer

from poliqi.apps.share.messages import ITEM, Begin, Kind, Offer, Summary, pack, pack_begin
from poliqi.apps.share.receipt import read_receipt, sign_receipt
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import AuthenticationError, LinkDown, PoliqiError, ProtocolError


class Liar:
    """A sender that says what it likes."""

    def __init__(self, transfer: Transfer, lines: bytes, **more: Any) -> None:
        self.transfer = transfer
        self.channel = transfer.open()
        entries = lines.count(b"\n")
        files = [line.split(b" ") for line in lines.splitlines() if line[:2] in (b"f ", b"x ")]
        facts: dict[str, Any] = {
            "transfer": "ab" * 16,
            "entries": max(1, entries),
            "files": len(files),
            "size_bytes": sum(max(0, int(fields[1])) for fields in files),
            "list_bytes": len(lines),
            "list_sha256": hashlib.sha256(lines).hexdigest(),
            "clock_ns": 0,
        }
        self.channel.send(pack(Kind.OFFER, Offer(**{**facts, **more})))
        self.lines = lines

    def send_list(self) -> None:
        assert self.receive() == Kind.SEND_LIST
        self.channel.send(self.lines)

    def until_go(self) -> None:
        self.send_list()
        while self.receive() != Kind.GO:
            pass

    def receive(self) -> int:
        message = self.channel.receive()
        assert message is not None
        return message[0]

    def ends(self) -> PoliqiError:
        """Hang up; how it ended at the receiver."""
        self.channel.close()
        self.transfer.join()
        (error,) = self.transfer.errors
        return error


def batch(index: int, data: bytes, size: int | None = None) -> bytes:
    return bytes([Kind.BATCH]) + ITEM.pack(index, 0, 0, len(data) if size is None else size) + data


BAD_LISTS = [
    b"f 1 0 ../x\n",
    b"f 1 0 /etc/x\n",
    b"f 1 0 ..\n",
    b"d - - a\nf 1 0 a/..\n",
    b"d - - a\nf 1 0 a//b\n",
    b"d - - a\nf 1 0 b\n",
    b"f 1 0 a\nf 1 0 a/b\n",
    b"d - - a\nf 1 0 a/b\nf 1 0 a/b\n",
    b"d - - a\nf 1 0 a/c\nf 1 0 a/b\n",
    b"d - - a\nf 1 0 a/b/c\n",
    b"d - - a\nf 1 0 a/\x1b[2J\n",
    b"d - - a\nf 1 0 a/" + b"x" * 256 + b"\n",
    b"d - - a\nf 01 0 a/b\n",
    b"d - - a\nf +1 0 a/b\n",
    b"d - - a\nf -1 0 a/b\n",
    b"d - - a\nl 1 0 a/b\n",
    b"d - - a\nf 1 0 a/\xff\n",
    b"d - - a\n\n",
    b"f 1 0 a",
    b"".join(b"d - - " + b"/".join([b"a"] * n) + b"\n" for n in range(1, 66)),
]


@pytest.mark.parametrize("lines", BAD_LISTS)
def test_a_list_that_is_no_tree_makes_no_file(tmp_path: Path, lines: bytes) -> None:
    transfer = Transfer(tmp_path)
    liar = Liar(transfer, lines)
    liar.send_list()
    with pytest.raises((AssertionError, LinkDown, ProtocolError)):
        while liar.receive() != Kind.GO:
            pass
    assert isinstance(liar.ends(), ProtocolError)
    assert not list(transfer.receiver.inbox.glob(".partial/office/*/tree/*"))
    assert not transfer.arrived.exists()


LIST = b"d - - a\nf 3 0 a/b\nf 300000 0 a/c\n"
ANSWERS: list[Callable[[Channel], None]] = [
    lambda c: c.send(batch(0, b"xyz")),
    lambda c: c.send(batch(3, b"xyz")),
    lambda c: c.send(batch(1, b"xyz", 4)),
    lambda c: c.send(batch(1, b"xyz")[:-4]),
    lambda c: (c.send(batch(2, b"xyz")), c.send(batch(1, b"xyz")))[0],
    lambda c: c.send(pack_begin(Begin(2, False, 10, 0, 5))),
    lambda c: (c.send(pack_begin(Begin(2, False, 10, 0, 0))), c.send(b"x" * 11))[0],
    lambda c: c.send(pack_begin(Begin(2, False, 10, 0, 0))[:-1]),
    lambda c: c.send(bytes([Kind.LEFT_OUT])),
    lambda c: c.send(bytes([Kind.GO])),
    lambda c: c.send(b""),
    lambda c: c.send(b"\xff"),
    lambda c: c.send(bytes([Kind.END]) + b"{}"),
    lambda c: c.send(bytes([Kind.END]) + b"[" * 100_000),
]


@pytest.mark.parametrize("answer", range(len(ANSWERS)))
def test_a_message_out_of_its_place_ends_the_stream(tmp_path: Path, answer: int) -> None:
    transfer = Transfer(tmp_path)
    liar = Liar(transfer, LIST)
    liar.until_go()
    ANSWERS[answer](liar.channel)
    with pytest.raises(PoliqiError):
        liar.channel.receive() or pytest.fail("an answer")
        raise LinkDown("ended")
    assert isinstance(liar.ends(), ProtocolError)
    assert not transfer.arrived.exists()


def test_a_manifest_that_is_not_what_came_gives_no_receipt(tmp_path: Path) -> None:
    transfer = Transfer(tmp_path)
    liar = Liar(transfer, b"f 3 0 a\n")
    liar.until_go()
    liar.channel.send(batch(0, b"xyz"))
    liar.channel.send(pack(Kind.END, Summary("0" * 64, 1, 0, 3, 0)))
    assert liar.receive() == Kind.REFUSED
    liar.ends()
    assert not transfer.arrived.exists()


def test_a_symlink_swapped_in_while_files_come_is_not_followed(tmp_path: Path) -> None:
    """Someone with access to the staging folder swaps a folder for a symlink between two files."""
    transfer = Transfer(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    liar = Liar(transfer, b"d - - a\nd - - a/s\nf 3 0 a/s/1\nd - - a/t\nf 3 0 a/t/1\nf 3 0 a/z\n")
    liar.until_go()
    liar.channel.send(batch(2, b"one"))
    tree = transfer.receiver.inbox / ".partial/office" / ("ab" * 16) / "tree/a"
    while not (tree / "s/1").exists() or (tree / "s/1").stat().st_size < 3:
        pass
    (tree / "t").symlink_to(outside)
    (tree / "z").symlink_to(outside / "z")
    liar.channel.send(batch(4, b"two") + batch(5, b"end")[1:])
    deadline = 5000
    while not (tree / "z").is_file() and deadline:
        threading.Event().wait(0.001)
        deadline -= 1
    liar.ends()
    assert not list(outside.iterdir())
    assert (tree / "t/1").read_bytes() == b"two"
    assert not (tree / "t").is_symlink()


def test_a_source_folder_swapped_for_a_symlink_gives_nothing_away(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret"
    (root / "a").mkdir(parents=True)
    (root / "a/key").write_text("harmless")
    secret.mkdir()
    (secret / "key").write_text("a secret")
    transfer = Transfer(tmp_path)

    def opening() -> Channel:
        # the list is made; now the folder becomes a way to somewhere else
        (root / "a").rename(root / "b")
        (root / "a").symlink_to(secret)
        return transfer.open()

    receipt = transfer.send(root, opening=opening)
    assert receipt.left_out == 1
    assert not list(transfer.arrived.rglob("key"))


def serve_receipt(transfer: Transfer, forge: Callable[[bytes], bytes]) -> None:
    """A receiver that hands out another receipt than its own."""
    give = transfer.service._give

    def giving(*arguments: Any) -> bytes:
        return forge(give(*arguments))

    transfer.service._give = giving  # type: ignore[method-assign]


def test_a_receipt_that_another_signed_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    transfer = Transfer(tmp_path)
    serve_receipt(transfer, lambda data: sign_receipt(read_receipt(data), transfer.sender.identity))
    with pytest.raises(AuthenticationError):
        transfer.send(tmp_path / "a")


def test_a_receipt_with_a_flipped_bit_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    transfer = Transfer(tmp_path)
    serve_receipt(transfer, lambda data: data.replace(b'"files":1', b'"files":2'))
    with pytest.raises(AuthenticationError):
        transfer.send(tmp_path / "a")


def test_a_receipt_for_other_files_is_not_taken(tmp_path: Path) -> None:
    import msgspec

    (tmp_path / "a").write_text("a")
    transfer = Transfer(tmp_path)

    def forge(data: bytes) -> bytes:
        other = msgspec.structs.replace(read_receipt(data), manifest_sha256="0" * 64)
        return sign_receipt(other, transfer.receiver.identity)

    serve_receipt(transfer, forge)
    with pytest.raises(ProtocolError, match="other files"):
        transfer.send(tmp_path / "a")


def test_a_newer_stream_takes_over_from_a_dead_one(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(1 << 20))
    transfer = Transfer(tmp_path)
    lines = b"f 3 0 a\n"
    first = Liar(transfer, lines)
    first.until_go()
    second = Liar(transfer, lines)
    while second.receive() != Kind.GO:
        pass
    second.channel.close()
    first.channel.close()
    transfer.join()
