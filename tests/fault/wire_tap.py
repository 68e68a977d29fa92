"""A TCP proxy that reads along: every frame that either end sent, and every pad word that it used."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from poliqi.base.ids import Role
from poliqi.distill.messages import Message, Tag, decode_message


@dataclass
class WireTap:
    """Forwards connections from Alice to Bob's `port`; `port` of the tap itself is where Alice connects.

    `tags[role, word]` holds every distinct tag that `role` sent under that pad word, with how often.
    `on_frame(role, message)` is called before a frame is passed on.
    """

    port: int
    on_frame: Callable[[Role, Message], None] = lambda _role, _message: None
    tags: dict[tuple[Role, int], list[bytes]] = field(default_factory=lambda: defaultdict(list))
    frames: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                alice, _ = self._server.accept()
                try:
                    bob = socket.create_connection(("127.0.0.1", self.port))
                except OSError:
                    alice.close()
                    continue
                for role, source, target in ((Role.ALICE, alice, bob), (Role.BOB, bob, alice)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._carry, args=(role, source, target), daemon=True).start()

    def _carry(self, role: Role, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while True:
                header = _exactly(source, 4)
                payload = _exactly(source, int.from_bytes(header, "big"))
                self._look(role, decode_message(payload))
                target.sendall(header + payload)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _look(self, role: Role, message: Message) -> None:
        with self._lock:
            self.frames += 1
            if isinstance(message, Tag) and len(message.value) == 24:
                self.tags[role, int.from_bytes(message.value[:8], "little")].append(message.value[8:])
        self.on_frame(role, message)


def _exactly(source: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = source.recv(min(count - len(data), 1 << 16))
        if not part:
            raise OSError("the end")
        data += part
    return bytes(data)
