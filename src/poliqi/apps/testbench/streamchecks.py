"""Conformance of a stream encryptor, seen from its ends and from the wire between them."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from poliqi.apps.testbench.checking import Check, NotSeen, Wrong
from poliqi.apps.testbench.ends import dial
from poliqi.apps.testbench.seams import StreamEncryptor, StreamEnd
from poliqi.apps.testbench.tap import Fault, Tap
from poliqi.base.errors import PoliqiError

__all__ = ["STREAM_CHECKS", "received"]

_SIZE: Final = 300_000
_MARKER: Final = b"PLAINTEXT-MARKER"
_ACCEPT_S: Final = 5.0
_REFUSED_S: Final = 1.5
_BROKEN: Final = (OSError, PoliqiError)


def received(end: StreamEnd) -> tuple[bytes, bool]:
    """What came, and whether its end was said to be the end."""
    found, buffer = bytearray(), memoryview(bytearray(512 << 10))
    try:
        while count := end.recv_into(buffer):
            found += buffer[:count]
    except _BROKEN:
        return bytes(found), False
    return bytes(found), True


class _Session:
    """One call over a tapped wire: `data` from the caller to the answerer."""

    def __init__(
        self,
        encryptor: StreamEncryptor,
        data: bytes,
        fault: Fault | None = None,
        keys: tuple[bytes, bytes] | None = None,
        accept_s: float = _ACCEPT_S,
    ) -> None:
        self.data: Final = data
        self.found = b""
        self.is_ended = False
        self.wire = b""
        at_caller, at_answerer = keys or (2 * (os.urandom(32),))
        with tempfile.TemporaryDirectory(prefix="poliqi-") as name:
            folder = Path(name)
            with encryptor.listen(at_answerer, folder) as listening, Tap(listening.port, fault) as tap:
                is_datagram = getattr(encryptor, "is_datagram", False)
                port = listening.port if is_datagram else tap.port
                calling = _threaded(lambda: _call(encryptor, at_caller, folder, port, data))
                with suppress(*_BROKEN):  # nobody may be let in
                    self.found, self.is_ended = received(listening.accept(accept_s))
                self.wire = bytes(tap.sent)
            calling.join(_ACCEPT_S)

    @property
    def is_whole(self) -> bool:
        return self.is_ended and self.found == self.data


def _threaded(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _call(encryptor: StreamEncryptor, key: bytes, folder: Path, port: int, data: bytes) -> None:
    """Send all, say the end, wait for the other side's."""
    try:
        with encryptor.call(key, folder, port) as end:
            end.sendall(data)
            end.finish()
            if encryptor.is_two_way:
                received(end)
    except _BROKEN:
        return  # the wire was broken, or the call refused; what was received says the rest


def _needs_tap(encryptor: StreamEncryptor) -> None:
    if getattr(encryptor, "is_datagram", False):
        raise NotSeen("it sends datagrams, and this bench taps TCP alone")


def round_trip(encryptor: StreamEncryptor) -> str:
    """Nothing, one octet, many."""
    for size in (0, 1, _SIZE):
        session = _Session(encryptor, os.urandom(size))
        if session.found != session.data:
            raise Wrong(f"of {size} bytes {len(session.found)} came, or others than were sent")
        if not session.is_ended:
            raise Wrong(f"{size} bytes came and no end after them")
    return f"0 to {_SIZE} bytes"


def plaintext_shows(encryptor: StreamEncryptor) -> str:
    """A marker in the plaintext is not on the wire."""
    _needs_tap(encryptor)
    session = _Session(encryptor, (_MARKER * (_SIZE // len(_MARKER) + 1))[:_SIZE])
    if not session.is_whole:
        raise Wrong("what was sent did not come, so that the wire tells nothing")
    if len(session.wire) < _SIZE // 8:
        raise Wrong(f"{len(session.wire)} bytes went over the wire for {_SIZE}: they took another way")
    if any((_MARKER + _MARKER)[at : at + 8] in session.wire for at in range(len(_MARKER))):
        raise Wrong("plaintext stands on the wire as it is")
    return f"no marker in {len(session.wire)} bytes"


def flip(encryptor: StreamEncryptor) -> str:
    """A changed octet in each sixth of the data."""
    _needs_tap(encryptor)
    data = os.urandom(_SIZE)
    length = len(_Session(encryptor, data).wire)
    places = [length - _SIZE + _SIZE * part // 6 for part in range(1, 6)]
    for at in places:
        session = _Session(encryptor, data, Fault(max(0, at)))
        if not data.startswith(session.found):
            raise Wrong(f"octet {at} on the wire was changed, and other data came out than went in")
        if session.is_ended and session.found:
            raise Wrong(f"octet {at} on the wire was changed, and the end is said as if nothing were")
    return f"{len(places)} places"


def truncation(encryptor: StreamEncryptor) -> str:
    """A cut is not taken for the end."""
    _needs_tap(encryptor)
    data = os.urandom(_SIZE)
    length = len(_Session(encryptor, data).wire)
    places = [length - _SIZE // 2, length - _SIZE // 5, length - 4096]
    for at in places:
        session = _Session(encryptor, data, Fault(at, is_cut=True))
        if session.is_ended and len(session.found) < _SIZE:
            raise Wrong(f"the wire was cut, and {len(session.found)} of {_SIZE} bytes are given as the whole")
    return f"{len(places)} places"


def wrong_key(encryptor: StreamEncryptor) -> str:
    """Nothing goes between ends whose keys differ."""
    session = _Session(encryptor, _MARKER * 1000, keys=(os.urandom(32), os.urandom(32)), accept_s=_REFUSED_S)
    if session.found:
        raise Wrong(f"the two ends had different keys, and {len(session.found)} bytes came out")
    if session.is_ended:
        raise Wrong("the two ends had different keys, and the end was said as if nothing were")
    return "nothing came out"


def replay(encryptor: StreamEncryptor) -> str:
    """What was recorded on the wire is sent again to an answerer with the same key."""
    _needs_tap(encryptor)
    key = os.urandom(32)
    data = os.urandom(4096)
    first = _Session(encryptor, data, keys=(key, key))
    if not first.is_whole:
        raise Wrong("what was sent did not come, so that nothing can be replayed")
    with tempfile.TemporaryDirectory(prefix="poliqi-") as folder:
        with encryptor.listen(key, Path(folder)) as listening:
            sending = _threaded(lambda: _replay(listening.port, first.wire))
            try:
                found, _ = received(listening.accept(_REFUSED_S))
            except _BROKEN:
                found = b""
        sending.join(_ACCEPT_S)
    if found:
        raise Wrong(f"a recorded call was played again, and {len(found)} bytes were taken")
    return "a recorded call is not taken"


def _replay(port: int, wire: bytes) -> None:
    try:
        with dial(port) as connection:
            connection.sendall(wire)
            connection.settimeout(_REFUSED_S)
            while connection.recv(4096):
                pass
    except OSError:
        return  # it hung up, as it should


STREAM_CHECKS: Final[tuple[Check[StreamEncryptor], ...]] = (
    ("round trip", round_trip),
    ("plaintext", plaintext_shows),
    ("flip", flip),
    ("truncation", truncation),
    ("wrong key", wrong_key),
    ("replay", replay),
)
"""In the order in which they are run and shown."""
