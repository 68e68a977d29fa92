"""The month report: how available each demand and link was, and how much key it had, against the service level.

Made from the log of the controller alone (records.py). Time that nobody saw is unknown, neither good nor bad; time
in which a demand's site was drained is planned work and left out. Every second counts once, however clocks jumped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import msgspec

from poliqi.control.city import City
from poliqi.control.messages import LightState
from poliqi.control.records import Drained, LinkChanged, Record, Served, SiteChanged, Standing, Started

__all__ = ["Gap", "LinkLevel", "MonthReport", "Outage", "ServiceLine", "month_ns", "month_report", "report_json"]

_S: Final = 1_000_000_000
_LEAST_GAP_NS: Final = 2 * _S
_LEAST_OUTAGE_S: Final = 0.5
_OUTAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class Gap:
    """Time that no controller saw."""

    start_ns: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Outage:
    """Time in which a demand's key was not to be had, or a link made none. `start_ns` to the resolution of the log,
    which is a minute; `causes` are pairs of a kind (a word of reporttext.py) and a name.
    """

    start_ns: int
    seconds: float
    causes: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class ServiceLine:
    """A demand over the month. Rates are means over the time seen, both directions (bit/s)."""

    name: str
    seen_s: float = 0.0
    """Planned work left out."""
    planned_s: float = 0.0
    available_s: float = 0.0
    wanted_bits: float = 0.0
    granted_bits: float = 0.0
    delivered_bits: float = 0.0
    outages: list[Outage] = field(default_factory=list[Outage])

    @property
    def availability(self) -> float | None:
        """Share of the time seen; None where nothing was."""
        return min(1.0, self.available_s / self.seen_s) if self.seen_s > 0.0 else None

    @property
    def rate_share(self) -> float | None:
        """Granted of wanted."""
        return self.granted_bits / self.wanted_bits if self.wanted_bits > 0.0 else None


@dataclass(slots=True)
class LinkLevel:
    """A link over the month."""

    name: str
    seen_s: float = 0.0
    lit_s: float = 0.0
    key_bits: float = 0.0
    outages: list[Outage] = field(default_factory=list[Outage])

    @property
    def availability(self) -> float | None:
        """Share of the time seen in which it made key; None where nothing was seen."""
        return min(1.0, self.lit_s / self.seen_s) if self.seen_s > 0.0 else None

    @property
    def key_rate_bps(self) -> float | None:
        """Mean over the time seen."""
        return self.key_bits / self.seen_s if self.seen_s > 0.0 else None


@dataclass(frozen=True, slots=True)
class MonthReport:
    """Everything that the report says; `start_ns` and `end_ns` are UTC, `target` the availability promised."""

    city: str
    is_simulated: bool
    start_ns: int
    end_ns: int
    target: float
    seen_s: float
    gaps: tuple[Gap, ...]
    demands: tuple[ServiceLine, ...]
    links: tuple[LinkLevel, ...]
    keys_delivered: int
    requests: int
    requests_refused: int

    @property
    def unknown_s(self) -> float:
        """How long no controller saw the city."""
        return max(0.0, (self.end_ns - self.start_ns) / _S - self.seen_s)

    def bounds(self, line: ServiceLine) -> tuple[float, float]:
        """Availability over all of the time, planned work left out, if all that was not seen was bad, and if it was
        good.
        """
        whole_s = (self.end_ns - self.start_ns) / _S - line.planned_s
        if whole_s <= 0.0:
            return 0.0, 1.0
        unseen_s = max(0.0, whole_s - line.seen_s)
        return min(1.0, line.available_s / whole_s), min(1.0, (line.available_s + unseen_s) / whole_s)

    def is_met(self, line: ServiceLine) -> bool | None:
        """Whether the service level was kept; None where what was not seen decides."""
        worst, best = self.bounds(line)
        if line.planned_s >= (self.end_ns - self.start_ns) / _S or worst >= self.target:
            return True
        return None if best >= self.target else False


def month_ns(year: int, month: int) -> tuple[int, int]:
    """First and last moment (exclusive) of a month, UTC, in nanoseconds of Unix time."""
    after = (year + month // 12, month % 12 + 1)
    return _days(year, month) * 86_400 * _S, _days(*after) * 86_400 * _S


def _days(year: int, month: int) -> int:
    """Days from 1970-01-01 to the first of a month of the Gregorian calendar."""
    y = year - (month <= 2)
    day_of_year = (153 * (month + (9 if month <= 2 else -3)) + 2) // 5
    return 365 * y + y // 4 - y // 100 + y // 400 + day_of_year - 719_468


def month_report(records: Iterable[Record], city: City, start_ns: int, end_ns: int) -> MonthReport:
    """Fold the log. Records may begin long before the month, and must be in the order of the log."""
    fold = _Fold(city, start_ns, end_ns)
    for record in records:
        fold.take(record)
    return fold.report()


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Time that was seen, and what each demand and link was like in it, as shares of its length."""

    start_ns: int
    end_ns: int
    served: Served

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / _S


class _Fold:
    """The month so far."""

    def __init__(self, city: City, start_ns: int, end_ns: int) -> None:
        self._city = city
        self._start, self._end = start_ns, end_ns
        self._until = start_ns
        self._stretches: list[_Stretch] = []
        self._drains: dict[str, list[tuple[int, int]]] = {}
        self._drained: dict[str, int] = {}
        self._bad: list[tuple[int, int, str, str]] = []
        self._link_state: dict[str, tuple[int, LightState]] = {}
        self._away: dict[str, int] = {}
        self._keys = self._requests = self._refused = 0

    def take(self, record: Record) -> None:
        at = record.wall_ns
        match record:
            case Served():
                self._served(record)
            case Drained():
                self._drain(record.site, at, is_draining=record.is_draining)
            case Standing():  # drains that still hold follow
                for site in list(self._drained):
                    self._drain(site, at, is_draining=False)
            case LinkChanged():
                self._link(record.link, at, record.state)
            case SiteChanged():
                self._site(record.site, at, is_up=record.is_up)
            case Started():
                for link in list(self._link_state):
                    self._link(link, at, LightState.LIT)
                for site in list(self._away):
                    self._site(site, at, is_up=True)
            case _:
                pass

    def _served(self, record: Served) -> None:
        start = max(record.wall_ns - round(record.seconds * _S), self._until)
        end = min(record.wall_ns, self._end)
        if end <= start:
            return
        self._stretches.append(_Stretch(start, end, record))
        self._until = end
        part = (end - start) / _S / record.seconds
        self._keys += round(record.keys_delivered * part)
        self._requests += round(record.requests * part)
        self._refused += round(record.requests_refused * part)

    def _drain(self, site: str, at: int, *, is_draining: bool) -> None:
        if is_draining:
            self._drained.setdefault(site, at)
        elif site in self._drained:
            self._drains.setdefault(site, []).append((self._drained.pop(site), at))

    def _link(self, link: str, at: int, state: LightState) -> None:
        since, before = self._link_state.pop(link, (at, LightState.LIT))
        if before is not LightState.LIT:
            self._bad.append((since, at, f"link-{before.value}", link))
        if state is not LightState.LIT:
            self._link_state[link] = (at, state)

    def _site(self, site: str, at: int, *, is_up: bool) -> None:
        if not is_up:
            self._away.setdefault(site, at)
        elif site in self._away:
            self._bad.append((self._away.pop(site), at, "site-away", site))

    def report(self) -> MonthReport:
        for link in list(self._link_state):
            self._link(link, self._end, LightState.LIT)
        for site in list(self._away):
            self._site(site, self._end, is_up=True)
        for site in list(self._drained):
            self._drain(site, self._end, is_draining=False)
        return MonthReport(
            city=self._city.name,
            is_simulated=self._city.is_simulated,
            start_ns=self._start,
            end_ns=self._end,
            target=self._city.service.availability,
            seen_s=sum(stretch.seconds for stretch in self._stretches),
            gaps=self._gaps(),
            demands=tuple(self._demand_lines().values()),
            links=tuple(self._link_lines().values()),
            keys_delivered=self._keys,
            requests=self._requests,
            requests_refused=self._refused,
        )

    def _gaps(self) -> tuple[Gap, ...]:
        edges = [self._start, *(t for s in self._stretches for t in (s.start_ns, s.end_ns)), self._end]
        unseen = [(a, b) for a, b in list(pairwise(edges))[::2] if b - a >= _LEAST_GAP_NS]
        return tuple(Gap(a, (b - a) / _S) for a, b in unseen)

    def _planned_s(self, sites: tuple[str, ...], start: int, end: int) -> float:
        """How long one of the sites was drained within a stretch."""
        cut = sorted(
            (max(a, start), min(b, end)) for s in sites for a, b in self._drains.get(s, ()) if a < end and b > start
        )
        total, until = 0, start
        for a, b in cut:
            total += max(0, b - max(a, until))
            until = max(until, b)
        return total / _S

    def _demand_lines(self) -> dict[str, ServiceLine]:
        lines = {demand.name: ServiceLine(demand.name) for demand in self._city.demands}
        runs: dict[str, _Run] = {}
        for stretch in self._stretches:
            whole_s = stretch.served.seconds
            for told in stretch.served.demands:
                line = lines.setdefault(told.demand, ServiceLine(told.demand))
                ends = self._city.demand[told.demand].ends if told.demand in self._city.demand else ()
                planned_s = self._planned_s(ends, stretch.start_ns, stretch.end_ns)
                seen_s = stretch.seconds - planned_s
                share = min(1.0, told.available_s / whole_s)
                line.planned_s += planned_s
                line.seen_s += seen_s
                line.available_s += share * seen_s
                line.wanted_bits += told.wanted_bps * seen_s
                line.granted_bits += told.granted_bps * seen_s
                line.delivered_bits += told.delivered_bps * seen_s
                runs.setdefault(told.demand, _Run()).add(stretch, (1.0 - share) * seen_s)
        for name, run in runs.items():
            lines[name].outages = [self._outage(*each, none=("short", name)) for each in run.closed()][:_OUTAGES]
        return lines

    def _link_lines(self) -> dict[str, LinkLevel]:
        lines = {str(link.link): LinkLevel(str(link.link)) for link in self._city.links}
        runs: dict[str, _Run] = {}
        for stretch in self._stretches:
            for told in stretch.served.links:
                line = lines.setdefault(told.link, LinkLevel(told.link))
                share = min(1.0, told.lit_s / stretch.served.seconds)
                line.seen_s += stretch.seconds
                line.lit_s += share * stretch.seconds
                line.key_bits += told.key_bits * stretch.seconds / stretch.served.seconds
                runs.setdefault(told.link, _Run()).add(stretch, (1.0 - share) * stretch.seconds)
        for name, run in runs.items():
            closed = [self._outage(*each, none=("link-unlit", name), only=name) for each in run.closed()]
            lines[name].outages = closed[:_OUTAGES]
        return lines

    def _outage(
        self, start: int, end: int, seconds: float, none: tuple[str, str], only: str | None = None
    ) -> Outage:
        """An outage, and what was wrong with links and sites meanwhile."""
        causes = dict.fromkeys(
            (kind, name)
            for since, until, kind, name in self._bad
            if since < end and until > start and (only is None or name == only)
        )
        return Outage(start, seconds, tuple(causes) or (none,))


class _Run:
    """Stretches in which something was missing, joined where they touch."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, int, float]] = []

    def add(self, stretch: _Stretch, missing_s: float) -> None:
        if missing_s < 1e-6:
            return
        if self._runs and stretch.start_ns - self._runs[-1][1] < _LEAST_GAP_NS:
            start, _, before_s = self._runs[-1]
            self._runs[-1] = (start, stretch.end_ns, before_s + missing_s)
        else:
            self._runs.append((stretch.start_ns, stretch.end_ns, missing_s))

    def closed(self) -> list[tuple[int, int, float]]:
        return [run for run in self._runs if run[2] >= _LEAST_OUTAGE_S]


def report_json(report: MonthReport) -> bytes:
    """The report as a JSON object; shares and seconds as they are, nothing rounded."""
    body = msgspec.to_builtins(report)
    body["unknown_s"] = report.unknown_s
    for told, line in zip(body["demands"], report.demands, strict=True):
        told |= {"availability": line.availability, "bounds": report.bounds(line), "is_met": report.is_met(line)}
    for told, link in zip(body["links"], report.links, strict=True):
        told |= {"availability": link.availability, "key_rate_bps": link.key_rate_bps}
    return msgspec.json.encode(body)
