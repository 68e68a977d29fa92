"""A hospital on this machine: modality, PACS and gateways, with pydicom's bundled images."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

pydicom = pytest.importorskip("pydicom", reason="the extra `health` is not installed")
pynetdicom = pytest.importorskip("pynetdicom", reason="the extra `health` is not installed")

from pydicom.data import get_testdata_file  # noqa: E402  # after the skip
from pynetdicom import AE, evt  # noqa: E402
from pynetdicom.presentation import build_context  # noqa: E402

from poliqi.apps.dicom.settings import DicomSettings, Node, Route  # noqa: E402
from poliqi.apps.dicom.toolkit import COMMITMENT, STORAGE_CLASSES, TRANSFER_SYNTAXES, VERIFICATION  # noqa: E402
from poliqi.apps.stream.terms import Mode, Usage  # noqa: E402
from poliqi.base.errors import LinkDown  # noqa: E402
from poliqi.base.ids import SaeId  # noqa: E402
from poliqi.edge.network import Address  # noqa: E402

# images of pydicom's wheel: raw, big-endian, RLE, JPEG, JPEG-LS, JPEG 2000, deflated, multi-frame, ECG, report
IMAGES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_jp2klossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_rle_2frame.dcm",
    "JPEG2000.dcm",
    "JPGExtended.dcm",
    "image_dfl.dcm",
    "examples_palette.dcm",
    "rtplan.dcm",
    "reportsi.dcm",
)


# those of IMAGES, so that a machine is quickly made
CLASSES = tuple(
    uid
    for uid in STORAGE_CLASSES
    if uid.removeprefix("1.2.840.10008.5.1.4.1.1.") in {"2", "4", "6.1", "7", "88.11", "481.5"}
)


@dataclass(frozen=True)
class Image:
    """An image as a machine sends it: its data set's bytes, as they stand in the file."""

    class_uid: str
    instance_uid: str
    syntax_uid: str
    data: bytes
    path: Path

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def image(name: str, folder: Path, instance_uid: str | None = None, patient: str | None = None) -> Image:
    """One of pydicom's images, as a file of its own; with another instance UID where one is given."""
    source = get_testdata_file(name, download=False)
    assert source, f"{name} is not in pydicom's wheel"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(source)
        path = folder / f"{instance_uid or dataset.SOPInstanceUID}.dcm"
        if instance_uid is not None:
            dataset.SOPInstanceUID = instance_uid
        if patient is not None:
            dataset.PatientName = patient
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.save_as(path)
    return read_image_file(path)


def read_image_file(path: Path) -> Image:
    """What is in a DICOM file, with the data set as it stands there."""
    from pynetdicom.dsutils import split_dataset

    meta, offset = split_dataset(path)
    uids = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID
    return Image(*map(str, uids), path.read_bytes()[offset:], path)


def all_images(folder: Path, number: int | None = None) -> list[Image]:
    """Those of IMAGES, again and again under other names up to `number`."""
    folder.mkdir(exist_ok=True)
    count = len(IMAGES) if number is None else number
    return [image(IMAGES[i % len(IMAGES)], folder, f"1.2.826.0.1.3680043.10.1.{i + 1}") for i in range(count)]


@dataclass
class Pacs:
    """A machine that keeps what it is sent, or answers as it is told."""

    ae: str
    server: Any = None
    kept: list[Image] = field(default_factory=list)
    reports: list[tuple[int, Any]] = field(default_factory=list)
    answer: Callable[[Image], int] = lambda _image: 0x0000
    delay_s: float = 0.0
    callers: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, port: int = 0, syntaxes: tuple[str, ...] = TRANSFER_SYNTAXES) -> Pacs:
        entity = AE(ae_title=self.ae)
        entity.require_called_aet = True
        for class_uid in CLASSES:
            entity.add_supported_context(class_uid, list(syntaxes))
        entity.add_supported_context(VERIFICATION)
        entity.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_EVENT_REPORT, self._report)]
        self.server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        return self

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    def _store(self, event: Any) -> int:
        time.sleep(self.delay_s)
        got = Image(
            str(event.request.AffectedSOPClassUID),
            str(event.request.AffectedSOPInstanceUID),
            str(event.context.transfer_syntax),
            event.request.DataSet.getvalue(),
            Path(),
        )
        status = self.answer(got)
        with self.lock:
            self.callers.add(event.assoc.requestor.ae_title)
            if status == 0x0000:
                self.kept.append(got)
        return status

    def _report(self, event: Any) -> tuple[int, None]:
        with self.lock:
            self.reports.append((event.event_type, event.event_information))
        return 0x0000, None

    def stop(self) -> None:
        if self.server is not None:
            for association in self.server.active_associations:
                association.abort()
            self.server.shutdown()
            self.server = None

    def has(self, images: list[Image]) -> bool:
        with self.lock:
            return {i.instance_uid for i in images} <= {i.instance_uid for i in self.kept}


def store(port: int, images: list[Image], called: str, calling: str = "CT1") -> list[int | None]:
    """C-STORE as a modality does; the status of each, None where there was no answer."""
    import pynetdicom._config

    entity = AE(ae_title=calling)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 10
    kinds = dict.fromkeys((i.class_uid, i.syntax_uid) for i in images)
    contexts = [build_context(class_uid, syntax) for class_uid, syntax in kinds]
    association = entity.associate("127.0.0.1", port, contexts=contexts, ae_title=called)
    if not association.is_established:
        raise ConnectionError("rejected" if association.is_rejected else "no association")
    found: list[int | None] = []
    assert pynetdicom._config.STORE_SEND_CHUNKED_DATASET  # files are sent as they are
    for each in images:
        try:
            answer = association.send_c_store(each.path)
        except (RuntimeError, ValueError):
            answer = {}
        found.append(int(answer.Status) if "Status" in answer else None)
    association.release()
    return found


def echo(port: int, called: str, calling: str = "CT1") -> int | None:
    """C-ECHO's status."""
    entity = AE(ae_title=calling)
    association = entity.associate("127.0.0.1", port, contexts=[build_context(VERIFICATION)], ae_title=called)
    if not association.is_established:
        return None
    answer = association.send_c_echo()
    association.release()
    return int(answer.Status)


def ask_commitment(
    port: int, images: list[Image], called: str, calling: str = "CT1", transaction: str = "1.2.3.4"
) -> int | None:
    """N-ACTION of storage commitment; its status."""
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

    information = Dataset()
    information.TransactionUID = transaction
    items = []
    for each in images:
        item = Dataset()
        item.ReferencedSOPClassUID = each.class_uid
        item.ReferencedSOPInstanceUID = each.instance_uid
        items.append(item)
    information.ReferencedSOPSequence = items
    entity = AE(ae_title=calling)
    association = entity.associate("127.0.0.1", port, contexts=[build_context(COMMITMENT)], ae_title=called)
    assert association.is_established
    answer, _ = association.send_n_action(information, 1, UID(COMMITMENT), UID("1.2.840.10008.1.20.1.1"))
    association.release()
    return int(answer.Status) if "Status" in answer else None


class PipeChannel:
    """A channel without cryptography: frames over a socket; an empty frame of length 2^32 - 1 is the end."""

    END = 0xFFFFFFFF

    def __init__(self, connection: socket.socket, local: str, peer: str, purpose: str) -> None:
        self.connection = connection
        self.local, self.peer, self.purpose = SaeId(local), SaeId(peer), purpose
        self.sending = threading.Lock()
        self.sent: Callable[[bytes], None] = lambda _data: None

    @property
    def usage(self) -> Usage:
        return Usage(Mode.QUANTUM, self.local, self.peer)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        self.sent(bytes(data[:16]))
        self._write(struct.pack(">I", len(data)) + bytes(data))

    def finish(self) -> None:
        self._write(struct.pack(">I", self.END))

    def _write(self, data: bytes) -> None:
        try:
            with self.sending:
                self.connection.sendall(data)
        except OSError as error:
            raise LinkDown(f"cut: {error}") from error

    def receive(self) -> memoryview | None:
        (size,) = struct.unpack(">I", self._read(4))
        return None if size == self.END else memoryview(self._read(size))

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                got = self.connection.recv(count - len(data))
            except OSError as error:
                raise LinkDown(f"cut: {error}") from error
            if not got:
                raise LinkDown("cut")
            data += got
        return bytes(data)

    def close(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def pipe(local: str, peer: str) -> tuple[PipeChannel, PipeChannel]:
    """Both ends of a stream."""
    here, there = socket.socketpair()
    return PipeChannel(here, local, peer, "dicom 1"), PipeChannel(there, peer, local, "dicom 1")


def settings(folder: Path, **changes: Any) -> DicomSettings:
    """A gateway without routes and machines; `changes` give it some."""
    plain = DicomSettings(
        ae="POLIQI",
        folder=folder,
        listen=None,
        calling=("CT1",),
        transfer_syntaxes=(),
        routes={},
        nodes={},
        associations=4,
        largest_bytes=50_000_000,
        queue_bytes=500_000_000,
        remember_s=86400.0,
        timeout_s=20.0,
    )
    return replace(plain, **changes)


LOOPBACK = Address("127.0.0.1", 0)


def route(ae: str = "PACS", peer: str = "there") -> dict[str, Route]:
    return {ae: Route(ae, SaeId(peer))}


def node(ae: str, port: int, senders: frozenset[SaeId] | None = None) -> dict[str, Node]:
    return {ae: Node(ae, Address("127.0.0.1", port), senders)}


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Until something is so."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.03)


@contextmanager
def pacs(ae: str = "PACS", **how: Any) -> Iterator[Pacs]:
    machine = Pacs(ae, **how).start()
    try:
        yield machine
    finally:
        machine.stop()


@dataclass
class Wire:
    """The way between two gateways in one process: each call is served in a thread, and may be cut."""

    service: Any = None
    calls: int = 0
    questions: int = 0
    images: int = 0
    is_down: bool = False
    open_: list[PipeChannel] = field(default_factory=list)

    def call(self, peer: SaeId) -> PipeChannel:
        if self.is_down or self.service is None:
            raise LinkDown(f"{peer} cannot be reached")
        self.calls += 1
        here, there = pipe("here", "there")
        here.sent = self._count
        self.open_ += [here, there]
        threading.Thread(target=self._serve, args=(there,), daemon=True).start()
        return here

    def _count(self, data: bytes) -> None:
        """Heads begin with an array of so many elements and its name."""
        self.questions += data[:5] == b"\x93\xa3ask"
        self.images += data[:7] == b"\x98\xa5image"

    def _serve(self, channel: PipeChannel) -> None:
        try:
            with suppress(LinkDown):
                self.service.serve(channel)
        finally:
            channel.close()

    def cut(self) -> None:
        for channel in self.open_:
            channel.close()
        self.open_.clear()
