"""The near side of a tunnel: listens for an application and carries its connections to a peer's target.

Nothing leaves here in clear: a connection that gets no stream is reset at once, and the log says why and, where key
is missing, when more will be there.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from poliqi.apps.stream.channel import Channel
from poliqi.apps.tunnel.calls import Streams, when_ready
from poliqi.apps.tunnel.relay import LocalReset, relay, reset
from poliqi.base.errors import ConfigError, PoliqiError
from poliqi.edge.complaints import Complaints
from poliqi.edge.network import Address

__all__ = ["Forwarder"]

_BACKLOG: Final = 128
_PAUSE_S: Final = 0.05


class Forwarder:
    """One place to listen. Threads: one that accepts, two for each connection; more wait in the kernel's queue."""

    def __init__(
        self,
        listen: Address,
        target: str,
        call: Callable[[], Channel],
        say: Callable[..., None],
        most_connections: int = 64,
        warm_streams: int = 2,
    ) -> None:
        """`call` opens a stream to the peer; `say(event, text, **more)` writes the log."""
        self._listen: Final = listen
        self._target: Final = target
        self._say: Final = say
        self._free: Final = threading.BoundedSemaphore(most_connections)
        self._complain: Final = Complaints(lambda line: say("refused", line, level="warning"))
        self._call: Final = call
        self._warm: Final = warm_streams
        self._streams: Streams | None = None
        self._listener: socket.socket | None = None
        self._lock: Final = threading.Lock()
        self._under_way: Final[set[Channel]] = set()
        self._is_closed = False

    def start(self) -> Address:
        """Listen; the address with its real port. Raises ConfigError."""
        a = self._listen
        try:
            family = socket.getaddrinfo(a.host, a.port, type=socket.SOCK_STREAM)[0][0]
            listener = socket.create_server((a.host, a.port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigError(f"cannot listen on {a}: {error.strerror or error}; name another address") from error
        self._listener = listener
        self._streams = Streams(self._call, self._warm, self._tell)
        thread = threading.Thread(target=self._accept, args=(listener, self._streams), name="forward", daemon=True)
        thread.start()
        return Address(a.host, listener.getsockname()[1])

    def close(self) -> None:
        """Take no more; connections under way are reset."""
        self._is_closed = True
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        if self._streams is not None:
            self._streams.close()
        with self._lock:
            channels = list(self._under_way)
        for channel in channels:
            channel.close()

    def _tell(self, channel: Channel) -> None:
        usage = channel.usage
        more: dict[str, Any] = {"peer": usage.peer, "mode": usage.mode, "simulated": usage.is_simulated}
        light = ", key of SIMULATED LIGHT: it protects nothing" if usage.is_simulated else ""
        self._say("stream", f"a stream to {usage.peer}: mode {usage.mode}{light}", **more)

    def _accept(self, listener: socket.socket, streams: Streams) -> None:
        while not self._is_closed:
            self._free.acquire()
            try:
                local, _ = listener.accept()
            except OSError:  # too many open files, or closed
                self._free.release()
                time.sleep(_PAUSE_S)
                continue
            threading.Thread(target=self._carry, args=(local, streams), name="tunnel in", daemon=True).start()

    def _carry(self, local: socket.socket, streams: Streams) -> None:
        try:
            channel = streams.open_to(self._target)
            with self._lock:
                self._under_way.add(channel)
            try:
                if self._is_closed:
                    channel.close()
                relay(channel, local)
            finally:
                with self._lock:
                    self._under_way.discard(channel)
            local.close()
            streams.give_back(channel)
        except LocalReset:  # its own application's business
            reset(local)
        except PoliqiError as error:
            if not self._is_closed:
                self._complain(f"to {self._target}: connection reset: {when_ready(error)}", known=True)
            reset(local)
        finally:
            self._free.release()
