"""A stream between two applications over a connected socket: handshake, records, rekey, end.

Blocking calls; one thread sends and one other may receive. Every record is authentic and in its place or an error
is raised; the end is said by a record of its own, so that a cut is never taken for an end.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from typing import Protocol

from poliqi.apps.identity import Contact, Identity
from poliqi.apps.keysource import KeySource
from poliqi.apps.stream.handshake import answer, call
from poliqi.apps.stream.opening import Refusal
from poliqi.apps.stream.records import RECORD_BYTES
from poliqi.apps.stream.session import OpenStream
from poliqi.apps.stream.terms import StreamRule, Usage
from poliqi.apps.stream.wire import Wire
from poliqi.base.errors import ConfigError
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy

__all__ = ["RECORD_BYTES", "Channel", "accept", "connect"]


class Channel(Protocol):
    """An open stream. ProtocolError and AuthenticationError (drop it), LinkDown (the connection was lost),
    KeysNotReady (no key for the next stretch: nothing more was sent) from every call.
    """

    @property
    def local(self) -> SaeId: ...
    @property
    def peer(self) -> SaeId: ...
    @property
    def purpose(self) -> str:
        """What the caller asked for when it opened the stream, such as "send 1"."""
        ...

    @property
    def usage(self) -> Usage:
        """What was used until now."""
        ...

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send one message of at most RECORD_BYTES; longer data in several. Empty data is a message, too."""
        ...

    def receive(self) -> memoryview | None:
        """The next message, valid until the next call; None after the other side has finished."""
        ...

    def receive_into(self, buffer: bytearray | memoryview) -> int | None:
        """The next message straight into `buffer` (at least RECORD_BYTES); its length, None after the end."""
        ...

    def finish(self) -> None:
        """Say that no more will be sent; receiving goes on."""
        ...

    def close(self) -> None:
        """Hang up and wipe the keys. Without `finish` on both sides, the other side sees a cut."""
        ...


def connect(
    connection: socket.socket,
    identity: Identity,
    contact: Contact,
    keys: KeySource,
    rule: StreamRule,
    purpose: str,
    timeout_s: float = 10.0,
) -> Channel:
    """Open a stream with `contact` over a connected socket, which the channel owns from here on.

    Raises KeysNotReady where no key is there (now), ConfigError where the two ends' settings do not meet,
    AuthenticationError, ProtocolError, LinkDown. The socket is closed then.
    """
    wire = Wire(connection, timeout_s)
    with _hanging_up(wire):
        return OpenStream(wire, call(wire, identity, contact, keys, rule, purpose, OperatingSystemEntropy()))


def accept(
    connection: socket.socket,
    identity: Identity,
    contacts: Mapping[SaeId, tuple[Contact, StreamRule]],
    keys: KeySource,
    timeout_s: float = 10.0,
    purposes: Collection[str] | None = None,
) -> Channel:
    """Answer a caller over an accepted socket: one of `contacts`, held to its rule. Raises as `connect`.

    ConfigError also where it asks for none of `purposes`; it is told so.
    """
    wire = Wire(connection, timeout_s)
    with _hanging_up(wire):
        stream = OpenStream(wire, answer(wire, identity, contacts, keys, OperatingSystemEntropy()))
        if purposes is not None and stream.purpose not in purposes:
            stream.refuse(Refusal.NOT_SERVED)
            raise ConfigError(f"{stream.peer} asks for {stream.purpose!r}, which is not served here")
        return stream


@contextmanager
def _hanging_up(wire: Wire) -> Generator[None]:
    """Close the connection where no stream comes of it."""
    try:
        yield
    except BaseException:
        wire.close()
        raise
