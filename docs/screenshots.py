"""Pictures of dashboard and application for the documentation: `python docs/screenshots.py [URL] [--to FOLDER]`.

Without a URL the pages show a city and an application in memory whose figures are made up; with one, a running
dashboard as it is. With `--live` two sites and their applications run in processes of their own, under simulated
light, and a file is really sent through the page; the picture of the README is made by

    python docs/screenshots.py --live --only application-page --to docs/reference

Needs Chromium and the extra "test".
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
WIDE, NARROW = (1280, 860), (390, 844)


@dataclass(frozen=True)
class Shot:
    """One picture. `is_cut`: taken after a fibre was cut."""

    name: str
    path: str
    size: tuple[int, int] = WIDE
    scheme: str = "light"
    locale: str = "en-GB"
    is_cut: bool = True
    whole: bool = False


SHOTS = (
    Shot("dashboard-overview", "/", is_cut=False),
    Shot("dashboard-alarm", "/"),
    Shot("dashboard-alarm-dark", "/", scheme="dark"),
    Shot("dashboard-italian", "/", locale="it-IT"),
    Shot("dashboard-telephone", "/", size=NARROW, scheme="dark"),
    Shot("dashboard-link", "/links/leonardo-bovisa", whole=True),
    Shot("dashboard-links", "/links"),
    Shot("dashboard-demands", "/demands"),
    Shot("dashboard-events", "/events"),
    Shot("dashboard-report", "/report"),
    Shot("dashboard-confirm", "/confirm/cut/aria-leonardo"),
)


DESK_SHOTS = (
    Shot("application-send", "/?to=Bovisa"),
    Shot("application-send-telephone", "/?to=Bovisa", size=NARROW, scheme="dark", locale="it-IT", whole=True),
    Shot("application-transfer", "/transfers/t3"),
    Shot("application-receipt-telephone", "/transfers/t3", size=NARROW, scheme="dark", whole=True),
    Shot("application-inbox", "/inbox", locale="it-IT"),
)
LAB_SHOTS = (
    Shot("lab-page", "dataset", size=(1280, 1180)),
    Shot("lab-page-telephone", "dataset", size=NARROW, scheme="dark", locale="it-IT", whole=True),
    Shot("lab-list", "/lab"),
    Shot("lab-week", "week", scheme="dark"),
    Shot("lab-invoice", "invoice", locale="it-IT"),
)
"""Of the demonstration's laboratory; a path without a slash is found by following links."""
LIVE_SHOTS = (
    Shot("application-page", "", whole=True),
    Shot("application-page-telephone", "", size=NARROW, scheme="dark", locale="it-IT", whole=True),
)
"""Of a transfer that was just made."""
FILES = [
    {"name": "ct-thorax.dcm", "mimeType": "application/dicom", "buffer": bytes(524_000)},
    {"name": "referto.pdf", "mimeType": "application/pdf", "buffer": bytes(52_000)},
]


@contextmanager
def sample_desk() -> Iterator[str]:
    """Pages of an application in memory; their address."""
    sys.path.insert(0, str(ROOT / "tests"))
    from fake_pages_desk import FakePagesDesk
    from kme_fixture import served

    from poliqi.ops.sae_web import PAGE_LIMITS, sae_pages
    from poliqi.ops.web import DashboardSettings, Role

    with tempfile.TemporaryDirectory() as folder:
        pages = sae_pages(FakePagesDesk(), Path(folder) / "spool", DashboardSettings(open_role=Role.OPERATOR))
        with served(pages, None, PAGE_LIMITS) as (_, where, thread):
            yield f"http://{where}"
            thread.run(pages.close())


@contextmanager
def live_desk() -> Iterator[str]:
    """The pages of the application at Leonardo, which really sends to the one at Bovisa; their address."""
    from bench.saes import live_saes
    from bench.sites import live_city

    link = "bovisa-leonardo"
    with live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]) as city:
        city.block(link, 1, 1 << 20)
        with live_saes(city, start=False) as saes:
            for name, sae in saes.items():
                text = sae.toml.read_text()
                for place in saes:
                    text = text.replace(f'place = "{place}"', f'place = "{place.title()}"')
                sae.toml.write_text(f'{text}[web]\nplace = "{name.title()}"\nlocal_role = "operator"\n')
                sae.start()
            yield saes["leonardo"].url


@contextmanager
def sample_lab() -> Iterator[str]:
    """The pages of the demonstration's laboratory over a desk in memory; their address."""
    sys.path.insert(0, str(ROOT / "tests"))
    from kme_fixture import served
    from lab_pages_rig import LabDeskInMemory

    from poliqi.lab.store.store import LabStore
    from poliqi.node.demo_laboratory import HERE, make_laboratory
    from poliqi.ops.lab_web import LabRoom, lab_annex
    from poliqi.ops.sae_web import PAGE_LIMITS, sae_pages
    from poliqi.ops.web import DashboardSettings, Role

    with tempfile.TemporaryDirectory() as folder:
        make_laboratory("leonardo", Path(folder) / "lab", "Leonardo")
        desk = LabDeskInMemory()
        room = LabRoom(LabStore.open(Path(folder) / "lab"), desk, here=HERE)
        settings = DashboardSettings(open_role=Role.OPERATOR)
        pages = sae_pages(desk, Path(folder) / "spool", settings, annex=lab_annex(room))
        with served(pages, None, PAGE_LIMITS) as (_, where, thread):
            yield f"http://{where}"
            thread.run(pages.close())
        room.close()


def take_lab(base: str, folder: Path, shots: list[Shot], scale: float) -> list[Path]:
    """Pictures of a laboratory's pages."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    done: list[Path] = []
    ways = {
        "dataset": ("/lab", "main tbody th a >> nth=1"),
        "week": ("/lab/instruments/saxs", "a[rel=next]"),
        "invoice": ("/lab/invoices", "main tbody th a >> nth=0"),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for shot in shots:
            page = browser.new_page(
                viewport={"width": shot.size[0], "height": shot.size[1]},
                color_scheme=shot.scheme,
                locale=shot.locale,
                device_scale_factor=scale,
            )
            start, link = ways.get(shot.path, (shot.path, ""))
            page.goto(base + start)
            if link:
                page.click(link)
                page.wait_for_load_state("networkidle")
            done.append(folder / f"{shot.name}.png")
            page.screenshot(path=str(done[-1]), full_page=shot.whole)
            page.close()
        browser.close()
    return done


def take_live(base: str, folder: Path, shots: list[Shot], scale: float) -> list[Path]:
    """Send a file, and take pictures of its receipt."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    done: list[Path] = []
    content = b"%PDF-1.7\n" + random.Random(1).randbytes(4_237_109)
    file = {"name": "relazione-laboratorio.pdf", "mimeType": "application/pdf", "buffer": content}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(locale="en-GB")
        page.goto(f"{base}/?to=Bovisa")
        page.set_input_files("#files", file)
        page.wait_for_selector("#needed:has-text('Available now')")
        page.click("#go")
        page.wait_for_selector(".receipt")
        where = page.url
        page.close()
        for shot in shots:
            page = browser.new_page(
                viewport={"width": shot.size[0], "height": shot.size[1]},
                color_scheme=shot.scheme,
                locale=shot.locale,
                device_scale_factor=scale,
            )
            page.goto(where)
            done.append(folder / f"{shot.name}.png")
            page.screenshot(path=str(done[-1]), full_page=shot.whole)
            page.close()
        browser.close()
    return done


def take_desk(base: str, folder: Path, shots: list[Shot], scale: float) -> list[Path]:
    """Pictures of an application's pages, files chosen and nothing sent."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    done: list[Path] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for shot in shots:
            width, height = shot.size
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme=shot.scheme,
                locale=shot.locale,
                device_scale_factor=scale,
            )
            page.goto(base + shot.path)
            if page.locator("#files").count():
                page.set_input_files("#files", FILES)
                page.check("#pad")
                page.wait_for_selector("#estimate", state="visible")
            done.append(folder / f"{shot.name}.png")
            page.screenshot(path=str(done[-1]), full_page=shot.whole)
            page.close()
        browser.close()
    return done


def chromium() -> str:
    """The browser of this machine."""
    found = shutil.which("chromium") or "/usr/bin/chromium"
    if not os.access(found, os.X_OK):
        sys.exit("no Chromium here: pictures need one, such as Debian's package chromium")
    return found


@contextmanager
def sample_city() -> Iterator[str]:
    """A dashboard over a city in memory; its address."""
    from bench.citymodel import LiveCity, sample_month
    from poliqi.edge.https import HttpsServer
    from poliqi.edge.network import Address
    from poliqi.ops.web import DashboardSettings, Role, dashboard

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    city, (year, month) = LiveCity(), time.gmtime()[:2]
    city.months[year, month] = sample_month(city.city, year, month)
    page = dashboard(city, DashboardSettings(open_role=Role.OPERATOR, is_demo=True))
    server = HttpsServer(page, Address("127.0.0.1", 0), None)
    where = asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)

    async def close() -> None:
        await page.close()
        await server.close()

    try:
        yield f"http://{where}"
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def take(base: str, folder: Path, shots: list[Shot], scale: float) -> list[Path]:
    """Pictures of a dashboard; the fibre that is cut on the way is mended again."""
    import httpx
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    fibre = {"subject": "leonardo-bovisa"}
    done: list[Path] = []
    with sync_playwright() as playwright, httpx.Client(base_url=base, trust_env=False) as client:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        is_cut = False
        for shot in shots:
            if shot.is_cut and not is_cut:
                client.post("/api/act/cut", json=fibre).raise_for_status()
                is_cut = True
            width, height = shot.size
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=shot.scheme,
                locale=shot.locale,
                device_scale_factor=scale,
            )
            page = context.new_page()
            page.goto(base + shot.path)
            if shot.is_cut and shot.path == "/":
                page.wait_for_selector(".alarm", timeout=20_000)
            done.append(folder / f"{shot.name}.png")
            page.screenshot(path=str(done[-1]), full_page=shot.whole)
            context.close()
        browser.close()
        if is_cut:
            client.post("/api/act/mend", json=fibre)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", help="of a running dashboard; without it, a city in memory")
    parser.add_argument("--to", type=Path, default=ROOT / "docs/_build/screenshots")
    parser.add_argument("--live", action="store_true", help="of two real sites with applications that send a file")
    names = [shot.name for shot in (*SHOTS, *DESK_SHOTS, *LAB_SHOTS, *LIVE_SHOTS)]
    parser.add_argument("--only", action="append", choices=names)
    parser.add_argument("--scale", type=float, default=1.5, help="pixels of the picture for one of the page")
    args = parser.parse_args()
    shots = [shot for shot in SHOTS if not args.only or shot.name in args.only]
    if args.live:
        live_shots = [shot for shot in LIVE_SHOTS if not args.only or shot.name in args.only]
        with live_desk() as base:
            done = take_live(base, args.to, live_shots, args.scale)
    elif args.url:
        done = take(args.url.rstrip("/"), args.to, shots, args.scale)
    else:
        done: list[Path] = []
        if shots:
            with sample_city() as base:
                done += take(base, args.to, shots, args.scale)
        desk_shots = [shot for shot in DESK_SHOTS if not args.only or shot.name in args.only]
        if desk_shots:
            with sample_desk() as base:
                done += take_desk(base, args.to, desk_shots, args.scale)
        lab_shots = [shot for shot in LAB_SHOTS if not args.only or shot.name in args.only]
        if lab_shots:
            with sample_lab() as base:
                done += take_lab(base, args.to, lab_shots, args.scale)
    print(*done, sep="\n")


if __name__ == "__main__":
    main()
