"""The pages of an application in a real Chromium: files are dropped, sent, seen to go, and taken out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fake_pages_desk import FakePagesDesk
from http_wire import until
from kme_fixture import LoopThread, served
from live_saes import live_saes
from live_sites import live_city
from page_checks import CONTRAST, NAMED

from poliqi.apps.share.receipt import verify_receipt
from poliqi.ops.sae_web import PAGE_LIMITS, SaePages, TransferState, sae_pages
from poliqi.ops.web import DashboardSettings, Role

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs the extra 'test'")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(not os.access(CHROMIUM, os.X_OK), reason="no Chromium on this machine")
PATHS = ("/", "/transfers/t1", "/transfers/t2", "/transfers/t3", "/transfers/t1/stop", "/inbox", "/inbox/a1",
         "/receipts", "/receipts/r2", "/status", "/access", "/login", "/nowhere")  # fmt: skip

DROP = """([name, text]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([text], name));
  const at = document.getElementById("drop");
  for (const kind of ["dragenter", "dragover", "drop"])
    at.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


@dataclass
class Served:
    """Pages that are open."""

    base: str
    desk: FakePagesDesk
    pages: SaePages
    thread: LoopThread
    spool: Path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Served]:
    desk, spool = FakePagesDesk(), tmp_path / "spool"
    pages = sae_pages(desk, spool, DashboardSettings(open_role=Role.OPERATOR))
    with served(pages, None, PAGE_LIMITS) as (_, where, thread):
        yield Served(f"http://{where}", desk, pages, thread, spool)
        thread.run(pages.close())


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


def test_a_dropped_file_is_sent_and_its_receipt_is_shown(tab: Callable[..., Tab], live: Served) -> None:
    page = tab().go("/")
    page.evaluate(DROP, ["fattura.xml", "<a/>" * 700_000])
    assert "fattura.xml" in page.inner_text("#chosen")
    page.check("text=Bovisa")
    page.wait_for_selector("#needed:has-text('Available now: 1.25 MB')")
    page.click("#go")
    page.wait_for_url("**/transfers/new1")
    page.wait_for_selector("text=being sent")
    [(contents, peer, one_time, who)] = live.desk.sent
    assert contents == {"fattura.xml": b"<a/>" * 700_000}
    assert (peer, one_time, who) == ("hospital", False, "operator")
    live.desk.finish()
    page.wait_for_selector("h2:text('Receipt')")
    assert "arrived" in page.inner_text("main")
    assert live.desk.now.receipts[0].hash in page.inner_text("main")
    until(lambda: not list(live.spool.iterdir()))
    with page.expect_download() as saved:
        page.click("text=Save the receipt")
    assert Path(saved.value.path()).read_bytes() == b'{"receipt": "new-receipt"}'


def test_the_need_follows_site_and_protection(tab: Callable[..., Tab], live: Served) -> None:
    page = tab().go("/")
    page.set_input_files("#files", {"name": "a.bin", "mimeType": "x/y", "buffer": b"x" * 100_000})
    page.check("text=Bovisa")
    page.wait_for_selector("#needed:has-text('Key needed: 64 B')")
    page.check("#pad")
    page.wait_for_selector("#needed:has-text('Key needed: 100 kB')")
    page.check("text=Santa Barbara")
    page.wait_for_selector("#needed:has-text('enough in about 61 s')")
    page.check("text=Intesa")
    page.wait_for_selector("#needed:has-text('nobody can say')")


def test_what_cannot_begin_is_said_and_can_be_tried_again(tab: Callable[..., Tab], live: Served) -> None:
    found = tab(locale="it-IT")
    page = found.go("/")
    page.set_input_files("#files", {"name": "a.bin", "mimeType": "x/y", "buffer": b"x"})
    page.check("text=Bovisa")
    live.desk.refuses = "Bovisa does not answer: try again later"
    page.click("#go")
    page.wait_for_selector("#wrong-detail:has-text('does not answer')")
    assert page.inner_text("#wrong").startswith("Questa applicazione non è configurata")
    until(lambda: not list(live.spool.iterdir()))
    live.desk.refuses = ""
    page.click("#go")
    page.wait_for_url("**/transfers/new1")
    found.wrong.remove("Failed to load resource: the server responded with a status of 409 (Conflict)")


def test_a_transfer_moves_without_a_reload(tab: Callable[..., Tab], live: Served) -> None:
    page = tab().go("/transfers/t1")
    page.wait_for_selector("text=61.0 MB of 180 MB")
    page.evaluate("window.same = 1")
    going = live.desk.now.transfers[0]
    live.desk.set(transfers=(replace(going, sent_bytes=90_000_000), *live.desk.now.transfers[1:]))
    page.wait_for_selector("text=90.0 MB of 180 MB")
    assert page.evaluate("document.querySelector('progress').value") == 0.5
    failed = replace(going, state=TransferState.FAILED, problem="Bovisa hung up")
    live.desk.set(transfers=(failed, *live.desk.now.transfers[1:]))
    page.wait_for_selector("text=Bovisa hung up")
    assert page.evaluate("window.same") == 1


def test_a_choice_outlives_patches_of_the_page(tab: Callable[..., Tab], live: Served) -> None:
    page = tab().go("/")
    until(lambda: live.pages.viewers == 1)
    page.set_input_files("#files", {"name": "a.bin", "mimeType": "x/y", "buffer": b"x"})
    page.check("text=Intesa")
    live.desk.set(transfers=())
    page.wait_for_selector("text=Nothing was sent from this page")
    assert page.is_checked("input[value=bank]")
    assert "a.bin" in page.inner_text("#chosen")


def test_without_scripts_a_file_is_sent_and_one_taken_out(tab: Callable[..., Tab], live: Served) -> None:
    page = tab(java_script_enabled=False, locale="it-IT").go("/")
    assert page.locator("noscript meta").count() == 0, "a form is not loaded anew while it is filled in"
    file = {"name": 'perché "no".txt', "mimeType": "text/plain", "buffer": b"\r\n--x\r\n"}
    page.set_input_files("#files", file)
    page.check("text=ARIA")
    page.click("#go")
    page.wait_for_url("**/transfers/new1")
    assert "in corso" in page.inner_text("main")
    assert page.locator("noscript meta[http-equiv=refresh]").get_attribute("content") == "2"
    assert live.desk.sent[0][:2] == ({'perché "no".txt': b"\r\n--x\r\n"}, "region")
    page.goto(f"{live.base}/inbox/a1")
    with page.expect_download() as saved:
        page.click("text=Salva >> nth=1")
    assert saved.value.suggested_filename == "_b_1.dcm"
    assert Path(saved.value.path()).read_bytes() == b"<b>hi"


def test_by_keyboard_alone(tab: Callable[..., Tab], live: Served) -> None:
    page = tab().go("/?to=Bovisa")
    assert page.is_checked("input[value=hospital]")
    page.set_input_files("#files", {"name": "a.bin", "mimeType": "x/y", "buffer": b"x"})
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "peer":
            break
    page.keyboard.press("ArrowDown")
    assert page.is_checked("input[value=defence]")
    assert page.evaluate("getComputedStyle(document.activeElement.nextElementSibling).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/transfers/new1")
    assert live.desk.sent[0][1] == "defence"


@pytest.mark.parametrize("locale", ["en-GB", "it-IT"])
def test_a_telephone_shows_every_page_without_scrolling_sideways(tab: Callable[..., Tab], locale: str) -> None:
    found = tab(viewport={"width": 390, "height": 844}, locale=locale, is_mobile=True, has_touch=True)
    for path in PATHS:
        found.page.goto(found.base + path)
        wide = found.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1] == 390, (path, wide)
    found.wrong.clear()  # a page that is not there, one that is not for this role


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_everything_has_a_name(tab: Callable[..., Tab], scheme: str) -> None:
    found = tab(color_scheme=scheme)
    for path in PATHS:
        found.page.goto(found.base + path)
        if found.page.locator("#files").count():
            found.page.set_input_files("#files", {"name": "a.bin", "mimeType": "x/y", "buffer": b"x"})
            found.page.check("text=Intesa")
            found.page.wait_for_selector("#estimate", state="visible")
        assert found.page.evaluate(CONTRAST) == [], path
        assert found.page.evaluate(NAMED) == [], path
    found.wrong.clear()  # a page that is not there, one that is not for this role


def test_a_name_from_outside_is_text(tab: Callable[..., Tab], live: Served) -> None:
    evil = "<img src=x onerror=window.evil=1>"
    first, *rest = live.desk.now.transfers
    live.desk.set(transfers=(replace(first, names=(evil,), problem=evil, place=evil), *rest))
    page = tab().go("/transfers/t1")
    until(lambda: live.pages.viewers == 1)
    assert evil in page.inner_text("main")
    page.goto(f"{live.base}/")
    page.set_input_files("#files", {"name": evil, "mimeType": "x/y", "buffer": b"x"})
    assert evil in page.inner_text("#chosen")
    assert page.evaluate("window.evil") is None
    assert page.locator("main img").count() == 0


@pytest.mark.slow
def test_a_file_goes_from_leonardo_to_bovisa_through_real_sites(browser: Any) -> None:
    content = os.urandom(3_000_001)
    with live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]) as city:
        city.block("bovisa-leonardo", 1, 1 << 20)
        with live_saes(city, extra='[web]\nlocal_role = "operator"\n') as saes:
            here, there = saes["leonardo"], saes["bovisa"]
            page = browser.new_page()
            page.goto(here.url)
            assert "Simulated light" in page.inner_text("body")
            page.set_input_files("#files", {"name": "ct <b>&.dcm", "mimeType": "x/y", "buffer": content})
            page.check("text=bovisa")
            page.wait_for_selector("#needed:has-text('Available now')")
            page.click("#go")
            page.wait_for_selector("h2:text('Receipt')", timeout=20_000)
            receipt = page.inner_text("main")
            for word in ("arrived", "ct <b>&.dcm", "Quantum key", "protects nothing", "operator", "bovisa1"):
                assert word in receipt, word
            with page.expect_download() as kept:
                page.click("text=Save the receipt")
            signed = Path(kept.value.path()).read_bytes()
            assert verify_receipt(signed, there.settings().identity.contact).size_bytes == len(content)
            assert not list((here.folder / "state" / "spool").iterdir())
            page.goto(f"{there.url}/inbox")
            page.click("text=ct <b>&.dcm")
            with page.expect_download() as saved:
                page.click("text=Save >> nth=0")
            assert Path(saved.value.path()).read_bytes() == content
            page.close()
        stored = there.inbox / "leonardo1" / "ct <b>&.dcm"
        assert stored.read_bytes() == content
