"""Ends of plaintext over sockets, and a record encryptor made into a stream over TCP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from poliqi.apps.testbench.seams import Buffer, Octets, RecordEncryptor, RecordEnd, Side, StreamEnd
from poliqi.base.errors import ProtocolError

__all__ = ["HOST", "FramedStream", "PlainStream", "SocketEnd", "TcpListening", "dial", "listener"]

HOST: Final = "127.0.0.1"
_RECORD_BYTES: Final = 256 << 10
_PREFIX_BYTES: Final = 4
_FEW_BYTES: Final = 4096
_RING_BYTES: Final = 16 << 20
_SILENCE_S: Final = 15.0


def listener() -> socket.socket:
    """A listening socket of this machine on a free port."""
    return socket.create_server((HOST, 0), backlog=4)


def dial(port: int, timeout_s: float = 5.0) -> socket.socket:
    """A connection to a port of this machine, without delay for small writes."""
    connection = socket.create_connection((HOST, port), timeout_s)
    _prepare(connection)
    return connection


def _prepare(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(_SILENCE_S)


class SocketEnd:
    """A StreamEnd that is a socket: its end of file is the end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection: Final = connection
        _prepare(connection)
        self.sendall = connection.sendall
        self.recv_into = connection.recv_into

    def finish(self) -> None:
        """As StreamEnd."""
        self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """As StreamEnd."""
        self._connection.close()


class FramedEnd:
    """A StreamEnd of records, each after its length in four octets; the final record is the end."""

    def __init__(self, connection: socket.socket, end: RecordEnd, overhead_bytes: int, largest_bytes: int) -> None:
        _prepare(connection)
        self._connection: Final = connection
        self._end: Final = end
        self._most: Final = min(_RECORD_BYTES, largest_bytes)
        room = self._most + overhead_bytes
        self._sealed: Final = memoryview(bytearray(_PREFIX_BYTES + room))
        self._came: Final = memoryview(bytearray(room))
        self._opened: Final = memoryview(bytearray(room))
        self._left = self._opened[:0]
        self._is_ended = False

    def sendall(self, data: Octets, /) -> None:
        """As StreamEnd."""
        view = memoryview(data)
        for at in range(0, len(view), self._most):
            self._send(view[at : at + self._most], is_final=False)

    def finish(self) -> None:
        """As StreamEnd."""
        self._send(b"", is_final=True)

    def _send(self, plaintext: Octets, *, is_final: bool) -> None:
        length = self._end.seal(plaintext, self._sealed[_PREFIX_BYTES:], is_final=is_final)
        self._sealed[:_PREFIX_BYTES] = length.to_bytes(_PREFIX_BYTES, "big")
        self._connection.sendall(self._sealed[: _PREFIX_BYTES + length])

    def recv_into(self, buffer: Buffer, /) -> int:
        """As StreamEnd."""
        target = memoryview(buffer)
        while not self._left:
            if self._is_ended:
                return 0
            record = self._record()
            is_roomy = len(target) >= len(record)
            out = target if is_roomy else self._opened
            size, self._is_ended = self._end.open(record, out)
            if is_roomy and size:
                return size
            self._left = out[:size]
        count = min(len(target), len(self._left))
        target[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _record(self) -> memoryview:
        length = int.from_bytes(self._exactly(self._came[:_PREFIX_BYTES]), "big")
        if length > len(self._came):
            raise ProtocolError(f"a record of {length} bytes is announced, at most {len(self._came)} are taken")
        return self._exactly(self._came[:length])

    def _exactly(self, target: memoryview) -> memoryview:
        at = 0
        while at < len(target):
            count = self._connection.recv_into(target[at:])
            if count == 0:
                raise ProtocolError("the connection was cut before the final record")
            at += count
        return target

    def close(self) -> None:
        """As StreamEnd."""
        self._connection.close()


class TcpListening:
    """A socket that waits for the caller; `wrap` makes its end of the connection."""

    def __init__(self, wrap: Callable[[socket.socket], StreamEnd]) -> None:
        self._wrap: Final = wrap
        self._socket: Final = listener()
        self._end: StreamEnd | None = None

    @property
    def port(self) -> int:
        """As Listening."""
        return int(self._socket.getsockname()[1])

    def accept(self, timeout_s: float) -> StreamEnd:
        """As Listening."""
        self._socket.settimeout(timeout_s)
        self._end = self._wrap(self._socket.accept()[0])
        return self._end

    def close(self) -> None:
        """Stop, and hang up."""
        self._socket.close()
        if self._end is not None:
            self._end.close()


class PlainStream:
    """TCP and nothing else: what the machine could do. Conformance is no question here."""

    name = "tcp, not encrypted"
    description = "the same load without any encryption: the ceiling"
    is_two_way = True

    def missing(self) -> str | None:
        """As StreamEncryptor."""
        return None

    @contextmanager
    def listen(self, key: bytes, folder: Path) -> Generator[TcpListening]:  # noqa: ARG002  # nothing is encrypted
        """As StreamEncryptor."""
        listening = TcpListening(SocketEnd)
        try:
            yield listening
        finally:
            listening.close()

    @contextmanager
    def call(self, key: bytes, folder: Path, port: int) -> Generator[StreamEnd]:  # noqa: ARG002  # as `listen`
        """As StreamEncryptor."""
        end = SocketEnd(dial(port))
        try:
            yield end
        finally:
            end.close()


class FramedStream:
    """A RecordEncryptor over TCP: the load that programs get, for ciphers.

    What key it takes is expanded from the trial's, and begins again after 16 MiB: for timing alone.
    """

    is_two_way = True

    def __init__(self, encryptor: RecordEncryptor) -> None:
        self._encryptor: Final = encryptor
        self.name: Final = encryptor.name
        self.description: Final = encryptor.description

    def missing(self) -> str | None:
        """As StreamEncryptor."""
        return None

    @contextmanager
    def listen(self, key: bytes, folder: Path) -> Generator[TcpListening]:  # noqa: ARG002  # needs no files
        """As StreamEncryptor."""
        end = self._open(Side.ANSWERER, key)
        listening = TcpListening(lambda connection: self._framed(connection, end))
        try:
            yield listening
        finally:
            listening.close()

    @contextmanager
    def call(self, key: bytes, folder: Path, port: int) -> Generator[StreamEnd]:  # noqa: ARG002  # as `listen`
        """As StreamEncryptor."""
        end = self._framed(dial(port), self._open(Side.CALLER, key))
        try:
            yield end
        finally:
            end.close()

    def _open(self, side: Side, key: bytes) -> RecordEnd:
        other = Side.ANSWERER if side is Side.CALLER else Side.CALLER
        return self._encryptor.open_end(side, _Ring(key, side), _Ring(key, other))

    def _framed(self, connection: socket.socket, end: RecordEnd) -> FramedEnd:
        return FramedEnd(connection, end, self._encryptor.overhead_bytes, self._encryptor.largest_bytes)


class _Ring:
    """A KeySupply of what one side sends: the trial's key by AES-CTR, as much of it as is needed."""

    def __init__(self, key: bytes, side: Side) -> None:
        self._cipher: Final = Cipher(algorithms.AES256(key), modes.CTR(side.encode().rjust(16)))
        self._key = self._expanded(_FEW_BYTES)
        self._at = 0

    def _expanded(self, count: int) -> memoryview:
        return memoryview(self._cipher.encryptor().update(bytes(count)))

    def take(self, count: int) -> memoryview:
        """As KeySupply."""
        if self._at + count > len(self._key):
            if len(self._key) < _RING_BYTES:
                self._key = self._expanded(_RING_BYTES)
            else:
                self._at = 0
        self._at += count
        return self._key[self._at - count : self._at]
