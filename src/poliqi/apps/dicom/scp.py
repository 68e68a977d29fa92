"""The gateway as machines of its site see it: answers C-ECHO, C-STORE, and requests for storage commitment.

A C-STORE is answered with success once the image is durable in the queue. A data set is never opened.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection
from socketserver import BaseServer
from typing import Any, Final, Protocol

import pynetdicom
from pynetdicom import evt
from pynetdicom.transport import AssociationServer

from poliqi.apps.dicom.images import Head
from poliqi.apps.dicom.queue import NoRoom
from poliqi.apps.dicom.settings import DicomSettings, is_uid
from poliqi.apps.dicom.toolkit import COMMITMENT, PDU_BYTES, STORAGE_CLASSES, TRANSFER_SYNTAXES, VERIFICATION
from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.edge.network import Address

__all__ = ["Desk", "StorageScp"]

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
BAD_INSTANCE: Final = 0x0117
NOT_AUTHORISED: Final = 0x0124
OUT_OF_RESOURCES: Final = 0xA700
CANNOT_UNDERSTAND: Final = 0xC000
_ASSOCIATE_BYTES: Final = 1 << 20
_MESSAGE_SLACK: Final = 1 << 20
_REFERENCES_MOST: Final = 10_000
_REFERENCE_BYTES: Final = 256


class Desk(Protocol):
    """What stands behind the answers."""

    def take(self, head: Head, calling: str, data: memoryview) -> None:
        """Keep an image; returns when it is durable. Raises DataRefused (never), NoRoom, StoreError (not now)."""
        ...

    def commit(
        self, transaction_uid: str, requester: str, ae: str, references: Collection[tuple[str, str]]
    ) -> None:
        """Keep a request for commitment: (class, instance) of each. Raises as `take`."""
        ...

    def complain(self, line: str) -> None:
        """Tell people that something was refused."""
        ...


class StorageScp:
    """Listens for machines of this site. Threads: one that accepts, two for each association."""

    def __init__(self, settings: DicomSettings, desk: Desk) -> None:
        """Raises ConfigError where it cannot listen."""
        listen = settings.listen
        if listen is None:
            raise ValueError("a gateway without a door has no SCP")
        self._settings: Final = settings
        self._desk: Final = desk
        self._titles: Final = frozenset({settings.ae, *settings.routes})
        try:
            entity: Any = _entity(settings)
            server = entity.make_server(
                (listen.host, listen.port),
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, self._connected),
                    (evt.EVT_REQUESTED, self._requested),
                    (evt.EVT_DIMSE_SENT, self._answered),
                    (evt.EVT_C_ECHO, self._echo),
                    (evt.EVT_C_STORE, self._store),
                    (evt.EVT_N_ACTION, self._commit),
                ],
                server_class=_Server,
            )
        except OSError as error:
            raise ConfigError(
                f"[dicom] cannot listen on {listen}: {error.strerror or error}; choose another"
            ) from error
        self._server: Final[_Server] = server
        server.most = 2 * settings.associations
        self.address: Final = Address(listen.host, server.server_address[1])
        self._thread: Final = threading.Thread(target=self._serve, name="dicom-scp", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.1)

    @property
    def associations(self) -> int:
        """How many there are now."""
        return len(self._server.active_associations)

    def close(self) -> None:
        """Take no more calls, end those that there are."""
        self._server.shutdown()
        self._thread.join()
        for association in self._server.active_associations:
            association.abort()
        self._server.server_close()

    def _connected(self, event: Any) -> None:
        limit = self._settings.largest_bytes + _MESSAGE_SLACK
        event.assoc.poliqi_meter = _Meter(event.assoc.dul.socket, limit, self._settings.timeout_s)

    def _requested(self, event: Any) -> None:
        """The library compares the called title with that of the acceptor: make it any of ours."""
        called = event.assoc.requestor.primitive.called_ae_title
        calling = event.assoc.requestor.primitive.calling_ae_title
        if called in self._titles:
            event.assoc.acceptor.ae_title = called
        else:
            self._desk.complain(f"{calling} calls for {called}, and no [[dicom.route]] has that title")
        if calling not in self._settings.calling:
            self._desk.complain(f"{calling} calls, and is not among `calling` of [dicom]")

    def _answered(self, event: Any) -> None:
        event.assoc.poliqi_meter.begin()

    def _echo(self, event: Any) -> int:  # noqa: ARG002  # who asks was checked when it called
        return SUCCESS

    def _store(self, event: Any) -> int:
        request, context = event.request, event.context
        head = Head(
            ae=event.assoc.acceptor.ae_title,
            class_uid=str(request.AffectedSOPClassUID),
            instance_uid=str(request.AffectedSOPInstanceUID),
            syntax_uid=str(context.transfer_syntax),
        )
        if head.ae not in self._settings.routes:
            return NOT_AUTHORISED
        if not is_uid(head.instance_uid) or head.class_uid != str(context.abstract_syntax):
            return BAD_INSTANCE
        data = memoryview(b"") if request.DataSet is None else request.DataSet.getbuffer()
        with data:
            if not len(data):
                return CANNOT_UNDERSTAND
            return self._kept(lambda: self._desk.take(head, event.assoc.requestor.ae_title, data))

    def _kept(self, keep: Callable[[], None]) -> int:
        try:
            keep()
        except DataRefused as error:
            self._desk.complain(str(error))
            return PROCESSING_FAILURE
        except (NoRoom, StoreError) as error:
            self._desk.complain(f"an image was not taken: {error}")
            return OUT_OF_RESOURCES
        return SUCCESS

    def _commit(self, event: Any) -> tuple[int, None]:
        asked = event.request.ActionInformation
        if event.action_type != 1 or asked is None or len(asked.getbuffer()) > _REFERENCES_MOST * _REFERENCE_BYTES:
            return PROCESSING_FAILURE, None
        try:
            information = event.action_information
            transaction = str(information.TransactionUID)
            items = list(information.ReferencedSOPSequence)
            references = [(str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID)) for i in items]
        except Exception:  # a data set from outside: the parser raises what it likes
            self._desk.complain(f"{event.assoc.requestor.ae_title} asks for a commitment that cannot be read")
            return PROCESSING_FAILURE, None
        sound = is_uid(transaction) and all(is_uid(uid) for pair in references for uid in pair)
        if not sound or not 1 <= len(references) <= _REFERENCES_MOST:
            return PROCESSING_FAILURE, None
        calling, called = event.assoc.requestor.ae_title, event.assoc.acceptor.ae_title
        status = self._kept(lambda: self._desk.commit(transaction, calling, called, references))
        return (PROCESSING_FAILURE if status == OUT_OF_RESOURCES else status), None


def _entity(settings: DicomSettings) -> pynetdicom.AE:
    entity = pynetdicom.AE(ae_title=settings.ae)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.calling)
    entity.maximum_associations = settings.associations
    entity.maximum_pdu_size = PDU_BYTES
    entity.acse_timeout = entity.dimse_timeout = settings.timeout_s
    entity.network_timeout = 2 * settings.timeout_s
    for class_uid in STORAGE_CLASSES:
        entity.add_supported_context(class_uid, list(settings.transfer_syntaxes or TRANSFER_SYNTAXES))
    entity.add_supported_context(VERIFICATION)
    entity.add_supported_context(COMMITMENT)
    return entity


class _Server(AssociationServer):
    """Hangs up at once on more connections than can be served, so that they cost no threads."""

    most = 16

    def shutdown(self) -> None:
        """As socketserver's; pynetdicom's own expects that its AE started the server."""
        BaseServer.shutdown(self)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """As socketserver's."""
        return len(self.active_associations) < self.most


class _Meter:
    """What one association may cost: bytes since the last answer, and seconds for a PDU.

    A machine that sends without awaiting answers, a PDU of 4 GB and one that drips in all end the association;
    by itself the library would wait for their end.
    """

    def __init__(self, wrapped: Any, most_bytes: int, most_s: float) -> None:
        self._socket: Final[socket.socket] = wrapped.socket
        self._most_bytes: Final = most_bytes
        self._most_s: Final = most_s
        self._got = 0
        self._socket.settimeout(most_s)
        wrapped.recv = self._receive

    def begin(self) -> None:
        """An answer was sent."""
        self._got = 0

    def _receive(self, count: int) -> bytearray:
        """`count` bytes; fewer at the end of the connection. OSError makes the library end the association."""
        self._got += count
        if count > _ASSOCIATE_BYTES or self._got > self._most_bytes:
            raise OSError("more bytes than a message may have")
        data = bytearray(count)
        view, end = memoryview(data), time.monotonic() + self._most_s
        at = 0
        while at < count:
            read = self._socket.recv_into(view[at:])
            if not read:
                return data[:at]
            at += read
            if time.monotonic() > end:
                raise TimeoutError("a message that does not come to its end")
        return data
