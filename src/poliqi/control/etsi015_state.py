"""A site as ETSI GS QKD 015 sees it: its figures turned into the tree that a controller reads (pure functions)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import UNSET

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.control.etsi015 import (
    AppQos,
    AppStatistics,
    AppStatus,
    AppType,
    Attachment,
    End,
    InterfaceStatus,
    LinkStatus,
    LinkType,
    NodeStatus,
    Performance,
    PerformanceType,
    PhysicalPerformance,
    QkdApp,
    QkdApplications,
    QkdInterface,
    QkdInterfaces,
    QkdLink,
    QkdLinks,
    QkdnCapabilities,
    QkdNode,
    Statistics,
    Technology,
)
from poliqi.control.etsi015_names import (
    app_uuid,
    decimal64,
    interface_number,
    kme_uri,
    link_uuid,
    node_uuid,
    sae_uri,
    uint32,
)
from poliqi.control.messages import LightState, LinkReport
from poliqi.keys.policy import Policy

__all__ = ["Association", "NodeFigures", "StockFigures", "associations", "qkd_node"]

_FRESH_S = 30.0
_AT_WORK = (LightState.LIT, LightState.KEYLESS, LightState.DARK)


@dataclass(frozen=True, slots=True)
class StockFigures:
    """A stock shared with another site, and how it is filled. Rates in bit/s, measured over the last seconds.

    `taken_bps`: to applications; `carried_bps`: used for hops of relays. `light` is None where the link's end tells
    nothing. `next_hops`: where this end's relays go first; `prev_hop`: where the other end's came from last.
    """

    link: LinkId
    peer: KmeId
    is_relayed: bool
    is_connected: bool
    stored_bits: int
    filled_bits: int
    filled_bps: float = 0.0
    taken_bps: float = 0.0
    carried_bps: float = 0.0
    light: LinkReport | None = None
    is_simulated: bool = False
    next_hops: tuple[KmeId, ...] = ()
    prev_hop: KmeId | None = None
    bandwidth_bps: float | None = None

    @property
    def skr_bps(self) -> float:
        """Key that is made: what the devices say while that is fresh, else what came into stock."""
        light = self.light
        if light is not None and light.age_s <= _FRESH_S:
            if light.state is not LightState.LIT:
                return 0.0
            if light.key_rate_bps is not None:
                return light.key_rate_bps
        return self.filled_bps

    @property
    def status(self) -> LinkStatus:
        """Made, in stock, still to come, or gone."""
        if self.skr_bps > 0.0:
            return LinkStatus.ACTIVE
        if self.stored_bits > 0:
            return LinkStatus.PASSIVE
        return LinkStatus.OFF if self.filled_bits > 0 or self.light is not None else LinkStatus.PENDING


@dataclass(frozen=True, slots=True)
class Association:
    """`master` at `site` may ask for keys with each of `clients` at `other`. The terms of the master's site."""

    master: SaeId
    site: KmeId
    other: KmeId
    app_id: str
    server: str
    clients: tuple[str, ...]
    priority: int
    qos: AppQos


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """Everything that the tree is made of. `consumed`: finished periods, by master and the other end's site.

    `tells_qber`: put error rates into phys_perf, which a controller with the standard's own file refuses.
    """

    site: KmeId
    software: str
    status: NodeStatus
    stocks: Sequence[StockFigures]
    apps: Sequence[Association] = ()
    consumed: Mapping[tuple[SaeId, KmeId], Sequence[Statistics]] = field(
        default_factory=dict[tuple[SaeId, KmeId], Sequence[Statistics]]
    )
    location: str = ""
    tells_qber: bool = False


def associations(policy: Policy) -> tuple[Association, ...]:
    """Whom a site's policy lets share keys, one for each master and each other site. Not fast: keep the answer.

    One end lives at the site of the policy, the other end elsewhere.
    """
    found: dict[tuple[SaeId, KmeId], dict[SaeId, float | None]] = {}
    for grant in policy.grants:
        for master in grant.masters:
            for slave in grant.slaves - {master}:
                home, other = policy.home(master), policy.home(slave)
                if home is None or other is None or home == other or policy.site not in (home, other):
                    continue
                rate = grant.quota.bits
                found.setdefault((master, other), {})[slave] = None if rate is None else rate.per_s
    made: list[Association] = []
    for (master, other), slaves in sorted(found.items()):
        home = policy.home(master)
        assert home is not None
        limits, own = policy.limits(master), policy.quota(master, None).bits
        pairs = [rate for rate in slaves.values() if rate is not None]
        bounds = [sum(pairs)] if len(pairs) == len(slaves) else []
        bounds += [] if own is None else [own.per_s]
        qos = AppQos(
            max_bandwidth=uint32(min(bounds)) if bounds else UNSET,
            ttl=uint32(limits.ttl_s),
        )
        server, clients = sae_uri(master), tuple(sae_uri(slave) for slave in sorted(slaves))
        name = app_uuid(server, home, other)
        made.append(Association(master, home, other, name, server, clients, limits.priority, qos))
    return tuple(made)


def qkd_node(figures: NodeFigures) -> QkdNode:
    """The tree."""
    f = figures
    backing: dict[KmeId, list[str]] = {}
    connected: set[KmeId] = set()
    for stock in f.stocks:
        backing.setdefault(stock.peer, []).append(link_uuid(stock.link))
        if stock.is_connected:
            connected.add(stock.peer)
    apps = [_client(f, app, backing, connected) for app in f.apps]
    apps += [_relay(f, stock) for stock in f.stocks if stock.is_relayed and stock.next_hops]
    users: dict[str, list[str]] = {}
    for app in apps:
        for link in app.backing_qkdl_id or ():
            users.setdefault(link, []).append(app.app_id)
    direct = [stock for stock in f.stocks if not stock.is_relayed]
    return QkdNode(
        qkdn_id=node_uuid(f.site),
        qkdn_status=f.status,
        qkdn_version=f.software,
        qkdn_location_id=f.location,
        qkdn_capabilities=QkdnCapabilities(),
        qkd_applications=QkdApplications(qkd_app=tuple(apps)),
        qkd_interfaces=QkdInterfaces(qkd_interface=tuple(_interface(f.site, stock) for stock in direct)),
        qkd_links=QkdLinks(qkd_link=tuple(_link(f, stock, users) for stock in f.stocks)),
    )


def _client(f: NodeFigures, app: Association, backing: Mapping[KmeId, list[str]], connected: set[KmeId]) -> QkdApp:
    remote = app.other if app.site == f.site else app.site
    periods = f.consumed.get((app.master, app.other), ()) if app.site == f.site else ()
    return QkdApp(
        app_id=app.app_id,
        app_status=AppStatus.ON if remote in connected else AppStatus.DISCONNECTED,
        app_type=AppType.CLIENT,
        server_app_id=app.server,
        client_app_id=app.clients,
        local_qkdn_id=node_uuid(f.site),
        remote_qkdn_id=node_uuid(remote),
        app_priority=app.priority,
        app_qos=app.qos,
        app_statistics=AppStatistics(statistics=tuple(periods)) if periods else UNSET,
        backing_qkdl_id=tuple(backing[remote]) if remote in backing else UNSET,
    )


def _relay(f: NodeFigures, stock: StockFigures) -> QkdApp:
    """What fills a virtual link, as an application of the links that it goes over first."""
    server, hops = kme_uri(f.site), set(stock.next_hops)
    over = [s for s in f.stocks if not s.is_relayed and s.peer in hops]
    can_go = any(s.is_connected for s in over)
    bandwidth = UNSET if stock.bandwidth_bps is None else uint32(stock.bandwidth_bps)
    return QkdApp(
        app_id=app_uuid(f"{server} {stock.link}", f.site, stock.peer),
        app_status=AppStatus.ON if can_go else AppStatus.DISCONNECTED,
        app_type=AppType.INTERNAL,
        server_app_id=server,
        client_app_id=(kme_uri(stock.peer),),
        local_qkdn_id=node_uuid(f.site),
        remote_qkdn_id=node_uuid(stock.peer),
        app_qos=AppQos(max_bandwidth=bandwidth),
        backing_qkdl_id=tuple(link_uuid(s.link) for s in over) or UNSET,
    )


def _interface(site: KmeId, stock: StockFigures) -> QkdInterface:
    number = interface_number(stock.link)
    light = stock.light
    status = UNSET
    if light is not None:
        works = light.state in _AT_WORK and light.age_s <= _FRESH_S
        status = InterfaceStatus.ENABLED if works else InterfaceStatus.FAILED
    return QkdInterface(
        qkdi_id=number,
        qkdi_model="simulated light" if stock.is_simulated else UNSET,
        qkdi_type=Technology.DV_QKD,
        qkdi_att_point=Attachment(device=site, port=number),
        qkdi_status=status,
    )


def _link(f: NodeFigures, stock: StockFigures, users: Mapping[str, list[str]]) -> QkdLink:
    name, number = link_uuid(stock.link), UNSET if stock.is_relayed else interface_number(stock.link)
    light = stock.light
    fresh = None if light is None or light.age_s > _FRESH_S else light
    errors = UNSET
    if f.tells_qber and not stock.is_relayed and fresh is not None and fresh.qber_key is not None:
        errors = (PhysicalPerformance(perf_type=PerformanceType.QBER, value=decimal64(fresh.qber_key)),)
    loss = UNSET if stock.is_relayed or fresh is None or fresh.loss_db is None else decimal64(fresh.loss_db)
    return QkdLink(
        qkdl_id=name,
        qkdl_status=stock.status,
        qkdl_local=End(qkdn_id=node_uuid(f.site), qkdi_id=number),
        qkdl_remote=End(qkdn_id=node_uuid(stock.peer), qkdi_id=number),
        qkdl_type=LinkType.VIRT if stock.is_relayed else LinkType.PHYS,
        qkdl_performance=Performance(
            expected_consumption=uint32(stock.taken_bps),
            skr=uint32(stock.skr_bps),
            eskr=uint32(stock.skr_bps - stock.carried_bps),
            phys_perf=errors,
        ),
        qkdl_applications=tuple(users[name]) if name in users else UNSET,
        virt_prev_hop=UNSET if stock.prev_hop is None or not stock.is_relayed else node_uuid(stock.prev_hop),
        virt_next_hop=tuple(node_uuid(hop) for hop in dict.fromkeys(stock.next_hops))
        if stock.is_relayed and stock.next_hops
        else UNSET,
        virt_bandwidth=uint32(stock.bandwidth_bps)
        if stock.is_relayed and stock.bandwidth_bps is not None
        else UNSET,
        phys_channel_att=loss,
    )
