"""What a gateway makes of a stream of images: hostile senders, damaged images, full disks, repetition."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dicom_rig as rig
import msgspec
import pytest

from poliqi.apps.dicom import receiver as module
from poliqi.apps.dicom.arrivals import Arrivals
from poliqi.apps.dicom.images import Answer, Head, Outcome
from poliqi.apps.dicom.receiver import Receiver
from poliqi.apps.dicom.store import Store
from poliqi.apps.dicom.wire import read_answer
from poliqi.base.errors import LinkDown, PoliqiError, ProtocolError
from poliqi.base.ids import SaeId

CT, INSTANCE, RAW = "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1"


class Machine:
    """Stands for a PACS."""

    outcome: tuple[Outcome, int | None, str] = (Outcome.DELIVERED, 0, "")
    got: list[tuple[Head, bytes]] = []  # noqa: RUF012  # emptied for each test
    gate = threading.Event()

    def __init__(self, *_: Any) -> None: ...

    def deliver(self, head: Head, path: Path, size: int) -> tuple[Outcome, int | None, str]:
        Machine.gate.wait(10)
        Machine.got.append((head, path.read_bytes()[-size:]))
        return Machine.outcome

    def reach(self) -> tuple[Outcome, str]:
        return Machine.outcome[0], Machine.outcome[2]

    def close(self) -> None: ...


class Sender:
    """The other end of a stream that a receiver serves in a thread."""

    def __init__(self, receiver: Receiver, peer: str = "here") -> None:
        self.channel, there = rig.pipe(peer, "there")
        self.error: PoliqiError | None = None
        self.thread = threading.Thread(target=self._serve, args=(receiver, there))
        self.thread.start()

    def _serve(self, receiver: Receiver, channel: rig.PipeChannel) -> None:
        try:
            receiver.serve(channel)
        except PoliqiError as error:
            self.error = error
        finally:
            channel.close()

    def announce(self, data: bytes, name: str = "ab" * 16, ae: str = "PACS", **changes: Any) -> None:
        fields = {"size": len(data), "digest": hashlib.sha256(data).digest(), **changes}
        head = ["image", name, ae, CT, INSTANCE, RAW, fields["size"], fields["digest"]]
        self.channel.send(msgspec.msgpack.encode(head))

    def send(self, data: bytes, name: str = "ab" * 16, ae: str = "PACS", **changes: Any) -> Answer:
        self.announce(data, name, ae, **changes)
        if data:
            self.channel.send(data)
        answer = self.channel.receive()
        assert answer is not None
        return read_answer(answer)

    def ask(self, ae: str) -> Answer:
        self.channel.send(msgspec.msgpack.encode(["ask", "cd" * 16, ae]))
        answer = self.channel.receive()
        assert answer is not None
        return read_answer(answer)

    def end(self) -> PoliqiError | None:
        self.channel.close()
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.error


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    Machine.outcome, Machine.got = (Outcome.DELIVERED, 0, ""), []
    Machine.gate.set()
    monkeypatch.setattr(module, "Courier", Machine)
    store = Store(tmp_path)
    settings = rig.settings(tmp_path, nodes=rig.node("PACS", 1), largest_bytes=1000)
    yield Receiver(settings, Arrivals(store), rest_s=60.0)
    store.close()


def test_an_image_is_delivered_as_it_came_and_leaves_no_file(receiver: Receiver, tmp_path: Path) -> None:
    sender = Sender(receiver)
    assert sender.send(b"data set") == Answer("ab" * 16, Outcome.DELIVERED, 0)
    assert Machine.got == [(Head("PACS", CT, INSTANCE, RAW), b"data set")]
    assert list((tmp_path / "spool").iterdir()) == []
    sender.channel.finish()
    assert sender.channel.receive() is None
    assert sender.end() is None


def test_the_same_image_again_is_answered_without_the_machine(receiver: Receiver) -> None:
    for _ in range(2):
        sender = Sender(receiver)
        assert sender.send(b"data set").outcome is Outcome.DELIVERED
        sender.end()
    assert len(Machine.got) == 1


def test_names_of_images_are_apart_for_each_sender(receiver: Receiver) -> None:
    for peer in ("one", "other"):
        sender = Sender(receiver, peer)
        sender.send(b"data set")
        sender.end()
    assert len(Machine.got) == 2


def test_what_was_not_delivered_is_tried_again(receiver: Receiver) -> None:
    Machine.outcome = Outcome.REFUSED, 0xC000, "no"
    sender = Sender(receiver)
    assert sender.send(b"data set") == Answer("ab" * 16, Outcome.REFUSED, 0xC000, "no")
    Machine.outcome = Outcome.DELIVERED, 0, ""
    assert sender.send(b"data set").outcome is Outcome.DELIVERED
    sender.end()


def test_a_machine_that_failed_rests(receiver: Receiver) -> None:
    Machine.outcome = Outcome.LATER, 0xA700, "no room"
    sender = Sender(receiver)
    assert sender.send(b"one", "01" * 16).outcome is Outcome.LATER
    assert sender.send(b"two", "02" * 16) == Answer("02" * 16, Outcome.LATER, 0xA700, "no room")
    assert len(Machine.got) == 1
    sender.end()


def test_a_damaged_image_is_refused_and_reaches_no_machine(receiver: Receiver) -> None:
    sender = Sender(receiver)
    answer = sender.send(b"data set", digest=bytes(32))
    assert (answer.outcome, "damaged" in answer.said) == (Outcome.REFUSED, True)
    assert Machine.got == []
    sender.end()


def test_an_image_over_the_limit_is_read_past_and_refused(receiver: Receiver) -> None:
    sender = Sender(receiver)
    answer = sender.send(bytes(1001))
    assert (answer.outcome, "1001" in answer.said) == (Outcome.REFUSED, True)
    assert sender.send(b"small", "01" * 16).outcome is Outcome.DELIVERED
    sender.end()


def test_a_title_that_stands_for_no_machine_here_waits_for_the_setting(receiver: Receiver) -> None:
    sender = Sender(receiver)
    assert sender.send(b"data", ae="PRINTER").outcome is Outcome.LATER
    assert sender.ask("PRINTER").outcome is Outcome.LATER
    sender.end()


def test_whether_a_machine_is_there_can_be_asked(receiver: Receiver) -> None:
    sender = Sender(receiver)
    assert sender.ask("PACS") == Answer("cd" * 16, Outcome.DELIVERED)
    Machine.outcome = Outcome.LATER, None, "off"
    assert sender.ask("PACS") == Answer("cd" * 16, Outcome.LATER, None, "off")
    assert sender.send(b"data").said == "off"
    assert Machine.got == []
    sender.end()


def test_a_full_disk_says_later_and_the_stream_goes_on(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = os.open

    def full(path: Any, *words: Any, **more: Any) -> int:
        if "spool" in str(path):
            raise OSError(28, os.strerror(28))
        return real(path, *words, **more)

    sender = Sender(receiver)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        assert sender.send(b"data", "01" * 16).outcome is Outcome.LATER
    assert sender.send(b"data", "02" * 16).outcome is Outcome.DELIVERED
    sender.end()


@pytest.mark.parametrize("data", [b"", b"nonsense", bytes(5000), msgspec.msgpack.encode(["image"])])
def test_a_message_that_is_no_head_ends_the_stream(receiver: Receiver, data: bytes) -> None:
    sender = Sender(receiver)
    sender.channel.send(data)
    sender.thread.join(10)
    assert isinstance(sender.end(), ProtocolError)


@pytest.mark.parametrize("pieces", [[b""], [b"12345678901"], [b"12345", b"678901"]])
def test_data_beside_what_was_announced_ends_the_stream(receiver: Receiver, pieces: list[bytes]) -> None:
    sender = Sender(receiver)
    sender.announce(bytes(10))
    for piece in pieces:
        sender.channel.send(piece)
    sender.thread.join(10)
    assert isinstance(sender.end(), ProtocolError)
    assert Machine.got == []


@pytest.mark.parametrize("is_said", [True, False])
def test_half_an_image_reaches_no_machine(receiver: Receiver, tmp_path: Path, is_said: bool) -> None:
    sender = Sender(receiver)
    sender.announce(bytes(10))
    sender.channel.send(bytes(5))
    if is_said:
        sender.channel.finish()
        sender.thread.join(10)
    assert isinstance(sender.end(), LinkDown)
    assert Machine.got == []
    assert list((tmp_path / "spool").iterdir()) == []


def test_an_image_is_never_under_way_twice(receiver: Receiver) -> None:
    Machine.gate.clear()
    first = Sender(receiver)
    first.announce(b"data set")
    first.channel.send(b"data set")
    second = Sender(receiver)
    second.announce(b"data set")
    second.channel.send(b"data set")
    Machine.gate.set()
    answer = second.channel.receive()
    assert answer is not None
    assert read_answer(answer).outcome is Outcome.DELIVERED
    assert len(Machine.got) == 1
    first.end()
    second.end()


def test_what_a_crash_left_in_the_spool_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "x.dcm").write_bytes(b"half")
    Receiver(rig.settings(tmp_path), Arrivals(Store(tmp_path)))
    assert list((tmp_path / "spool").iterdir()) == []


def test_arrivals_are_forgotten_in_time(tmp_path: Path) -> None:
    arrivals = Arrivals(Store(tmp_path), lambda: 1000.0)
    arrivals.note(SaeId("here"), Answer("01", Outcome.DELIVERED, 0))
    assert arrivals.forget(999.0) == 0
    assert arrivals.forget(1001.0) == 1
    assert arrivals.find(SaeId("here"), "01") is None
