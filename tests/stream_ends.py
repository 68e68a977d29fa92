"""One end of a stream from fixed values, and key sources that hold fixed keys: for vectors and hostile bytes."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from bench.played_keys import PHOTONS
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.keysource import Key, Supply
from poliqi.apps.stream.opening import Header, Offer
from poliqi.apps.stream.padded import PaddedIn, PaddedOut
from poliqi.apps.stream.pads import PadDrawer, PadFetcher
from poliqi.apps.stream.records import RecordOpener, RecordSealer
from poliqi.apps.stream.rekey import Announced, NextKey
from poliqi.apps.stream.schedule import CALLEE, CALLER, DirectionKeys
from poliqi.apps.stream.sealed import SealedIn, SealedOut
from poliqi.apps.stream.session import OpenStream, Session
from poliqi.apps.stream.terms import Mode, Used
from poliqi.apps.stream.wire import Wire
from poliqi.base.errors import DataRefused
from poliqi.base.ids import SaeId
from poliqi.base.secret import SecretBytes
from poliqi.edge.keyanswers import KeysNotReady

FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))
TRANSCRIPT = bytes(range(64))
CHALLENGE = bytes(range(100, 132))


class FixedKeys:
    """Keys known beforehand: `named` from a dictionary, `fresh` from the same in its order."""

    def __init__(self, keys: Mapping[str, bytes], grade: Mapping[str, Any] | None = None) -> None:
        self.keys = dict(keys)
        self.grade = PHOTONS if grade is None else grade
        self.asked: list[str] = []

    def fresh(self, peer: SaeId, number: int, size_bytes: int) -> list[Key]:  # one peer
        ids = list(self.keys)[:number]
        if len(ids) < number or any(len(self.keys[name]) != size_bytes for name in ids):
            raise KeysNotReady("no such key is left", None)
        return [Key(name, SecretBytes(self.keys.pop(name)), self.grade) for name in ids]

    def named(self, peer: SaeId, key_ids: Sequence[str]) -> list[Key]:  # one peer
        self.asked += key_ids
        if any(name not in self.keys for name in key_ids):
            raise DataRefused("no such key")
        return [Key(name, SecretBytes(self.keys.pop(name)), self.grade) for name in key_ids]

    def supply(self, peer: SaeId) -> Supply:  # one peer
        sizes = [len(key) for key in self.keys.values()]
        return Supply(sum(sizes), None, 8, max(sizes, default=512), 128, is_connected=True)

    def close(self) -> None:
        """Nothing to hang up."""


def fixed_header(mode: Mode, *key_ids: str) -> Header:
    return Header(mode, SaeId("caller"), SaeId("callee"), CHALLENGE, key_ids)


def sealed_session(
    keys: FixedKeys, *, is_caller: bool, offer: Offer | None = None, used: list[Used] | None = None
) -> Session:
    """Either end of a stream in mode quantum whose secrets are FIRST and SECOND."""
    offer = offer or Offer(1 << 30, 3600.0, "test 1")
    header = fixed_header(Mode.QUANTUM, "key-1")
    caller = DirectionKeys(header, TRANSCRIPT, CALLER, FIRST)
    callee = DirectionKeys(header, TRANSCRIPT, CALLEE, SECOND)
    own, other = (caller, callee) if is_caller else (callee, caller)
    used = [] if used is None else used
    peer = header.callee if is_caller else header.caller
    outgoing = SealedOut(RecordSealer(own), offer, used, NextKey(keys, peer, GradeDemand()))
    incoming = SealedIn(RecordOpener(other), offer, used, Announced(keys, peer, GradeDemand()))
    return Session(header, is_caller, offer.purpose, outgoing, incoming, used)


def padded_receiver(keys: FixedKeys, *key_ids: str) -> Session:
    """The called end of a stream under one-time pad whose caller named these keys; it sends nothing itself."""
    used: list[Used] = []
    fetcher = PadFetcher(keys, SaeId("caller"), GradeDemand(), used)
    fetcher.fetch(key_ids)
    outgoing = PaddedOut(CALLEE, PadDrawer(keys, SaeId("caller"), GradeDemand(), used))
    return Session(
        fixed_header(Mode.ONE_TIME, *key_ids), False, "test 1", outgoing, PaddedIn(CALLER, fetcher), used
    )


def fed(session: Session, data: bytes) -> OpenStream:
    """An end that has these bytes to read, and after them the cut."""
    ours, theirs = socket.socketpair()
    if len(data) > 100_000:
        raise ValueError("a socket pair holds no more")
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    stream = OpenStream(Wire(ours, 5.0), session)
    _OPEN.append(theirs)
    return stream


_OPEN: list[socket.socket] = []


def close_fed() -> None:
    """Close the other ends of `fed`."""
    while _OPEN:
        _OPEN.pop().close()


def heard(stream: OpenStream) -> tuple[list[bytes], str]:
    """All messages until the end or an error, and the error's class ("end" for none); hangs up."""
    messages: list[bytes] = []
    try:
        while (message := stream.receive()) is not None:
            messages.append(bytes(message))
    except Exception as error:  # the test looks at its class
        return messages, type(error).__name__
    else:
        return messages, "end"
    finally:
        stream.close()
        close_fed()
