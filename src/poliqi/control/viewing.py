"""The city's view, made from what the controller holds; cheap enough for ten a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.citystate import CityState
from poliqi.control.linkstate import LinkWatch
from poliqi.control.pairstock import PairStock, pair_of
from poliqi.control.records import PairRoutes
from poliqi.control.roster import SiteWatch
from poliqi.control.router import Router
from poliqi.control.view import DemandView, LinkView, PoolView, RouteView, SiteView
from poliqi.control.ways import is_direct

__all__ = ["demand_views", "link_views", "pool_views", "site_views"]


def site_views(sites: Iterable[SiteWatch], now: float) -> tuple[SiteView, ...]:
    """Every site."""
    return tuple(_site_view(site, now) for site in sites)


def _site_view(site: SiteWatch, now: float) -> SiteView:
    report = site.report
    return SiteView(
        kme=site.kme,
        is_up=site.is_up,
        is_draining=site.drains,
        age_s=None if site.reported_at is None else max(0.0, now - site.reported_at),
        software=site.software,
        table=site.applied,
        keys_delivered=0 if report is None else report.keys_delivered,
        requests=0 if report is None else report.requests,
        requests_refused=0 if report is None else report.requests_refused,
        peers_up=sum(site.peers.values()),
        peers=len(site.peers),
    )


def link_views(state: CityState, router: Router, now: float) -> tuple[LinkView, ...]:
    """Every quantum link."""
    return tuple(_link_view(state, router, name, watch, now) for name, watch in state.links.items())


def _link_view(state: CityState, router: Router, name: LinkId, watch: LinkWatch, now: float) -> LinkView:
    f = watch.figures
    return LinkView(
        link=name,
        state=watch.state,
        is_fresh=watch.is_fresh,
        age_s=watch.age_s(now),
        key_rate_bps=f.key_rate_bps,
        qber_key=f.qber_key,
        qber_test=f.qber_test,
        loss_db=f.loss_db,
        planned_loss_db=watch.planned_loss_db,
        epsilon=None if state.city.is_simulated or watch.is_simulated else f.epsilon,
        blocks=f.blocks,
        reason=f.reason,
        stock_bits=state.link_stock(name),
        used_bps=router.used_bps.get(name, 0.0),
        history=state.histories[name].samples,
    )


def pool_views(stocks: Iterable[PairStock]) -> tuple[PoolView, ...]:
    """The stock of each pair of sites."""
    return tuple(_pool_view(stock) for stock in stocks)


def _pool_view(stock: PairStock) -> PoolView:
    left = stock.seconds_left
    return PoolView(
        ends=stock.ends,
        free_bits=stock.free_bits,
        relayed_bits=stock.relayed_bits,
        taken_bps=stock.taken_bps,
        filled_bps=stock.filled_bps,
        hours_left=None if left is None else left / 3600.0,
    )


def demand_views(state: CityState, router: Router) -> tuple[DemandView, ...]:
    """The city's demands and the routes of their pairs."""
    shares = _taken_shares(state)
    found: list[DemandView] = []
    for demand in state.city.demands:
        routes = router.routes.get(pair_of(*demand.ends))
        grant = router.allocation.grant.get(demand.name)
        found.append(
            DemandView(
                name=demand.name,
                ends=demand.ends,
                wanted_bps=demand.rate_bps,
                granted_bps=0.0 if grant is None else grant.granted_bps,
                taken_bps=shares[demand.name],
                priority=demand.priority,
                routes=_route_views(demand.ends[0], routes),
                is_direct=routes is not None and any(is_direct(way) for way in routes.ways),
            )
        )
    return tuple(found)


def _route_views(first: KmeId, routes: PairRoutes | None) -> tuple[RouteView, ...]:
    """Relayed ways, read from a demand's first end."""
    if routes is None:
        return ()

    def turned(path: Sequence[str]) -> tuple[KmeId, ...]:
        sites = tuple(KmeId(site) for site in path)
        return sites if sites[0] == first else sites[::-1]

    return tuple(
        RouteView(tuple(turned(path) for path in way.paths), way.rate_bps)
        for way in routes.ways
        if not is_direct(way)
    )


def _taken_shares(state: CityState) -> dict[str, float]:
    """What applications of a pair take, split among the pair's demands by what they want."""
    wanted: dict[tuple[KmeId, KmeId], float] = {}
    for demand in state.city.demands:
        pair = pair_of(*demand.ends)
        wanted[pair] = wanted.get(pair, 0.0) + demand.rate_bps
    shares: dict[str, float] = {}
    for demand in state.city.demands:
        pair = pair_of(*demand.ends)
        stock, total = state.stocks.get(pair), wanted[pair]
        taken = 0.0 if stock is None else stock.taken_bps
        shares[demand.name] = taken * demand.rate_bps / total if total > 0.0 else 0.0
    return shares
