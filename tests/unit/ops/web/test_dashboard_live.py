"""Live pages: each patch is made once for all who see the same, only what differs is sent, streams end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from dashboard_rig import Rig

from poliqi.control.events import Language
from poliqi.ops.web import Action, ActionKind, DashboardSettings, Role
from poliqi.ops.web import live as live_module
from poliqi.ops.web.live import Broadcast, ChannelKey

KEY = ChannelKey("/", Language.ENGLISH, Role.VIEWER)
ITALIAN = ChannelKey("/", Language.ITALIAN, Role.VIEWER)


class Browser:
    """A viewer's end of a stream. `slow`: it takes nothing until told."""

    def __init__(self, slow: bool = False) -> None:
        self.got: list[bytes] = []
        self.gone = asyncio.Event()
        self.takes = asyncio.Event()
        if not slow:
            self.takes.set()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.got.append(message.get("body", b""))

    @property
    def patches(self) -> list[dict[str, str]]:
        return [
            json.loads(line[6:]) for part in self.got for line in part.splitlines() if line.startswith(b"data: ")
        ]


class Pieces:
    """What a page is made of now; counts how often it was rendered, by channel."""

    def __init__(self) -> None:
        self.now = {"live-a": "1", "live-b": "1", "title": "t", "main": "all 1"}
        self.rendered: list[ChannelKey] = []
        self.fails: set[ChannelKey] = set()

    def __call__(self, key: ChannelKey, _snapshot: Any) -> dict[str, str]:
        self.rendered.append(key)
        if key in self.fails:
            raise ValueError("a template")
        return dict(self.now)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.002)


def run(test: Callable[[Rig, Pieces, Broadcast], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a test of a broadcast that needs no patience; what it complained of."""
    monkeypatch.setattr(live_module, "SPACING_S", 0.001)
    rig, pieces = Rig(), Pieces()

    async def go() -> None:
        broadcast = Broadcast(rig.city, rig.dashboard.look, pieces, 100, rig.complaints.append)
        try:
            await test(rig, pieces, broadcast)
        finally:
            await broadcast.close()

    asyncio.run(go())
    return rig.complaints


def watch(
    broadcast: Broadcast,
    browser: Browser,
    key: ChannelKey = KEY,
    holds: Callable[[], bool] = lambda: True,
    who: tuple[str, str] = ("anna", "192.0.2.7"),
) -> asyncio.Task[None]:
    return asyncio.create_task(broadcast.serve(key, holds, who, browser.receive, browser.send))


def test_who_comes_gets_everything_then_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        browser = Browser()
        watch(broadcast, browser)
        await until(lambda: len(browser.patches) == 1)
        assert browser.patches == [{"main": "all 1", "title": "t"}]
        pieces.now |= {"live-b": "2", "main": "all 2"}
        rig.city.stir()
        await until(lambda: len(browser.patches) == 2)
        assert browser.patches[1] == {"live-b": "2"}

    run(test, monkeypatch)


def test_other_pieces_are_sent_as_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        browser = Browser()
        watch(broadcast, browser)
        await until(lambda: len(browser.patches) == 1)
        pieces.now |= {"live-c": "1", "main": "all with c"}
        rig.city.stir()
        await until(lambda: len(browser.patches) == 2)
        assert browser.patches[1]["main"] == "all with c"

    run(test, monkeypatch)


def test_a_patch_is_rendered_once_for_all_who_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        browsers = [Browser() for _ in range(9)]
        for browser in browsers[:6]:
            watch(broadcast, browser)
        for browser in browsers[6:]:
            watch(broadcast, browser, ITALIAN)
        await until(lambda: all(len(b.patches) == 1 for b in browsers))
        assert broadcast.viewers == 9
        pieces.rendered.clear()
        pieces.now["live-a"] = "2"
        rig.city.stir()
        await until(lambda: all(len(b.patches) == 2 for b in browsers))
        assert pieces.rendered == [KEY, ITALIAN]

    run(test, monkeypatch)


def test_who_is_slow_holds_nobody_up_and_gets_everything_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        quick, slow = Browser(), Browser(slow=True)
        watch(broadcast, quick)
        watch(broadcast, slow)
        await until(lambda: len(quick.patches) == 1)
        for n in range(2, 6):
            pieces.now |= {"live-a": str(n), "main": f"all {n}"}
            rig.city.stir()
            await until(lambda n=n: quick.patches[-1:] == [{"live-a": str(n)}])
        slow.takes.set()
        await until(lambda: len(slow.patches) == 2)
        assert slow.patches[-1]["main"] == "all 5"

    run(test, monkeypatch)


def test_a_closed_browser_ends_its_stream_and_the_last_one_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        browsers = [Browser(), Browser()]
        tasks = [watch(broadcast, b) for b in browsers]
        await until(lambda: broadcast.viewers == 2)
        browsers[0].gone.set()
        await tasks[0]
        assert broadcast.viewers == 1
        browsers[1].gone.set()
        await tasks[1]
        rig.city.stir()
        await asyncio.sleep(0.01)
        pieces.rendered.clear()
        rig.city.stir()
        await asyncio.sleep(0.01)
        assert pieces.rendered == []
        again = Browser()
        watch(broadcast, again)
        await until(lambda: len(again.patches) == 1)
        pieces.now["live-a"] = "9"
        rig.city.stir()
        await until(lambda: len(again.patches) == 2)

    run(test, monkeypatch)


def test_a_login_that_ended_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        holds = [True]
        task = watch(broadcast, Browser(), KEY, lambda: holds[0])
        await until(lambda: broadcast.viewers == 1)
        holds[0] = False
        rig.city.stir()
        await asyncio.wait_for(task, 5.0)

    run(test, monkeypatch)


def test_a_page_that_cannot_be_made_ends_its_streams_and_those_of_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        other = Browser()
        task = watch(broadcast, Browser())
        watch(broadcast, other, ITALIAN)
        await until(lambda: broadcast.viewers == 2 and len(other.patches) == 1)
        pieces.fails = {KEY}
        pieces.now["live-a"] = "2"
        rig.city.stir()
        await asyncio.wait_for(task, 5.0)
        await until(lambda: other.patches[1:] == [{"live-a": "2"}])
        assert broadcast.viewers == 1
        pieces.fails = set()
        browser = Browser()
        watch(broadcast, browser)
        await until(lambda: len(browser.patches) == 1)

    assert run(test, monkeypatch) == ["/ cannot be shown: ValueError"]


def test_a_quiet_stream_is_kept_alive_and_ages_move_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "RESTLESS_S", 0.01)
    monkeypatch.setattr(live_module, "HEARTBEAT_S", 0.02)

    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        browser = Browser()
        watch(broadcast, browser)
        await until(lambda: b":\n\n" in browser.got)
        pieces.now["live-a"] = "an hour ago"
        await until(lambda: browser.patches[-1:] == [{"live-a": "an hour ago"}])

    run(test, monkeypatch)


def test_closing_ends_every_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        browser = Browser()
        task = watch(broadcast, browser)
        await until(lambda: broadcast.viewers == 1)
        await broadcast.close()
        await asyncio.wait_for(task, 5.0)
        assert browser.got[-1] == b""
        assert broadcast.is_full

    run(test, monkeypatch)


def test_patches_of_a_real_page_bring_the_page_up_to_date() -> None:
    """After a cut the pieces that are sent are those that a new page would hold."""
    rig = Rig(DashboardSettings(open_role=Role.OPERATOR, is_demo=True))
    key = ChannelKey("/links?q=leonardo", Language.ENGLISH, Role.OPERATOR)
    render = rig.dashboard._render
    before = render(key, rig.dashboard.look())
    asyncio.run(rig.city.act(Action(ActionKind.CUT, "leonardo-bovisa", "x")))
    after = render(key, rig.dashboard.look())
    assert before is not None
    assert after is not None
    changed = {name for name in after if before[name] != after[name]}
    assert changed == {"live-link-leonardo-bovisa", "main", "title"}
    assert after["live-link-leonardo-bovisa"] in rig.ask("/links?q=leonardo").text
    assert after["title"].startswith("(1) ")


def test_the_figures_of_the_map_are_pieces_of_their_own() -> None:
    rig = Rig()
    key = ChannelKey("/", Language.ENGLISH, Role.OPERATOR)
    before = rig.dashboard._render(key, rig.dashboard.look())
    view = rig.city.view()
    rig.city.view = (
        lambda: replace(  # type: ignore[method-assign]
            view, links=(replace(view.links[0], key_rate_bps=77_700.0, used_bps=31_080.0), *view.links[1:])
        )
    )
    after = rig.dashboard._render(key, rig.dashboard.look())
    assert before is not None
    assert after is not None
    changed = {name for name in after if before.get(name) != after[name]}
    figure = next(name for name in changed if name.startswith("map"))
    assert changed == {figure, "live-links", "live-numbers", "main"}
    assert after[figure].replace("\u00a0", " ") == "77.7 kbit/s"
    assert f'id="{figure}"' in after["main"]


@pytest.mark.parametrize("at", ["/nowhere", "x", "/links/" + "x" * 700, "//evil"])
def test_there_is_no_stream_of_no_page(at: str) -> None:
    assert Rig().ask("/live", params={"at": at}).status_code == 404


def test_one_person_at_one_address_has_eight_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        anna, browsers = ("anna", "192.0.2.7"), [Browser() for _ in range(8)]
        for n, browser in enumerate(browsers):
            assert broadcast.has_room(KEY, anna)
            watch(broadcast, browser, KEY if n % 2 else ITALIAN, who=anna)
            await until(lambda n=n: broadcast.viewers == n + 1)
        assert not broadcast.has_room(KEY, anna)
        assert broadcast.has_room(KEY, ("anna", "192.0.2.8"))
        assert broadcast.has_room(KEY, ("bruno", "192.0.2.7"))
        browsers[0].gone.set()
        await until(lambda: broadcast.has_room(KEY, anna))

    run(test, monkeypatch)


def test_all_streams_together_show_sixty_four_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(rig: Rig, pieces: Pieces, broadcast: Broadcast) -> None:
        keys = [ChannelKey(f"/links?q={n}", Language.ENGLISH, Role.VIEWER) for n in range(65)]
        for n, key in enumerate(keys[:64]):
            assert broadcast.has_room(key, (f"person {n}", "192.0.2.7"))
            watch(broadcast, Browser(), key, who=(f"person {n}", "192.0.2.7"))
        await until(lambda: broadcast.viewers == 64)
        assert not broadcast.has_room(keys[64], ("zoe", "192.0.2.7"))
        assert broadcast.has_room(keys[0], ("zoe", "192.0.2.7"))

    run(test, monkeypatch)


def test_a_stream_too_many_is_refused() -> None:
    assert Rig(DashboardSettings(open_role=Role.VIEWER, viewers=0)).ask("/live?at=/").status_code == 503
