"""Somebody on the classical line of a live session: whatever is changed, dropped or repeated, no key comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from meddling_relay import Meddle, meddling_relay
from two_parties import Disk, Light, make_contract

from poliqi.base.ids import Origin, Role
from poliqi.distill.outcome import Aborted, BlockConfirmed, Event
from poliqi.edge.driver import Alice, Bob, drive
from poliqi.edge.framing import FrameStream
from poliqi.link.device import Detections
from poliqi.node.light import PlantLight, ReplayedLight, SimulatedLight, connection
from poliqi.node.meddler import MeddledStream
from poliqi.node.plant import SpanState, write_plant


class Device:
    """The textbook light as both ends' device."""

    origin = Origin.SIMULATED

    def __init__(self) -> None:
        self.light = Light(np.random.Generator(np.random.PCG64(3)))

    def detect(self, pulses: int) -> Detections:
        return self.light.detect(pulses)

    def states(self, slots: np.ndarray) -> np.ndarray:
        return self.light.prepared(slots)


@dataclass
class End:
    """One end: its disk, and how its session went."""

    role: Role
    disk: Disk
    seed: int
    timeout_s: float
    confirmed: int = 0
    reasons: list[str] = field(default_factory=list)
    is_forged: bool = False
    """Whether what ended the session counts as tampering for its monitor."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, event: Event) -> None:
        match event:
            case BlockConfirmed():
                self.confirmed += 1
                self.stopping.set()
            case Aborted(reason=reason, is_forged=is_forged):
                self.reasons.append(reason)
                self.is_forged |= is_forged
                self.stopping.set()
            case _:
                pass

    async def drive(self, stream: FrameStream, owner: Alice | Bob) -> None:
        contract = make_contract() if self.role is Role.ALICE else None
        session = self.disk.session(contract=contract, seed=self.seed, timeout_s=self.timeout_s)
        await drive(session, stream, owner, durable=self.disk.apply, observe=self.observe, stopping=self.stopping)


Wrap = Callable[[FrameStream], FrameStream]


def session(
    meddle: Meddle | None = None,
    wrap: Wrap = lambda stream: stream,
    *,
    disks: tuple[Disk, Disk] | None = None,
    seed: int = 5,
    timeout_s: float = 30.0,
) -> tuple[End, End]:
    """One block of a live session, over a machine in the middle or through streams that meddle."""
    alice, bob = (End(role, disk, seed, timeout_s) for role, disk in zip(Role, disks or Disk.pair(), strict=True))
    device = Device()

    async def talk(here: FrameStream, there: FrameStream) -> None:
        bob_owner = Bob(device, lambda: not bob.stopping.is_set())
        await asyncio.gather(alice.drive(wrap(here), Alice(device)), bob.drive(wrap(there), bob_owner))

    asyncio.run(asyncio.wait_for(_connected(meddle, talk), 60))
    return alice, bob


async def _connected(meddle: Meddle | None, talk: Callable[[FrameStream, FrameStream], Awaitable[None]]) -> None:
    arrived: asyncio.Future[FrameStream] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set_result(FrameStream(reader, writer))

    passing: Meddle = meddle or (lambda _number, frame: [frame])
    async with (
        await asyncio.start_server(accept, "127.0.0.1", 0) as server,
        meddling_relay(server.sockets[0].getsockname()[1], passing) as port,
    ):
        here = FrameStream(*await asyncio.open_connection("127.0.0.1", port))
        there = await arrived
        try:
            await talk(here, there)
        finally:
            here.abort()
            there.abort()


def no_key(alice: End, bob: End) -> bool:
    return not (alice.disk.keys or bob.disk.keys or alice.confirmed or bob.confirmed)


def test_without_a_meddler_a_block_gives_key() -> None:
    alice, bob = session()
    assert (alice.confirmed, bob.confirmed) == (1, 1)
    assert alice.disk.keys == bob.disk.keys


FRAMES = (0, 1, 2, 3, 4, 6, 9, 14, 20)
"""From the hellos into error correction."""


@pytest.mark.parametrize("at", FRAMES)
def test_a_changed_frame_ends_the_session_and_says_why(at: int) -> None:
    def flip(number: int, frame: bytes) -> list[bytes]:
        return [frame[:-1] + bytes((frame[-1] ^ 1,))] if number == at else [frame]

    alice, bob = session(flip)
    assert no_key(alice, bob)
    assert alice.reasons or bob.reasons


@pytest.mark.parametrize("at", FRAMES)
def test_a_repeated_frame_ends_the_session_and_says_why(at: int) -> None:
    alice, bob = session(lambda number, frame: [frame, frame] if number == at else [frame])
    assert no_key(alice, bob)
    assert alice.reasons or bob.reasons


@pytest.mark.parametrize("at", [at for at in FRAMES if at > 4])
@pytest.mark.parametrize("is_repeat", [False, True], ids=["changed", "repeated"])
def test_what_happens_to_frames_of_a_block_counts_as_tampering(at: int, is_repeat: bool) -> None:
    def meddle(number: int, frame: bytes) -> list[bytes]:
        if number != at:
            return [frame]
        return [frame, frame] if is_repeat else [bytes((frame[0] ^ 0x10,)) + frame[1:]]

    alice, bob = session(meddle)
    assert alice.is_forged or bob.is_forged


@pytest.mark.parametrize("at", [0, 1])
def test_a_hello_that_does_not_fit_may_be_a_stranger_s(at: int) -> None:
    alice, bob = session(lambda number, frame: [frame[:-1] + bytes((frame[-1] ^ 1,))] if number == at else [frame])
    assert not (alice.is_forged or bob.is_forged)


@pytest.mark.parametrize("at", [0, 3, 9])
def test_a_dropped_frame_ends_the_session_and_says_why(at: int) -> None:
    alice, bob = session(lambda number, frame: [] if number == at else [frame], timeout_s=0.5)
    assert no_key(alice, bob)
    assert alice.reasons or bob.reasons


def test_frames_of_an_earlier_session_open_no_new_one() -> None:
    """The first session is recorded; in the second, of the same two ends, its words arrive in place of theirs."""
    recorded: list[bytes] = []

    def record(_number: int, frame: bytes) -> list[bytes]:
        recorded.append(frame)
        return [frame]

    before = session(record)
    disks = before[0].disk, before[1].disk
    held = [dict(disk.keys) for disk in disks]
    alice, bob = session(lambda number, _frame: [recorded[number]], disks=disks, seed=6)
    assert [disk.keys for disk in disks] == held
    assert (alice.confirmed, bob.confirmed) == (0, 0)
    assert alice.reasons or bob.reasons


# ---------------------------------------------------------------- the demonstration's own


@pytest.mark.parametrize("state", [SpanState(tamper=True), SpanState(replay=True)], ids=["tamper", "replay"])
def test_a_plant_that_meddles_lets_no_key_come(state: SpanState) -> None:
    alice, bob = session(wrap=lambda stream: MeddledStream(stream, lambda: state, 11))
    assert no_key(alice, bob)
    assert alice.reasons or bob.reasons


def test_a_plant_that_does_not_meddle_changes_nothing() -> None:
    alice, bob = session(wrap=lambda stream: MeddledStream(stream, SpanState, 11))
    assert (alice.confirmed, bob.confirmed) == (1, 1)
    assert alice.disk.keys == bob.disk.keys


def test_only_a_demonstration_has_a_line_to_meddle_with(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    plant = tmp_path / "plant.json"
    write_plant(plant, {"a-b": SpanState()})
    stream = FrameStream.__new__(FrameStream)
    assert connection(SimulatedLight(1), stream) is stream
    assert connection(ReplayedLight(plant), stream) is stream
    assert isinstance(connection(PlantLight(1, plant, ("a-b",)), stream), MeddledStream)
