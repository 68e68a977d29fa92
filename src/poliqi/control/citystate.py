"""The city as it is measured: its sites, links and stocks under watch, and which links may be used now."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import City
from poliqi.control.history import History, ring_size
from poliqi.control.linkstate import LinkWatch
from poliqi.control.pairstock import Pair, PairStock, pair_of
from poliqi.control.planning import SitePolicy, UsableLink
from poliqi.control.roster import SiteWatch
from poliqi.keys.relay_messages import MAX_HOPS

__all__ = ["CityState"]

_K = TypeVar("_K")
_V = TypeVar("_V")


class CityState:
    """Everything that is known of the city now. Iteration is in the order of the plan."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.sites: Final[dict[KmeId, SiteWatch]] = {}
        self.links: Final[dict[LinkId, LinkWatch]] = {}
        self.stocks: Final[dict[Pair, PairStock]] = {}
        self.histories: Final[dict[LinkId, History]] = {}
        self.links_at: Final[dict[KmeId, list[LinkId]]] = {}
        self.tables_due: Final[dict[KmeId, None]] = {}
        """Sites whose table is new, or was not applied yet."""
        self.judge_lost: Final[set[KmeId]] = set()
        """Sites that another site has lost, or whose stream broke."""
        self._shown: tuple[City, City] | None = None
        self.take(city)

    def take(self, city: City) -> None:
        """Another plan: what stays in it keeps its state."""
        self.city = city
        _keep(self.sites, {s.kme: self.sites.get(s.kme) or SiteWatch(s.kme) for s in city.sites})
        links: dict[LinkId, LinkWatch] = {}
        for link in city.links:
            known = self.links.get(link.link)
            loss_db = city.loss_db(link)
            is_same = known is not None and (known.link, known.planned_loss_db) == (link, loss_db)
            links[link.link] = known if known is not None and is_same else LinkWatch(link, loss_db)
        _keep(self.links, links)
        size = ring_size(len(city.links))
        _keep(self.histories, {name: self.histories.get(name) or History(size) for name in links})
        kept = {pair: s for pair, s in self.stocks.items() if pair[0] in self.sites and pair[1] in self.sites}
        _keep(self.stocks, kept)
        self.links_at.clear()
        for link in city.links:
            for end in link.ends:
                self.links_at.setdefault(end, []).append(link.link)

    @property
    def shown_city(self) -> City:
        """The plan as people see it: simulated where the plan says so, or any end of a link does."""
        if self.city.is_simulated or not any(watch.is_simulated for watch in self.links.values()):
            return self.city
        if self._shown is None or self._shown[0] is not self.city:
            self._shown = self.city, replace(self.city, is_simulated=True)
        return self._shown[1]

    def table_due(self, site: KmeId) -> None:
        """The routes of a site are others."""
        watch = self.sites.get(site)
        if watch is not None:
            watch.is_table_due = True
            self.tables_due[site] = None

    def stock(self, a: KmeId, b: KmeId) -> PairStock:
        """The stock between two sites."""
        pair = pair_of(a, b)
        found = self.stocks.get(pair)
        if found is None:
            found = self.stocks[pair] = PairStock(pair)
        return found

    def link_stock(self, name: LinkId) -> int:
        """Free bits of a link's own pool, both ends."""
        found = self.stocks.get(pair_of(*self.links[name].link.ends))
        return 0 if found is None else found.free_in(name)

    def are_parted(self, a: KmeId, b: KmeId) -> bool:
        """Whether one of the two says that the other is not connected to it."""
        one, other = self.sites[a], self.sites[b]
        return (one.is_up and one.peers.get(b) is False) or (other.is_up and other.peers.get(a) is False)

    def usable(self, name: LinkId) -> UsableLink | None:
        """The link where it makes key between sites that talk to each other; None where not."""
        watch = self.links.get(name)
        if watch is None or not watch.is_lit or self.are_parted(*watch.link.ends):
            return None
        rate = watch.figures.key_rate_bps or 0.0
        return UsableLink(name, pair_of(*watch.link.ends), rate, float(self.link_stock(name)))

    def relays(self) -> frozenset[KmeId]:
        """Sites that may be passed now."""
        may = {site.kme for site in self.city.sites if site.is_relay}
        return frozenset(s.kme for s in self.sites.values() if s.kme in may and s.is_up and not s.drains)

    def policies(self) -> dict[KmeId, SitePolicy]:
        """What each site says of its own key."""
        return {site.kme: site.policy for site in self.sites.values()}

    def max_hops(self) -> int:
        """The most that any site allows, in hops."""
        return max((site.policy.max_hops for site in self.sites.values()), default=MAX_HOPS)


def _keep(target: dict[_K, _V], wanted: dict[_K, _V]) -> None:
    """Make a dictionary equal to another, in its order."""
    target.clear()
    target.update(wanted)
