"""The streams between this site and its peers.

Of two sites the one whose id sorts first calls, the other listens; a call in the wrong direction is refused. A
caller tries again after .1 s, then ever longer up to 1 s, with jitter. A second stream of a peer that has one is
handed over like the first: the owner decides.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

from OpenSSL import SSL

from poliqi.base.errors import AuthenticationError, ConfigError, LinkDown, PoliqiError
from poliqi.base.ids import KmeId
from poliqi.edge.credentials import read_credentials
from poliqi.edge.handover import Duplicable, take_over
from poliqi.edge.network import Address
from poliqi.edge.peerstream import PeerStream
from poliqi.edge.pqtls import SecureConnection, tls_context
from poliqi.edge.sitetrust import Trust, read_trust

__all__ = ["PeerCount", "PeerNetwork", "PeerTlsFiles", "is_caller"]

_BACKOFF_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 1.0
_HEALTHY_S: Final = 5.0
_CONNECT_S: Final = 10.0
_RECHECK_S: Final = 60.0
_UNSENT_BYTES: Final = 64 << 20
_UNKNOWN_CALLERS: Final = 128
_STRANGERS_S: Final = 10.0
_REPEAT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class PeerTlsFiles:
    """This site's certificate and key, and the folder that says which authority speaks for which site."""

    certificate: Path
    key: Path
    trust: Path


@dataclass(slots=True)
class PeerCount:
    """What has happened with a peer since the start."""

    connected: int = 0
    """Streams that stand now."""
    connections: int = 0
    """Streams that ever stood."""
    failures: int = 0
    """Calls, handshakes and streams that failed."""
    reason: str = ""
    """Why the last of them failed."""


def is_caller(own: KmeId, peer: KmeId) -> bool:
    """True where `own` is the end that calls."""
    return own < peer


class _Tls:
    """Files as they were read at one moment."""

    def __init__(self, own: KmeId, files: PeerTlsFiles, peers: Mapping[KmeId, Address | None]) -> None:
        credentials = read_credentials(files.certificate, files.key)
        found = credentials.identity
        if found.kme != own:
            raise ConfigError(f"{files.certificate}: speaks for {found.kind} {found.name}, this site is kme {own}")
        self.trust: Final[Trust] = read_trust(files.trust)
        unknown = sorted(peer for peer in peers if peer not in self.trust.sites)
        if unknown:
            raise ConfigError(
                f"{files.trust}: no authority for {', '.join(unknown)}; bring it with `poliqi pki trust`"
            )
        self.context: Final[SSL.Context] = tls_context(credentials, self.trust)


class PeerNetwork:
    """Calls and listens for the peers of one site and hands every stream that stands to `on_stream`.

    `on_stream` runs as a task of its own; when it returns the stream is closed, an error in it aborts the stream.
    `note` gets one line for whatever an operator should see, not again while the same trouble lasts.
    """

    def __init__(
        self,
        own: KmeId,
        files: PeerTlsFiles,
        listen: Address | None,
        peers: Mapping[KmeId, Address | None],
        on_stream: Callable[[PeerStream], Awaitable[None]],
        *,
        note: Callable[[str], None] = lambda _line: None,
        unsent_bytes: int = _UNSENT_BYTES,
        calls: Callable[[KmeId, KmeId], bool] = is_caller,
    ) -> None:
        """`calls(own, peer)` says which end calls; key managements go by their ids."""
        self.own: Final = own
        self.counts: Final = {peer: PeerCount() for peer in peers}
        self.strangers: Final = PeerCount()
        """Callers that showed no certificate of a peer."""
        self._files: Final = files
        self._listen: Final = listen
        self._peers: Final = dict(peers)
        self._on_stream: Final = on_stream
        self._note: Final = note
        self._unsent_bytes: Final = unsent_bytes
        self._calls: Final = calls
        self._tls: _Tls | None = None
        self._server: asyncio.Server | None = None
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._streams: Final[set[PeerStream]] = set()
        self._callers: Final[dict[PeerStream, None]] = {}
        self._reloaded: Final = asyncio.Event()
        self._noted: Final[dict[KmeId | None, tuple[str, float]]] = {}
        for peer, address in peers.items():
            self._check_peer(peer, address)

    def _check_peer(self, peer: KmeId, address: Address | None) -> None:
        if peer == self.own:
            raise ConfigError(f"peer {peer}: is this site itself")
        calls = self._calls(self.own, peer)
        if calls and address is None:
            raise ConfigError(f"peer {peer}: {self.own} is the end that calls, so its address is needed")
        if not calls and self._listen is None:
            raise ConfigError(f"peer {peer}: it calls {self.own}, so an address to listen on is needed")

    def add(self, peers: Mapping[KmeId, Address | None]) -> None:
        """Know more peers from now on, and call those that are to be called. Certificates and trust are read again.

        Raises ConfigError, and nothing changes then.
        """
        new = {peer: address for peer, address in peers.items() if peer not in self._peers}
        for peer, address in new.items():
            self._check_peer(peer, address)
        self._tls = _Tls(self.own, self._files, {**self._peers, **new})
        self._peers.update(new)
        self.counts.update((peer, PeerCount()) for peer in new)
        self._call(new)

    def _call(self, peers: Mapping[KmeId, Address | None]) -> None:
        for peer, address in peers.items():
            if self._calls(self.own, peer) and address is not None:
                self._spawn(self._keep_calling(peer, address))

    @property
    def streams(self) -> frozenset[PeerStream]:
        """The streams that stand now."""
        return frozenset(self._streams)

    async def start(self) -> Address | None:
        """Listen and call; the address that is listened on. Raises ConfigError."""
        self._tls = _Tls(self.own, self._files, self._peers)
        bound: Address | None = None
        if self._listen is not None:
            a, loop = self._listen, asyncio.get_running_loop()
            try:
                left = await self._left_by_the_program_before(a)
                if left is None:
                    self._server = await loop.create_server(self._accept, a.host, a.port)
                else:
                    self._server = await loop.create_server(self._accept, sock=left)
            except OSError as error:
                raise ConfigError(f"cannot listen on {a} for other sites: {error.strerror or error}") from error
            bound = Address(a.host, self._server.sockets[0].getsockname()[1])
        self._call(self._peers)
        self._spawn(self._keep_checking())
        return bound

    @staticmethod
    async def _left_by_the_program_before(a: Address) -> socket.socket | None:
        found = await asyncio.get_running_loop().getaddrinfo(a.host, a.port, type=socket.SOCK_STREAM)
        return take_over(found[0][0], str(found[0][4][0]), a.port)

    @property
    def listeners(self) -> tuple[Duplicable, ...]:
        """The sockets that it listens on."""
        return () if self._server is None else tuple(self._server.sockets)

    def reload_tls(self) -> None:
        """Read certificate, key and trust again; streams whose peer is no longer believed end at once.

        Raises ConfigError, and what was read before stays in force.
        """
        self._tls = _Tls(self.own, self._files, self._peers)
        self._check_streams()
        self._reloaded.set()  # whoever waits to call again calls now
        self._reloaded.clear()

    async def close(self) -> None:
        """End every stream, every call and every task."""
        if self._server is not None:
            self._server.close()
        tasks, streams = list(self._tasks), [*self._streams, *self._callers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(stream.wait_ended() for stream in streams))
        await asyncio.sleep(0)

    # --- streams

    def _accept(self) -> SecureConnection:
        if len(self._callers) >= _UNKNOWN_CALLERS:  # an honest caller is done within milliseconds: drop the oldest
            next(iter(self._callers)).abort(LinkDown(f"over {_UNKNOWN_CALLERS} callers at once"))
        stream = PeerStream(self._unsent_bytes, self._admit_caller)
        self._callers[stream] = None
        self._spawn(self._run(stream, None))
        return self._connect(stream)

    def _connect(self, stream: PeerStream, calls: KmeId | None = None) -> SecureConnection:
        assert self._tls is not None
        connection = SecureConnection(
            self._tls.context, self._tls.trust, stream, calls=calls is not None, expected=calls
        )
        stream.attach(connection)
        return connection

    def _admit_caller(self, peer: KmeId) -> None:
        if peer not in self._peers:
            raise AuthenticationError(f"{peer} is trusted but no peer of this site: name it among the peers")
        if self._calls(self.own, peer):
            raise AuthenticationError(f"{peer} called, but of the two it is {self.own} that calls")

    async def _keep_calling(self, peer: KmeId, address: Address) -> None:
        loop, random, delay_s = asyncio.get_running_loop(), SystemRandom(), _BACKOFF_S
        while True:
            began_s = loop.time()
            stream = PeerStream(self._unsent_bytes, lambda _peer: None)
            try:
                async with asyncio.timeout(_CONNECT_S):  # wait_for may swallow a cancellation (before Python 3.12)
                    await loop.create_connection(partial(self._connect, stream, peer), address.host, address.port)
            except TimeoutError:
                self._failed(peer, f"{peer}: no answer from {address} within {_CONNECT_S:g} s")
            except OSError as error:
                self._failed(peer, f"{peer}: cannot connect to {address}: {error.strerror or error}")
            except asyncio.CancelledError:
                stream.abort()
                raise
            else:
                await self._run(stream, peer)
            delay_s = _BACKOFF_S if loop.time() - began_s > _HEALTHY_S else min(2 * delay_s, _LONGEST_BACKOFF_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s * random.uniform(0.5, 1.0)):
                    await self._reloaded.wait()

    async def _run(self, stream: PeerStream, called: KmeId | None) -> None:
        """See one stream from its handshake to its end."""
        try:
            await stream.wait_ready()
        except PoliqiError as error:
            self._failed(called, f"{called or 'a caller'}: {error}")
            return
        except asyncio.CancelledError:
            stream.abort()
            raise
        finally:
            self._callers.pop(stream, None)
        count = self.counts[stream.peer]
        count.connected += 1
        count.connections += 1
        self._streams.add(stream)
        self._noted.pop(stream.peer, None)
        self._say(f"{stream.peer}: connected")
        try:
            await self._serve(stream)
        finally:
            count.connected -= 1
            self._streams.discard(stream)

    async def _serve(self, stream: PeerStream) -> None:
        """Run the owner's part; an error there is the stream's end, never this site's."""
        try:
            await self._on_stream(stream)
        except PoliqiError as error:
            stream.abort(error)
        except Exception as error:
            stream.abort(LinkDown(f"{type(error).__name__} in this site's handling of the stream"))
            context = {"message": f"stream with {stream.peer}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        finally:
            stream.close()
        await stream.wait_ended()
        if stream.reason:
            self._failed(stream.peer, f"{stream.peer}: {stream.reason}")
        else:
            self._say(f"{stream.peer}: stream closed")

    async def _keep_checking(self) -> None:
        """A certificate that runs out while its stream stands ends the stream."""
        while True:
            await asyncio.sleep(_RECHECK_S)
            self._check_streams()

    def _check_streams(self) -> None:
        assert self._tls is not None
        for stream in list(self._streams):
            try:
                self._tls.trust.site_of(stream.chain, datetime.now(UTC))
            except AuthenticationError as error:
                stream.abort(error)

    def _failed(self, peer: KmeId | None, line: str) -> None:
        """Count a failure; say it unless it was just said. What strangers do is said once in a while only."""
        count = self.strangers if peer is None else self.counts[peer]
        count.failures += 1
        count.reason = line
        now_s = asyncio.get_running_loop().time()
        said, said_s = self._noted.get(peer, ("", float("-inf")))
        if now_s - said_s > (_STRANGERS_S if peer is None else _REPEAT_S if said == line else 0.0):
            self._noted[peer] = (line, now_s)
            self._say(line)

    def _say(self, line: str) -> None:
        with suppress(OSError):  # a log that cannot be written must not stop the network
            self._note(line)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
