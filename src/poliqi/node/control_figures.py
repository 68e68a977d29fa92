"""The figures of a running controller: one table of metrics, and their values from the view of the city."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from poliqi.control.causes import CAUSES, Cause
from poliqi.control.events import CityEventKind
from poliqi.control.messages import LightState
from poliqi.control.view import CityView, DemandView, LinkView, PoolView, SiteView
from poliqi.node.site_figures import Metric

__all__ = ["METRICS", "OutletCount", "city_values"]

METRICS: Final = (
    Metric("poliqi_city_in_charge", "gauge", "1 while this controller gives the orders"),
    Metric("poliqi_city_epoch", "gauge", "epoch of this controller; of two the one with the higher is obeyed"),
    Metric("poliqi_city_simulated", "gauge", "1 where the light of the links is simulated"),
    Metric("poliqi_city_key_rate_bits_per_second", "gauge", "key that all lit links make together"),
    Metric("poliqi_city_optimise_seconds", "gauge", "time of the latest re-optimisation of the routes"),
    Metric("poliqi_city_events_total", "counter", "events by kind (label kind)"),
    Metric("poliqi_city_alarms", "gauge", "open alarms by cause (labels cause, severity)"),
    Metric("poliqi_city_alarms_unseen", "gauge", "open alarms that nobody acknowledged"),
    Metric("poliqi_city_site_up", "gauge", "1 while the site reports (label site)"),
    Metric("poliqi_city_site_draining", "gauge", "1 while the site is drained (label site)"),
    Metric("poliqi_city_site_report_age_seconds", "gauge", "since the site's latest report (label site)"),
    Metric("poliqi_city_site_peers_connected", "gauge", "sites that are connected with it (label site)"),
    Metric("poliqi_city_site_keys_delivered_total", "counter", "keys handed to applications (label site)"),
    Metric("poliqi_city_site_requests_total", "counter", "requests of applications (label site)"),
    Metric(
        "poliqi_city_site_requests_refused_total", "counter", "requests for which there was no key (label site)"
    ),
    Metric("poliqi_city_link_state", "gauge", "1 for the state that the link is in (labels link, state)"),
    Metric("poliqi_city_link_age_seconds", "gauge", "age of the link's figures (label link)"),
    Metric("poliqi_city_link_key_rate_bits_per_second", "gauge", "key that the link makes (label link)"),
    Metric("poliqi_city_link_used_bits_per_second", "gauge", "key that routes take of the link (label link)"),
    Metric("poliqi_city_link_qber_ratio", "gauge", "share of errors (labels link, basis)"),
    Metric("poliqi_city_link_loss_decibels", "gauge", "measured loss between the devices (label link)"),
    Metric("poliqi_city_link_planned_loss_decibels", "gauge", "loss by the plan (label link)"),
    Metric(
        "poliqi_city_link_epsilon", "gauge", "epsilon of the latest block; none for simulated light (label link)"
    ),
    Metric("poliqi_city_link_stock_bits", "gauge", "free key of both ends of the link's own stock (label link)"),
    Metric("poliqi_city_link_blocks_total", "counter", "blocks with key since the device's start (label link)"),
    Metric("poliqi_city_pair_stock_bits", "gauge", "free key that two sites share (labels site, other)"),
    Metric("poliqi_city_pair_taken_bits_per_second", "gauge", "key that applications take (labels site, other)"),
    Metric("poliqi_city_pair_left_seconds", "gauge", "how long the stock would last (labels site, other)"),
    Metric("poliqi_city_demand_wanted_bits_per_second", "gauge", "key that is wanted (label demand)"),
    Metric("poliqi_city_demand_granted_bits_per_second", "gauge", "key that is granted (label demand)"),
    Metric("poliqi_city_demand_taken_bits_per_second", "gauge", "key that is taken (label demand)"),
    Metric("poliqi_city_outlet_sent_total", "counter", "alarms that reached an outlet (label outlet)"),
    Metric(
        "poliqi_city_outlet_failed_total", "counter", "attempts that an outlet refused or missed (label outlet)"
    ),
    Metric("poliqi_city_outlet_dropped_total", "counter", "alarms that an outlet never got (label outlet)"),
    Metric("poliqi_certificate_days_left", "gauge", "days until a certificate or list ends (label file)"),
)


@dataclass(frozen=True, slots=True)
class OutletCount:
    """How one outlet of alarms (a syslog collector, a webhook) does."""

    outlet: str
    sent: int
    failed: int
    dropped: int


Value = tuple[str, dict[str, str], float]


def city_values(
    view: CityView,
    counts: Mapping[CityEventKind, int],
    outlets: Iterable[OutletCount] = (),
    days_left: Iterable[tuple[str, float]] = (),
) -> Iterator[Value]:
    """Name, labels and value of every figure. A figure that is not known has no value rather than 0."""
    yield "poliqi_city_in_charge", {}, float(view.is_in_charge)
    yield "poliqi_city_epoch", {}, view.epoch
    yield "poliqi_city_simulated", {}, float(view.city.is_simulated)
    yield "poliqi_city_key_rate_bits_per_second", {}, view.key_rate_bps
    yield "poliqi_city_optimise_seconds", {}, view.last_change_s
    for kind in CityEventKind:
        yield "poliqi_city_events_total", {"kind": kind.value}, counts.get(kind, 0)
    yield from _alarms(view)
    for site in view.sites:
        yield from _site(site)
    for link in view.links:
        yield from _link(link)
    for pool in view.pools:
        yield from _pool(pool)
    for demand in view.demands:
        yield from _demand(demand)
    for outlet in outlets:
        labels = {"outlet": outlet.outlet}
        yield "poliqi_city_outlet_sent_total", labels, outlet.sent
        yield "poliqi_city_outlet_failed_total", labels, outlet.failed
        yield "poliqi_city_outlet_dropped_total", labels, outlet.dropped
    for file, days in days_left:
        yield "poliqi_certificate_days_left", {"file": file}, days


def _alarms(view: CityView) -> Iterator[Value]:
    """Every cause has a value, so that a rule sees an alarm come and go."""
    known = dict.fromkeys((cause.value for cause in Cause), 0)
    for alarm in view.alarms:
        if alarm.cause in known:
            known[alarm.cause] += 1
    for cause, count in known.items():
        yield "poliqi_city_alarms", {"cause": cause, "severity": CAUSES[Cause(cause)].severity.value}, count
    yield "poliqi_city_alarms_unseen", {}, sum(alarm.seen_by is None for alarm in view.alarms)


def _site(site: SiteView) -> Iterator[Value]:
    labels = {"site": str(site.kme)}
    yield "poliqi_city_site_up", labels, float(site.is_up)
    yield "poliqi_city_site_draining", labels, float(site.is_draining)
    if site.age_s is not None:
        yield "poliqi_city_site_report_age_seconds", labels, site.age_s
    yield "poliqi_city_site_peers_connected", labels, site.peers_up
    yield "poliqi_city_site_keys_delivered_total", labels, site.keys_delivered
    yield "poliqi_city_site_requests_total", labels, site.requests
    yield "poliqi_city_site_requests_refused_total", labels, site.requests_refused


def _link(link: LinkView) -> Iterator[Value]:
    name = str(link.link)
    labels = {"link": name}
    for state in LightState:
        yield "poliqi_city_link_state", {**labels, "state": state.value}, float(link.state is state)
    known: tuple[tuple[str, float | None], ...] = (
        ("age_seconds", link.age_s),
        ("key_rate_bits_per_second", link.key_rate_bps if link.is_fresh else None),
        ("used_bits_per_second", link.used_bps),
        ("loss_decibels", link.loss_db),
        ("planned_loss_decibels", link.planned_loss_db),
        ("epsilon", link.epsilon),
        ("stock_bits", link.stock_bits),
        ("blocks_total", link.blocks),
    )
    for figure, value in known:
        if value is not None:
            yield f"poliqi_city_link_{figure}", labels, value
    for basis, value in (("key", link.qber_key), ("test", link.qber_test)):
        if value is not None:
            yield "poliqi_city_link_qber_ratio", {**labels, "basis": basis}, value


def _pool(pool: PoolView) -> Iterator[Value]:
    site, other = sorted(str(end) for end in pool.ends)
    labels = {"site": site, "other": other}
    yield "poliqi_city_pair_stock_bits", labels, pool.free_bits
    yield "poliqi_city_pair_taken_bits_per_second", labels, pool.taken_bps
    if pool.hours_left is not None:
        yield "poliqi_city_pair_left_seconds", labels, 3600.0 * pool.hours_left


def _demand(demand: DemandView) -> Iterator[Value]:
    labels = {"demand": demand.name}
    yield "poliqi_city_demand_wanted_bits_per_second", labels, demand.wanted_bps
    yield "poliqi_city_demand_granted_bits_per_second", labels, demand.granted_bps
    yield "poliqi_city_demand_taken_bits_per_second", labels, demand.taken_bps
