"""An application as one process: its door for other applications, the services behind it, its pages.

Signals: SIGTERM and SIGINT stop it; SIGHUP reads contacts and rules again. Each caller has a thread of its own:
reading, deciphering, hashing and writing all let other threads run, so one process serves as fast as its cores can.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

from poliqi.apps.identity import Contact
from poliqi.apps.keysource import KeySource
from poliqi.apps.service import Service
from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.channel import Channel, accept
from poliqi.apps.stream.opening import Frame, Refusal
from poliqi.apps.stream.refusal import frame
from poliqi.apps.stream.terms import Mode, StreamRule
from poliqi.base.errors import ConfigError, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.asgi import Application
from poliqi.edge.complaints import Complaints
from poliqi.edge.folder import make_private_folder
from poliqi.edge.http1 import HttpLimits
from poliqi.edge.https import HttpsServer
from poliqi.edge.memory import forbid_core_dumps
from poliqi.edge.network import Address
from poliqi.edge.readiness import tell_supervisor
from poliqi.edge.running import mark_running
from poliqi.edge.tls import TlsFiles

__all__ = ["Around", "SaeDoor", "run_sae"]

Say = Callable[[dict[str, Any]], None]

_STRANGERS: Final = 64
_GUESTS: Final = 256
_BACKLOG: Final = 128
_HANDSHAKE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around an application: the pages for people, and what to do when its file is read again."""

    web: Application | None = None
    reload: Callable[[SaeSettings], None] = lambda _settings: None
    close: Callable[[], None] = lambda: None
    limits: HttpLimits | None = None
    """Of the pages' server."""


class SaeDoor:
    """Where other applications call. Threads: one that accepts, and one for each caller.

    At most 64 callers may be in their handshake and 256 past it; more are hung up on.
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
        self._strangers: Final = threading.BoundedSemaphore(_STRANGERS)
        self._guests: Final = threading.BoundedSemaphore(_GUESTS)
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
        """Other contacts and rules, for those who call from now on. Raises ConfigError."""
        for service in self._services.values():
            service.change(settings)
        self._settings = settings

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
                connection, where = listener.accept()
            except OSError:
                if self._stopped:
                    return
                continue
            if not self._strangers.acquire(blocking=False):
                _turn_away(connection)
                self._complain(f"{where[0]}: {_STRANGERS} callers are in their handshake already")
                continue
            threading.Thread(
                target=self._meet, args=(connection, str(where[0])), name="caller", daemon=True
            ).start()

    def _meet(self, connection: socket.socket, where: str) -> None:
        with self._lock:
            self._sockets.add(connection)
        is_stranger = True
        try:
            channel = accept(connection, self._settings.identity, self._contacts(), self._keys, _HANDSHAKE_S)
            self._strangers.release()
            is_stranger = False
            if self._guests.acquire(blocking=False):
                try:
                    self._serve(channel)
                finally:
                    self._guests.release()
            else:
                self._complain(f"{channel.peer}: {_GUESTS} streams are open already")
                channel.close()
        except PoliqiError as error:
            self.counts["refused"] += 1
            self._complain(f"{where}: {error}")
        finally:
            if is_stranger:
                self._strangers.release()
            with self._lock:
                self._sockets.discard(connection)
            connection.close()

    def _contacts(self) -> Mapping[SaeId, tuple[Contact, StreamRule]]:
        return {peer.sae: (peer.contact, peer.rule) for peer in self._settings.peers.values()}

    def _serve(self, channel: Channel) -> None:
        service = self._services.get(channel.purpose)
        with self._lock:
            self._open.add(channel)
        try:
            if service is None:
                self._complain(f"{channel.peer}: asks for {channel.purpose!r}, which is not served here")
                return
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
            channel.close()


def _turn_away(connection: socket.socket) -> None:
    """Say that there is no room, and hang up; who does not listen is not waited for."""
    with suppress(OSError), connection:
        connection.setblocking(False)
        connection.send(frame(Frame.REFUSAL, bytes([Refusal.BUSY])))


def run_sae(
    settings: SaeSettings,
    keys: KeySource,
    services: Sequence[Service],
    say: Say,
    load: Callable[[], SaeSettings],
    around: Around | None = None,
) -> None:
    """Run an application until a signal ends it. `load` reads its file again. Raises ConfigError, StoreError."""
    forbid_core_dumps()
    for folder in (settings.state, settings.inbox):
        make_private_folder(folder)
    with mark_running(settings.state):
        asyncio.run(_run(settings, keys, services, say, load, around or Around()))


async def _run(
    settings: SaeSettings,
    keys: KeySource,
    services: Sequence[Service],
    tell: Say,
    load: Callable[[], SaeSettings],
    around: Around,
) -> None:
    def say(event: str, text: str, **more: Any) -> None:
        tell({"event": event, "text": text, **more})

    def reload() -> None:
        try:
            fresh = load()
            door.change(fresh)
            around.reload(fresh)
            if pages is not None:
                pages.reload()
        except PoliqiError as error:
            say("reload-failed", f"{error}; what was in force stays in force", level="error")
        else:
            say("reloaded", f"{len(fresh.peers)} peers; other settings take effect at the next start")

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    door = SaeDoor(settings, keys, services, say)
    async with AsyncExitStack() as stack:
        stack.callback(keys.close)
        stack.callback(around.close)
        stack.push_async_callback(asyncio.to_thread, door.close)
        if settings.listen is not None:
            say("listening", f"streams: {door.start(settings.listen)}", door="streams")
        pages = None if around.web is None or settings.web is None else _pages(settings, around, say)
        if pages is not None:
            where = await pages.start()
            stack.push_async_callback(pages.close)
            say("listening", f"web: {where}", door="web", address=str(where))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, reload)
        if settings.allow_simulated:
            say("simulated", "keys of SIMULATED LIGHT are taken: they protect nothing", level="warning")
        names = ", ".join(sorted(service.purpose for service in services)) or "nothing"
        say("ready", f"{settings.sae}: {len(settings.peers)} peers; serves {names}")
        tell_supervisor("READY=1")
        await stopping.wait()
        tell_supervisor("STOPPING=1")
    say("stopped", f"{settings.sae} stopped")


def _pages(settings: SaeSettings, around: Around, say: Callable[..., None]) -> HttpsServer:
    """Plain HTTP on loopback, else TLS with the application's own certificate."""
    if settings.web is None or around.web is None:
        raise ValueError("no address for the pages")
    try:
        is_near = ipaddress.ip_address(settings.web.host).is_loopback
    except ValueError:
        is_near = False
    files = None if is_near else TlsFiles(settings.certificate, settings.key, None, None, are_clients_known=False)
    return HttpsServer(
        around.web, settings.web, files, around.limits, Complaints(lambda line: say("refused", line))
    )
