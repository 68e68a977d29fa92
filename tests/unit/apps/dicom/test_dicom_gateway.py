"""Two gateways with a modality and a PACS (pynetdicom), over a stream without cryptography."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dicom_rig as rig
import pytest
from adapter_rig import sae_settings

from bench.played_keys import PlayedSite
from poliqi.apps.dicom.gateway import DicomService, dicom_service
from poliqi.apps.dicom.images import Stage
from poliqi.apps.dicom.pace import Pace
from poliqi.apps.identity import Identity
from poliqi.apps.settings import Peer
from poliqi.apps.stream.terms import StreamRule
from poliqi.base.errors import StoreError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.keyanswers import KeysNotReady
from poliqi.edge.network import Address

# pynetdicom leaves a socket that found nobody to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)

FAST = Pace(first_s=0.05, most_s=0.2, idle_s=0.2, answer_s=10.0, rest_s=0.05)


class Pair:
    """The gateway `here`, to which machines hand in, and the one `there`, at the PACS."""

    def __init__(self, folder: Path, machine: rig.Pacs, room: Any = None, **changes: Any) -> None:
        self.folder = folder
        self.wire = rig.Wire()
        self.said: list[tuple[str, str]] = []
        self.machine = machine
        self.changes = changes
        self.room = room or (lambda _peer, _size: None)
        self.reports = rig.Pacs("CT1").start()
        self.there = self.open_there()
        self.here = self.open_here()

    def open_there(self, **changes: Any) -> DicomService:
        nodes = rig.node(self.machine.ae, self.machine.port)
        there = DicomService(
            rig.settings(self.folder / "there", nodes=nodes, **changes), self.wire.call, self.say, FAST
        )
        self.wire.service = there
        return there

    def open_here(self) -> DicomService:
        nodes = rig.node("CT1", self.reports.port)
        own = rig.settings(
            self.folder / "here", listen=rig.LOOPBACK, routes=rig.route(), nodes=nodes, **self.changes
        )
        return DicomService(own, self.wire.call, self.say, FAST, self.room)

    def say(self, event: str, text: str, **more: Any) -> None:
        self.said.append((event, text))

    @property
    def port(self) -> int:
        assert self.here.address is not None
        return self.here.address.port

    def close(self) -> None:
        self.here.close()
        self.there.close()
        self.reports.stop()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    made: list[Pair] = []
    machines: list[rig.Pacs] = []

    def new(start: bool = True, syntaxes: tuple[str, ...] = rig.TRANSFER_SYNTAXES, **changes: Any) -> Pair:
        machine = rig.Pacs("PACS").start(syntaxes=syntaxes)
        machines.append(machine)
        made.append(Pair(tmp_path, machine, **changes))
        return made[-1]

    yield new
    for pair in made:
        pair.close()
    for machine in machines:
        machine.stop()


@contextmanager
def switched_off(machine: rig.Pacs) -> Iterator[int]:
    port = machine.port
    machine.stop()
    yield port


def test_every_kind_of_image_arrives_byte_for_byte(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    images = rig.all_images(tmp_path / "images")
    assert rig.store(pair.port, images, "PACS") == [0] * len(images)
    rig.wait_for(lambda: pair.machine.has(images))
    sent = {(i.class_uid, i.instance_uid, i.syntax_uid): i.data for i in images}
    got = {(i.class_uid, i.instance_uid, i.syntax_uid): i.data for i in pair.machine.kept}
    assert got == sent
    assert len(pair.machine.kept) == len(images)
    assert pair.machine.callers == {"POLIQI"}


def test_the_queue_is_empty_afterwards(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    images = rig.all_images(tmp_path / "images", 3)
    rig.store(pair.port, images, "PACS")
    rig.wait_for(lambda: pair.here.figures()["delivered"] == 3)
    rig.wait_for(lambda: not list((tmp_path / "here" / "images").iterdir()))
    assert not list((tmp_path / "there" / "spool").iterdir())
    assert pair.here.figures()["waiting"] == 0
    assert pair.there.figures()["arrived"] == 3


def test_echo_is_answered_for_own_title_and_routes(make: Callable[..., Pair]) -> None:
    pair = make()
    assert rig.echo(pair.port, "POLIQI") == 0
    assert rig.echo(pair.port, "PACS") == 0
    assert rig.echo(pair.port, "OTHER") is None
    assert rig.echo(pair.port, "PACS", calling="STRANGER") is None


def test_images_wait_while_the_other_site_is_away(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    pair.wire.is_down = True
    images = rig.all_images(tmp_path / "images", 4)
    assert rig.store(pair.port, images, "PACS") == [0] * 4
    rig.wait_for(lambda: pair.here.figures()["trouble"] != {})
    assert pair.here.figures()["waiting"] == 4
    pair.wire.is_down = False
    rig.wait_for(lambda: pair.machine.has(images))
    rig.wait_for(lambda: pair.here.figures()["trouble"] == {})


def test_images_wait_while_the_pacs_is_off(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    images = rig.all_images(tmp_path / "images", 4)
    with switched_off(pair.machine) as port:
        assert rig.store(pair.port, images, "PACS") == [0] * 4
        rig.wait_for(lambda: "cannot be reached" in str(pair.here.figures()["trouble"]))
    pair.machine.start(port)
    rig.wait_for(lambda: pair.machine.has(images))
    assert len(pair.machine.kept) == 4


def test_a_pacs_without_room_is_asked_again(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    answers = [0xA700, 0xA700]
    pair.machine.answer = lambda _: answers.pop() if answers else 0
    images = rig.all_images(tmp_path / "images", 2)
    rig.store(pair.port, images, "PACS")
    rig.wait_for(lambda: pair.machine.has(images))


@pytest.mark.parametrize("status", [0x0122, 0xC000])
def test_what_the_pacs_refuses_stays_and_is_told(make: Callable[..., Pair], tmp_path: Path, status: int) -> None:
    pair = make()
    images = rig.all_images(tmp_path / "images", 2)
    pair.machine.answer = lambda image: status if image.instance_uid == images[0].instance_uid else 0
    rig.store(pair.port, images, "PACS")
    rig.wait_for(lambda: pair.here.figures()["refused"] == 1 and pair.machine.has(images[1:]))
    assert any(f"0x{status:04X}" in text for event, text in pair.said if event == "dicom-refused")
    rig.wait_for(lambda: pair.here.figures()["delivered"] == 1)
    (refused,) = pair.here.queue.held(Stage.REFUSED)
    left = pair.here.queue.path(refused.id)
    assert left.read_bytes().endswith(images[0].data)
    pair.machine.answer = lambda _: 0
    assert pair.here.queue.retry() == 1
    rig.wait_for(lambda: pair.machine.has(images))


def test_a_transfer_syntax_that_the_pacs_lacks_is_told_never_converted(
    make: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = make(syntaxes=("1.2.840.10008.1.2.1",))
    compressed = rig.image("MR_small_jp2klossless.dcm", tmp_path, "1.2.3")
    assert rig.store(pair.port, [compressed], "PACS") == [0]
    rig.wait_for(lambda: pair.here.figures()["refused"] == 1)
    assert any("JPEG 2000" in text for event, text in pair.said if event == "dicom-refused")
    assert pair.machine.kept == []


def test_a_cut_stream_is_opened_again_and_nothing_comes_twice(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    pair.machine.delay_s = 0.02
    images = rig.all_images(tmp_path / "images", 12)
    sender = threading.Thread(target=rig.store, args=(pair.port, images, "PACS"))
    sender.start()
    for least in (1, 4, 8):
        rig.wait_for(lambda least=least: len(pair.machine.kept) >= least)
        pair.wire.cut()
    sender.join()
    rig.wait_for(lambda: pair.here.figures()["delivered"] == 12)
    assert sorted(i.instance_uid for i in pair.machine.kept) == sorted(i.instance_uid for i in images)
    assert pair.wire.calls >= 4


def test_what_waited_when_a_gateway_stopped_goes_on(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    pair.wire.is_down = True
    images = rig.all_images(tmp_path / "images", 3)
    rig.store(pair.port, images, "PACS")
    pair.here.close()
    pair.wire.is_down = False
    pair.here = pair.open_here()
    rig.wait_for(lambda: pair.machine.has(images))


def test_a_machine_takes_only_from_those_it_names(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    pair.there.close()
    nodes = rig.node("PACS", pair.machine.port, frozenset({SaeId("someone-else")}))
    pair.there = DicomService(rig.settings(tmp_path / "there", nodes=nodes), pair.wire.call, pair.say, FAST)
    pair.wire.service = pair.there
    rig.store(pair.port, rig.all_images(tmp_path / "images", 1), "PACS")
    rig.wait_for(lambda: "takes images from here" in str(pair.here.figures()["trouble"]))
    assert pair.here.figures()["waiting"] == 1
    assert pair.machine.kept == []


def test_commitment_is_reported_once_the_pacs_has_all(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    pair.wire.is_down = True
    images = rig.all_images(tmp_path / "images", 3)
    rig.store(pair.port, images, "PACS")
    assert rig.ask_commitment(pair.port, images, "PACS", transaction="1.2.3") == 0
    rig.wait_for(lambda: pair.here.figures()["commitments_open"] == 1)
    assert pair.reports.reports == []
    pair.wire.is_down = False
    rig.wait_for(lambda: len(pair.reports.reports) == 1)
    kind, information = pair.reports.reports[0]
    assert kind == 1
    assert information.TransactionUID == "1.2.3"
    told = {(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in information.ReferencedSOPSequence}
    assert told == {(i.class_uid, i.instance_uid) for i in images}
    assert pair.machine.has(images)
    rig.wait_for(lambda: pair.here.figures()["commitments_open"] == 0)


def test_commitment_to_what_never_came_or_was_refused_fails(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    images = rig.all_images(tmp_path / "images", 3)
    pair.machine.answer = lambda image: 0xC000 if image.instance_uid == images[1].instance_uid else 0
    rig.store(pair.port, images[:2], "PACS")
    assert rig.ask_commitment(pair.port, images, "PACS") == 0
    rig.wait_for(lambda: len(pair.reports.reports) == 1)
    kind, information = pair.reports.reports[0]
    assert kind == 2
    assert [i.ReferencedSOPInstanceUID for i in information.ReferencedSOPSequence] == [images[0].instance_uid]
    failed = {i.ReferencedSOPInstanceUID: i.FailureReason for i in information.FailedSOPSequence}
    assert failed == {images[1].instance_uid: 0x0110, images[2].instance_uid: 0x0112}


def test_commitment_for_a_machine_that_cannot_be_told_is_refused(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make(calling=("CT1", "CT2"))
    images = rig.all_images(tmp_path / "images", 1)
    assert rig.ask_commitment(pair.port, images, "PACS", calling="CT2") == 0x0110
    assert rig.ask_commitment(pair.port, images, "POLIQI") == 0x0110


def test_an_image_over_the_limit_is_not_taken(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make(largest_bytes=20_000)
    small, large = rig.image("MR_small.dcm", tmp_path, "1.2.1"), rig.image("CT_small.dcm", tmp_path, "1.2.2")
    statuses = rig.store(pair.port, [small, large], "PACS")
    assert statuses[0] == 0
    assert statuses[1] != 0
    rig.wait_for(lambda: pair.machine.has([small]))


def test_a_full_queue_says_out_of_resources(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make(queue_bytes=30_000)
    pair.wire.is_down = True
    images = [rig.image("MR_small.dcm", tmp_path, f"1.2.{i}") for i in range(4)]
    assert rig.store(pair.port, images, "PACS") == [0, 0, 0, 0xA700]
    pair.wire.is_down = False
    rig.wait_for(lambda: pair.machine.has(images[:3]))
    assert rig.store(pair.port, images[3:], "PACS") == [0]


def test_a_gateway_folder_belongs_to_one_process(make: Callable[..., Pair], tmp_path: Path) -> None:
    make()
    with pytest.raises(StoreError, match="runs already"):
        DicomService(rig.settings(tmp_path / "there"), rig.Wire().call, lambda *_, **__: None)


def test_no_image_is_spent_on_a_machine_that_is_off(make: Callable[..., Pair], tmp_path: Path) -> None:
    pair = make()
    with switched_off(pair.machine) as port:
        rig.store(pair.port, rig.all_images(tmp_path / "images", 4), "PACS")
        rig.wait_for(lambda: sum(event == "dicom-waits" for event, _ in pair.said) >= 1)
        rig.wait_for(lambda: pair.wire.questions >= 3)
        assert pair.wire.images == 0
    pair.machine.start(port)
    rig.wait_for(lambda: pair.here.figures()["delivered"] == 4)


def test_an_image_without_the_key_for_all_of_it_is_not_begun(make: Callable[..., Pair], tmp_path: Path) -> None:
    stock = [20_000]

    def room(peer: SaeId, size: int) -> None:
        if size > stock[0]:
            raise KeysNotReady(f"{size} bytes are needed, {stock[0]} are there", 0.05)

    pair = make(room=room)
    small, large = rig.image("MR_small.dcm", tmp_path, "1.2.1"), rig.image("CT_small.dcm", tmp_path, "1.2.2")
    rig.store(pair.port, [small, large], "PACS")
    rig.wait_for(lambda: "are needed" in str(pair.here.figures()["trouble"]))
    rig.wait_for(lambda: pair.machine.has([small]))
    sent = pair.wire.images
    stock[0] = 1_000_000
    rig.wait_for(lambda: pair.machine.has([large]))
    assert (sent, pair.wire.images) == (1, 2)


def test_images_for_a_peer_that_was_removed_wait_and_it_is_said(tmp_path: Path) -> None:
    here, there = (Identity.make(SaeId(name), OperatingSystemEntropy()) for name in ("here", "there"))
    said: list[tuple[str, str]] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        peer = Peer(there.contact, "There", Address(*other.getsockname()), StreamRule(), StreamRule())
        table = {"listen": "127.0.0.1:0", "calling": ["CT1"], "route": [{"ae": "PACS", "to": "There"}]}
        before = replace(sae_settings(here, [peer], extra={"dicom": table}), state=tmp_path)
        service = dicom_service(before, PlayedSite().keys("here"), lambda *words, **_: said.append(words[:2]))
        assert service is not None
        assert service.address is not None
        service.change(replace(before, peers={}))
        image = rig.image("CT_small.dcm", tmp_path)
        assert rig.store(service.address.port, [image], "PACS") == [0]
        rig.wait_for(lambda: any(event == "dicom-waits" and "no peer any more" in text for event, text in said))
        assert service.figures()["waiting"] == 1
        service.close()
        with pytest.raises(BlockingIOError):  # nobody called
            other.accept()
