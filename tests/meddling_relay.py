"""A machine in the middle of two ends' TCP connection: it reads frames and lets arrive what it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Meddle = Callable[[int, bytes], list[bytes]]
"""(number of the frame since the start, in whatever direction; its payload) to the payloads that arrive."""


@asynccontextmanager
async def meddling_relay(port: int, meddle: Meddle) -> AsyncIterator[int]:
    """A port of this machine from which connections are carried to `port`; frames have a length of 4 bytes."""
    carried: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []
    count = 0

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(4)
                frame = await reader.readexactly(int.from_bytes(header, "big"))
                number, count = count, count + 1
                for arriving in meddle(number, frame):
                    writer.write(len(arriving).to_bytes(4, "big") + arriving)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, far_writer))
        carried.append(asyncio.create_task(carry(reader, far_writer)))
        carried.append(asyncio.create_task(carry(far_reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for task in carried:
                task.cancel()
            await asyncio.gather(*carried, return_exceptions=True)
            for writer in writers:
                writer.transport.abort()
