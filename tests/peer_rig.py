"""Two sites' networks on one loop, for tests of the streams between sites."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from poliqi.base.ids import KmeId
from poliqi.edge.network import Address
from poliqi.edge.peers import PeerNetwork, PeerTlsFiles
from poliqi.edge.peerstream import PeerStream

Handler = Callable[[PeerStream], Awaitable[None]]
ANYWHERE = Address("127.0.0.1", 0)


class Collector:
    """Keeps every stream until the test is over."""

    def __init__(self) -> None:
        self.streams: asyncio.Queue[PeerStream] = asyncio.Queue()

    async def __call__(self, stream: PeerStream) -> None:
        self.streams.put_nowait(stream)
        await stream.wait_ended()

    async def next(self) -> PeerStream:
        return await asyncio.wait_for(self.streams.get(), 10)


@asynccontextmanager
async def listening(
    own: KmeId, files: PeerTlsFiles, peers: dict[KmeId, Address | None], on_stream: Handler, **more: object
) -> AsyncIterator[tuple[PeerNetwork, Address]]:
    network = PeerNetwork(own, files, ANYWHERE, peers, on_stream, **more)  # type: ignore[arg-type]
    bound = await network.start()
    assert bound is not None
    try:
        yield network, bound
    finally:
        await network.close()


@asynccontextmanager
async def calling(
    own: KmeId, files: PeerTlsFiles, peers: dict[KmeId, Address | None], on_stream: Handler, **more: object
) -> AsyncIterator[PeerNetwork]:
    network = PeerNetwork(own, files, None, peers, on_stream, **more)  # type: ignore[arg-type]
    await network.start()
    try:
        yield network
    finally:
        await network.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
