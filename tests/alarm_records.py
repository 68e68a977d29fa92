"""Alarms as outlets are told of them, and tests that run on an event loop."""

from __future__ import annotations

import asyncio
import functools
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from poliqi.control.causes import cause_advice, cause_line
from poliqi.control.events import Language, Severity
from poliqi.edge.outlet import AlarmRecord

__all__ = ["Handler", "on_loop", "record", "serving"]

VALUES: dict[str, str | int | float] = {"span": "fibre-a-b", "links": "a-b"}


def record(
    number: int = 7, *, severity: Severity = Severity.CRITICAL, is_over: bool = False, text: str | None = None
) -> AlarmRecord:
    """An alarm about a cut span."""
    texts = {language: text or cause_line("span-cut", VALUES, language) for language in Language}
    return AlarmRecord(
        city="milan",
        controller="control",
        number=number,
        cause="span-cut",
        severity=severity,
        is_over=is_over,
        since_s=1_700_000_000.0,
        at_s=time.time(),
        site=None,
        link=None,
        span="fibre-a-b",
        text=texts,
        advice={language: cause_advice("span-cut", VALUES, language) for language in Language},
        rivals=("device-failed",),
        explains=("a-b: no light arrives at a",),
        explained=4,
        is_simulated=True,
    )


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs on an event loop of its own, for 20 s at most."""

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **named), 20.0))

    return run


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on loopback, its port; every connection is over when it ends."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.wait_for(writer.wait_closed(), 1.0)

    server = await asyncio.start_server(handle, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
