"""The figures of a running application: what it serves, what arrived, how much key its site has, what ends when."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from poliqi.apps.keysource import KeySource, Supply
from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.terms import Policy
from poliqi.base.errors import LinkDown, PoliqiError
from poliqi.base.ids import SaeId
from poliqi.edge.expiry import Urgency, expiry
from poliqi.node.sae_door import SaeDoor
from poliqi.node.site_expiry import ExpiryWatch
from poliqi.node.site_figures import Metric

__all__ = ["SAE_METRICS", "SaeFigures", "certificate_line"]

SAE_METRICS: Final = (
    Metric("poliqi_application_streams_total", "counter", "streams served (label purpose)"),
    Metric("poliqi_application_streams_open", "gauge", "streams that other applications have open here"),
    Metric("poliqi_application_refused_total", "counter", "callers that were turned away"),
    Metric("poliqi_application_events_total", "counter", "events of the log (label event)"),
    Metric("poliqi_application_received_total", "counter", "files and folders that arrived whole (label peer)"),
    Metric("poliqi_application_received_bytes_total", "counter", "their bytes (label peer)"),
    Metric("poliqi_application_site_up", "gauge", "1 where the own site answered when it was last asked"),
    Metric("poliqi_application_site_age_seconds", "gauge", "since the own site was last asked"),
    Metric("poliqi_application_peer_connected", "gauge", "1 where the peer's site is connected (label peer)"),
    Metric("poliqi_application_key_available_bytes", "gauge", "key in stock when last asked (label peer)"),
    Metric("poliqi_certificate_days_left", "gauge", "days until a certificate or list ends (label file)"),
    Metric("poliqi_up_seconds", "gauge", "time since the start"),
)


class SaeFigures:
    """Counts what is told, and asks the site when it is told to. Any thread may call. Satisfies `Shown`."""

    def __init__(self, settings: SaeSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._began: Final = clock()
        self._lock: Final = threading.Lock()
        self._events: Final[Counter[str]] = Counter()
        self._received: Final[Counter[str]] = Counter()
        self._received_bytes: Final[Counter[str]] = Counter()
        self._supplies: Mapping[SaeId, Supply] = {}
        self._problem = ""
        self._asked_s: float | None = None
        self._door: SaeDoor | None = None
        self.change(settings, datetime.now(UTC))

    def watch(self, door: SaeDoor) -> None:
        """The door whose figures belong to the application."""
        self._door = door

    def change(self, settings: SaeSettings, now: datetime) -> None:
        """Other settings; certificates are read again. Raises nothing: what cannot be read is a warning."""
        site = settings.site
        expiring = ExpiryWatch(() if site is None else (site.certificate, site.authority), ())
        expiring.read(now)
        self._settings, self._expiring = settings, expiring

    def count(self, record: Mapping[str, Any]) -> None:
        """A record of the log."""
        with self._lock:
            self._events[str(record.get("event"))] += 1
            if record.get("event") == "received":
                self._received[str(record.get("peer"))] += 1
                self._received_bytes[str(record.get("peer"))] += int(record.get("size_bytes", 0))

    def ask(self, keys: KeySource) -> None:
        """Ask the site for the stock towards every peer that has one; blocks while it does not answer."""
        found: dict[SaeId, Supply] = {}
        problem = ""
        for sae, peer in list(self._settings.peers.items()):
            if peer.rule.policy is Policy.PQC:
                continue
            try:
                found[sae] = keys.supply(sae)
            except LinkDown as error:
                problem = str(error)
                break
            except PoliqiError as error:  # of this peer, or of all: then none is found
                problem = str(error)
        with self._lock:
            self._supplies, self._problem = found, "" if found else problem
            self._asked_s = self._clock()

    def warnings(self, now: datetime) -> list[str]:
        """Of certificates that end: each once a day, and at once when it grows more urgent."""
        return self._expiring.lines(now)

    def why_not(self) -> str:
        """Why no stream can be opened, or nothing."""
        now = datetime.now(UTC)
        over = [file for file, days in self._expiring.days_left(now) if days < 0.0]
        if over:
            return f"{over[0]} has ended: have the site issue another, then `poliqi sae reload`"
        return f"no key: {self._problem}" if self._problem else ""

    def values(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Name, labels and value of every figure."""
        name = "poliqi_application"
        with self._lock:
            events, received = sorted(self._events.items()), sorted(self._received.items())
            received_bytes = sorted(self._received_bytes.items())
            supplies, problem, asked_s = self._supplies, self._problem, self._asked_s
        if self._door is not None:
            counts = dict(self._door.counts)
            yield f"{name}_refused_total", {}, counts.pop("refused", 0)
            yield f"{name}_streams_open", {}, self._door.streams
            for purpose, count in sorted(counts.items()):
                yield f"{name}_streams_total", {"purpose": purpose}, count
        for event, count in events:
            yield f"{name}_events_total", {"event": event}, count
        for peer, count in received:
            yield f"{name}_received_total", {"peer": peer}, count
        for peer, count in received_bytes:
            yield f"{name}_received_bytes_total", {"peer": peer}, count
        if asked_s is not None and (supplies or problem):
            yield f"{name}_site_up", {}, float(not problem)
            yield f"{name}_site_age_seconds", {}, self._clock() - asked_s
        for sae, supply in supplies.items():
            yield f"{name}_peer_connected", {"peer": sae}, float(supply.is_connected)
            yield f"{name}_key_available_bytes", {"peer": sae}, supply.available_bytes
        for file, days in self._expiring.days_left(datetime.now(UTC)):
            yield "poliqi_certificate_days_left", {"file": file}, days
        yield "poliqi_up_seconds", {}, self._clock() - self._began

    def status(self) -> dict[str, Any]:
        """For people."""
        with self._lock:
            supplies = dict(self._supplies)
        peers = [
            {
                "sae": peer.sae,
                "place": peer.place,
                "available_bytes": None if sae not in supplies else supplies[sae].available_bytes,
                "connected": None if sae not in supplies else supplies[sae].is_connected,
            }
            for sae, peer in self._settings.peers.items()
        ]
        return {"sae": self._settings.sae, "up_s": round(self._clock() - self._began, 1), "peers": peers}


def certificate_line(settings: SaeSettings, now: datetime) -> tuple[str, Urgency]:
    """How long the application's certificate lasts. Raises ConfigError."""
    if settings.site is None:
        return f"{settings.sae} has no site: no certificate, and NO QUANTUM KEY", Urgency.OK
    found = expiry(settings.site.certificate, now)
    if found.urgency is not Urgency.OK:
        return found.line, found.urgency
    return f"{found.what} ends on {found.until:%Y-%m-%d}, in {found.days_left:.0f} days", found.urgency
