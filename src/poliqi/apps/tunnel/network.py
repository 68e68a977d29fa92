"""Whole networks over one stream: what comes out of a TUN device goes into the stream, and the other way.

Two threads, blocking: one reads the device, one the stream. What the device holds ready goes into one record, so a
burst of small packets costs one encryption and one system call on the way out; while full records come in, the
small answers to them are let gather for a moment. While there is no stream, packets are read and dropped: never
sent in clear, never sent late.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from poliqi.apps.stream.channel import RECORD_BYTES, Channel
from poliqi.apps.tunnel.calls import clearer, when_ready
from poliqi.apps.tunnel.packets import LENGTH, PACKET_BYTES, Sources
from poliqi.base.errors import LinkDown, PoliqiError

__all__ = ["Line", "PacketTunnel"]

_LOOK_MS: Final = 500
_ROOM: Final = RECORD_BYTES - LENGTH.size - PACKET_BYTES
_FLOOD_BYTES: Final = 96 << 10
"""A longer message than this held more than one long packet: a transfer at full speed comes in."""
_ANSWERS_BYTES: Final = 8 << 10
_GATHER_S: Final = 250e-6
"""How long what is short may wait then: TCP's acknowledgements go out a few at a time, not each in a record."""


class Line(Protocol):
    """Where streams come from: a caller opens them, an answerer waits for them."""

    def next(self, failure: PoliqiError | None) -> Channel | None:
        """The next stream, after as long a wait as is wise; None once it is closed.

        `failure` is how the last one ended, or why there was none. Raises what opening a stream raises.
        """
        ...

    def close(self) -> None:
        """No more."""
        ...


class PacketTunnel:
    """Carries packets until `close`. `counts`: packets "sent", "received" and "dropped", "streams"."""

    def __init__(self, descriptor: int, line: Line, sources: Sources, say: Callable[..., None]) -> None:
        """`descriptor` is of a TUN device and does not block; `say(event, text, **more)` writes the log."""
        self._descriptor: Final = descriptor
        self._line: Final = line
        self._sources: Final = sources
        self._say: Final = say
        self._channel: Channel | None = None
        self._failure: PoliqiError | None = None
        self._sending: Final = threading.Lock()
        self._is_flooded = False
        self.stopped: Final = threading.Event()
        """Set once it is closed, whoever closed it."""
        self.counts: Final[Counter[str]] = Counter()

    def close(self) -> None:
        """End it; any thread may call."""
        self.stopped.set()
        self._line.close()
        channel = self._channel
        if channel is not None:
            channel.close()

    def run(self) -> None:
        """Returns after `close`."""
        reader = threading.Thread(target=self._read_device, name="packets out", daemon=True)
        reader.start()
        failure: PoliqiError | None = None
        try:
            while not self.stopped.is_set():
                failure = self._one_stream(failure)
                if not self.stopped.is_set():
                    self._say("down", f"{when_ready(failure)}; packets are dropped meanwhile", level="warning")
        finally:
            self.close()
            reader.join()

    def _one_stream(self, failure: PoliqiError | None) -> PoliqiError:
        """From opening one to its end; why it ended."""
        self._failure = None
        try:
            channel = self._line.next(failure)
        except PoliqiError as error:
            return error
        if channel is None:
            return LinkDown("the tunnel is closed")
        self._channel = channel
        if self.stopped.is_set():
            channel.close()
        self._tell(channel)
        try:
            self._receive(channel)
            ended: PoliqiError = LinkDown("the other side ended the stream")
        except PoliqiError as error:
            ended = error
        self._channel = None
        channel.close()
        with self._sending:
            return clearer(ended, self._failure) if self._failure else ended

    def _tell(self, channel: Channel) -> None:
        self.counts["streams"] += 1
        usage = channel.usage
        more: dict[str, Any] = {"peer": usage.peer, "mode": usage.mode, "simulated": usage.is_simulated}
        light = ", key of SIMULATED LIGHT: it protects nothing" if usage.is_simulated else ""
        self._say("up", f"packets to and from {usage.peer}: mode {usage.mode}{light}", **more)

    def _receive(self, channel: Channel) -> None:
        """From the stream to the device."""
        receive, admit, descriptor, counts = channel.receive, self._sources.admit, self._descriptor, self.counts
        write = os.write
        while (message := receive()) is not None:
            self._is_flooded = len(message) > _FLOOD_BYTES
            received = dropped = 0
            for packet in admit(message):
                if packet is None:
                    dropped += 1
                    continue
                try:
                    write(descriptor, packet)
                    received += 1
                except OSError:  # the kernel does not take it, or has no memory for it
                    dropped += 1
            counts["received"] += received
            counts["dropped"] += dropped

    def _read_device(self) -> None:
        """From the device into the stream."""
        buffer = bytearray(RECORD_BYTES)
        space = memoryview(buffer)
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        size = 0
        with io.FileIO(self._descriptor, "rb", closefd=False) as device:
            while not self.stopped.is_set():
                if self._is_flooded and size < _ANSWERS_BYTES:
                    time.sleep(_GATHER_S)
                try:
                    size, packets = _gather(device, buffer, space)
                except OSError as error:
                    self._say("device-gone", f"the TUN device: {error.strerror}", level="error")
                    self.close()
                    return
                if packets:
                    self._send(space[:size], packets)
                else:
                    waiting.poll(_LOOK_MS)

    def _send(self, message: memoryview, packets: int) -> None:
        with self._sending:
            channel = self._channel
            if channel is None:
                self.counts["dropped"] += packets
                return
            try:
                channel.send(message)
                self.counts["sent"] += packets
            except PoliqiError as error:
                self.counts["dropped"] += packets
                self._failure = error
                self._channel = None
                channel.close()  # so that the receiving thread notices


def _gather(device: io.FileIO, buffer: bytearray, space: memoryview) -> tuple[int, int]:
    """What the device holds ready, as far as it fits: bytes and packets. Raises OSError."""
    place = packets = 0
    head, pack, read_into = LENGTH.size, LENGTH.pack_into, device.readinto
    while place <= _ROOM:
        begin = place + head
        count = read_into(space[begin:])
        if count is None:  # nothing is ready
            break
        pack(buffer, place, count)
        place = begin + count
        packets += 1
    return place, packets
