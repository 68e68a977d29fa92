"""The courier: brings keys while a link goes on, says each reason once, and stops the link when too much waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ingest_desk import IngestDesk, short_folder
from link_states import LINK, WORDS, make_block, make_state

from poliqi.base.errors import StoreError
from poliqi.base.ids import BlockNumber
from poliqi.distill.outcome import Confirm
from poliqi.edge.ingest_server import IngestServer
from poliqi.edge.ingest_sink import SiteSink
from poliqi.edge.store import LinkStore
from poliqi.keys.requests import Reason, Refused
from poliqi.node import courier as module
from poliqi.node.courier import Courier


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


class Bench:
    """A courier at work between a state and a site that can be opened and closed."""

    def __init__(self, folder: Path, store: LinkStore, most_bytes: int) -> None:
        self.store, self.desk, self.said = store, IngestDesk(), list[tuple[str, dict[str, Any]]]()
        self.path = folder / "ingest"
        self.sink = SiteSink(self.path, LINK, "0" * 16, timeout_s=5)
        self.courier = Courier(store, self.sink, lambda _, text, **more: self.said.append((text, more)), most_bytes)
        self.server: IngestServer | None = None
        self._number = 0

    async def open(self) -> None:
        self.server = IngestServer(self.desk.desk, self.path)
        await self.server.open()

    async def close(self) -> None:
        if self.server is not None:
            await self.server.close()
            self.server = None

    async def confirm(self, key: bytes = bytes(100)) -> None:
        self._number += 1
        number = self._number
        marks = [make_block(number, key, first=WORDS + 2 * (number - 1)), Confirm(BlockNumber(number))]
        await asyncio.to_thread(self.courier.apply, marks)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)


def work(
    folder: Path, tmp_path: Path, use: Callable[[Bench], Coroutine[Any, Any, None]], most_bytes: int = 1 << 20
) -> None:
    async def run(store: LinkStore) -> None:
        bench = Bench(folder, store, most_bytes)
        with closing(bench.sink):
            try:
                await use(bench)
            finally:
                await bench.close()

    with closing(LinkStore(make_state(tmp_path / "state"))) as store:
        store.deliver_later()
        asyncio.run(run(store))


def test_keys_are_on_their_way_as_soon_as_they_are_confirmed(folder: Path, tmp_path: Path) -> None:
    async def use(b: Bench) -> None:
        await b.open()
        running = asyncio.create_task(b.courier.run())
        for count in (1, 2, 3):
            await b.confirm()
            await b.until(lambda: len(b.desk.held) == count)  # noqa: B023 (awaited before the next turn)
        await b.courier.finish(running)
        assert [text for text, _ in b.said] == ["keys go to site:leonardo"]
        assert (b.store.waiting_bytes, b.courier.waiting_bytes) == (0, 0)

    work(folder, tmp_path, use)


def test_site_that_is_away_is_named_once_and_gets_all_when_it_is_back(folder: Path, tmp_path: Path) -> None:
    async def use(b: Bench) -> None:
        running = asyncio.create_task(b.courier.run())
        for _ in range(3):
            await b.confirm()
        await b.until(lambda: bool(b.said))
        await asyncio.sleep(0.3)  # several attempts
        assert len(b.said) == 1 and "cannot be reached" in b.said[0][0]
        await b.open()
        await b.until(lambda: len(b.desk.held) == 3)
        await b.courier.finish(running)
        assert b.said[1][0] == "the site takes keys"
        assert len(b.said) == 2

    work(folder, tmp_path, use)


def test_refusal_that_time_does_not_mend_is_said_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LASTING_FIRST_S", 0.01)

    async def use(b: Bench) -> None:
        b.desk.refusal = Refused(Reason.NOT_PERMITTED, "the policy takes no simulated light")
        await b.open()
        running = asyncio.create_task(b.courier.run())
        await b.confirm()
        await b.until(lambda: len(b.desk.calls) >= 3)
        refusals = [more for text, more in b.said if "the policy takes no simulated light" in text]
        assert [more["lasting"] for more in refusals] == [True]
        await b.courier.finish(running)
        assert b.store.waiting_bytes == 100

    work(folder, tmp_path, use)


def test_too_much_waiting_stops_the_link_until_half_of_it_is_gone(folder: Path, tmp_path: Path) -> None:
    async def use(b: Bench) -> None:
        running = asyncio.create_task(b.courier.run())
        await b.confirm()
        await b.confirm()
        await asyncio.sleep(0)
        assert not b.courier.is_full
        await b.confirm()
        await b.until(lambda: b.courier.is_full)
        await b.until(lambda: "cannot be reached" in b.courier.why_full)
        assert "300 bytes of key wait for the site" in b.courier.why_full
        await b.open()
        await asyncio.wait_for(b.courier.room(), 10)
        assert b.store.waiting_bytes <= 150
        await b.courier.finish(running)

    work(folder, tmp_path, use, most_bytes=300)


def test_end_brings_what_still_waits(folder: Path, tmp_path: Path) -> None:
    async def use(b: Bench) -> None:
        await b.confirm()
        await b.confirm()
        await b.open()
        running = asyncio.create_task(b.courier.run())
        await b.courier.finish(running)
        assert len(b.desk.held) == 2

    work(folder, tmp_path, use)


def test_second_signal_ends_the_wait_for_a_slow_site(folder: Path, tmp_path: Path) -> None:
    async def use(b: Bench) -> None:
        b.desk.gate = asyncio.Event()
        await b.open()
        running = asyncio.create_task(b.courier.run())
        await b.confirm()
        await b.until(lambda: bool(b.desk.calls))
        b.courier.abort()
        await asyncio.wait_for(running, 5)
        b.desk.gate.set()
        assert b.store.waiting_bytes == 100

    work(folder, tmp_path, use)


def test_state_that_fails_ends_the_courier(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(b: Bench) -> None:
        def fail(_: object) -> None:
            raise StoreError("disk full")

        await b.open()
        monkeypatch.setattr(b.store, "_delivered", fail)
        await b.confirm()
        with pytest.raises(StoreError, match="disk full"):
            await asyncio.wait_for(b.courier.run(), 10)

    work(folder, tmp_path, use)
