"""The leading end of a key device on one connection: takes fresh keys, announces them, stores what both have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from poliqi.base.errors import ConfigError, LinkDown, PoliqiError, ProtocolError
from poliqi.keys.devices.messages import MOST_KEYS, Have, Hello
from poliqi.keys.devices.pairing import JoinedKeys, Leader
from poliqi.link.keydevice import MOST_KEY_BYTES, DeviceKey
from poliqi.node.devicetalk import ANSWER_S, HELLO_S, DeviceTalk

__all__ = ["Leading"]

_SLICE_S: Final = 1.0
_MOST_AT_ONCE: Final = 64
_ATTEMPTS: Final = 2
_LATER_FIRST_S: Final = 1.0
_LATER_MOST_S: Final = 60.0


class Leading(DeviceTalk):
    """Gathers keys until they make a block; keys that were announced in vain are announced once more."""

    async def talk(self) -> None:
        """Meet, gather keys, offer them."""
        store = self.at.store
        link = store.link
        lanes = await asyncio.to_thread(store.lanes)
        end = Leader(link.link_id, link.pair_id, lanes, self.at.entropy, store.last)
        frame = end.hello()
        await self.mark(end)
        await self.send(frame)
        frame = end.welcome(await self.read(Hello, HELLO_S))
        await self.mark(end)
        await self.send(frame)
        self.met()
        while not (self.at.is_over() or self.at.is_full()):
            self.watch(Have)
            if not await self._gather():
                return
            if not await self._offer(end):
                return

    async def _gather(self) -> bool:
        """Take keys until they make a block; False where there is nothing to announce and no use in waiting."""
        at, g = self.at, self.at.progress.gathered
        while not at.stopping.is_set():
            self.check_peer()
            size, now = sum(len(key.bits) for key in g.keys), time.monotonic()
            left_s = g.since + at.terms.gather_s - now if g.keys else _SLICE_S
            if g.keys and (left_s <= 0 or size >= at.terms.block_bytes or len(g.keys) >= MOST_KEYS or g.announced):
                return True
            each = len(g.keys[-1].bits) if g.keys else MOST_KEY_BYTES
            most = max(
                1, min((at.terms.block_bytes - size) // max(1, each), _MOST_AT_ONCE, MOST_KEYS - len(g.keys))
            )
            keys = await self._fresh(most, min(_SLICE_S, left_s))
            if keys and not g.keys:
                g.since = time.monotonic()
            g.keys += keys
            if (
                not keys and time.monotonic() - now < left_s / 2
            ):  # a driver that does not wait must not make us spin
                await self.pause(min(_SLICE_S, left_s))
        return bool(g.keys)

    async def _fresh(self, most: int, timeout_s: float) -> list[DeviceKey]:
        """Fresh keys; none where the device is away, after a pause."""
        try:
            await self.tell_settled()  # or it might give again what was stored before a crash
            keys = await self.at.device.fresh(most, timeout_s)
        except (LinkDown, ProtocolError, ConfigError) as error:
            await self._device_down(error)
            return []
        self.at.light.device("")
        return keys

    async def _device_down(self, error: PoliqiError) -> None:
        """Say it once, wait longer and longer."""
        at, text = self.at, str(error)
        at.light.device(text)
        at.progress.later_s = min(max(2 * at.progress.later_s, _LATER_FIRST_S), _LATER_MOST_S)
        at.say("device", f"{text}; tried again in {at.progress.later_s:g} s", retry_s=at.progress.later_s)
        await self.pause(at.progress.later_s)

    async def _offer(self, end: Leader) -> bool:
        """Announce a block and see it through; False where the connection has to be made anew."""
        at, g = self.at, self.at.progress.gathered
        if g.announced >= _ATTEMPTS:
            await self._give_up(
                g.batch(at.terms.block_bytes), f"{len(g.keys)} keys were announced in vain: dropped"
            )
            return True
        keys = g.batch(at.terms.block_bytes)
        why = await asyncio.to_thread(at.judge.refusal, keys)
        if why is not None:
            await self._give_up(keys, "")
            await self.fault(why)
            return True
        g.announced += 1
        await self.send(end.announce(keys))
        outcome = end.answered(await self.read(Have, at.terms.wait_s + ANSWER_S))
        if isinstance(outcome, JoinedKeys):
            await self._store(end, outcome, keys)
            return True
        if outcome.is_later:
            g.announced = 0
            await self._later(outcome.reason)
            return not at.stopping.is_set()
        if outcome.differs:
            frame = end.settle(outcome)
            await self.mark(end)
            await self.send(frame)
        await self._give_up(keys, "")
        await self.fault(outcome.reason, is_alarm=outcome.differs)
        return not outcome.differs

    async def _store(self, end: Leader, block: JoinedKeys, keys: Sequence[DeviceKey]) -> None:
        at, kept = self.at, set(block.names)

        def keep() -> bytes:
            marks = at.judge.marks([key for key in keys if key.name in kept])
            frame = end.settle(block)
            at.store.store(block, marks, end.marks())
            at.judge.remember(marks)
            return frame

        await self.send(await asyncio.to_thread(keep))
        await self.on_block(block, len(keys))
        await self._give_up(keys, "")

    async def _give_up(self, keys: Sequence[DeviceKey], text: str) -> None:
        """These keys are stored or lost: wipe them, and let the device forget them."""
        if text:
            self.at.say("dropped", text, keys=len(keys))
        names = [key.name for key in keys]
        self.at.progress.gathered.drop(len(keys))
        await self.forget(names)

    async def _later(self, reason: str) -> None:
        at = self.at
        at.progress.later_s = min(max(2 * at.progress.later_s, _LATER_FIRST_S), _LATER_MOST_S)
        at.light.fault(reason)
        text = f"the other end takes no keys now: {reason}; asked again in {at.progress.later_s:g} s"
        at.say("waiting", text, reason=reason, retry_s=at.progress.later_s)
        await self.pause(at.progress.later_s)
