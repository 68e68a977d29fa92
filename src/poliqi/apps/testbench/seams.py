"""What can be tried: a record cipher, an encrypting program, a source of randomness, a source of keys.

| what is added | it has | how it is recognised |
|---|---|---|
| `RecordEncryptor` | a cipher in this process: software, a card, a token | `open_end` |
| `StreamEncryptor` | a program or a protocol of its own between two places | `listen` and `call` |
| `RandomSource` | `poliqi.base.secret.Entropy` | `draw` |
| `KeyPlaces` | two ends of a `poliqi.apps.keysource.KeySource` | `open_pair` |
| Reconciler, Amplifier | `poliqi.distill`; measured by `python -m bench reconcile` and `amplify` | |

Each has a `name` and a `description`. A file that adds one has a tuple `CANDIDATES` of such objects.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from poliqi.apps.keysource import KeySource
from poliqi.base.ids import SaeId
from poliqi.base.secret import Entropy

__all__ = [
    "Buffer",
    "Candidate",
    "KeyPair",
    "KeyPlaces",
    "KeySupply",
    "Kind",
    "Listening",
    "Octets",
    "Opened",
    "RandomSource",
    "RecordEncryptor",
    "RecordEnd",
    "Side",
    "StreamEncryptor",
    "StreamEnd",
    "kind_of",
]

Octets: TypeAlias = bytes | bytearray | memoryview
Buffer: TypeAlias = bytearray | memoryview


class Side(StrEnum):
    """Which of the two ends. A cipher that has one key for both directions tells them apart by it."""

    CALLER = "caller"
    ANSWERER = "answerer"


class KeySupply(Protocol):
    """Key of one direction: both ends are given the same bytes, in the same order, each once."""

    def take(self, count: int) -> memoryview:
        """The next `count` bytes of key. Raises KeyExhausted where so many are not left: let it through."""
        ...


class Opened(NamedTuple):
    """What a record held: so many bytes of plaintext, and whether it said that it is the last."""

    size: int
    is_final: bool


class RecordEnd(Protocol):
    """One end: it seals what it sends and opens what it is sent, each in order. No two threads call at once."""

    def seal(self, plaintext: Octets, out: memoryview, *, is_final: bool = False) -> int:
        """Write the next record into `out` and say its length. Raises KeyExhausted: nothing was written then.

        `out` has room for the plaintext and `overhead_bytes`. ValueError: the plaintext is too long, or the final
        record was sealed already.
        """
        ...

    def open(self, record: Octets, out: memoryview) -> Opened:
        """Write the plaintext of the next record into `out`, which is as long as `record` at least.

        Raises ProtocolError (AuthenticationError is one) for anything but the very next record of the other end;
        what stands in `out` then is of no use to anybody. KeyExhausted as `seal`.
        """
        ...


class RecordEncryptor(Protocol):
    """A cipher for records over an ordered connection."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str:
        """One line: what it is, and on which hardware."""
        ...

    @property
    def overhead_bytes(self) -> int:
        """By how much a record is longer than its plaintext, at most."""
        ...

    @property
    def largest_bytes(self) -> int:
        """The most plaintext in a record."""
        ...

    def open_end(self, side: Side, sending: KeySupply, receiving: KeySupply) -> RecordEnd:
        """One end; it takes what key it needs now or later. Raises KeyExhausted; ConfigError: it is not there."""
        ...


class StreamEnd(Protocol):
    """Where plaintext goes in and comes out; a connected socket is one."""

    def sendall(self, data: Octets, /) -> object:
        """Send all of it. Raises OSError or PoliqiError where that failed."""
        ...

    def recv_into(self, buffer: Buffer, /) -> int:
        """Some bytes; 0 after the whole was received and said to be the whole. Else raises as `sendall`."""
        ...

    def finish(self) -> None:
        """Say that no more will be sent; receiving goes on where the program can do both."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class Listening(Protocol):
    """The answering end, waiting for one call."""

    @property
    def port(self) -> int:
        """Where it is called, over TCP at 127.0.0.1 (a program of its own over UDP may give 0)."""
        ...

    def accept(self, timeout_s: float) -> StreamEnd:
        """The plaintext of the one caller. Raises OSError or PoliqiError where none came or it was refused."""
        ...


class StreamEncryptor(Protocol):
    """A program or a protocol that encrypts a stream of bytes between two places, both on this machine here.

    With a member `is_datagram = True` it runs over UDP, and what can be seen on a tapped TCP wire is not looked at.
    """

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def is_two_way(self) -> bool:
        """False where the caller can only send: latency is not measured then."""
        ...

    def missing(self) -> str | None:
        """Why it cannot run on this machine, or None."""
        ...

    def listen(self, key: bytes, folder: Path) -> AbstractContextManager[Listening]:
        """Start the answering end. `key`: 32 bytes that both ends are given. `folder`: private, seen by both."""
        ...

    def call(self, key: bytes, folder: Path, port: int) -> AbstractContextManager[StreamEnd]:
        """Start the calling end towards 127.0.0.1:`port`, as `Listening.port`. Raises OSError or PoliqiError."""
        ...


class RandomSource(Entropy, Protocol):
    """Secret randomness that can be tried: an `Entropy` with a name."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...


class KeyPair(NamedTuple):
    """Two ends of a key source, each with the name of its own application."""

    master: KeySource
    master_sae: SaeId
    slave: KeySource
    slave_sae: SaeId


class KeyPlaces(Protocol):
    """A source of keys that can be tried: it can open both of its ends here."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...

    def open_pair(self) -> AbstractContextManager[KeyPair]:
        """Both ends. Raises PoliqiError where they are not there."""
        ...


Candidate: TypeAlias = RecordEncryptor | StreamEncryptor | RandomSource | KeyPlaces


class Kind(StrEnum):
    """What a candidate is."""

    RECORDS = "record encryptor"
    STREAM = "stream encryptor"
    RANDOM = "random source"
    KEYS = "key source"


def kind_of(candidate: object) -> Kind | None:
    """What it is, by the methods that it has; None for none of them."""
    for kind, methods in (
        (Kind.RECORDS, ("open_end",)),
        (Kind.STREAM, ("listen", "call")),
        (Kind.RANDOM, ("draw",)),
        (Kind.KEYS, ("open_pair",)),
    ):
        if all(callable(getattr(candidate, method, None)) for method in methods):
            return kind
    return None
