"""A connection fed with anything: it refuses or waits, never raises, and never gives bytes that were not sent.

(The version in the header of a record in the clear is under no tag, RFC 8446, 5.1, and a ChangeCipherSpec is
ignored: not every change ends a connection, but none changes what is said on it.)
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from site_certificates import ARIA, BOVISA, files_of, make_site, trust_each_other

from poliqi.base.errors import PoliqiError
from poliqi.base.ids import KmeId
from poliqi.edge.credentials import read_credentials
from poliqi.edge.pqtls import SecureConnection, tls_context
from poliqi.edge.sitetrust import Trust, read_trust


class Wire:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.closed = False

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.out += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


class Sink:
    def __init__(self) -> None:
        self.peer: KmeId | None = None
        self.plain = b""
        self.ends: list[PoliqiError | None] = []

    def secured(self, peer: KmeId, chain: Sequence[x509.Certificate]) -> None:
        self.peer = peer

    def received(self, data: bytes) -> None:
        self.plain += data

    def writable(self) -> None:
        return

    def ended(self, error: PoliqiError | None) -> None:
        self.ends.append(error)


@cache
def contexts() -> dict[KmeId, tuple[SSL.Context, Trust]]:
    with tempfile.TemporaryDirectory() as name:
        made = [make_site(Path(name), site) for site in (ARIA, BOVISA)]
        trust_each_other(*(authority for authority, _ in made))
        found = {}
        for authority, issued in made:
            files = files_of(authority, issued)
            trust = read_trust(files.trust)
            found[authority.site] = tls_context(read_credentials(files.certificate, files.key), trust), trust
        return found


def converse(change: Callable[[int, bytes], bytes]) -> tuple[Sink, Sink]:
    """aria calls bovisa and both say 1000 bytes; every flight of bytes goes through `change`."""

    async def run() -> tuple[Sink, Sink]:
        sinks, wires = (Sink(), Sink()), (Wire(), Wire())
        ends = [
            SecureConnection(*contexts()[site], sink, calls=site == ARIA)
            for site, sink in zip((ARIA, BOVISA), sinks, strict=True)
        ]
        for end, wire in zip(ends, wires, strict=True):
            end.connection_made(wire)  # type: ignore[arg-type]
        flight, said = 0, [False, False]
        for _ in range(8):
            for number in (0, 1):
                if sinks[number].peer and not said[number]:
                    said[number] = True
                    ends[number].write(bytes([number]) * 1000)
                data = bytes(wires[number].out)
                wires[number].out.clear()
                if data:
                    data = change(flight, data)
                    flight += 1
                if data and not wires[1 - number].closed:
                    ends[1 - number].data_received(data)
        for end in ends:
            end.connection_lost(None)
        return sinks

    return asyncio.run(run())


def test_unchanged_bytes_arrive() -> None:
    aria, bovisa = converse(lambda _flight, data: data)
    assert (aria.peer, bovisa.peer) == (BOVISA, ARIA)
    assert (aria.plain, bovisa.plain) == (b"\1" * 1000, b"\0" * 1000)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(0, 4000), st.integers(1, 255))
def test_a_changed_byte_anywhere_never_gives_other_bytes(flight: int, place: int, difference: int) -> None:
    def change(number: int, data: bytes) -> bytes:
        if number != flight:
            return data
        at = place % len(data)
        return data[:at] + bytes([data[at] ^ difference]) + data[at + 1 :]

    aria, bovisa = converse(change)
    assert aria.plain == b"\1" * 1000 or aria.plain == b""
    assert bovisa.plain == b"\0" * 1000 or bovisa.plain == b""
    assert len(aria.ends) == len(bovisa.ends) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.binary(min_size=1, max_size=2000))
def test_bytes_put_in_anywhere_end_the_connection_or_wait(flight: int, extra: bytes) -> None:
    aria, bovisa = converse(lambda number, data: extra + data if number == flight else data)
    assert len(aria.ends) == len(bovisa.ends) == 1
    assert aria.plain in (b"", b"\1" * 1000)
    assert bovisa.plain in (b"", b"\0" * 1000)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=8))
def test_hostile_bytes_alone_are_refused(pieces: list[bytes]) -> None:
    async def run() -> Sink:
        sink, wire = Sink(), Wire()
        end = SecureConnection(*contexts()[BOVISA], sink, calls=False)
        end.connection_made(wire)  # type: ignore[arg-type]
        for piece in pieces:
            end.data_received(piece)
        end.connection_lost(None)
        return sink

    sink = asyncio.run(run())
    assert (sink.peer, sink.plain, len(sink.ends)) == (None, b"", 1)
    assert isinstance(sink.ends[0], PoliqiError)
