"""A city on one machine: its sites, link ends and controller as real processes, over SIMULATED light.

Nothing here is special to the demonstration but the light: what runs are `poliqi site run`, `poliqi link serve` and
`poliqi control run`. A process that dies is started again; all of them end with this one, however it ends.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from poliqi.base.errors import LinkDown
from poliqi.base.ids import KmeId
from poliqi.node.demo_files import HOST, DemoFolder, DemoSite
from poliqi.node.leash import leashed

__all__ = ["CURL", "DemoCity", "curl_line"]

Say = Callable[[dict[str, Any]], None]

_LINE_LIMIT: Final = 1 << 20
_LINES: Final = 40
_AGAIN_S: Final = 1.0
_REAP_S: Final = 6.0
_READY_S: Final = 300.0
_RATE_S: Final = 10.0
_PROBE_S: Final = 0.25
_POLL_S: Final = 0.05
CURL: Final = (
    "ID=$(curl -sK {folder}/{master} '{give}/api/v1/keys/{slave}/enc_keys' | tee /dev/stderr"
    """ | sed 's/.*"key_ID":"\\([^"]*\\)".*/\\1/'); """
    'curl -sK {folder}/{slave} "{take}/api/v1/keys/{master}/dec_keys?key_ID=$ID"'
)


def curl_line(made: DemoFolder, master: DemoSite, slave: DemoSite) -> str:
    """A line for a shell: a key for the master's application, then the same one for the slave's."""
    return CURL.format(
        folder=made.folder, master=master.application, slave=slave.application, give=master.url, take=slave.url
    )


class _Child:
    """One process, started again when it dies. `take` gets each JSON line that it says."""

    def __init__(self, name: str, words: list[str], take: Callable[[str, dict[str, Any]], None], say: Say) -> None:
        self.name: Final = name
        self._words: Final = words
        self._take: Final = take
        self._say: Final = say
        self._last: Final = deque[str](maxlen=_LINES)
        self.process: asyncio.subprocess.Process | None = None

    async def keep(self, stopping: asyncio.Event) -> None:
        """Run it until `stopping` is set."""
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        while not stopping.is_set():
            self.process = process = await asyncio.create_subprocess_exec(
                *leashed(*self._words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LINE_LIMIT,
                env=environment,
                start_new_session=True,
            )
            assert process.stdout is not None
            self._say(
                {"event": "process", "process": self.name, "pid": process.pid, "text": f"{self.name} started"}
            )
            with suppress(ValueError):  # a line beyond the limit
                async for line in process.stdout:
                    self._hear(line)
            code = await process.wait()
            if stopping.is_set():
                return
            last = self._last[-1] if self._last else "-"
            text = f"{self.name} ended with code {code} ({last[:300]}); started again in {_AGAIN_S:g} s"
            self._say({"event": "ended", "process": self.name, "code": code, "text": text})
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), _AGAIN_S)

    def _hear(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        try:
            record = json.loads(text)
        except ValueError:
            self._last.append(text)
            return
        if record.get("event") != "block":
            self._last.append(str(record.get("text", "")))
        self._take(self.name, record)


class DemoCity:
    """The processes of a demonstration, and what they say of it."""

    def __init__(self, made: DemoFolder, say: Say) -> None:
        self._made: Final = made
        self.tell = say
        self._loop: Final = asyncio.get_running_loop()
        self._began: Final = self._loop.time()
        self.stopping: Final = asyncio.Event()
        self._children: Final[dict[str, _Child]] = {}
        self._keeping: Final[set[asyncio.Task[None]]] = set()
        self._forked: Final[dict[str, int]] = {}
        self._seen: Final[set[str]] = set()
        self._rates: Final[dict[str, float]] = {}
        self.ready_s: float | None = None

    def _say(self, event: str, text: str, **more: Any) -> None:
        self.tell({"event": event, "time_s": round(self._loop.time() - self._began, 3), "text": text, **more})

    def _tell_of(self, record: dict[str, Any]) -> None:
        self.tell({"time_s": round(self._loop.time() - self._began, 3), **record})

    # ---------------------------------------------------------------- the processes

    async def run(self, seconds: float | None) -> None:
        """Until a signal, or for so many seconds from when it is ready. Raises LinkDown where it never is."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stopping.set)
        try:
            await self._start()
            if not self.stopping.is_set():
                self._say_ready()
                self._keep(self._tell_rates())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stopping.wait(), seconds)
        finally:
            self.stopping.set()
            await self._reap()

    async def _start(self) -> None:
        ends = [site for site in self._made.sites.values() if (site.folder / "ends.toml").exists()]
        self._say("starting", "kernels are loaded, or compiled for this machine once: some ten seconds then")
        self._run("ends", "link", "serve", *(str(site.folder / "ends.toml") for site in ends), "--json")
        for site in self._made.sites.values():
            self._run(f"site {site.kme}", "site", "run", str(site.folder / "site.toml"), "--json")
        self._run("controller", "control", "run", str(self._made.control_toml), "--json")
        await self._until(["controller", *(f"site {kme}" for kme in self._made.sites)])
        keys = {f"key {link.link}" for link in self._made.city.links}
        if not keys & self._seen and not self.stopping.is_set():
            later = "" if "warm" in self._seen else ", later where kernels are compiled or much else runs"
            self._say("begun", f"links begin: the first keys come in some ten seconds{later}")
        await self._until(["warm"] if ends else [])  # then the processors have time: keys take as long as light
        applications = (str(site.sae_toml) for site in self._made.sites.values())
        self._run("applications", "sae", "run", *applications, "--json")
        await self._until([*keys, *(f"application {kme}" for kme in self._made.sites)])
        await self._until_stocked()

    def _run(self, name: str, *words: str) -> None:
        child = self._children[name] = _Child(name, list(words), self._heard, self._tell_of)
        self._keep(child.keep(self.stopping))

    def _keep(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._keeping.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._keeping.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._say("failed", str(task.exception()))
            self.stopping.set()

    async def _until(self, wanted: Iterable[str]) -> None:
        """Wait until all of these were seen, or it is time to stop."""
        missing = set(wanted)
        while (missing := missing - self._seen) and not self.stopping.is_set():
            if self._loop.time() - self._began > _READY_S:
                raise LinkDown(f"not ready after {_READY_S:g} s: {', '.join(sorted(missing))} is missing")
            await asyncio.sleep(_POLL_S)

    async def _reap(self) -> None:
        """Ask every process to stop, then insist; none is left behind."""
        running = [c.process for c in self._children.values() if c.process is not None]
        for process in running:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.terminate()
        waiting = [asyncio.ensure_future(process.wait()) for process in running]
        if waiting:
            await asyncio.wait(waiting, timeout=_REAP_S)
        for process in running:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        for task in list(self._keeping):
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)

    # ---------------------------------------------------------------- what they say

    def _heard(self, name: str, record: dict[str, Any]) -> None:
        kind = name.partition(" ")[0]
        event = str(record.get("event", ""))
        if kind == "ends":
            self._heard_end(event, record)
        elif kind == "applications":
            self._heard_application(event, record)
        elif event == "ready":
            self._seen.add(name)
            self._say(kind, str(record["text"]), process=name)
        elif kind == "controller" and event.startswith("alarm"):
            self._say("alarm", str(record.get("text")), alarm=event, values=record)

    def _heard_end(self, event: str, record: dict[str, Any]) -> None:
        link = str(record.get("link", ""))
        match event:
            case "warm":
                self._seen.add("warm")
                self._say("warm", f"kernels are ready after {record['time_s']:.1f} s")
            case "started":
                name = f"ends {record['site']}"
                self._forked[name] = record["pid"]
                self._say("process", f"{name} started", process=name, pid=record["pid"])
            case "block" if record["role"] == "bob":
                self._rates[link] = record["net_bits"] and record["rate_bit_s"]
                if record["net_bits"]:
                    rate = f"{record['rate_bit_s'] / 1e3:,.0f} kbit/s"
                    self._see(f"key {link}", "link", f"{link}: first key, {rate} (simulated light)", link=link)
            case "light" if record["role"] == "bob":
                if record["dark"]:
                    self._rates[link] = 0.0
                self._say("light", f"{link}: {record['text']}", link=link, dark=record["dark"])
            case "failed" | "ended":
                self._say(event, record["text"], link=link)
            case _:
                return

    def _heard_application(self, event: str, record: dict[str, Any]) -> None:
        name = f"application {record.get('application', '')}"
        match event:
            case "started":
                self._forked[name] = record["pid"]
                self._say("process", f"{name} started", process=name, pid=record["pid"])
            case "ready":
                self._seen.add(name)
                self._say("application", str(record["text"]), process=name)
            case "ended" | "failed":
                self._say(event, str(record["text"]), process=name)
            case _:
                return

    def _see(self, what: str, event: str, text: str, **more: Any) -> None:
        if what not in self._seen:
            self._seen.add(what)
            self._say(event, text, **more)

    @property
    def key_rate_bps(self) -> float:
        """Of all links together."""
        return sum(self._rates.values())

    async def _tell_rates(self) -> None:
        while True:
            await asyncio.sleep(_RATE_S)
            lit, links = sum(rate > 0 for rate in self._rates.values()), len(self._made.city.links)
            text = f"key rate {self.key_rate_bps / 1e3:,.0f} kbit/s, {lit} of {links} links give key"
            self._say("rate", text, key_rate_bps=self.key_rate_bps, links_with_key=lit, links=links)

    def _say_ready(self) -> None:
        made = self._made
        self.ready_s = self._loop.time() - self._began
        first = min(made.city.links, key=lambda link: "leonardo" not in link.ends or "aria" not in link.ends)
        ends = sorted(first.ends, key=lambda kme: kme != "leonardo")
        master, slave = (made.sites[kme] for kme in ends)
        self._say(
            "ready",
            f"ready after {self.ready_s:.1f} s",
            ready_s=round(self.ready_s, 3),
            dashboard=f"http://{HOST}:{made.web}/",
            key_rate_bps=self.key_rate_bps,
            sites=len(made.sites),
            links=[str(link.link) for link in made.city.links],
            spans=[str(span.span) for span in made.city.spans],
            curl=curl_line(made, master, slave),
            master=master.application,
            slave=slave.application,
            pages={site.place: site.pages_url for site in made.sites.values()},
            laboratories={site.place: site.lab_url for site in made.sites.values() if site.has_lab},
            sender=str(master.sae_toml),
            receiver=next(site.place for site in made.sites.values() if site is not master),
            folder=str(made.folder),
        )

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run now."""
        found = {name: c.process for name, c in self._children.items()}
        own = {name: p.pid for name, p in found.items() if p is not None and p.returncode is None}
        return own | self._forked

    # ---------------------------------------------------------------- is there key for everybody

    async def _until_stocked(self) -> None:
        """Wait until every two applications have a key in stock, by fibre or by relay."""
        sites = list(self._made.sites.values())
        missing = {(a.kme, b.kme) for a in sites for b in sites if a is not b}
        while missing and not self.stopping.is_set():
            missing = await asyncio.to_thread(self._without_key, missing)
            if self._loop.time() - self._began > _READY_S:
                pairs = ", ".join(f"{a} to {b}" for a, b in sorted(missing))
                raise LinkDown(f"not ready after {_READY_S:g} s: no key from {pairs}")
            await asyncio.sleep(_PROBE_S)

    def _without_key(self, pairs: set[tuple[KmeId, KmeId]]) -> set[tuple[KmeId, KmeId]]:
        missing: set[tuple[KmeId, KmeId]] = set()
        for master in self._made.sites.values():
            others = [b for a, b in pairs if a == master.kme]
            stocked = self._stocked(master, others) if others else set[KmeId]()
            missing |= {(master.kme, b) for b in others if b not in stocked}
        return missing

    def _stocked(self, site: DemoSite, others: list[KmeId]) -> set[KmeId]:
        """To which of these sites the application of this one has a key."""
        issued = site.folder / "pki" / "issued" / f"sae-{site.application}-01"
        context = ssl.create_default_context(cafile=str(site.folder / "pki" / "ca.pem"))
        context.load_cert_chain(f"{issued}-chain.pem", f"{issued}.key")
        found: set[KmeId] = set()
        connection = http.client.HTTPSConnection(HOST, site.https, timeout=5.0, context=context)
        try:
            for other in others:
                connection.request("GET", f"/api/v1/keys/{self._made.sites[other].application}/status")
                answer = connection.getresponse()
                if answer.status == http.HTTPStatus.OK and json.loads(answer.read())["stored_key_count"]:
                    found.add(other)
                else:
                    answer.read()
        except (OSError, http.client.HTTPException, ValueError):
            return found
        finally:
            connection.close()
        return found
