"""The city as a person sees it now: plain values of which pages, metrics and command lines are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City, SpanId
from poliqi.control.events import CityEvent
from poliqi.control.messages import LightState

__all__ = ["AlarmView", "CityView", "DemandView", "LinkView", "PoolView", "RouteView", "Sample", "SiteView"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One point of a link's history. `at` is the owner's clock (s); None where nothing was measured."""

    at: float
    key_rate_bps: float | None
    qber_key: float | None
    qber_test: float | None
    loss_db: float | None
    stock_bits: int


@dataclass(frozen=True, slots=True)
class SiteView:
    """A site as it is."""

    kme: KmeId
    is_up: bool
    is_draining: bool
    age_s: float | None
    """Since its last report; None where it never reported."""
    software: str
    table: int
    """Version of the routes in force there."""
    keys_delivered: int
    requests: int
    requests_refused: int
    peers_up: int
    peers: int


@dataclass(frozen=True, slots=True)
class LinkView:
    """A quantum link as it is. Figures are None where nothing fresh was measured."""

    link: LinkId
    state: LightState
    is_fresh: bool
    age_s: float | None
    key_rate_bps: float | None
    qber_key: float | None
    qber_test: float | None
    loss_db: float | None
    planned_loss_db: float
    epsilon: float | None
    blocks: int
    reason: str
    stock_bits: int
    """Free bits of both ends' shares."""
    used_bps: float
    """What routes take from it, as allocated."""
    history: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolView:
    """The stock between two sites, all pools of the pair together; free bits of both ends."""

    ends: tuple[KmeId, KmeId]
    free_bits: int
    relayed_bits: int
    taken_bps: float
    filled_bps: float
    hours_left: float | None
    """At the rate it is taken now and nothing filled; None while nothing is taken."""


@dataclass(frozen=True, slots=True)
class RouteView:
    """Paths that fill a relayed stock together, and the rate that takes them."""

    paths: tuple[tuple[KmeId, ...], ...]
    rate_bps: float


@dataclass(frozen=True, slots=True)
class DemandView:
    """A demand, what it is granted and over which ways. No routes: the direct link serves it."""

    name: str
    ends: tuple[KmeId, KmeId]
    wanted_bps: float
    granted_bps: float
    taken_bps: float
    priority: int
    routes: tuple[RouteView, ...]
    is_direct: bool


@dataclass(frozen=True, slots=True)
class AlarmView:
    """A cause, and what it explains. `cause` is a key of the table of causes (causes.py), whose `cause_line` and
    `cause_advice` make texts of it and `values`. `rivals`: causes that would explain it nearly as well.
    """

    number: int
    cause: str
    since: float
    site: KmeId | None
    link: LinkId | None
    span: SpanId | None
    values: dict[str, str | int | float]
    explains: tuple[CityEvent, ...]
    cleared: float | None = None
    rivals: tuple[str, ...] = ()
    seen_by: str | None = None
    """Who acknowledged it."""
    seen_at: float | None = None


@dataclass(frozen=True, slots=True)
class CityView:
    """Everything. `now` is the owner's clock (s) to which all `at`, `since` and ages refer."""

    city: City
    controller: str
    epoch: int
    now: float
    is_in_charge: bool
    """False once a controller with a higher epoch was met."""
    sites: tuple[SiteView, ...]
    links: tuple[LinkView, ...]
    pools: tuple[PoolView, ...]
    demands: tuple[DemandView, ...]
    alarms: tuple[AlarmView, ...]
    events: tuple[CityEvent, ...]
    """The latest, newest first."""
    last_change_s: float = 0.0
    """How long the latest re-optimisation took."""
    labels: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def sites_up(self) -> int:
        """How many sites report."""
        return sum(s.is_up for s in self.sites)

    @property
    def key_rate_bps(self) -> float:
        """Secret bits a second that all links make now."""
        return sum(
            link.key_rate_bps or 0.0 for link in self.links if link.state is LightState.LIT and link.is_fresh
        )

    @property
    def hours_left(self) -> float | None:
        """Until the first pair of sites with a demand is out of key, if nothing were made any more."""
        wanted = {frozenset(d.ends) for d in self.demands}
        left = [p.hours_left for p in self.pools if p.hours_left is not None and frozenset(p.ends) in wanted]
        return min(left, default=None)
