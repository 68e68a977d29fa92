"""The project's own stream (poliqi.apps.stream) as a candidate: handshake, records, rekey, end.

Keys are the trial's, so the streams take simulated light; everything else is as in use.
"""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from poliqi.apps.identity import Identity, read_identity
from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.stream.channel import RECORD_BYTES, Channel, accept, connect
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.apps.testbench.ends import TcpListening, dial
from poliqi.apps.testbench.seams import Buffer, Octets, Side, StreamEncryptor, StreamEnd
from poliqi.apps.testbench.trialkeys import TrialKeys
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy

__all__ = ["PROJECT", "ProjectStream"]

_PURPOSE: Final = "trial 1"


class _ChannelEnd:
    """A StreamEnd that is a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel: Final = channel
        self._buffer: Final = memoryview(bytearray(RECORD_BYTES))
        self._left = self._buffer[:0]
        self.finish = channel.finish
        self.close = channel.close

    def sendall(self, data: Octets, /) -> None:
        """As StreamEnd."""
        view = memoryview(data)
        for at in range(0, len(view), RECORD_BYTES):
            self._channel.send(view[at : at + RECORD_BYTES])

    def recv_into(self, buffer: Buffer, /) -> int:
        """As StreamEnd."""
        target = memoryview(buffer)
        while not self._left:
            is_roomy = len(target) >= RECORD_BYTES
            size = self._channel.receive_into(target if is_roomy else self._buffer)
            if size is None:
                return 0
            if is_roomy and size:
                return size
            self._left = self._buffer[: 0 if is_roomy else size]
        count = min(len(target), len(self._left))
        target[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class ProjectStream:
    """A stream under one policy."""

    is_two_way = True

    def __init__(self, name: str, description: str, policy: Policy) -> None:
        self.name: Final = name
        self.description: Final = description
        is_pad = policy is Policy.ITS
        self._rule: Final = StreamRule(policy, GradeDemand(information_theoretic=is_pad, allow_simulated=True))

    def missing(self) -> str | None:
        """As StreamEncryptor."""
        return None

    @contextmanager
    def listen(self, key: bytes, folder: Path) -> Generator[TcpListening]:
        """As StreamEncryptor; the identities of both ends are made here."""
        for side in Side:
            Identity.make(SaeId(side), OperatingSystemEntropy()).write(folder / side)
        own, other = (read_identity(folder / side) for side in (Side.ANSWERER, Side.CALLER))
        keys = TrialKeys(key, own.sae)

        def wrap(connection: socket.socket) -> StreamEnd:
            return _ChannelEnd(accept(connection, own, {other.sae: (other.contact, self._rule)}, keys))

        listening = TcpListening(wrap)
        try:
            yield listening
        finally:
            listening.close()

    @contextmanager
    def call(self, key: bytes, folder: Path, port: int) -> Generator[StreamEnd]:
        """As StreamEncryptor."""
        own, other = (read_identity(folder / side) for side in (Side.CALLER, Side.ANSWERER))
        channel = connect(dial(port), own, other.contact, TrialKeys(key, own.sae), self._rule, _PURPOSE)
        try:
            yield _ChannelEnd(channel)
        finally:
            channel.close()


PROJECT: Final[tuple[StreamEncryptor, ...]] = (
    ProjectStream("poliqi stream", "Noise KKpsk0 with a key from a KeySource; AES-256-GCM records", Policy.STRICT),
    ProjectStream("poliqi stream, hybrid", "the same, and ML-KEM-768", Policy.HYBRID),
    ProjectStream("poliqi stream, one-time", "one-time pad and one-time tags", Policy.ITS),
)
