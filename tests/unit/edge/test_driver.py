"""Driving a session over a real socket: durable before sent, clear ends, nothing left hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from two_parties import Disk, Light, make_contract

from poliqi.base.errors import DataRefused, StoreError
from poliqi.base.ids import Origin, Role
from poliqi.distill.messages import Abort, decode_message
from poliqi.distill.outcome import Aborted, BlockBegun, BlockConfirmed, Event, Mark, PadCursor, Ready
from poliqi.distill.session import Session
from poliqi.edge.driver import Alice, Bob, drive
from poliqi.edge.framing import FrameStream
from poliqi.link.device import Detections
from poliqi.link.health import Health


class Device:
    """The textbook light as both ends' device; ends after `blocks`."""

    origin = Origin.SIMULATED

    def __init__(self, blocks: int = 1000) -> None:
        self.light = Light(np.random.Generator(np.random.PCG64(3)))
        self.blocks = blocks

    def detect(self, pulses: int) -> Detections:
        if self.blocks == 0:
            raise DataRefused("recording: nothing is left")
        self.blocks -= 1
        return self.light.detect(pulses)

    def states(self, slots: np.ndarray) -> np.ndarray:
        return self.light.prepared(slots)


@dataclass
class End:
    """One end of a drive: its disk, what happened, and when it shall stop."""

    role: Role
    disk: Disk
    events: list[Event] = field(default_factory=list)
    blocks: int = 1
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    on_event: Callable[[Event], None] = lambda _event: None
    durable: Callable[[list[Mark]], None] | None = None
    timeout_s: float = 20.0

    def session(self) -> Session:
        contract = make_contract() if self.role is Role.ALICE else None
        return self.disk.session(contract=contract, seed=5, timeout_s=self.timeout_s)

    def observe(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)
        if isinstance(event, BlockConfirmed):
            self.blocks -= 1
            if self.blocks == 0:
                self.stopping.set()

    async def drive(self, stream: FrameStream, owner: Alice | Bob) -> None:
        await drive(
            self.session(),
            stream,
            owner,
            durable=self.durable or self.disk.apply,
            observe=self.observe,
            stopping=self.stopping,
        )

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, Aborted)]


def two_ends(blocks: int = 1) -> tuple[End, End]:
    alice, bob = Disk.pair()
    return End(Role.ALICE, alice, blocks=blocks), End(Role.BOB, bob, blocks=blocks)


Talk = Callable[[FrameStream, FrameStream], Awaitable[None]]


async def with_connection(talk: Talk) -> None:
    """Run `talk` with the two ends of a TCP connection."""
    arrived: asyncio.Future[FrameStream] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set_result(FrameStream(reader, writer))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        here = FrameStream(*await asyncio.open_connection("127.0.0.1", port))
        there = await arrived
        try:
            await talk(here, there)
        finally:
            here.abort()
            there.abort()


def connected(talk: Talk) -> None:
    asyncio.run(asyncio.wait_for(with_connection(talk), 60))


def run_both(alice: End, bob: End, device: Device | None = None) -> Bob:
    device = device or Device()
    owner = Bob(device, lambda: bob.blocks > 0 and not bob.stopping.is_set())

    async def talk(here: FrameStream, there: FrameStream) -> None:
        await asyncio.gather(alice.drive(here, Alice(device)), bob.drive(there, owner))

    connected(talk)
    return owner


def run_one(end: End, peer: Callable[[FrameStream], Awaitable[None]]) -> None:
    """One end against a peer of our own making."""
    device = Device()
    owner = Alice(device) if end.role is Role.ALICE else Bob(device, lambda: True)

    async def talk(here: FrameStream, there: FrameStream) -> None:
        await asyncio.gather(end.drive(here, owner), peer(there))

    connected(talk)


async def read_until_end(stream: FrameStream) -> list[bytes]:
    frames: list[bytes] = []
    while (frame := await stream.read(lambda: 1 << 20)) is not None:
        frames.append(frame)
    return frames


def test_both_ends_make_the_same_keys() -> None:
    alice, bob = two_ends(blocks=2)
    run_both(alice, bob)
    assert len(alice.disk.keys) == 2
    assert alice.disk.keys == bob.disk.keys


def test_light_of_another_kind_than_the_contract_s_makes_no_key() -> None:
    device = Device()
    device.origin = Origin.REPLAY  # the contract is for simulated light
    alice, bob = two_ends()
    run_both(alice, bob, device)
    assert alice.disk.keys == bob.disk.keys == {}
    reasons = [reason for end in (alice, bob) for reason in end.reasons()]
    assert any("this end's device gives replay" in reason for reason in reasons)


def test_marks_are_durable_before_their_bytes_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, _ = two_ends()
    order: list[str] = []
    write = FrameStream.write

    async def noted(self: FrameStream, frames: list[bytes]) -> None:
        order.append("sent")
        await write(self, frames)

    def durable(marks: list[Mark]) -> None:
        alice.disk.apply(marks)
        order.append("durable" if any(isinstance(mark, PadCursor) for mark in marks) else "other")

    alice.durable = durable
    monkeypatch.setattr(FrameStream, "write", noted)

    async def silent(stream: FrameStream) -> None:
        await stream.read(lambda: 1 << 20)
        alice.stopping.set()

    run_one(alice, silent)
    assert order[:2] == ["durable", "sent"]


def test_nothing_is_sent_when_marks_cannot_be_made_durable() -> None:
    alice, _ = two_ends()
    received: list[bytes] = []

    def broken(_marks: list[Mark]) -> None:
        raise StoreError("the disk is full")

    async def listen(stream: FrameStream) -> None:
        with pytest.raises(Exception):  # noqa: B017 (a reset or an end, as the kernel likes)
            received.extend(await read_until_end(stream))
            raise ConnectionError

    alice.durable = broken
    with pytest.raises(StoreError, match="disk is full"):
        run_one(alice, listen)
    assert received == []


@pytest.mark.parametrize("role", Role)
def test_peer_that_hangs_up_ends_the_session(role: Role) -> None:
    end = dict(zip(Role, two_ends(), strict=True))[role]

    async def hang_up(stream: FrameStream) -> None:
        await stream.close()

    run_one(end, hang_up)
    assert len(end.reasons()) == 1
    assert "closed the connection" in end.reasons()[0] or "connection broke" in end.reasons()[0]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("garbage", [b"", b"GET / HTTP/1.1\r\n", bytes(1000), b"\xff" * 40])
def test_garbage_ends_the_session_with_a_word_to_the_peer(role: Role, garbage: bytes) -> None:
    end = dict(zip(Role, two_ends(), strict=True))[role]
    answers: list[bytes] = []

    async def babble(stream: FrameStream) -> None:
        await stream.write([garbage])
        answers.extend(await read_until_end(stream))

    run_one(end, babble)
    assert isinstance(decode_message(answers[-1]), Abort)
    assert end.disk.keys == {}


def test_frame_over_the_limit_ends_the_session() -> None:
    _, bob = two_ends()

    async def flood(stream: FrameStream) -> None:
        await stream.write([bytes((1 << 16) + 1)])
        await read_until_end(stream)

    run_one(bob, flood)
    assert "at most 65536 are allowed" in bob.reasons()[0]


def test_peer_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poliqi.edge.driver._HELLO_S", 0.05)
    _, bob = two_ends()

    async def wait(stream: FrameStream) -> None:
        await read_until_end(stream)

    run_one(bob, wait)
    assert bob.reasons() == ["no hello within 0.05 s"]


def test_peer_that_falls_silent_in_a_block_is_left() -> None:
    alice, bob = two_ends()
    bob.timeout_s = 0.2

    class Forgetful(Alice):
        async def act(self, session: Session, event: Event, now: Callable[[], float]) -> None:
            return

    async def talk(here: FrameStream, there: FrameStream) -> None:
        device = Device()
        await asyncio.gather(
            alice.drive(here, Forgetful(device)), bob.drive(there, Bob(device, lambda: bob.blocks > 0))
        )

    connected(talk)
    assert any("silent for 0.2 s" in reason for reason in bob.reasons())


def test_stopping_between_blocks_ends_at_once() -> None:
    alice, bob = two_ends()
    bob.blocks = 0
    alice.on_event = lambda event: alice.stopping.set() if isinstance(event, Ready) else None
    run_both(alice, bob)
    assert alice.reasons() == ["this end is stopping"]


@pytest.mark.parametrize("role", Role)
def test_stopping_inside_a_block_finishes_it(role: Role) -> None:
    ends = dict(zip(Role, two_ends(blocks=99), strict=True))
    end = ends[role]
    end.on_event = lambda event: end.stopping.set() if isinstance(event, BlockBegun) else None
    run_both(ends[Role.ALICE], ends[Role.BOB])
    assert len(ends[Role.ALICE].disk.keys) >= 1
    assert ends[Role.ALICE].disk.keys == ends[Role.BOB].disk.keys


def test_end_of_light_ends_the_session_after_the_last_block() -> None:
    alice, bob = two_ends(blocks=99)
    owner = run_both(alice, bob, Device(blocks=1))
    assert owner.dark == "recording: nothing is left"
    assert (len(bob.disk.keys), bob.reasons()) == (1, ["the light has ended"])


def test_device_without_states_for_a_slot_ends_the_session() -> None:
    alice, bob = two_ends()

    class Strange(Device):
        def states(self, slots: np.ndarray) -> np.ndarray:
            raise DataRefused("no such slot")

    run_both(alice, bob, Strange())
    assert "no states for the slots you name: no such slot" in alice.reasons()[0]
    assert bob.disk.keys == {}


def test_light_gathered_when_a_connection_broke_serves_the_next() -> None:
    alice, bob = two_ends()
    device = Device(blocks=1)
    bob.on_event = lambda event: bob.stopping.set() if isinstance(event, Ready) else None
    owner = Bob(device, lambda: bob.blocks > 0)

    async def meet(here: FrameStream, there: FrameStream) -> None:
        await asyncio.gather(alice.drive(here, Alice(device)), bob.drive(there, owner))

    async def twice() -> None:
        for _ in range(2):
            await with_connection(meet)
            bob.stopping, bob.on_event = asyncio.Event(), lambda _event: None

    asyncio.run(asyncio.wait_for(twice(), 60))
    assert (device.blocks, len(bob.disk.keys)) == (0, 1)


class Lit:
    """Alice's device with a meter for light that comes back; each reading is of the time since the one before."""

    origin = Origin.SIMULATED

    def __init__(self, *watts: float | None) -> None:
        self.watts = list(watts)

    def health(self) -> Health:
        return Health(pulses=1, back_light_w=self.watts.pop(0))

    def states(self, slots: np.ndarray) -> np.ndarray:
        raise AssertionError(slots)


def test_light_that_came_back_is_used_up_by_no_block_that_was_dropped() -> None:
    """The light of a block passes Alice while the one before is corrected: a reading speaks for two."""
    alice = Alice(Lit(1e-12, 5e-6, 1e-12, 1e-12, None))
    seen = [found and found.back_light_w for found in (alice.health() for _ in range(5))]
    assert seen == [1e-12, 5e-6, 5e-6, 1e-12, None]
