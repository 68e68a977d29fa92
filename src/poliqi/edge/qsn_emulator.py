"""An emulated QSN-d-1 over TCP: two ports for clients and the partner, a connection of its own to the partner.

Its light is SIMULATED and its protocol authenticates nobody: for tests and demonstrations, on loopback or on an
interface that was declared isolated (docs/spec/qsn-d-1.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from poliqi.base.errors import ConfigError, PoliqiError, ProtocolError
from poliqi.edge.complaints import Complaints
from poliqi.edge.framing import FrameStream
from poliqi.edge.isolated import check_isolated
from poliqi.edge.network import Address
from poliqi.link.qsn.device import PARTNER, Device
from poliqi.link.qsn.frames import MOST_FRAME_BYTES, encode_frame
from poliqi.link.qsn.making import KeyDiscarded, KeyMade

__all__ = ["ALICE_LKMS_PORT", "ALICE_PORT", "BOB_LKMS_PORT", "BOB_PORT", "Ports", "QsnEmulator", "ReplyFaults"]

ALICE_PORT: Final = 6341
BOB_PORT: Final = 6342
ALICE_LKMS_PORT: Final = 6351
BOB_LKMS_PORT: Final = 6352

_MOST_CONNECTIONS: Final = 64
_MOST_UNREAD: Final = 2 * MOST_FRAME_BYTES
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where this end listens, and where its partner does."""

    main: Address
    lkms: Address
    partner: Address


@dataclass(frozen=True, slots=True)
class ReplyFaults:
    """What goes wrong with frames to clients: shares of them, and seconds. The partner's go through whole."""

    drop: float = 0.0
    garble: float = 0.0
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.drop <= 1.0 and 0.0 <= self.garble <= 1.0 and self.delay_s >= 0.0):
            raise ConfigError("faults: drop and garble are shares from 0 to 1, the delay is not negative")


class QsnEmulator:
    """One end. `open` listens, `run` works until it is cancelled; `partner` may be set in between."""

    def __init__(
        self,
        device: Device,
        ports: Ports,
        *,
        isolated: bool = False,
        faults: ReplyFaults | None = None,
        draws: np.random.Generator | None = None,
        report: Callable[[str], None] = lambda _: None,
        news: Callable[[KeyMade | KeyDiscarded], None] = lambda _: None,
    ) -> None:
        for what, address in (("main port", ports.main), ("LKMS port", ports.lkms), ("partner", ports.partner)):
            check_isolated(f"emulated QSN-d-1: {what}", address, isolated=isolated)
        self._device: Final = device
        self._ports: Final = ports
        self.partner = ports.partner
        self._faults: Final = faults or ReplyFaults()
        self._draws: Final = draws or np.random.default_rng()
        self._report: Final = report
        self._complain: Final = Complaints(report)
        self._tell_news: Final = news
        self._servers: Final[list[asyncio.Server]] = []
        self._writers: Final[dict[int, asyncio.StreamWriter]] = {}
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._next_number = 0
        self._kick: Final = asyncio.Event()

    async def open(self) -> tuple[Address, Address]:
        """Listen on both ports; where, with the ports that were bound. Raises ConfigError."""
        return await self._listen(self._ports.main), await self._listen(self._ports.lkms)

    async def run(self) -> None:
        """Make keys and serve clients, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stay_with_partner())
                group.create_task(self._keep_time())
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for writer in self._writers.values():
            writer.transport.abort()
        self._writers.clear()

    async def _listen(self, address: Address) -> Address:
        try:
            server = await asyncio.start_server(self._accept, address.host, address.port)
        except OSError as error:
            raise ConfigError(
                f"emulated QSN-d-1: cannot listen on {address}: {error.strerror or error}; name another port"
            ) from error
        self._servers.append(server)
        return Address(address.host, server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._tasks.add(task)
        number, self._next_number = self._next_number, self._next_number + 1
        self._writers[number] = writer
        try:
            await self._serve(number, FrameStream(reader, writer))
        except asyncio.CancelledError:
            pass  # by close(): the connection ends, and nothing else waits for this task
        finally:
            self._tasks.discard(task)
            self._writers.pop(number, None)
            self._device.closed(number)
            writer.transport.abort()

    async def _serve(self, number: int, stream: FrameStream) -> None:
        """Frame by frame; what is not understood is passed over, as is a connection that breaks."""
        try:
            while (payload := await stream.read(lambda: MOST_FRAME_BYTES)) is not None:
                try:
                    self._device.receive(number, payload, self._now())
                except ProtocolError as error:
                    self._complain(f"passed over: {error}")
                self._flush()
        except PoliqiError as error:
            self._complain(f"a connection is closed: {error}")

    async def _keep_time(self) -> None:
        while True:
            due = self._device.next_timeout()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self._now())):
                    await self._kick.wait()
            except TimeoutError:
                self._device.tick(self._now())
                self._flush()
                await asyncio.sleep(0)  # batches follow each other at once: others come between
            self._kick.clear()

    async def _stay_with_partner(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                reader, writer = await asyncio.open_connection(self.partner.host, self.partner.port)
            except OSError:
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE_S, 2.0 * pause)
                continue
            pause = _FIRST_PAUSE_S
            self._report(f"connected to the partner at {self.partner}")
            self._writers[PARTNER] = writer
            try:
                self._device.partner_up(self._now())
                self._flush()
                await self._hear_replies(FrameStream(reader, writer))
            finally:
                self._writers.pop(PARTNER, None)
                writer.transport.abort()
                self._device.partner_lost(self._now())
                self._flush()
            self._report("the connection to the partner broke")
            await asyncio.sleep(pause)

    async def _hear_replies(self, stream: FrameStream) -> None:
        """Replies to what this end asked its partner say nothing that it needs."""
        try:
            while await stream.read(lambda: MOST_FRAME_BYTES) is not None:
                pass
        except PoliqiError as error:
            self._complain(f"partner: {error}")

    def _flush(self) -> None:
        """Send what the device has to say, and wake the clock."""
        for outgoing in self._device.take_output():
            writer = self._writers.get(outgoing.to)
            if writer is None:
                continue
            frame = encode_frame(outgoing.payload)
            if outgoing.to == PARTNER:
                _write(writer, frame)
            else:
                self._send_faulty(writer, frame)
            if writer.transport.get_write_buffer_size() > _MOST_UNREAD:
                self._complain("a connection that does not read is closed")
                writer.transport.abort()
        for news in self._device.take_news():
            self._tell_news(news)
        self._kick.set()

    def _send_faulty(self, writer: asyncio.StreamWriter, frame: bytes) -> None:
        faults = self._faults
        if self._draws.random() < faults.drop:
            return
        if self._draws.random() < faults.garble:
            noise = self._draws.integers(0, 256, len(frame) - 4, dtype=np.uint8).tobytes()
            frame = frame[:4] + noise
        if faults.delay_s:
            asyncio.get_running_loop().call_later(faults.delay_s, _write, writer, frame)
        else:
            _write(writer, frame)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    if not writer.transport.is_closing():
        writer.write(frame)
