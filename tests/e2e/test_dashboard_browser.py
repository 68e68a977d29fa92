"""The dashboard in a real Chromium, over the project's own server and a city in memory whose figures move."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from dashboard_rig import fill, token_for
from http_wire import until
from kme_fixture import LoopThread, served
from page_checks import CONTRAST, NAMED

from bench.citymodel import LiveCity, sample_month
from poliqi.edge.tls import TlsFiles
from poliqi.ops.web import Action, ActionKind, Dashboard, DashboardSettings, Role, dashboard
from poliqi.ops.web.pages import PAGES

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs the extra 'test'")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(not os.access(CHROMIUM, os.X_OK), reason="no Chromium on this machine")
EVERY = [fill(page.path) for page in PAGES]
DEMO = DashboardSettings(open_role=Role.OPERATOR, is_demo=True)


@dataclass
class Served:
    """A dashboard that is open."""

    base: str
    city: LiveCity
    page: Dashboard
    thread: LoopThread

    def act(self, kind: ActionKind, subject: str) -> None:
        self.thread.run(self.city.act(Action(kind, subject, "somebody")))

    def stir(self) -> None:
        self.thread.call(self.city.stir)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def live() -> Iterator[Served]:
    city = LiveCity()
    year, month = time.gmtime()[:2]
    city.months[year, month] = sample_month(city.city, year, month)
    page = dashboard(city, DEMO)
    with served(page, None) as (_, where, thread):
        yield Served(f"http://{where}", city, page, thread)
        thread.run(page.close())


def await_stream(live: Served) -> None:
    """The open page is live."""
    until(lambda: live.page.viewers == 1)


@dataclass
class Tab:
    """A page of the browser; `wrong` is what should not have happened in it."""

    page: Any
    base: str
    wrong: list[str] = field(default_factory=list[str])

    def go(self, path: str) -> Any:
        self.page.goto(self.base + path, wait_until="load")
        return self.page


@pytest.fixture
def tab(browser: Any, live: Served) -> Iterator[Callable[..., Tab]]:
    """Opens pages, and in the end fails where one complained or asked elsewhere for something."""
    opened: list[tuple[Any, Tab]] = []

    def open_tab(**how: Any) -> Tab:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **how})
        context.set_default_timeout(8000)
        found = Tab(context.new_page(), live.base)
        found.page.on("console", lambda m: found.wrong.append(m.text) if m.type in ("error", "warning") else None)
        found.page.on("pageerror", lambda e: found.wrong.append(str(e)))
        found.page.on("request", lambda r: None if r.url.startswith(live.base) else found.wrong.append(r.url))
        opened.append((context, found))
        return found

    yield open_tab
    for context, found in opened:
        context.close()
        assert found.wrong == []


def test_a_cut_arrives_without_a_reload(tab: Callable[..., Tab], live: Served) -> None:
    page = tab().go("/")
    page.wait_for_function("document.title.startsWith('Overview')")
    page.evaluate("window.same = 1")
    live.act(ActionKind.CUT, "leonardo-bovisa")
    page.wait_for_selector("text=Fibre leonardo-bovisa is cut")
    page.wait_for_selector(".at-wide .state-dark .cut")
    assert page.title().startswith("(1) Overview")
    live.act(ActionKind.MEND, "leonardo-bovisa")
    page.wait_for_selector("text=All is well")
    assert page.evaluate("window.same") == 1


def test_figures_of_every_page_move(tab: Callable[..., Tab], live: Served) -> None:
    found = tab()
    for path in ("/links", "/links/intesa-aria", "/"):
        page = found.go(path)
        await_stream(live)
        before = page.inner_html("main")
        page.evaluate("window.same = 1")
        live.stir()
        page.wait_for_function("before => document.querySelector('main').innerHTML !== before", arg=before)
        assert page.evaluate("window.same") == 1


def test_a_patch_leaves_focus_and_typed_words_alone(tab: Callable[..., Tab], live: Served) -> None:
    page = tab().go("/links")
    await_stream(live)
    page.focus("a[href='/links/intesa-aria']")
    before = page.inner_html("tbody")
    live.stir()
    page.wait_for_function("before => document.querySelector('tbody').innerHTML !== before", arg=before)
    assert page.evaluate("document.activeElement.getAttribute('href')") == "/links/intesa-aria"
    page.fill("#q", "bovisa")
    assert page.locator("tbody tr:visible").count() == 2
    before = page.inner_html("tbody")
    live.stir()
    page.wait_for_function("before => document.querySelector('tbody').innerHTML !== before", arg=before)
    assert page.locator("tbody tr:visible").count() == 2
    assert page.input_value("#q") == "bovisa"


def test_a_fibre_is_cut_and_mended_by_keyboard_alone(tab: Callable[..., Tab], live: Served) -> None:
    page = tab().go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(60):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML")
        if page.evaluate("document.activeElement.getAttribute('href')") == "/confirm/cut/intesa-aria":
            break
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "raises one alarm" in page.inner_text("main")
    assert live.city.asked == []
    page.focus("main button")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.wait_for_selector("text=Fibre intesa-aria is cut")
    assert [a.kind for a in live.city.asked] == [ActionKind.CUT]
    page.focus("a[href='/confirm/mend/intesa-aria']")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.click("main button")
    page.wait_for_selector("text=All is well")


def test_cancelling_does_nothing(tab: Callable[..., Tab], live: Served) -> None:
    page = tab().go("/confirm/listen/intesa-aria")
    page.click("text=Cancel")
    page.wait_for_selector("text=All is well")
    assert live.city.asked == []


@pytest.mark.parametrize("locale", ["en-GB", "it-IT"])
def test_a_telephone_shows_every_page_without_scrolling_sideways(
    tab: Callable[..., Tab], live: Served, locale: str
) -> None:
    live.act(ActionKind.LISTEN, "leonardo-bovisa")
    found = tab(viewport={"width": 390, "height": 844}, locale=locale, is_mobile=True, has_touch=True)
    for path in [*EVERY, "/report", "/confirm/mend/leonardo-bovisa", "/login", "/nowhere"]:
        page = found.page
        page.goto(found.base + path)
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1] == 390, (path, wide)
    found.wrong.remove("Failed to load resource: the server responded with a status of 404 (Not Found)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_everything_has_a_name(tab: Callable[..., Tab], live: Served, scheme: str) -> None:
    live.act(ActionKind.CUT, "leonardo-bovisa")
    live.act(ActionKind.LISTEN, "intesa-aria")
    found = tab(color_scheme=scheme)
    for path in [*EVERY, "/report", "/confirm/mend/leonardo-bovisa", "/login"]:
        page = found.go(path)
        assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate(NAMED) == [], path
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(13, 17, 23)") == (scheme == "dark")


def test_without_scripts_pages_are_read_and_fibres_are_cut(tab: Callable[..., Tab], live: Served) -> None:
    page = tab(java_script_enabled=False).go("/")
    assert page.locator("noscript meta[http-equiv=refresh]").count() == 1
    assert "Polimi Bovisa" in page.text_content(".at-wide svg")
    page.click("a[href='/confirm/cut/aria-leonardo']")
    page.click("main button")
    assert "Fibre aria-leonardo is cut" in page.inner_text("main")
    page.goto(f"{live.base}/links/aria-leonardo")
    assert "no light" in page.inner_text("main")
    assert page.locator(".chart svg").count() == 4
    page.goto(f"{live.base}/links?q=santa")
    assert page.locator("tbody tr").count() == 2


def test_a_lost_connection_is_said(tab: Callable[..., Tab], live: Served) -> None:
    found = tab()
    page = found.go("/")
    assert not page.is_visible("#lost")
    live.thread.run(live.page.close())
    page.wait_for_selector("#lost", state="visible")
    page.wait_for_timeout(50)
    found.wrong[:] = [line for line in found.wrong if "503" not in line]


def test_the_language_is_changed_by_a_click(tab: Callable[..., Tab]) -> None:
    page = tab().go("/links")
    page.click("text=Italiano")
    page.wait_for_selector("h1:text('Collegamenti')")
    page.click("nav >> text=Richieste")
    page.wait_for_selector("h1:text('Richieste')")
    assert page.evaluate("document.documentElement.lang") == "it"


def test_others_log_in_with_a_token_over_tls(browser: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, token = authority.kme("control"), token_for("anna", Role.OPERATOR, tmp_path)
    files = TlsFiles(own.certificate, own.key, authority.path, are_clients_known=False)
    city = LiveCity()
    page = dashboard(city, DashboardSettings(tokens=(token.entry,)))
    with served(page, files) as (_, where, thread):
        context = browser.new_context(ignore_https_errors=True)
        tab = context.new_page()
        tab.goto(f"https://{where}/sites/aria")
        tab.fill("#secret", "wrong")
        tab.click("main button")
        assert "not known" in tab.inner_text("main")
        tab.fill("#secret", token.text)
        tab.click("main button")
        tab.wait_for_selector("h1:has-text('ARIA')")
        assert tab.evaluate("document.cookie") == ""
        assert tab.locator("text=Cut this fibre").count() == 0
        tab.click("text=Drain this site")
        tab.click("main button")
        tab.wait_for_selector("text=being drained")
        assert [(a.kind, a.who) for a in city.asked] == [(ActionKind.DRAIN, "anna")]
        tab.click("text=Log out")
        tab.wait_for_selector("h1:text('Log in')")
        context.close()
        thread.run(page.close())


def test_who_only_looks_has_no_buttons(browser: Any) -> None:
    page = dashboard(LiveCity(), DashboardSettings(open_role=Role.VIEWER, is_demo=True))
    with served(page, None) as (_, where, thread):
        tab = browser.new_page()
        for path in ("/", "/links/intesa-aria", "/sites/aria"):
            tab.goto(f"http://{where}{path}")
            assert tab.locator("a.button").count() == 0
        tab.close()
        thread.run(page.close())


def test_a_stream_ends_with_its_tab(tab: Callable[..., Tab], live: Served) -> None:
    found = tab()
    found.go("/")
    await_stream(live)
    found.page.goto("about:blank")
    until(lambda: live.page.viewers == 0)
