"""A TCP relay between two applications that keeps every byte it carries: what an eavesdropper on the line has."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Relay", "recording_relay"]


class Relay:
    """Carries connections to `port` of this machine. `seen` is what went in both directions."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.streams: list[bytearray] = []
        self.sockets: list[socket.socket] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def seen_bytes(self) -> int:
        with self.lock:
            return sum(map(len, self.streams))

    def holds(self, marker: bytes) -> bool:
        """True where a direction of a connection held these bytes."""
        with self.lock:
            return any(marker in stream for stream in self.streams)

    def cut(self) -> None:
        """End what is carried now."""
        with self.lock:
            sockets, self.sockets = self.sockets, []
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            with self.lock:
                self.connections += 1
                self.sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                kept = bytearray()
                with self.lock:
                    self.streams.append(kept)
                threading.Thread(target=self._carry, args=(source, sink, kept), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                with self.lock:
                    kept += data
                sink.sendall(data)
        # the end of one direction is passed on, the other goes on
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def recording_relay(port: int) -> Iterator[Relay]:
    """A relay to a port of this machine, closed at the end."""
    relay = Relay(port)
    try:
        yield relay
    finally:
        relay.close()
