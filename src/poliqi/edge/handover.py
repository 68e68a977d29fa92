"""Listening sockets that outlive a program: an upgraded one takes them over, so that nobody is turned away.

The old program keeps a duplicate of each, names them in an environment variable, and executes the new one in its
place. Connections that come in between wait in the kernel's queue.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Protocol

__all__ = ["Duplicable", "Handover", "close_left", "take_over"]

_VARIABLE: Final = "POLIQI_LISTENERS"


class Duplicable(Protocol):
    """A listening socket, or what an event loop shows of one."""

    def dup(self) -> socket.socket: ...


class Handover:
    """Duplicates of listening sockets for the program that comes after this one."""

    def __init__(self) -> None:
        self._kept: Final[list[socket.socket]] = []

    def keep(self, listeners: Iterable[Duplicable]) -> None:
        """Keep these open beyond whoever closes them."""
        self._kept.extend(listener.dup() for listener in listeners)

    def close(self) -> None:
        """Keep nothing."""
        for listener in self._kept:
            listener.close()
        self._kept.clear()

    def leave(self) -> None:
        """Have the next program inherit them: call it last before `os.execv`."""
        for listener in self._kept:
            listener.set_inheritable(True)
        os.environ[_VARIABLE] = ",".join(str(listener.fileno()) for listener in self._kept)


def take_over(family: int, host: str, port: int) -> socket.socket | None:
    """The socket that the program before this one left for an address, None where it left none; each once."""
    left: list[str] = []
    found: socket.socket | None = None
    for text in os.environ.pop(_VARIABLE, "").split(","):
        if not (text.isascii() and text.isdecimal()):
            continue
        with suppress(OSError):
            candidate = socket.socket(fileno=int(text))
            if found is None and _listens_at(candidate, family, host, port):
                candidate.set_inheritable(False)
                found = candidate
            else:
                candidate.detach()
                left.append(text)
    if left:
        os.environ[_VARIABLE] = ",".join(left)
    return found


def _listens_at(candidate: socket.socket, family: int, host: str, port: int) -> bool:
    name = candidate.getsockname()
    is_listening = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(is_listening) and candidate.family == family and tuple(name[:2]) == (host, port) and port != 0


def close_left() -> None:
    """Close what nobody took over: a door that is no longer configured, or one whose port the kernel chose."""
    for text in os.environ.pop(_VARIABLE, "").split(","):
        if text.isascii() and text.isdecimal():
            with suppress(OSError):
                left = socket.socket(fileno=int(text))
                is_listening = left.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                left.close() if is_listening else left.detach()
