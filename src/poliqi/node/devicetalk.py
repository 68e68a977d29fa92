"""One connection between the two ends of a key device: hello, then block after block.

The cores of `poliqi.keys.devices` say what comes next; here it is made durable, sent and timed. What the device
does wrong ends no connection; what the other end does wrong does.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from poliqi.base.errors import AuthenticationError, ConfigError, LinkDown, ProtocolError
from poliqi.base.secret import Entropy
from poliqi.edge.devicestate import DeviceStore
from poliqi.edge.framing import FrameStream
from poliqi.keys.devices.judging import Judge
from poliqi.keys.devices.messages import FRAME_BYTES, MOST_KEYS, Hello, Message
from poliqi.keys.devices.pairing import Follower, JoinedKeys, Leader
from poliqi.link.keydevice import DeviceKey
from poliqi.node.devicelight import DeviceLight
from poliqi.node.held_device import HeldDevice

__all__ = ["ANSWER_S", "HELLO_S", "MOST_BLOCK_BYTES", "DeviceTalk", "Gathered", "Place", "Progress", "Terms"]

MOST_BLOCK_BYTES: Final = 1 << 20
"""From so many bytes on a block is announced; it may have one key more."""
HELLO_S: Final = 20.0
ANSWER_S: Final = 60.0
_CLOSE_S: Final = 5.0
_FAULT_FIRST_S: Final = 5.0
_FAULT_MOST_S: Final = 300.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terms:
    """When a block is large or old enough, and how long the following device may take to have its keys."""

    block_bytes: int
    gather_s: float
    wait_s: float


@dataclass(slots=True)
class Gathered:
    """Keys that were taken from the leading device and not announced, or in vain; they outlive a connection."""

    keys: list[DeviceKey] = field(default_factory=list[DeviceKey])
    since: float = 0.0
    announced: int = 0

    def batch(self, most_bytes: int) -> list[DeviceKey]:
        """The keys of the next block."""
        count = size = 0
        while count < min(len(self.keys), MOST_KEYS) and size < most_bytes:
            size += len(self.keys[count].bits)
            count += 1
        return self.keys[:count]

    def drop(self, count: int) -> None:
        """These are gone."""
        for key in self.keys[:count]:
            key.bits.close()
        del self.keys[:count]
        self.announced = 0


@dataclass(slots=True)
class Progress:
    """What carries over from one connection to the next."""

    gathered: Gathered = field(default_factory=Gathered)
    fault_s: float = 0.0
    later_s: float = 0.0
    blocks: int = 0
    untold: list[str] | None = None
    """Keys that the device may forget and does not know of yet; None: those of earlier lives were not looked up."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a connection works on. `stored()` is called after each block; `is_full()`: no more may be made now;
    `is_over()`: no more shall be made at all.
    """

    store: DeviceStore
    device: HeldDevice
    judge: Judge
    light: DeviceLight
    entropy: Entropy
    terms: Terms
    progress: Progress
    say: Callable[..., None]
    stored: Callable[[], None]
    is_full: Callable[[], bool]
    is_over: Callable[[], bool]
    stopping: asyncio.Event


class DeviceTalk(ABC):
    """Runs one connection until it ends. Raises LinkDown, ProtocolError, KeyExhausted, StoreError."""

    def __init__(self, place: Place, stream: FrameStream) -> None:
        self.at: Final = place
        self._stream: Final = stream
        self._incoming: asyncio.Task[bytes | None] | None = None
        self._limit = FRAME_BYTES[Hello]
        self.blocks = 0
        self.was_met = False

    async def run(self) -> None:
        """Meet, then block after block."""
        try:
            await self.talk()
            async with asyncio.timeout(_CLOSE_S):
                await self._stream.close()  # what was said last still arrives
        except TimeoutError:
            raise LinkDown("the other end reads nothing") from None
        finally:
            if self._incoming is not None:
                self._incoming.cancel()
                await asyncio.gather(self._incoming, return_exceptions=True)
            self._stream.abort()

    @abstractmethod
    async def talk(self) -> None:
        """What this end does on a connection."""

    def met(self) -> None:
        self.was_met = True
        self.at.light.met(time.monotonic())
        left = self.at.store.totals().blocks_left
        self.at.say("ready", f"the other end is there; the pads carry {left:,} blocks more", blocks_left=left)

    async def on_block(self, block: JoinedKeys, announced: int) -> None:
        at, size = self.at, len(block.key)
        block.key.close()
        self.blocks += 1
        at.progress.blocks += 1
        at.progress.fault_s = at.progress.later_s = 0.0
        at.light.block(size, time.monotonic())
        at.stored()
        lost = announced - len(block.names)
        text = f"block {block.number}: {8 * size:,} bits of {len(block.names)} keys" + (
            f", {lost} that one end lacks" if lost else ""
        )
        totals = at.store.totals()
        at.say(
            "block", text, number=block.number, keys=len(block.names), bits=8 * size, lost=lost,
            origin=at.store.origin.value, blocks_left=totals.blocks_left,
        )  # fmt: skip
        if totals.words_left * 10 < totals.capacity_words:
            at.say("pad-low", f"the pads carry {totals.blocks_left:,} blocks more: pair the ends again soon",
                   blocks_left=totals.blocks_left)  # fmt: skip

    async def fault(self, why: str, *, is_alarm: bool = True, pause: bool = True) -> None:
        """A block was refused. An alarm where the device, or somebody on the line, is at fault."""
        at = self.at
        at.light.fault(why)
        if is_alarm:
            await asyncio.to_thread(at.store.fault, why)
        at.progress.fault_s = min(max(2 * at.progress.fault_s, _FAULT_FIRST_S), _FAULT_MOST_S)
        kind = "faulty" if is_alarm else "dropped"
        text = f"{'ALARM: ' if is_alarm else ''}a block of keys was refused: {why}"
        at.say(kind, text, reason=why, retry_s=at.progress.fault_s if pause else 0.0)
        if pause:
            await self.pause(at.progress.fault_s)

    async def forget(self, names: Sequence[str]) -> None:
        """Let the device delete keys; one that is away hears it later."""
        at = self.at
        at.progress.untold = [*(at.progress.untold or await asyncio.to_thread(at.store.settled)), *names]
        try:
            await self.tell_settled()
        except (LinkDown, ProtocolError, ConfigError) as error:
            at.light.device(str(error))
            at.say("device", str(error))

    async def tell_settled(self) -> None:
        at = self.at
        if at.progress.untold is None:
            at.progress.untold = await asyncio.to_thread(at.store.settled)
        names = list(dict.fromkeys(at.progress.untold))
        if names:
            await at.device.settled(names)
            await asyncio.to_thread(at.store.told, names)
            at.progress.untold = []

    async def mark(self, end: Leader | Follower) -> None:
        await asyncio.to_thread(self.at.store.mark, end.marks())

    async def checked(self, end: Leader | Follower, step: Callable[[], T]) -> T:
        """What a step that checks a tag gives; where the tag is wrong its pad word is used up, durable, too."""
        try:
            return step()
        except AuthenticationError:
            await self.mark(end)
            raise

    async def send(self, frame: bytes) -> None:
        async with asyncio.timeout(ANSWER_S):
            await self._stream.write((frame,))

    def watch(self, kind: type[Message]) -> None:
        """Have the next frame read, so that the other end's going is noticed."""
        self._limit = FRAME_BYTES[kind]
        if self._incoming is None:
            self._incoming = asyncio.create_task(self._stream.read(lambda: self._limit))

    def check_peer(self) -> None:
        task = self._incoming
        if task is None or not task.done():
            return
        if task.result() is None:
            raise LinkDown("the other end closed the connection")
        raise ProtocolError("the other end speaks out of turn")

    async def read(self, kind: type[Message], timeout_s: float) -> bytes:
        self.watch(kind)
        assert self._incoming is not None
        try:
            frame = await asyncio.wait_for(asyncio.shield(self._incoming), timeout_s)
        except TimeoutError:
            raise LinkDown(f"the other end says nothing for {timeout_s:g} s") from None
        self._incoming = None
        if frame is None:
            raise LinkDown("the other end closed the connection")
        return frame

    async def next_or_stop(self, timeout_s: float) -> bytes | None:
        """The next frame; None where none came in time, or this end stops while nothing is under way."""
        assert self._incoming is not None
        stop = asyncio.create_task(self.at.stopping.wait())
        try:
            await asyncio.wait((self._incoming, stop), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            await asyncio.gather(stop, return_exceptions=True)
        if not self._incoming.done():
            return None
        frame = self._incoming.result()
        self._incoming = None
        if frame is None:
            raise LinkDown("the other end closed the connection")
        return frame

    async def pause(self, seconds: float) -> None:
        """Sleep, until this end stops or the other one goes."""
        until = asyncio.create_task(self.at.stopping.wait())
        waits: set[asyncio.Task[Any]] = {until} if self._incoming is None else {until, self._incoming}
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            until.cancel()
            await asyncio.gather(until, return_exceptions=True)
