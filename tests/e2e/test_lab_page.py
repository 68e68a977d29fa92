"""A laboratory's pages in a real Chromium, and a dataset that is sent from them and taken in at the other site."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from http_wire import until
from kme_fixture import served
from lab_pages_rig import CURVE, LabRig, lab_rig, svg
from live_saes import live_saes
from live_sites import live_city
from page_checks import CONTRAST, NAMED

from poliqi.lab.store.records import ActionKind, Kind
from poliqi.lab.store.store import LabStore
from poliqi.ops.sae_web import PAGE_LIMITS

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs the extra 'test'")

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = pytest.mark.skipif(not os.access(CHROMIUM, os.X_OK), reason="no Chromium on this machine")
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@dataclass
class Live:
    """Pages that are open; `wrong` is what should not have happened in a browser."""

    base: str
    rig: LabRig
    wrong: list[str] = field(default_factory=list[str])

    @property
    def paths(self) -> list[str]:
        first, second = (dataset.id for dataset in self.rig.datasets["polimi"])
        return ["/lab", f"/lab/datasets/{first}", f"/lab/datasets/{second}", "/lab/instruments",
                "/lab/instruments/saxs?week=2026-W39", "/lab/bookings", "/lab/quotes", "/lab/invoices",
                "/lab/report", "/lab/datasets/nothing"]  # fmt: skip


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    rig = lab_rig(tmp_path, here="anna")
    with served(rig.pages, None, PAGE_LIMITS) as (_, where, thread):
        yield Live(f"http://{where}", rig)
        thread.run(rig.pages.close())
    rig.room.close()


@pytest.fixture
def tab(browser: Any, live: Live) -> Iterator[Callable[..., Any]]:
    """Opens pages, and in the end fails where one complained or asked elsewhere for something."""
    opened: list[Any] = []

    def open_tab(**how: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **how})
        context.set_default_timeout(8000)
        page = context.new_page()
        page.on("console", lambda m: live.wrong.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: live.wrong.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith(live.base) else live.wrong.append(r.url))
        page.on("dialog", lambda d: live.wrong.append("a script of a file ran"))
        opened.append(context)
        return page

    yield open_tab
    for context in opened:
        context.close()
    assert [w for w in live.wrong if "404" not in w] == []


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-GB"), ("dark", "it-IT")])
def test_every_page_can_be_read_and_has_its_names(
    tab: Callable[..., Any], live: Live, scheme: str, locale: str
) -> None:
    page = tab(color_scheme=scheme, locale=locale)
    for path in live.paths:
        page.goto(live.base + path)
        assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate(NAMED) == [], path
        assert page.evaluate("document.documentElement.lang") == locale[:2]


def test_every_page_fits_a_telephone(tab: Callable[..., Any], live: Live) -> None:
    page = tab(viewport={"width": 390, "height": 844})
    for path in live.paths:
        page.goto(live.base + path)
        assert page.evaluate(OVERFLOW) <= 0, path


def test_pictures_are_seen_and_what_is_hostile_in_them_does_nothing(
    tab: Callable[..., Any], live: Live, tmp_path: Path
) -> None:
    inner = '<script>alert(1)</script><image href="http://127.0.0.1:9/x.png" width="9" height="9"/>'
    (tmp_path / "bad.svg").write_bytes(svg(inner))
    with live.rig.store.tenant("polimi") as store:
        made = store.register([tmp_path / "bad.svg"], title="hostile", kind=Kind.MEASURED)
    page = tab()
    page.goto(f"{live.base}/lab/datasets/{made.id}")
    size = "() => [...document.images].filter((i) => i.alt).map((i) => [i.alt, i.complete && i.naturalWidth])"
    page.wait_for_function("() => [...document.images].every((i) => i.complete)")
    assert page.evaluate(size) == [["bad.svg", 120]]
    with page.expect_download() as saved:
        page.evaluate(f"location.assign('/lab/datasets/{made.id}/figures/0')")
    assert Path(saved.value.path()).read_bytes() == svg(inner)


def test_a_dataset_is_found_and_sent_without_a_script_or_a_mouse(tab: Callable[..., Any], live: Live) -> None:
    page = tab(java_script_enabled=False)
    page.goto(f"{live.base}/lab")
    page.focus("#q")
    page.keyboard.type("sizes")
    page.keyboard.press("Enter")
    page.focus("text=Sizes of polimi")
    page.keyboard.press("Enter")
    page.wait_for_url("**/lab/datasets/*")
    page.focus("#peer-1")
    page.keyboard.press("Space")
    page.focus("text=Continue")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Key needed")
    assert "Bovisa" in page.inner_text("h1")
    page.focus("text=Send now")
    page.keyboard.press("Enter")
    page.wait_for_url("**/lab/transfers/new1")
    live.rig.desk.finish()
    page.wait_for_selector("text=arrived")


def test_time_is_booked_and_seen_in_the_week(tab: Callable[..., Any], live: Live) -> None:
    page = tab()
    page.goto(f"{live.base}/lab/instruments/saxs?week=2026-W39")
    page.fill("#begin", "2026-09-24T09:00")
    page.fill("#end", "2026-09-24T11:30")
    page.fill("#title", "melt <b>")
    page.click("form.booking button.primary")
    page.wait_for_selector("td.booked:has-text('melt <b>')")
    assert "09:00–11:30" in page.inner_text("td.booked:has-text('melt')")


@pytest.mark.slow
def test_a_dataset_goes_over_real_sites_and_is_taken_in_there(browser: Any) -> None:
    """Two sites, simulated light: sent from the page, in the other store with equal hashes, provenance at both."""
    with live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]) as city:
        city.block("bovisa-leonardo", 1, 1 << 20)
        with live_saes(
            city, extra='[web]\nlocal_role = "operator"\n[lab]\nstore = "lab"\ntake_in = true\n', start=False
        ) as saes:
            here, there = saes["leonardo"], saes["bovisa"]
            for sae in saes.values():
                LabStore.create(sae.folder / "lab", sae.name, sae.name)
            source = here.folder / "files"
            source.mkdir()
            (source / "curve.csv").write_text(CURVE)
            (source / "fit.svg").write_bytes(svg())
            with LabStore.open(here.folder / "lab").tenant() as store:
                sent = store.register([source], title="Spheres <i>&", kind=Kind.SIMULATED, licence="CC0-1.0")
            for sae in saes.values():
                sae.start()
            page = browser.new_page()
            page.goto(f"{here.url}/lab")
            page.click("text=Spheres <i>&")
            page.check("text=bovisa")
            page.click("text=Continue")
            page.click("text=Send now")
            page.wait_for_selector("text=arrived", timeout=20_000)
            page.click("text=Back to the dataset")
            text = page.inner_text("main")
            for word in ("Sent to bovisa", "Quantum key", "protects nothing", "operator"):
                assert word in text, word
            with page.expect_download() as kept:
                page.click("text=Save the receipt")
            assert b"ml-dsa-65" in Path(kept.value.path()).read_bytes()
            page.goto(f"{here.url}/receipts")
            assert f"dataset-{sent.id}" in page.inner_text("main"), "the house sees what it sent"

            with LabStore.open(there.folder / "lab").tenant() as store:
                until(lambda: store.count() == 1, 20.0)
                [came] = [store.dataset(one.id) for one in store.find()]
                assert {(f.path, f.blake3) for f in came.files} >= {(f.path, f.blake3) for f in sent.files}
                assert came.is_simulated
                [action] = [a for a in store.actions(came.id) if a.kind is ActionKind.RECEIVED]
                assert action.files
            page.goto(f"{there.url}/lab")
            page.click("text=Spheres <i>&")
            text = page.inner_text("main")
            for word in ("Received from leonardo", "protects nothing", "simulated", came.files[0].blake3):
                assert word in text, word
            page.close()
