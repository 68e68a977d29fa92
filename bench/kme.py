"""Key delivery by real site processes: keys a second, pairs of two sites, latencies, ingest, the RING workload.

Two sites: the one that is measured has a core for itself, the other shares its core with the load generator (the
`pairs` run has more servers than cores). CPU times are those of the processes, from /proc; rates "a core" are what
a core of the measured site would carry by its CPU time alone, beside the rates that came about.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import keystore
from bench.feeder import Feeder, block_key
from bench.kme_loader import Door, Flow, Plan, Report
from bench.report import Metric
from bench.sites import LiveCity, LiveSite, live_city

BLOCK_BYTES: Final = 1 << 21
RING: Final = ("leonardo", "bovisa", "barbara", "intesa", "aria")
RING_RATES: Final = (33, 36, 40, 43, 47)
"""Bytes a second of the ring's links."""
TICKS_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(site: LiveSite) -> float:
    """CPU time that a site's process has used, all threads."""
    assert site.process is not None
    fields = Path(f"/proc/{site.process.pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICKS_S


def memory_mb(site: LiveSite) -> float:
    """Resident memory of a site's process."""
    assert site.process is not None
    lines = Path(f"/proc/{site.process.pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


def cores() -> tuple[int | None, int | None]:
    """One core for the measured site, one for all else; none are set apart on a machine with a single one."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def run_load(plan: Plan, sites: Sequence[LiveSite]) -> tuple[Report, dict[str, float]]:
    """What the load generator reports, and the CPU seconds of each site while it counted."""
    core = cores()[1]
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    line = [*pinned, sys.executable, "-m", "bench.kme_loader"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as loader:
        assert loader.stdin is not None
        assert loader.stdout is not None
        loader.stdin.write(msgspec.json.encode(plan))
        loader.stdin.close()
        loader.stdout.readline()
        before = [cpu_s(site) for site in sites]
        loader.stdout.readline()
        after = [cpu_s(site) for site in sites]
        report = msgspec.json.decode(loader.stdout.read(), type=Report)
    spent = {site.name: then - now for site, then, now in zip(sites, after, before, strict=True)}
    return report, spent


def door(site: LiveSite, sae: str) -> Door:
    """An application's way in."""
    certificate, key = site.credentials(sae)
    return Door(site.https, str(site.ca), str(certificate), str(key))


def words(report: Report, spent: dict[str, float]) -> dict[str, Any]:
    """A run's details."""
    wrong = {code: n for code, n in report.statuses.items() if code != "200"}
    return {
        "requests/s": round(report.requests / report.seconds),
        "keys/s": round(report.keys / report.seconds),
        "latency ms: p50, p95, p99, longest": [round(x, 2) for x in report.latencies_ms],
        "CPU us a request": {name: round(1e6 * s / max(1, report.requests), 1) for name, s in spent.items()},
        "CPU us a request, load generator": round(report.loader_cpu_us, 1),
        "refused or broken": wrong,
        "given twice: names, values": [report.names_twice, report.values_twice],
        "differing between the sites": report.differing,
    }


# -------------------------------------------------------------------- two sites


class Stocked:
    """Two sites with a link between them, and as much key as a run may use."""

    def __init__(self, city: LiveCity) -> None:
        self.a, self.b = city["a"], city["b"]
        self._next = 1

    def fill(self, size: int) -> float:
        """At least `size` bytes to each end's share; durable Mbit/s through both sockets at once."""
        blocks = range(self._next, self._next + -(-2 * size // BLOCK_BYTES))
        self._next = blocks.stop
        keys = [block_key("a-b", number, BLOCK_BYTES) for number in blocks]

        def feed(site: LiveSite) -> None:
            feeder = Feeder(site.state / "ingest.sock")
            for number, key in zip(blocks, keys, strict=True):
                feeder.push("a-b", number, key)
            feeder.close()

        began = time.perf_counter()
        together([lambda site=site: feed(site) for site in (self.a, self.b)])
        took = time.perf_counter() - began
        LiveCity.wait_confirmed("a-b", (self.a, self.b))
        return len(blocks) * BLOCK_BYTES * 8 / 1e6 / took

    def ask(self, number: int, seconds: float, connections: int) -> tuple[Report, dict[str, float]]:
        """Requests for `number` keys of 256 bits each, from one application."""
        path = f"/api/v1/keys/{self.b.saes[0]}/enc_keys?number={number}"
        plan = Plan([Flow(door(self.a, self.a.saes[0]), path, connections)], seconds)
        return run_load(plan, (self.a, self.b))

    def pairs(self, seconds: float, connections: int) -> tuple[Report, dict[str, float]]:
        """Each key fetched at the other site at once, both ways: half of the masters live at either site."""
        flows = [
            Flow(
                door(own, own.saes[0]),
                f"/api/v1/keys/{other.saes[0]}/enc_keys?number=1",
                connections // 2,
                (door(other, other.saes[0]), f"/api/v1/keys/{own.saes[0]}/dec_keys?key_ID="),
            )
            for own, other in ((self.a, self.b), (self.b, self.a))
        ]
        return run_load(Plan(flows, seconds), (self.a, self.b))


def together(work: Sequence[Callable[[], None]]) -> None:
    """Do all of it at once."""
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def two_sites(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    seconds, connections = (2.0, 64) if quick else (8.0, 64)
    details: dict[str, Any] = {"connections": connections, "cores": "the measured site has one for itself"}
    with live_city(("a", "b"), [("a", "b")], start=False) as city:
        city["a"].core, city["b"].core = cores()
        city.start()
        stock = Stocked(city)
        ingest = stock.fill(16 << 20 if quick else 32 << 20)
        one, spent = stock.ask(1, seconds, connections)
        details["batch 1"] = words(one, spent)
        us = 1e6 * spent["a"] / max(1, one.requests)
        stock.fill(32 << 20 if quick else 80 << 20)
        many, many_spent = stock.ask(32, seconds, connections)
        details["batch 32"] = words(many, many_spent)
        many_us = 1e6 * many_spent["a"] / max(1, many.requests)
        stock.fill(8 << 20)
        both, both_spent = stock.pairs(seconds, connections)
        details["pairs"] = words(both, both_spent) | {"pair ms": [round(x, 2) for x in both.pair_ms]}
        details["resident MB"] = {s.name: round(memory_mb(s)) for s in (city["a"], city["b"])}
    pair_us = 1e6 * sum(both_spent.values()) / max(1, both.requests)
    details["pairs/s by CPU, a core for each site"] = round(2e6 / pair_us)
    results = [
        Metric("enc_keys/s batch 1", 1e6 / us, "1/s a core", 15_000, "min"),
        Metric("enc_keys/s batch 1, by the clock", one.requests / one.seconds, "1/s", None, "min"),
        Metric("CPU us an enc_keys", us, "us", None, "max"),
        Metric("keys/s batch 32", 32e6 / many_us, "1/s a core", 150_000, "min"),
        Metric("keys/s batch 32, by the clock", many.keys / many.seconds, "1/s", None, "min"),
        Metric("pairs/s", both.requests / both.seconds, "1/s", 5_000, "min"),
        Metric("p99 ms", one.latencies_ms[2], "ms", 10.0, "max"),
        Metric("ingest Mbit/s", ingest, "Mbit/s", 100.0, "min"),
    ]
    return results, details


# -------------------------------------------------------------------- the ring


def relay_tables(site: str) -> str:
    """Pools to the two sites that are not neighbours, over the one between."""
    at = RING.index(site)
    text = ""
    for step in (1, -1):
        over, to = RING[(at + step) % 5], RING[(at + 2 * step) % 5]
        name = "_".join(sorted((site, to)))
        text += (
            f'[[relay]]\nlink = "{name}"\nto = "{to}"\nscheme = "single"\npaths = [["{site}", "{over}", "{to}"]]\n'
            'low_water = "32 kbit"\ncapacity = "1 Gbit"\nblock = "16 kbit"\n'
        )
    return text


def ring(seconds: float) -> tuple[list[Metric], dict[str, Any]]:
    """Five sites, five links, 15 applications, 30 connections with a key of 128 bits every 5 s each."""
    links = [(RING[i], RING[(i + 1) % 5]) for i in range(5)]
    flows: list[Flow] = []
    with live_city(RING, links, applications=3, relays={s: relay_tables(s) for s in RING}) as city:
        together([lambda link=link: fill_link(city, link) for link in links])
        for (x, y), place in itertools.product(itertools.combinations(RING, 2), range(3)):
            own, other = city[x], city[y]
            master, slave = own.saes[place], other.saes[place]
            first = f"/api/v1/keys/{slave}/enc_keys?number=1&size=128"
            again = f"/api/v1/keys/{master}/dec_keys?key_ID="
            flows.append(Flow(door(own, master), first, 1, (door(other, slave), again), period_s=5.0))
        for site in city.sites.values():
            site.wait_stocked(4)
        over = threading.Event()
        feeding = threading.Thread(target=keep_feeding, args=(city, links, over))
        feeding.start()
        report, spent = run_load(Plan(flows, seconds, warm_s=5.0), list(city.sites.values()))
        over.set()
        feeding.join()
    details = words(report, spent) | {"pair ms": [round(x, 2) for x in report.pair_ms], "seconds": seconds}
    details["links"] = "128 KiB at the start, then 33 to 47 bytes/s each; half of the connections go over a relay"
    return [Metric("ring p95 ms", report.latencies_ms[1], "ms", 10.0, "max")], details


def fill_link(city: LiveCity, link: tuple[str, str]) -> None:
    city.block("-".join(link), 1, 1 << 17)


def keep_feeding(city: LiveCity, links: list[tuple[str, str]], over: threading.Event) -> None:
    """Five seconds' worth of key to every link every five seconds."""
    for number in itertools.count(2):
        if over.wait(5.0):
            return
        for link, rate in zip(links, RING_RATES, strict=True):
            for site in link:
                city[site].feed("-".join(link), number, 5 * rate)


def run(quick: bool) -> tuple[list[Metric], dict[str, Any]]:
    """All figures with their goals."""
    results, details = two_sites(quick)
    more, details["ring"] = ring(15.0 if quick else 60.0)
    booted = keystore.boot(keystore.KEYS // 10 if quick else keystore.KEYS)
    details["boot"] = booted
    name = f"boot {booted['keys']:.0e} keys s".replace("+0", "")
    return [*results, *more, Metric(name, booted["s"], "s", 2.0, "max")], details
