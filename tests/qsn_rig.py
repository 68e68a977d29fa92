"""Emulated QSN-d-1 ends on real sockets, in a thread of their own; and a device that follows a script."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from poliqi.edge.network import Address
from poliqi.edge.qsn_client import QsnClient, QsnWaits
from poliqi.edge.qsn_emulator import Ports, QsnEmulator, ReplyFaults
from poliqi.link.qsn.emulated import Emulated, Role, emulated
from poliqi.link.qsn.frames import HEADER_BYTES, encode_frame
from poliqi.link.qsn.light import LightSettings
from poliqi.link.qsn.making import KeyDiscarded, KeyMade

ANY = Address("127.0.0.1", 0)
PATIENT = QsnWaits(answer_s=20.0, promise_s=20.0, again_s=0.02, first_pause_s=0.01, longest_pause_s=0.05)
HASTY = replace(PATIENT, answer_s=0.2)
"""For devices that are silent on purpose."""
BRIGHT = LightSettings(attenuation_db=0.0, batch=32_000, receiver_loss_db=0.0, efficiency=1.0)
"""A link so good that one batch makes a key."""
SMALL = Emulated(seed=7, light=BRIGHT, samples=512, pause_s=0.02)


class CountedEntropy:
    """The same IDs in every run, hence the same light."""

    source = "a test's own numbers"

    def __init__(self) -> None:
        self._draws = np.random.default_rng(5)

    def draw(self, count: int) -> bytes:
        return self._draws.bytes(count)


_DRIVERS: list[QsnClient] = []


def driver_of(address: Address, waits: QsnWaits = PATIENT, **options: Any) -> QsnClient:
    """A driver that is closed with the device that it was made for."""
    driver = QsnClient(address, waits=waits, **options)
    _DRIVERS.append(driver)
    return driver


def _close_drivers() -> None:
    while _DRIVERS:
        _DRIVERS.pop().close()


@dataclass
class RunningPair:
    """Where the two ends are, and what they say."""

    main: dict[Role, Address] = field(default_factory=dict)
    lkms: dict[Role, Address] = field(default_factory=dict)
    news: dict[Role, list[KeyMade | KeyDiscarded]] = field(default_factory=lambda: {r: [] for r in Role})
    said: list[str] = field(default_factory=list)

    def client(self, role: Role, waits: QsnWaits = PATIENT) -> QsnClient:
        return driver_of(self.lkms[role], waits)


@contextmanager
def running_pair(
    alice: Emulated = SMALL, bob: Emulated | None = None, faults: ReplyFaults | None = None
) -> Iterator[RunningPair]:
    """Alice and Bob, connected to each other, making keys until the end of the block."""
    pair, ready, loop = RunningPair(), threading.Event(), asyncio.new_event_loop()
    chosen = {Role.ALICE: alice, Role.BOB: bob or alice}
    stop = asyncio.Event()

    async def run() -> None:
        epoch_ms = 1e3 * (time.time() - loop.time())
        ends: dict[Role, QsnEmulator] = {}
        for role in Role:
            ends[role] = QsnEmulator(
                emulated(role, chosen[role], CountedEntropy(), epoch_ms),
                Ports(ANY, ANY, ANY),
                faults=faults,
                draws=np.random.default_rng(3),
                report=pair.said.append,
                news=pair.news[role].append,
            )
            pair.main[role], pair.lkms[role] = await ends[role].open()
        ends[Role.ALICE].partner, ends[Role.BOB].partner = pair.main[Role.BOB], pair.main[Role.ALICE]
        work = [loop.create_task(end.run()) for end in ends.values()]
        ready.set()
        await stop.wait()
        for task in work:
            task.cancel()
        await asyncio.wait(work)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert ready.wait(10.0)
        yield pair
    finally:
        _close_drivers()
        loop.call_soon_threadsafe(stop.set)
        thread.join(20.0)
        loop.close()


Script = Callable[[socket.socket, int], None]
"""What the scripted device does on a connection: the socket, and how many connections came before it."""


def read_frame(raw: socket.socket) -> bytes:
    """The next whole frame's JSON; ConnectionError at the end."""
    length = int.from_bytes(_exactly(raw, HEADER_BYTES), "big")
    return _exactly(raw, length)


def _exactly(raw: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = raw.recv(count - len(got))
        if not part:
            raise ConnectionError
        got += part
    return got


@contextmanager
def scripted_device(script: Script) -> Iterator[Address]:
    """A device on loopback that runs `script` on one connection after the other."""
    listening = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        for number in range(1 << 30):
            try:
                raw, _ = listening.accept()
            except OSError:
                return
            held.append(raw)
            with raw:
                try:
                    script(raw, number)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Address("127.0.0.1", listening.getsockname()[1])
    finally:
        _close_drivers()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for raw in held:
            try:
                raw.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        thread.join(10.0)


def answering(replies: list[bytes | None]) -> Script:
    """A script: one reply to each request in turn, None for silence; at the end it reads on and says nothing."""
    left = list(replies)

    def script(raw: socket.socket, _: int) -> None:
        while True:
            read_frame(raw)
            reply = left.pop(0) if left else None
            if reply is not None:
                raw.sendall(encode_frame(reply))

    return script
