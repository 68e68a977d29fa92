"""News of light on the ingest socket: passed on as they come, one link a connection, silent when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ingest_desk import IngestDesk, short_folder

from poliqi.control.lightframe import encode_light
from poliqi.control.messages import LightState, LinkReport
from poliqi.edge.ingest_light import tell_of_light
from poliqi.edge.ingest_server import IngestServer
from poliqi.keys.ingest import decode_answer, decode_greeting
from poliqi.keys.requests import Accepted, Reason, Refused

LIT = LinkReport(link="east-west", state=LightState.LIT, key_rate_bps=1000.0, blocks=3)
DARK = LinkReport(link="east-west", state=LightState.DARK, reason="cut")


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def at(cls, path: Path) -> Client:
        made = cls(*await asyncio.open_unix_connection(str(path)))
        made.greeting = decode_greeting(await made.read())
        return made

    async def read(self) -> bytes:
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return await self.reader.readexactly(size)

    async def tell(self, frame: bytes) -> Accepted | Refused:
        self.writer.write(len(frame).to_bytes(4, "big") + frame)
        return decode_answer(await self.read())

    async def leave(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


def serve(folder: Path, use: Callable[[Path, list[LinkReport]], Coroutine[Any, Any, None]], **options: Any) -> None:
    heard: list[LinkReport] = []

    async def run() -> None:
        server = IngestServer(IngestDesk().desk, folder / "ingest", **({"on_light": heard.append} | options))
        await server.open()
        try:
            async with asyncio.timeout(20):
                await use(folder / "ingest", heard)
        finally:
            await server.close()

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_reports_are_passed_on_and_the_end_of_the_connection_is_silence(folder: Path) -> None:
    async def use(path: Path, heard: list[LinkReport]) -> None:
        client = await Client.at(path)
        assert client.greeting.takes == {"light"}
        assert await client.tell(encode_light(LIT)) == Accepted()
        assert await client.tell(encode_light(DARK)) == Accepted()
        assert heard == [LIT, DARK]
        await client.leave()
        await until(lambda: len(heard) == 3)
        assert (heard[2].link, heard[2].state) == ("east-west", LightState.SILENT)

    serve(folder, use)


def test_a_connection_speaks_for_one_link(folder: Path) -> None:
    async def use(path: Path, heard: list[LinkReport]) -> None:
        client = await Client.at(path)
        await client.tell(encode_light(LIT))
        answer = await client.tell(encode_light(msgspec.structs.replace(LIT, link="north-south")))
        assert isinstance(answer, Refused) and answer.reason is Reason.BAD_REQUEST
        assert heard == [LIT]
        await client.leave()

    serve(folder, use)


def test_a_newer_connection_of_a_link_takes_its_place(folder: Path) -> None:
    async def use(path: Path, heard: list[LinkReport]) -> None:
        first, second = await Client.at(path), await Client.at(path)
        await first.tell(encode_light(LIT))
        await second.tell(encode_light(DARK))
        await first.leave()
        await second.tell(encode_light(LIT))
        assert [r.state for r in heard] == [LightState.LIT, LightState.DARK, LightState.LIT]
        await second.leave()
        await until(lambda: heard[-1].state is LightState.SILENT)
        assert len(heard) == 4

    serve(folder, use)


def test_a_broken_report_is_refused_and_the_next_one_heard(folder: Path) -> None:
    async def use(path: Path, heard: list[LinkReport]) -> None:
        client = await Client.at(path)
        for broken in (["light", 1, "x"], ["light", 1, "a/b", "lit", *[None] * 6, 0, 0.0, ""], ["light"]):
            answer = await client.tell(msgspec.msgpack.encode(broken))
            assert isinstance(answer, Refused) and answer.reason is Reason.BAD_REQUEST
        assert await client.tell(encode_light(LIT)) == Accepted()
        assert heard == [LIT]
        await client.leave()

    serve(folder, use)


def test_a_site_without_an_ear_for_light_says_so(folder: Path) -> None:
    async def use(path: Path, heard: list[LinkReport]) -> None:
        client = await Client.at(path)
        assert client.greeting.takes == frozenset()
        assert isinstance(await client.tell(encode_light(LIT)), Refused)
        await client.leave()

    serve(folder, use, on_light=None)


def test_changes_are_told_at_once_and_a_site_that_comes_back_hears_again(folder: Path) -> None:
    now = [LIT]
    heard: list[LinkReport] = []

    async def run() -> None:
        telling = asyncio.create_task(tell_of_light(folder / "ingest", lambda: now[0]))
        for _ in range(2):
            before = len(heard)
            server = IngestServer(IngestDesk().desk, folder / "ingest", on_light=heard.append)
            await server.open()
            await until(lambda: len(heard) > before)  # noqa: B023 (called at once)
            now[0] = DARK if now[0] is LIT else LIT
            await until(lambda: heard[-1] == now[0])
            assert len(heard) <= before + 5, "no more than changes, and one a second"
            await server.close()
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)

    asyncio.run(run())
