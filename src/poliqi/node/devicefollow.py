"""The following end of a key device on one connection: gets the announced keys, holds them, stores or burns."""

from __future__ import annotations

import asyncio
from typing import Final

from poliqi.base.errors import ConfigError, LinkDown, ProtocolError
from poliqi.keys.devices.messages import Announce, Hello, Settle, Welcome
from poliqi.keys.devices.pairing import Dropped, Follower
from poliqi.link.keydevice import MOST_KEY_BYTES, DeviceKey
from poliqi.node.devicetalk import ANSWER_S, HELLO_S, MOST_BLOCK_BYTES, DeviceTalk

__all__ = ["Following"]

_TEND_S: Final = 15.0
_MOST_BYTES: Final = MOST_BLOCK_BYTES + MOST_KEY_BYTES
"""A leading end announces no more: it stops gathering from the first of these on, with one key more at most."""


class Following(DeviceTalk):
    """Answers announcements; a block is held, durable, before it is said that it is kept."""

    async def talk(self) -> None:
        """Meet, settle what was left open, answer what is announced."""
        at, link = self.at, self.at.store.link
        lanes = await asyncio.to_thread(at.store.lanes)
        end = Follower(link.link_id, link.pair_id, lanes, at.entropy, at.store.highest)
        frame = end.hello(await self.read(Hello, HELLO_S))
        await self.mark(end)
        await self.send(frame)
        welcome = await self.read(Welcome, HELLO_S)
        number = await self.checked(end, lambda: end.welcomed(welcome))
        marks = await asyncio.to_thread(at.store.settle, number, end.marks())
        if marks is not None:
            await asyncio.to_thread(at.judge.remember, marks)
            at.stored()
            at.say("settled", f"block {number}: the leading end had stored it", number=number)
        self.met()
        while not at.is_over():
            self.watch(Announce)
            frame = await self.next_or_stop(_TEND_S)
            if frame is not None:
                await self._answer(end, end.announced(frame))
            elif at.stopping.is_set():
                return
            else:
                await self._tend()

    async def _tend(self) -> None:
        """Nothing is asked for: is the device there? Some wait for both ends before they give keys to one."""
        try:
            await self.tell_settled()
            await self.at.device.named([], 0.0)
        except (LinkDown, ProtocolError, ConfigError) as error:
            if self.at.light.device(str(error)):
                self.at.say("device", str(error))
        else:
            self.at.light.device("")

    async def _answer(self, end: Follower, names: list[str]) -> None:
        at = self.at
        keys, refusal, is_later = await self._named(names)
        found = [key for key in keys if key is not None]
        why = (
            None
            if refusal or not found
            else (_too_large(found) or await asyncio.to_thread(at.judge.refusal, found))
        )
        frame, block = end.have(keys, why or refusal, is_later=is_later)
        if block is None:
            await self.send(frame)
            for key in found:
                key.bits.close()
            if why is not None:
                await self.forget(names)
                await self.fault(why, pause=False)
            return
        held, marks = block, await asyncio.to_thread(at.judge.marks, found)
        await asyncio.to_thread(lambda: at.store.hold(held, marks, end.marks()))
        await self.send(frame)
        try:
            told = await self.read(Settle, ANSWER_S)
            outcome = await self.checked(end, lambda: end.settled(told))
        finally:
            for key in found:
                key.bits.close()
        stored = None if isinstance(outcome, Dropped) else outcome.number
        await asyncio.to_thread(lambda: at.store.settle(stored, end.marks()))
        if isinstance(outcome, Dropped):
            held.key.close()
            await self.forget(names)
            await self.fault(outcome.reason, pause=False)
            return
        await asyncio.to_thread(at.judge.remember, marks)
        await self.on_block(outcome, len(names))
        await self.forget(names)

    async def _named(self, names: list[str]) -> tuple[list[DeviceKey | None], str, bool]:
        """The keys, why none can be had, and whether they may be announced again."""
        at, none = self.at, [None] * len(names)
        if at.is_full():
            return [*none], "the site at the following end takes no keys", True
        try:
            keys = await at.device.named(names, at.terms.wait_s)
        except (LinkDown, ProtocolError, ConfigError) as error:
            at.light.device(str(error))
            at.say("device", str(error))
            return [*none], f"the following end's device: {error}", True
        at.light.device("")
        missing = sum(key is None for key in keys)
        if missing:
            at.say("missing", f"this end's device lacks {missing} of {len(names)} keys", keys=missing)
        return keys, "", False


def _too_large(keys: list[DeviceKey]) -> str | None:
    """Why these are no block, or None."""
    size = sum(len(key.bits) for key in keys)
    if size <= _MOST_BYTES:
        return None
    return f"{len(keys)} announced keys have {size} bytes, a block has at most {_MOST_BYTES}"
