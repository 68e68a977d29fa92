"""The door of an application: accepts callers, lets the handshake say who they are, hands them to their service."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from poliqi.apps.identity import Contact
from poliqi.apps.keysource import KeySource
from poliqi.apps.service import Service
from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.channel import Channel, accept
from poliqi.apps.stream.opening import Frame, Refusal
from poliqi.apps.stream.refusal import frame
from poliqi.apps.stream.terms import Mode, StreamRule
from poliqi.base.errors import ConfigError, LinkDown, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.complaints import Complaints
from poliqi.edge.network import Address

__all__ = ["SaeDoor"]

_STRANGERS: Final = 64
_STRANGERS_OF_ONE: Final = 16
_GUESTS: Final = 512
_GUESTS_OF_ONE: Final = 128
_BACKLOG: Final = 128
_HANDSHAKE_S: Final = 10.0
_PAUSE_S: Final = 0.05


class _Caller(socket.socket):
    """A connection that knows whether its other end has said anything; from then on it is as quick as any."""

    has_spoken = False

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As of any socket."""
        count = super().recv_into(buffer, nbytes, flags)
        if count:
            self.has_spoken = True
            self.recv_into = super().recv_into
        return count


class SaeDoor:
    """Where other applications call. Threads: one that accepts, and one for each caller.

    At most 64 callers may be in their handshake, 16 of one address, and 512 past it, 128 of one peer; others are
    told that there is no room.
    """

    def __init__(
        self,
        settings: SaeSettings,
        keys: KeySource,
        services: Sequence[Service],
        say: Callable[..., None],
    ) -> None:
        self._settings = settings
        self._keys: Final = keys
        self._services: Final = {service.purpose: service for service in services}
        self._say: Final = say
        self._lock: Final = threading.Lock()
        self._strangers: Final[Counter[str]] = Counter()
        self._open: Final[set[Channel]] = set()
        self._sockets: Final[set[socket.socket]] = set()
        self._listener: socket.socket | None = None
        self._complain: Final = Complaints(lambda line: say("refused", line))
        self._stopped = False
        self.counts: Final[Counter[str]] = Counter()
        """Streams served, by purpose, and callers refused."""

    def start(self, address: Address) -> Address:
        """Listen; the address with its real port. Raises ConfigError."""
        try:
            family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address.host, address.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {address}: {error.strerror or error}; choose another address"
            ) from error
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="door", daemon=True).start()
        return Address(address.host, listener.getsockname()[1])

    def change(self, settings: SaeSettings) -> None:
        """Other contacts and rules, for those who call from now on; streams of who is no contact any more end.

        Raises ConfigError.
        """
        for service in self._services.values():
            service.change(settings)
        with self._lock:
            before, self._settings = self._settings, settings
            ended = [channel for channel in self._open if self._is_other(before, channel.peer)]
        for channel in ended:
            self._say("ended", f"{channel.purpose} of {channel.peer}: no contact any more", peer=channel.peer)
            # one that waits for its site may take seconds to close: none waits for another
            threading.Thread(target=channel.close, name="ended", daemon=True).start()

    def _is_other(self, settings: SaeSettings, sae: SaeId) -> bool:
        """True where `sae` is no contact any more, or another than in these settings."""
        peer, was = self._settings.peers.get(sae), settings.peers.get(sae)
        return peer is None or was is None or peer.contact.fingerprint != was.contact.fingerprint

    @property
    def streams(self) -> int:
        """How many are open now."""
        with self._lock:
            return len(self._open)

    def close(self) -> None:
        """Take no more callers, hang up on those that are there, end the services."""
        self._stopped = True
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        with self._lock:
            sockets, channels = list(self._sockets), list(self._open)
        for connection in sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for channel in channels:
            channel.close()
        for service in self._services.values():
            service.close()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopped:
            try:
                accepted, where = listener.accept()
                connection = _Caller(fileno=accepted.detach())
            except OSError as error:
                if not self._stopped:
                    self._complain(f"callers cannot be taken: {error.strerror or error}", known=True)
                    time.sleep(_PAUSE_S)
                continue
            address = str(where[0])
            if not self._let_in(address):
                self._turn_away(connection, f"{address}: too many callers are in their handshake")
                continue
            try:
                threading.Thread(target=self._meet, args=(connection, address), name="caller", daemon=True).start()
            except RuntimeError as error:
                self._let_go(address)
                self._turn_away(connection, f"{address}: no thread for a caller: {error}")

    def _let_in(self, address: str) -> bool:
        with self._lock:
            is_room = self._strangers.total() < _STRANGERS and self._strangers[address] < _STRANGERS_OF_ONE
            self._strangers[address] += is_room
            return is_room

    def _let_go(self, address: str) -> None:
        with self._lock:
            self._strangers[address] -= 1
            if not self._strangers[address]:
                del self._strangers[address]

    def _turn_away(self, connection: socket.socket, why: str) -> None:
        """Say that there is no room, and hang up; who does not listen is not waited for."""
        self._complain(why)
        with suppress(OSError), connection:
            connection.setblocking(False)
            connection.send(frame(Frame.REFUSAL, bytes([Refusal.BUSY])))

    def _meet(self, connection: _Caller, address: str) -> None:
        with self._lock:
            self._sockets.add(connection)
            settings = self._settings
        channel: Channel | None = None
        until_s = time.monotonic() + _HANDSHAKE_S
        try:
            try:
                contacts = _contacts(settings)
                channel = accept(
                    connection, settings.identity, contacts, self._keys, _HANDSHAKE_S, self._services.keys()
                )
            finally:
                self._let_go(address)
            why_not = self._seat(channel, settings)
            if why_not:
                self._complain(f"{channel.peer}: {why_not}", known=True)
            else:
                self._serve(channel)
        except PoliqiError as error:
            # who connects and leaves looks whether the door is open, and is no news
            is_glance = isinstance(error, LinkDown) and not connection.has_spoken and time.monotonic() < until_s
            if not is_glance:
                self.counts["refused"] += 1
                self._complain(f"{address}: {error}")
        finally:
            if channel is not None:
                channel.close()
            with self._lock:
                self._sockets.discard(connection)
            connection.close()

    def _seat(self, channel: Channel, met: SaeSettings) -> str:
        """Why a caller who was met under these settings has no place, or nothing."""
        with self._lock:
            if self._is_other(met, channel.peer):  # changed during the handshake
                return "no contact any more"
            of_one = sum(other.peer == channel.peer for other in self._open)
            if len(self._open) >= _GUESTS or of_one >= _GUESTS_OF_ONE:
                return "too many streams are open"
            self._open.add(channel)
            return ""

    def _serve(self, channel: Channel) -> None:
        service = self._services[channel.purpose]
        try:
            self.counts[channel.purpose] += 1
            if channel.usage.mode is Mode.PQC:
                text = f"{channel.purpose} of {channel.peer}: NO QUANTUM KEY, post-quantum keys alone protect it"
                self._say("no-quantum-key", text, peer=channel.peer, level="warning")
            service.serve(channel)
        except PoliqiError as error:
            self._say("ended", f"{channel.purpose} of {channel.peer}: {error}", peer=channel.peer, level="warning")
        finally:
            with self._lock:
                self._open.discard(channel)


def _contacts(settings: SaeSettings) -> Mapping[SaeId, tuple[Contact, StreamRule]]:
    return {peer.sae: (peer.contact, peer.rule) for peer in settings.peers.values()}
