"""An open stream: messages out and in over a wire, its end, its failure. What seals them is handed in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from poliqi.apps.stream.opening import HANDSHAKE_BYTES, Frame, Header, Refusal
from poliqi.apps.stream.records import RECORD_BYTES, Octets
from poliqi.apps.stream.refusal import alert_reason, alerted
from poliqi.apps.stream.terms import Usage, Used
from poliqi.apps.stream.wire import Wire
from poliqi.base.errors import (
    KeyExhausted,
    LinkDown,
    PoliqiError,
    ProtocolError,
)
from poliqi.base.ids import SaeId

__all__ = ["Incoming", "OpenStream", "Outgoing", "Session"]

_WIPE_S: Final = 1.0


class Outgoing(Protocol):
    """Makes frames of messages. `epsilon` sums what its one-time tags may fail by."""

    @property
    def epsilon(self) -> float: ...
    def seal(self, kind: Frame, data: Octets) -> memoryview: ...
    def message(self, data: Octets) -> Iterator[memoryview]: ...
    def close(self) -> None: ...


class Incoming(Protocol):
    """Opens frames. `control` takes the records that are about keys."""

    @property
    def epsilon(self) -> float: ...
    def open(self, kind: int, head: memoryview, body: memoryview, buffer: memoryview) -> int: ...
    def control(self, kind: int, text: bytes) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Session:
    """What a handshake ends with. `used` grows with every key that either direction goes on with."""

    header: Header
    is_caller: bool
    purpose: str
    outgoing: Outgoing
    incoming: Incoming
    used: list[Used]

    @property
    def local(self) -> SaeId:
        """This application."""
        return self.header.caller if self.is_caller else self.header.callee

    @property
    def peer(self) -> SaeId:
        """The other one."""
        return self.header.callee if self.is_caller else self.header.caller


class OpenStream:
    """Implements poliqi.apps.stream.channel.Channel."""

    def __init__(self, wire: Wire, session: Session) -> None:
        self._wire: Final = wire
        self._session: Final = session
        self._out: Final = session.outgoing
        self._in: Final = session.incoming
        self._plain: Final = memoryview(bytearray(RECORD_BYTES))
        self._said: Final = memoryview(bytearray(HANDSHAKE_BYTES))
        self._sending: Final = threading.Lock()
        self._receiving: Final = threading.Lock()
        self._send_failure: PoliqiError | None = None
        self._receive_failure: PoliqiError | None = None
        self._was_alerted = self._is_finished = self._is_ended = self._is_closed = False
        self._sent = self._received = 0
        wire.opened()

    @property
    def local(self) -> SaeId:
        """As in Channel."""
        return self._session.local

    @property
    def peer(self) -> SaeId:
        """As in Channel."""
        return self._session.peer

    @property
    def purpose(self) -> str:
        """As in Channel."""
        return self._session.purpose

    @property
    def usage(self) -> Usage:
        """As in Channel."""
        used = tuple(self._session.used)
        return Usage(
            self._session.header.mode,
            self.local,
            self.peer,
            tuple(key_id for key_id, _ in used),
            tuple(grade for _, grade in used),
            self._sent,
            self._received,
            self._out.epsilon + self._in.epsilon,
        )

    def send(self, data: Octets) -> None:
        """As in Channel."""
        if isinstance(data, memoryview):
            data = data.cast("B")
        size = len(data)
        if size > RECORD_BYTES:
            raise ValueError(f"a message of {size} bytes is over the limit of {RECORD_BYTES}: send it in pieces")
        with self._sending:
            self._check_sending()
            try:
                for frame in self._out.message(data):
                    self._wire.write(frame)
            except PoliqiError as error:
                self._fail_sending(error)
                raise
            self._sent += size

    def finish(self) -> None:
        """As in Channel."""
        with self._sending:
            if self._is_finished:
                return
            self._check_sending()
            try:
                self._wire.write(self._out.seal(Frame.FINAL, b""))
            except PoliqiError as error:
                self._fail_sending(error)
                raise
            self._is_finished = True

    def receive(self) -> memoryview | None:
        """As in Channel."""
        size = self._receive(self._plain)
        return None if size is None else self._plain[:size].toreadonly()

    def receive_into(self, buffer: bytearray | memoryview) -> int | None:
        """As in Channel. Raises ValueError for a buffer that is too small."""
        view = memoryview(buffer)
        if view.nbytes < RECORD_BYTES or view.readonly:
            raise ValueError(f"a buffer for a message holds at least {RECORD_BYTES} bytes, not {view.nbytes}")
        return self._receive(view)

    def refuse(self, why: Refusal) -> None:
        """Say why nothing comes of this stream, and wait a moment that it is read; then close it."""
        with self._sending:
            self._alert(why)
        self._wire.linger(_WIPE_S)

    def close(self) -> None:
        """As in Channel."""
        self._is_closed = True
        self._wire.close()  # whoever waits for the line lets go of the lock
        for lock, half in ((self._sending, self._out), (self._receiving, self._in)):
            if lock.acquire(timeout=_WIPE_S):  # wiped under nobody's hands: pad of zeros would hide nothing
                half.close()
                lock.release()

    def _check_sending(self) -> None:
        if self._is_closed:
            raise LinkDown("the stream was closed here: open another")
        if self._send_failure is not None:
            raise self._send_failure
        if self._is_finished:
            raise ValueError("a stream that was finished sends no more")

    def _fail_sending(self, error: PoliqiError) -> None:
        """Nothing is sent any more; the other side hears why, where it can."""
        self._send_failure = error
        if not isinstance(error, LinkDown) or not self._wire.is_lost:
            self._alert(Refusal.NO_KEYS if isinstance(error, KeyExhausted | LinkDown) else Refusal.GRADE)

    def _alert(self, why: Refusal) -> None:
        try:
            self._wire.write_now(self._out.seal(Frame.ALERT, bytes([why])))
        except PoliqiError:
            return

    def _receive(self, buffer: memoryview) -> int | None:
        with self._receiving:
            if self._receive_failure is not None:
                raise self._receive_failure
            if self._is_ended:
                return None
            if self._is_closed:
                raise LinkDown("the stream was closed here: open another")
            try:
                return self._next_message(buffer)
            except PoliqiError as error:
                self._fail_receiving(error)
                raise

    def _next_message(self, buffer: memoryview) -> int | None:
        size = 0
        while True:
            read = self._wire.read()
            if read is None:
                raise LinkDown("the connection was cut before the other side had finished: what came is not whole")
            kind, head, body = read
            if kind == Frame.DATA:
                size += self._in.open(kind, head, body, buffer[size:])
                self._received += size
                return size
            if kind == Frame.MORE:
                piece = self._in.open(kind, head, body, buffer[size:])
                if not piece:
                    raise ProtocolError("an empty piece of a message came: hang up")
                size += piece
                continue
            if size or len(body) > HANDSHAKE_BYTES:
                raise ProtocolError(f"a record of type {kind} came within a message, or is too long: hang up")
            text = bytes(self._said[: self._in.open(kind, head, body, self._said)])
            if kind == Frame.FINAL:
                self._is_ended = True
                return None
            if kind == Frame.ALERT:
                self._was_alerted = True
                raise alerted(self.peer, text)
            self._in.control(kind, text)

    def _fail_receiving(self, error: PoliqiError) -> None:
        """A stream that broke on its way in is over both ways; the other side hears why, where it can."""
        self._receive_failure = error
        if self._wire.is_lost or not self._sending.acquire(blocking=False):
            return
        try:
            if self._send_failure is None and not self._is_closed:
                self._send_failure = error
                if not self._was_alerted:
                    self._alert(alert_reason(error))
        finally:
            self._sending.release()
