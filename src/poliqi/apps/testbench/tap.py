"""A wire between two ends that can be read, changed, cut: a TCP relay of this machine with one connection."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from typing import Final

from poliqi.apps.testbench.ends import dial, listener

__all__ = ["Fault", "Tap"]

_CHUNK_BYTES: Final = 16 << 10
_CAPTURE_BYTES: Final = 8 << 20
_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the octet at this place of what the caller sends: changed, or the wire is cut before it."""

    at: int
    is_cut: bool = False


class Tap:
    """Relays one connection to `port`; `sent` and `answered` is what went over it. Use it in a `with`."""

    def __init__(self, port: int, fault: Fault | None = None) -> None:
        self._target: Final = port
        self._fault: Final = fault
        self._socket: Final = listener()
        self._socket.settimeout(_PATIENCE_S)
        self._ends: list[socket.socket] = []
        self._thread: Final = threading.Thread(target=self._serve, daemon=True)
        self.sent: Final = bytearray()
        self.answered: Final = bytearray()

    @property
    def port(self) -> int:
        """What is called in place of the real port."""
        return int(self._socket.getsockname()[1])

    def __enter__(self) -> Tap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that may still wait for a call
        self._cut()
        self._thread.join(_PATIENCE_S)
        self._socket.close()

    def _serve(self) -> None:
        try:
            caller = self._socket.accept()[0]
            answerer = dial(self._target)
        except OSError:
            return  # nobody called
        self._ends = [caller, answerer]
        for end in self._ends:
            end.settimeout(None)
        back = threading.Thread(target=self._carry, args=(answerer, caller, self.answered, None), daemon=True)
        back.start()
        self._carry(caller, answerer, self.sent, self._fault)
        back.join(_PATIENCE_S)
        for end in self._ends:
            end.close()

    def _carry(self, source: socket.socket, target: socket.socket, record: bytearray, fault: Fault | None) -> None:
        """Until the end of the one direction, which is handed on; or until the fault."""
        at = 0
        try:
            while chunk := bytearray(source.recv(_CHUNK_BYTES)):
                here = -1 if fault is None else fault.at - at
                if 0 <= here < len(chunk):
                    if fault is not None and fault.is_cut:
                        target.sendall(chunk[:here])
                        self._cut()
                        return
                    chunk[here] ^= 0x40
                at += len(chunk)
                if len(record) < _CAPTURE_BYTES:
                    record += chunk
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            self._cut()

    def _cut(self) -> None:
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is down already
