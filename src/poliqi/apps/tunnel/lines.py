"""Where a packet tunnel's streams come from: one side calls, the other answers (`network.Line`)."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from poliqi.apps.identity import Identity
from poliqi.apps.keysource import KeySource
from poliqi.apps.settings import Peer
from poliqi.apps.stream.channel import Channel, accept
from poliqi.apps.tunnel.packets import PURPOSE
from poliqi.base.errors import ConfigError, PoliqiError
from poliqi.edge.complaints import Complaints
from poliqi.edge.keyanswers import KeysNotReady
from poliqi.edge.network import Address, keep_alive

__all__ = ["Answerer", "Caller"]

_FIRST_WAIT_S: Final = 0.25
_LONGEST_WAIT_S: Final = 15.0
_STEADY_S: Final = 30.0
_STRANGERS: Final = 8
_HANDSHAKE_S: Final = 10.0
_PAUSE_S: Final = 0.05


class Caller:
    """Calls, and calls again after longer and longer waits, each time with a fresh key."""

    def __init__(self, call: Callable[[], Channel], clock: Callable[[], float] = time.monotonic) -> None:
        """`call` opens a stream."""
        self._call: Final = call
        self._clock: Final = clock
        self._stopped: Final = threading.Event()
        self._wait_s = 0.0
        self._since_s = -_STEADY_S

    def pause_s(self, failure: PoliqiError | None) -> float:
        """How long to wait after `failure`, in seconds: doubled each time until a stream has held for 30 s."""
        if failure is None or self._clock() - self._since_s > _STEADY_S:
            self._wait_s = 0.0
        else:
            self._wait_s = min(max(2 * self._wait_s, _FIRST_WAIT_S), _LONGEST_WAIT_S)
        told_s = failure.retry_s if isinstance(failure, KeysNotReady) and failure.retry_s else 0.0
        return min(max(told_s, self._wait_s), _LONGEST_WAIT_S)

    def next(self, failure: PoliqiError | None) -> Channel | None:
        """As Line."""
        pause_s = self.pause_s(failure)
        self._since_s = self._clock() + pause_s
        if self._stopped.wait(pause_s):
            return None
        return self._call()

    def close(self) -> None:
        """As Line."""
        self._stopped.set()


class Answerer:
    """Listens for one peer. Its newest stream counts: the one before is closed, as its caller has given it up."""

    def __init__(
        self, listen: Address, identity: Identity, peer: Peer, keys: KeySource, say: Callable[..., None]
    ) -> None:
        """`say(event, text, **more)` writes the log."""
        self._listen: Final = listen
        self._identity: Final = identity
        self._peer: Final = peer
        self._keys: Final = keys
        self._complain: Final = Complaints(lambda line: say("refused", line, level="warning"))
        self._free: Final = threading.BoundedSemaphore(_STRANGERS)
        self._arrived: Final[queue.SimpleQueue[Channel | None]] = queue.SimpleQueue()
        self._lock: Final = threading.Lock()
        self._newest: Channel | None = None
        self._listener: socket.socket | None = None
        self._is_closed = False

    def start(self) -> Address:
        """Listen; the address with its real port. Raises ConfigError."""
        a = self._listen
        try:
            family = socket.getaddrinfo(a.host, a.port, type=socket.SOCK_STREAM)[0][0]
            listener = socket.create_server((a.host, a.port), family=family, backlog=_STRANGERS)
        except OSError as error:
            raise ConfigError(f"cannot listen on {a}: {error.strerror or error}; name another address") from error
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="answerer", daemon=True).start()
        return Address(a.host, listener.getsockname()[1])

    def next(self, failure: PoliqiError | None) -> Channel | None:  # noqa: ARG002  # the caller does the waiting
        """As Line."""
        channel = self._arrived.get()
        while channel is not None and not self._arrived.empty():
            channel.close()
            channel = self._arrived.get()
        return channel

    def close(self) -> None:
        """As Line."""
        self._is_closed = True
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._arrived.put(None)

    def _accept(self, listener: socket.socket) -> None:
        while not self._is_closed:
            try:
                connection, where = listener.accept()
            except OSError:
                time.sleep(_PAUSE_S)
                continue
            if not self._free.acquire(blocking=False):
                connection.close()
                self._complain(f"{where[0]}: {_STRANGERS} callers are in their handshake already")
                continue
            thread = threading.Thread(target=self._meet, args=(connection, str(where[0])), daemon=True)
            thread.start()

    def _meet(self, connection: socket.socket, where: str) -> None:
        contacts = {self._peer.sae: (self._peer.contact, self._peer.rule)}
        try:
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(connection)
            channel = accept(connection, self._identity, contacts, self._keys, _HANDSHAKE_S)
            if channel.purpose != PURPOSE:
                channel.close()
                self._complain(f"{channel.peer} asks for {channel.purpose!r}; only {PURPOSE!r} is answered here")
                return
            self._put(channel)
        except (PoliqiError, OSError) as error:
            connection.close()
            self._complain(f"{where}: {error}")
        finally:
            self._free.release()

    def _put(self, channel: Channel) -> None:
        with self._lock:
            before, self._newest = self._newest, channel
        self._arrived.put(channel)
        if before is not None:
            before.close()
