"""Two ends of a key device over desks that only take blocks, all in one loop; devices that can misbehave."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ingest_desk import IngestDesk

from poliqi.base.errors import LinkDown
from poliqi.base.ids import Role
from poliqi.base.secret import SecretBytes
from poliqi.control.messages import LinkReport
from poliqi.edge.devicestate import DeviceStore
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.ingest_server import IngestServer
from poliqi.edge.network import Address
from poliqi.edge.pairfile import PairFile, check_link_id, write_private
from poliqi.edge.pairing import install_pair_file
from poliqi.edge.sources.catalogue import Opener
from poliqi.link.keydevice import DeviceKey
from poliqi.node.devicetalk import Terms
from poliqi.node.keydevice import DeviceEnd, DeviceSettings

LINK = check_link_id("leonardo-bovisa")


def key(name: str, bits: bytes) -> DeviceKey:
    return DeviceKey(name, SecretBytes(bits))


def pair_states(folder: Path, *, words: int = 1024, simulated: bool = False) -> dict[Role, Path]:
    """Both ends' states, from one pair file of real entropy."""
    file = folder / "pair"
    write_private(file, PairFile.make(LINK, words, OperatingSystemEntropy()).encode(), "pair file")
    states = {role: folder / role.value for role in Role}
    for role, state in states.items():
        install_pair_file(file, state, role, simulated=simulated, keep=role is Role.ALICE)
    return states


class FakeDevice:
    """One end: `keys` are what it has, by name, in order. Fresh ones are given once."""

    def __init__(self, keys: dict[str, bytes] | None = None) -> None:
        self.keys = dict(keys or {})
        self.given: list[str] = []
        self.gone: list[str] = []
        self.named_calls: list[list[str]] = []
        self.down: Exception | None = None
        self.is_closed = threading.Event()

    @property
    def description(self) -> str:
        return "a fake device"

    def fresh(self, most: int, timeout_s: float) -> list[DeviceKey]:
        self._check()
        names = [name for name in self.keys if name not in self.given][:most]
        self.given += names
        if not names:
            self.is_closed.wait(min(timeout_s, 0.02))
        return [key(name, self.keys[name]) for name in names]

    def named(self, names: Sequence[str], timeout_s: float) -> list[DeviceKey | None]:
        del timeout_s
        self._check()
        self.named_calls.append(list(names))
        return [key(name, self.keys[name]) if name in self.keys else None for name in names]

    def settled(self, names: Sequence[str]) -> None:
        self.gone += names

    def close(self) -> None:
        self.is_closed.set()

    def _check(self) -> None:
        if self.down is not None:
            raise self.down


class End:
    """One end, its site and what it said."""

    def __init__(self, role: Role, state: Path, folder: Path, device: FakeDevice, address: Address) -> None:
        self.role, self.state, self.folder, self.device, self.address = role, state, folder, device, address
        self.opener: Opener = lambda: self.device
        self.light: list[LinkReport] = []
        self.desk = IngestDesk(f"site-{role.value}")
        self.records: list[dict[str, Any]] = []
        self.terms = Terms(block_bytes=1 << 16, gather_s=0.05, wait_s=1.0)
        self._end: DeviceEnd | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def events(self) -> list[str]:
        return [record["event"] for record in self.records]

    def texts(self, event: str) -> str:
        return " | ".join(record["text"] for record in self.records if record["event"] == event)

    def totals(self) -> Any:
        from poliqi.edge.devicestate import device_totals

        return device_totals(self.state)

    async def open(self) -> None:
        self._server = IngestServer(
            self.desk.desk, self.folder / f"site-{self.role.value}" / "ingest", on_light=self.light.append
        )
        await self._server.open()

    def start(self, blocks: int | None = None) -> None:
        settings = DeviceSettings(
            self.opener,
            self.state,
            self.folder / f"site-{self.role.value}" / "ingest",
            self.terms,
            listen=self.address if self.role is Role.BOB else None,
            connect=self.address if self.role is Role.ALICE else None,
            blocks=blocks,
        )
        self._store = DeviceStore(self.state, OperatingSystemEntropy())
        self._end = DeviceEnd(settings, self._store, self.records.append)
        self._task = asyncio.create_task(self._end.run())

    async def stop(self) -> None:
        """Finish the block under way."""
        if self._task is not None and self._end is not None:
            self._end.stop()
            try:
                async with asyncio.timeout(20):
                    await self._task
            finally:
                self._task = None
                self._store.close()

    async def crash(self) -> None:
        """Everything in memory is gone, and the connection."""
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        self._store.close()

    async def ended(self) -> None:
        assert self._task is not None
        async with asyncio.timeout(20):
            await asyncio.wait((self._task,))

    async def close(self) -> None:
        with suppress(Exception):
            await self.stop()
        await self._server.close()


class Rig:
    """Alice leads and connects, Bob follows and listens."""

    def __init__(self, folder: Path, alice: FakeDevice, bob: FakeDevice, **pairing: Any) -> None:
        states = pair_states(folder, **pairing)
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = Address("127.0.0.1", free.getsockname()[1])
        self.alice = End(Role.ALICE, states[Role.ALICE], folder, alice, address)
        self.bob = End(Role.BOB, states[Role.BOB], folder, bob, address)
        self.ends = (self.alice, self.bob)

    async def __aenter__(self) -> Rig:
        for end in self.ends:
            await end.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for end in self.ends:
            await end.close()

    def start(self) -> None:
        for end in reversed(self.ends):
            end.start()

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, f"{what} did not happen: {[end.records for end in self.ends]}"
            await asyncio.sleep(0.01)

    def shared(self) -> list[bytes]:
        """Blocks that both sites hold; they must be equal there."""
        names = self.alice.desk.held.keys() & self.bob.desk.held.keys()
        assert all(self.alice.desk.held[name] == self.bob.desk.held[name] for name in names)
        return [self.alice.desk.held[name][0] for name in names]


def link_down(text: str = "the device is off") -> LinkDown:
    return LinkDown(text)
