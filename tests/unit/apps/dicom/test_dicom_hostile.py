"""Callers of the gateway's port that mean ill, or are broken: what they cost is bounded, others are served."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import dicom_rig as rig
import pytest
from pynetdicom import AE
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.presentation import build_context

from poliqi.apps.dicom.images import Head
from poliqi.apps.dicom.scp import StorageScp
from poliqi.base.errors import DataRefused, StoreError


class Desk:
    """Keeps nothing but sizes."""

    def __init__(self) -> None:
        self.taken: list[tuple[Head, str, int]] = []
        self.asked: list[int] = []
        self.complaints: list[str] = []
        self.error: Exception | None = None

    def take(self, head: Head, calling: str, data: memoryview) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append((head, calling, len(data)))

    def commit(self, transaction: str, requester: str, ae: str, references: Collection[tuple[str, str]]) -> None:
        self.asked.append(len(references))

    def complain(self, line: str) -> None:
        self.complaints.append(line)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def port(desk: Desk, tmp_path: Path) -> Iterator[int]:
    settings = rig.settings(
        tmp_path, listen=rig.LOOPBACK, routes=rig.route(), largest_bytes=1_000_000, associations=2, timeout_s=1.0
    )
    scp = StorageScp(settings, desk)
    yield scp.address.port
    scp.close()


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10.0)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def is_hung_up(connection: socket.socket) -> bool:
    """Until the other side ends it."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def is_served(port: int) -> bool:
    return rig.echo(port, "PACS") == 0


def associated(port: int, image: rig.Image) -> socket.socket:
    """A socket with an association for the kind of `image`, context 1, made by hand from here on."""
    from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

    context = build_context(image.class_uid, image.syntax_uid)
    context.context_id = 1
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.calling_ae_title, request.called_ae_title = "CT1", "PACS"
    request.presentation_context_definition_list = [context]
    most, own = MaximumLengthNotification(), ImplementationClassUIDNotification()
    most.maximum_length_received = 16382
    own.implementation_class_uid = "1.2.3.4"
    request.user_information = [most, own]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(request)
    connection = connect(port)
    connection.sendall(pdu.encode())
    assert connection.recv(65536)[0] == 0x02, "not accepted"
    return connection


def data_pdu(control: int, data: bytes) -> bytes:
    value = struct.pack(">IBB", len(data) + 2, 1, control) + data
    return struct.pack(">BBI", 0x04, 0, len(value)) + value


@pytest.fixture
def picture(tmp_path: Path) -> rig.Image:
    return rig.image("MR_small.dcm", tmp_path, "1.2.3")


def command(image: rig.Image) -> bytes:
    """The command set of a C-STORE-RQ."""
    from pynetdicom.dimse_messages import C_STORE_RQ
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.dsutils import encode

    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = image.class_uid, image.instance_uid
    from io import BytesIO

    request.DataSet = BytesIO(b"x")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    encoded = encode(message.command_set, True, True)
    assert encoded is not None
    return encoded


def test_what_is_no_dicom_is_hung_up_on(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert is_hung_up(connection)
    assert is_served(port)


def test_a_pdu_of_four_gigabytes_costs_nothing(port: int, picture: rig.Image) -> None:
    with associated(port, picture) as connection:
        connection.sendall(struct.pack(">BBI", 0x04, 0, 0xFFFFFFFF) + b"\0" * 1000)
        assert is_hung_up(connection)
    with connect(port) as connection:
        connection.sendall(struct.pack(">BBI", 0x01, 0, 0xFFFFFFFF) + b"\0" * 1000)
        assert is_hung_up(connection)
    assert is_served(port)


def test_a_data_set_without_end_is_cut_at_the_limit(port: int, picture: rig.Image, desk: Desk) -> None:
    piece = data_pdu(0, bytes(100_000))
    sent = 0
    with associated(port, picture) as connection:
        try:
            connection.sendall(data_pdu(3, command(picture)))
            while sent < 50_000_000:
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
    # the limit, its slack of 1 MiB, and what the sockets of both ends hold
    assert sent < 20_000_000
    assert desk.taken == []
    assert is_served(port)


def test_requests_that_await_no_answer_are_cut_at_the_limit(port: int, picture: rig.Image, desk: Desk) -> None:
    slow = threading.Event()
    desk.take = lambda *_: bool(slow.wait(5.0))  # type: ignore[assignment, return-value]
    message = data_pdu(3, command(picture)) + data_pdu(2, bytes(100_000))
    sent = 0
    with associated(port, picture) as connection:
        try:
            while sent < 50_000_000:
                connection.sendall(message)
                sent += len(message)
        except OSError:
            pass
    slow.set()
    assert sent < 20_000_000
    assert is_served(port)


def test_a_message_that_drips_in_is_given_up(port: int) -> None:
    start = time.monotonic()
    with connect(port) as connection:
        connection.sendall(struct.pack(">BBI", 0x01, 0, 200))
        with pytest.raises(OSError):  # any end of it
            while time.monotonic() < start + 20.0:
                connection.sendall(b"\0")
                time.sleep(0.05)
        assert time.monotonic() < start + 15.0
    assert is_served(port)


def test_idle_connections_beyond_the_limit_are_closed_and_go_away(port: int) -> None:
    crowd = [connect(port) for _ in range(12)]
    closed = 0
    for connection in crowd[4:]:
        closed += is_hung_up(connection)
    assert closed == 8
    for connection in crowd[:4]:
        assert is_hung_up(connection)
        connection.close()
    for connection in crowd:
        connection.close()
    rig.wait_for(lambda: is_served(port))


def test_strangers_are_rejected_and_told_of(port: int, desk: Desk) -> None:
    assert rig.echo(port, "PACS", calling="STRANGER") is None
    assert rig.echo(port, "NOBODY") is None
    assert any("STRANGER" in line for line in desk.complaints)
    assert any("NOBODY" in line for line in desk.complaints)


def test_a_message_for_a_context_that_was_not_agreed_ends_it(port: int, picture: rig.Image, desk: Desk) -> None:
    with associated(port, picture) as connection:
        for control, data in ((3, command(picture)), (2, b"data")):
            pdu = bytearray(data_pdu(control, data))
            pdu[10] = 99
            connection.sendall(pdu)
        assert is_hung_up(connection)
    assert desk.taken == []
    assert is_served(port)


@pytest.mark.parametrize(
    ("error", "status"), [(StoreError("disk"), 0xA700), (DataRefused("no"), 0x0110), (RuntimeError("bug"), 0xC211)]
)
def test_what_cannot_be_kept_is_never_called_a_success(
    port: int, picture: rig.Image, desk: Desk, error: Exception, status: int
) -> None:
    desk.error = error
    assert rig.store(port, [picture], "PACS") == [status]


def test_images_to_the_gateway_itself_are_refused(port: int, picture: rig.Image, desk: Desk) -> None:
    assert rig.store(port, [picture], "POLIQI") == [0x0124]
    assert desk.taken == []


def test_a_commitment_that_cannot_be_read_is_refused(port: int, desk: Desk) -> None:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

    entity = AE(ae_title="CT1")
    association = entity.associate("127.0.0.1", port, contexts=[build_context(rig.COMMITMENT)], ae_title="PACS")
    empty, many = Dataset(), Dataset()
    empty.TransactionUID = "1.2.3"
    many.TransactionUID = "1.2.3"
    many.ReferencedSOPSequence = []
    for information in (empty, many):
        answer, _ = association.send_n_action(information, 1, UID(rig.COMMITMENT), UID("1.2.840.10008.1.20.1.1"))
        assert answer.Status == 0x0110
    association.release()
    assert desk.asked == []
