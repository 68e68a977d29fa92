"""A key device in a thread of its own: opened when needed, opened again after it failed, never waited for long.

A driver may be anybody's. What it raises on purpose passes; anything else, and an answer that does not come,
counts as LinkDown, and its words are not repeated, since key could stand in them.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar, cast

from poliqi.base.errors import LinkDown, PoliqiError, ProtocolError
from poliqi.base.secret import SecretBytes
from poliqi.edge.sources.catalogue import Opener
from poliqi.link.keydevice import DeviceKey, KeyDevice, Settling

__all__ = ["HeldDevice"]

T = TypeVar("T")

_GRACE_S: Final = 15.0
"""How much longer than asked for an answer may take."""
_OPEN_S: Final = 30.0
_CLOSE_S: Final = 2.0


class HeldDevice:
    """The device as an asyncio process uses it, one call at a time. Errors are those of `KeyDevice`."""

    def __init__(self, opener: Opener, *, grace_s: float = _GRACE_S) -> None:
        self._opener: Final = opener
        self._grace_s: Final = grace_s
        self._device: KeyDevice | None = None
        self._thread: _Thread | None = None

    async def open(self) -> str:
        """Open it where it is not; its description."""
        device = await self._opened()
        return await self._ask(lambda: str(device.description), 0.0)

    async def fresh(self, most: int, timeout_s: float) -> list[DeviceKey]:
        """As `KeyDevice.fresh`."""
        device = await self._opened()
        keys: object = await self._ask(lambda: device.fresh(most, timeout_s), timeout_s)
        found = self._keys(keys)
        if len(found) > most or None in found:
            await self.close()
            raise ProtocolError(f"the device gave {len(found)} keys where at most {most} were asked for")
        return [key for key in found if key is not None]

    async def named(self, names: Sequence[str], timeout_s: float) -> list[DeviceKey | None]:
        """As `KeyDevice.named`."""
        device = await self._opened()
        keys: object = await self._ask(lambda: device.named(list(names), timeout_s), timeout_s)
        found = self._keys(keys)
        if len(found) != len(names) or any(
            key and key.name != name for key, name in zip(found, names, strict=True)
        ):
            await self.close()
            raise ProtocolError(f"the device gave other keys than the {len(names)} that were named")
        return found

    async def settled(self, names: Sequence[str]) -> None:
        """As `Settling.settled`, where the device wants to know."""
        device = await self._opened()
        if isinstance(device, Settling) and names:
            settling = device
            await self._ask(lambda: settling.settled(list(names)), 0.0)

    async def _opened(self) -> KeyDevice:
        device = self._device
        if device is None:
            self._thread = _Thread()
            self._device = device = await self._wait(self._thread.call(self._opener), _OPEN_S)
        return device

    def _keys(self, given: object) -> list[DeviceKey | None]:
        if not isinstance(given, list):
            raise ProtocolError(f"the device gave a {type(given).__name__} where a list of keys was due")
        found: list[DeviceKey | None] = []
        for key in cast("list[object]", given):
            if key is None:
                found.append(None)
            elif isinstance(key, DeviceKey) and _is_whole(key.name, key.bits):
                found.append(key)
            else:
                raise ProtocolError(f"the device gave a {type(key).__name__} that is no key with name and bits")
        return found

    async def _ask(self, ask: Callable[[], T], timeout_s: float) -> T:
        assert self._thread is not None
        return await self._wait(self._thread.call(ask), timeout_s + self._grace_s)

    async def _wait(self, answer: asyncio.Future[T], limit_s: float) -> T:
        try:
            return await asyncio.wait_for(answer, limit_s)
        except TimeoutError:
            await self.close()
            raise LinkDown(f"the device does not answer within {limit_s:g} s") from None
        except PoliqiError:
            await self.close()
            raise
        except Exception as error:
            await self.close()
            raise LinkDown(f"the device's driver failed: {type(error).__name__} at {_place(error)}") from None

    async def close(self) -> None:
        """Let go of the device; one that hangs is left behind."""
        device, self._device = self._device, None
        thread, self._thread = self._thread, None
        if device is not None:
            closing = _Thread()
            with suppress(Exception):  # it is let go of, whatever it says
                await asyncio.wait_for(closing.call(device.close), _CLOSE_S)
            closing.end()
        if thread is not None:
            thread.end()


def _is_whole(name: object, bits: object) -> bool:
    return isinstance(name, str) and isinstance(bits, SecretBytes)


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


class _Thread:
    """A daemon that does one thing after another: a driver that hangs in it does not hold up the process's end."""

    def __init__(self) -> None:
        self._work: Final[SimpleQueue[Callable[[], None] | None]] = SimpleQueue()
        threading.Thread(target=self._run, name="key device", daemon=True).start()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def call(self, what: Callable[[], T]) -> asyncio.Future[T]:
        """Its result, in this loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: Any, error: Exception | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)

        def work() -> None:
            result: Any = None
            failure: Exception | None = None
            try:
                result = what()
            except Exception as error:  # whatever a driver raises goes to who asked
                failure = error
            with suppress(RuntimeError):  # the loop is over
                loop.call_soon_threadsafe(settle, result, failure)

        self._work.put(work)
        return future

    def end(self) -> None:
        """No more of it."""
        self._work.put(None)
