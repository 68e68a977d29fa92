"""The dashboard: bytes and time of the overview, what live pages cost with twenty viewers at ten updates a second.

The server is a process of its own (plain HTTP on loopback) over a city of five sites whose every figure changes
with each update; its CPU time is read from the kernel. The first paint is Chromium's own measurement, in a new
profile.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import resource
import shutil
import socket
import statistics
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import quote

import httpx

from bench.citymodel import LiveCity
from bench.report import Metric
from poliqi.control.view import CityView

VIEWERS = 20
UPDATES_HZ = 10.0
_VIEWS = 64
_PAGES = ("/", "/links", "/links/leonardo-bovisa", "/demands", "/events")


class ReplayedCity(LiveCity):
    """Shows views that were made before: what is measured is the dashboard."""

    def __init__(self) -> None:
        super().__init__()
        now = time.monotonic()
        self._views = [replace(self._at(now + 0.1 * i)) for i in range(_VIEWS)]

    def _at(self, now: float) -> CityView:
        self._clock = lambda: now
        return super().view()

    def view(self) -> CityView:
        return self._views[self.version % _VIEWS]


def _serve(pipe: Connection) -> None:
    """The server's process: says its port, then answers each message with its CPU seconds and its updates."""

    async def run() -> None:
        from poliqi.edge.https import HttpsServer
        from poliqi.edge.network import Address
        from poliqi.ops.web import DashboardSettings, Role, dashboard

        city, loop = ReplayedCity(), asyncio.get_running_loop()
        page = dashboard(city, DashboardSettings(open_role=Role.OPERATOR, is_demo=True))
        done = asyncio.Event()

        def asked() -> None:
            try:
                pipe.recv()
            except EOFError:
                done.set()
                return
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send((used.ru_utime + used.ru_stime, city.version, page.viewers))

        async with HttpsServer(page, Address("127.0.0.1", 0), None) as server:
            pipe.send(server.listeners[0].getsockname()[1])
            loop.add_reader(pipe.fileno(), asked)
            due = loop.time()
            while not done.is_set():
                city.stir()
                due += 1.0 / UPDATES_HZ
                with suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), max(0.0, due - loop.time()))

    asyncio.run(run())


@contextmanager
def _server() -> Any:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv(), ours
    finally:
        ours.close()
        process.join(10.0)


def _page(base: str) -> dict[str, Any]:
    """Bytes of the overview with all it needs, and how long the server takes for it."""
    with httpx.Client(base_url=base, trust_env=False) as client:
        text = client.get("/").text
        needs = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', text))
        sizes = {"html": len(text.encode())} | {p.rsplit("/", 1)[-1]: len(client.get(p).content) for p in needs}
        times: list[float] = []
        for _ in range(30):
            started = time.perf_counter()
            client.get("/")
            times.append(1e3 * (time.perf_counter() - started))
    return {"bytes": sizes, "ms": statistics.median(times)}


def _watch(port: int, pipe: Connection, pages: tuple[str, ...], seconds: float) -> dict[str, float]:
    """CPU share of the server while viewers look at pages, and what they get."""
    viewers = [socket.create_connection(("127.0.0.1", port)) for _ in range(VIEWERS)]
    for number, viewer in enumerate(viewers):
        at = quote(pages[number % len(pages)], safe="")
        viewer.sendall(f"GET /live?at={at} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        viewer.setblocking(False)

    def drain(until: float) -> int:
        got = 0
        while time.monotonic() < until:
            for viewer in viewers:
                with suppress(BlockingIOError):
                    got += len(viewer.recv(1 << 20))
            time.sleep(0.02)
        return got

    drain(time.monotonic() + 1.0)
    pipe.send(None)
    cpu, version, count = pipe.recv()
    started = time.monotonic()
    got = drain(started + seconds)
    pipe.send(None)
    later, last, _ = pipe.recv()
    took = time.monotonic() - started
    for viewer in viewers:
        viewer.close()
    return {
        "cpu_percent": 100.0 * (later - cpu) / took,
        "updates_hz": (last - version) / took,
        "viewers": count,
        "kb_s_each": got / took / VIEWERS / 1e3,
    }


def _first_paint(base: str, runs: int) -> list[float] | str:
    """Chromium's first contentful paint of the overview (ms), in new profiles; why not, where it is missing."""
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    if not os.access(chromium, os.X_OK):
        return "no Chromium here"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "no playwright here: it is in the extra 'test'"
    script = "performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)[0] ?? null"
    found: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(runs + 1):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            page.goto(base)
            page.wait_for_function(f"() => ({script}) !== null")
            found.append(float(page.evaluate(script)))
            context.close()
        browser.close()
    return found[1:]  # the first one also warms the browser


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """Bytes, time, CPU share and first paint."""
    seconds = 5.0 if quick else 20.0
    with _server() as (port, pipe):
        base = f"http://127.0.0.1:{port}"
        page = _page(base)
        one = _watch(port, pipe, ("/",), seconds)
        mixed = _watch(port, pipe, _PAGES, seconds)
        paint = _first_paint(base, 3 if quick else 9)
    results = [
        Metric("overview kB", sum(page["bytes"].values()) / 1e3, "kB", 100.0, "max"),
        Metric("overview ms", page["ms"], "ms", None, "max"),
        Metric("20 viewers, 10 updates/s, CPU %", one["cpu_percent"], "%", 10.0, "max"),
        Metric("20 viewers of 5 pages, CPU %", mixed["cpu_percent"], "%", 10.0, "max"),
    ]
    if not isinstance(paint, str):
        results.append(Metric("first paint ms", statistics.median(paint), "ms", 300.0, "max"))
    return results, {"bytes": page["bytes"], "overview": one, "five pages": mixed, "first paint": paint}
