"""A peer that went away may be starting anew: requests wait for it a while, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from poliqi.base.ids import KmeId, SaeId
from poliqi.edge import kme as driver_module
from poliqi.edge.kme import KmeDriver
from poliqi.keys.desk_state import EventKind, KmeEvent
from poliqi.keys.requests import Accepted, KeyOrder, Reason, Refused, Ticket

ORDER = KeyOrder(SaeId("bank-a"), (SaeId("bank-b"),), 1, 256)


class Core:
    """A key management that answers as it is told."""

    def __init__(self) -> None:
        self.site = KmeId("a")
        self.answer: Any = Refused(Reason.PEER_DOWN, "site b is not connected")
        self.events: list[KmeEvent] = []
        self.asked = 0
        self.state = SimpleNamespace(links={})

    def order(self, _order: KeyOrder, _now: float) -> Ticket:
        self.asked += 1
        ticket = Ticket()
        ticket.settle(self.answer)
        return ticket

    def take_marks(self) -> tuple[list[object], int]:
        return [], 0

    def take_frames(self) -> dict[str, list[bytes]]:
        return {}

    def take_notices(self) -> list[object]:
        return []

    def take_events(self) -> list[KmeEvent]:
        events, self.events = self.events, []
        return events

    def flush(self, _now: float) -> None: ...

    def tick(self, _now: float) -> list[str]:
        return []

    def next_timeout(self, now: float) -> float:
        return now + 0.25

    def close(self) -> None: ...


def run(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, work: Callable[[KmeDriver, Core], Awaitable[None]]
) -> None:
    monkeypatch.setattr(driver_module, "_PATIENCE_S", patience_s)

    async def main() -> None:
        core = Core()
        driver = KmeDriver(core, None, lambda _event: None, lambda _reason: None)  # type: ignore[arg-type]
        driver.start()
        try:
            await asyncio.wait_for(work(driver, core), 10)
        finally:
            await driver.close()

    asyncio.run(main())


def test_a_request_waits_until_its_peer_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(driver: KmeDriver, core: Core) -> None:
        asked = asyncio.ensure_future(driver.order(ORDER))
        await asyncio.sleep(0)
        assert not asked.done()
        core.answer = Accepted()
        core.events.append(KmeEvent(EventKind.PEER_UP, "connected with b", KmeId("b")))
        driver.kick()
        assert await asked == Accepted()

    run(monkeypatch, 30.0, work)


def test_a_peer_that_stays_away_is_not_waited_for_any_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(driver: KmeDriver, core: Core) -> None:
        assert await driver.order(ORDER) == core.answer
        asked = core.asked
        assert await driver.order(ORDER) == core.answer
        assert core.asked == asked + 1

    run(monkeypatch, 0.05, work)


def test_other_refusals_are_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(driver: KmeDriver, core: Core) -> None:
        core.answer = Refused(Reason.INSUFFICIENT, "not enough key")
        assert await driver.order(ORDER) == core.answer
        assert core.asked == 1

    run(monkeypatch, 30.0, work)


def test_a_crowd_does_not_wait_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "_WAITING_MOST", 3)

    async def work(driver: KmeDriver, core: Core) -> None:
        asked = [asyncio.ensure_future(driver.order(ORDER)) for _ in range(5)]
        await asyncio.sleep(0)
        assert [a.done() for a in asked] == [False, False, False, True, True]
        await driver.close()
        assert all(outcome == core.answer for outcome in await asyncio.gather(*asked))

    run(monkeypatch, 30.0, work)


def test_no_key_is_made_for_whoever_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(driver: KmeDriver, core: Core) -> None:
        asked = asyncio.ensure_future(driver.order(ORDER))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.sleep(0)
        core.answer, before = Accepted(), core.asked
        core.events.append(KmeEvent(EventKind.PEER_UP, "connected with b", KmeId("b")))
        driver.kick()
        for _ in range(10):
            await asyncio.sleep(0)
        assert core.asked == before

    run(monkeypatch, 30.0, work)


def test_other_peers_that_come_and_go_make_nobody_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(driver: KmeDriver, core: Core) -> None:
        asked = asyncio.ensure_future(driver.order(ORDER))
        for _ in range(100):
            driver._be_patient()  # as whenever the stream of some peer ends
            core.events.append(KmeEvent(EventKind.PEER_UP, "connected with c", KmeId("c")))
            driver.kick()
            await asyncio.sleep(0.01)
            if asked.done():
                return
        raise AssertionError("the request waits for ever")

    run(monkeypatch, 0.1, work)
