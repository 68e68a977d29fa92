"""From a cut fibre to keys on the new route: five site processes, a controller, requests all the while."""

from __future__ import annotations

import json
import ssl
import statistics
import threading
import time
from dataclasses import dataclass, field

import httpx

from bench.controlled import ControlledCity, controlled_city
from bench.report import Metric
from poliqi.control.messages import LightState

__all__ = ["Asking", "heal"]

SITES = ("aria", "bovisa", "intesa", "leonardo", "santa-barbara")
RING = (
    ("leonardo", "bovisa"),
    ("bovisa", "santa-barbara"),
    ("santa-barbara", "intesa"),
    ("intesa", "aria"),
    ("aria", "leonardo"),
)
CUT = "aria-leonardo"
_PATIENCE_S = 30.0
_BLOCK_BYTES = 100_000


@dataclass
class Asking:
    """An application at one site that keeps asking for keys with one at another site, and compares both ends."""

    city: ControlledCity
    master: str
    slave: str
    number: int = 1
    size_bits: int = 2048
    pause_s: float = 0.02
    failures: list[str] = field(default_factory=list)
    paths: list[tuple[float, str]] = field(default_factory=list)
    """When a key came over which path, each path once."""
    asked: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Asking:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _client(self, name: str) -> httpx.Client:
        site = self.city.sites[name]
        context = ssl.create_default_context(cafile=str(site.ca))
        context.load_cert_chain(*site.credentials(f"{name}1"))
        return httpx.Client(base_url=site.url, verify=context, trust_env=False, timeout=20)

    def _run(self) -> None:
        with self._client(self.master) as one, self._client(self.slave) as two:
            while not self._stop.wait(self.pause_s):
                try:
                    self._once(one, two)
                except httpx.HTTPError as error:
                    self.failures.append(f"{type(error).__name__}: {error}")

    def _once(self, one: httpx.Client, two: httpx.Client) -> None:
        ask = {"number": self.number, "size": self.size_bits}
        ordered = one.post(f"/api/v1/keys/{self.slave}1/enc_keys", json=ask)
        self.asked += 1
        if ordered.status_code != 200:
            self.failures.append(f"enc_keys: {ordered.status_code} {ordered.text}")
            return
        keys = ordered.json()["keys"]
        wanted = {"key_IDs": [{"key_ID": k["key_ID"]} for k in keys]}
        fetched = two.post(f"/api/v1/keys/{self.master}1/dec_keys", json=wanted)
        if fetched.status_code != 200 or fetched.json()["keys"] != keys:
            self.failures.append(f"dec_keys: {fetched.status_code} {fetched.text[:200]}")
        path = json.dumps(keys[-1].get("key_extension", {}))
        if all(path != known for _, known in self.paths):
            self.paths.append((time.monotonic(), path))


def _feed(city: ControlledCity, stop: threading.Event, period_s: float) -> None:
    """Blocks of every lit link, for ever."""
    while not stop.wait(period_s):
        for device in city.devices.values():
            if device.state is LightState.LIT:
                device.make(_BLOCK_BYTES)


def heal(*, quick: bool = False) -> tuple[Metric, dict[str, object]]:
    """Seconds from the loss of light on one span of a ring of five until key arrives over the other way round.

    Arrives: the first relayed block of a pair whose way led over the span, after its route changed.
    """
    tries = 1 if quick else 3
    healed: list[float] = []
    failures: list[str] = []
    asked = 0
    for _ in range(tries):
        with controlled_city(SITES, RING) as city:
            stop = threading.Event()
            for device in city.devices.values():
                device.make(_BLOCK_BYTES)
            feeder = threading.Thread(target=_feed, args=(city, stop, 0.5), daemon=True)
            feeder.start()
            try:
                city.wait_table()
                city.sites["intesa"].wait_stocked(3)
                with Asking(city, "intesa", "leonardo") as asking:
                    time.sleep(2.0)
                    healed.append(_cut(city))
                    time.sleep(1.0)
                failures += asking.failures
                asked += asking.asked
            finally:
                stop.set()
                feeder.join()
    metric = Metric("heal s", statistics.median(healed), "s", 1.0, "max")
    return metric, {"heals_s": healed, "requests_meanwhile": asked, "requests_failed": len(failures)}


def _cut(city: ControlledCity) -> float:
    """Cut, and wait for key over the new way."""
    site, said = city.sites["intesa"], len(city.lines())
    began = time.monotonic()
    city.devices[CUT].set(LightState.DARK)
    while not any("leonardo" in str(line["text"]) for line in city.lines()[said:] if line["event"] == "rerouted"):
        assert time.monotonic() - began < _PATIENCE_S, "no new route"
        time.sleep(0.005)
    done = sum(_is_arrival(line) for line in site.lines())
    while sum(_is_arrival(line) for line in site.lines()) == done:
        assert time.monotonic() - began < _PATIENCE_S, site.log.read_text()[-2000:]
        time.sleep(0.005)
    return time.monotonic() - began


def _is_arrival(line: dict[str, object]) -> bool:
    return line["event"] == "relay-done" and "intesa.leonardo" in str(line["text"])
