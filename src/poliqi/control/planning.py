"""From what is measured to the question of an allocation: which links may be used, who wants how much key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.allocation import Allocation, AllocationProblem, LinkCapacity
from poliqi.control.city import City, Demand, relayed_pool
from poliqi.control.pairstock import Pair, PairStock, pair_of
from poliqi.keys.relay_messages import MAX_HOPS

__all__ = ["LOW_BITS", "SitePolicy", "UsableLink", "Wishes", "demands_of", "problem_of", "wishes_of"]

_MOST_FLOORS: Final = 1500
"""Pairs without a demand of their own that take part in the allocation; of more, those that use key."""
_LEAST_BPS: Final = 16.0
LOW_BITS: Final = 65_536.0
"""A link's stock below which it is spared: 256 keys of 256 bits."""
_GROWTH: Final = 1.25
_TAKEN_BPS: Final = 1.0


@dataclass(frozen=True, slots=True)
class UsableLink:
    """A link that makes key, between sites that are connected. Rate as measured; stock of both ends."""

    link: LinkId
    ends: Pair
    rate_bps: float
    stock_bits: float

    @property
    def capacity_bps(self) -> float:
        """What may be promised: of a link whose stock is low half at least, so that it recovers."""
        return max(_LEAST_BPS, self.rate_bps * (0.5 + 0.5 * min(1.0, self.stock_bits / LOW_BITS)))


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a pair of sites asks of its routes, whatever its demands are: the strictest of all."""

    priority: int = 0
    paths: int = 1
    never_through: frozenset[KmeId] = frozenset()
    declared_bps: float = 0.0
    max_hops: int = MAX_HOPS

    def also(self, demand: Demand) -> Wishes:
        """With a demand more."""
        return Wishes(
            max(self.priority, demand.priority),
            max(self.paths, demand.paths),
            self.never_through | demand.never_through,
            self.declared_bps + demand.rate_bps,
            self.max_hops,
        )


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """What a site says of its own key: whom it never passes, how many hops it takes at most."""

    never_through: frozenset[KmeId] = frozenset()
    max_hops: int = MAX_HOPS


_ANY: Final = SitePolicy()


def wishes_of(city: City, pairs: Iterable[Pair], policies: Mapping[KmeId, SitePolicy]) -> dict[Pair, Wishes]:
    """Of every pair that has a demand or a relayed stock: the strictest of its demands and its sites' policies."""
    wishes = {pair: Wishes() for pair in sorted(pairs)}
    for demand in city.demands:
        pair = pair_of(*demand.ends)
        wishes[pair] = wishes.get(pair, Wishes()).also(demand)
    found: dict[Pair, Wishes] = {}
    for pair, wish in wishes.items():
        a, b = (policies.get(site, _ANY) for site in pair)
        never = wish.never_through | a.never_through | b.never_through
        found[pair] = replace(wish, never_through=never, max_hops=min(a.max_hops, b.max_hops))
    return found


def demands_of(
    city: City, wishes: Mapping[Pair, Wishes], stocks: Mapping[Pair, PairStock], makes_bps: Mapping[KmeId, float]
) -> tuple[Demand, ...]:
    """The city's demands under their pairs' common rules; what is taken beyond them, as far as the links of both
    sites make so much (`makes_bps`); and a floor for every pair, which takes what is left.
    """
    found: dict[str, Demand] = {}
    for demand in city.demands:
        wish = wishes[pair_of(*demand.ends)]
        found[demand.name] = replace(demand, paths=wish.paths, never_through=wish.never_through)
    are_few = len(wishes) <= _MOST_FLOORS
    for pair, wish in wishes.items():
        name, stock = relayed_pool(*pair), stocks.get(pair)
        if name in found or stock is None:
            continue
        most = min(makes_bps.get(site, 0.0) for site in pair)
        excess = min(most, _GROWTH * stock.taken_bps - wish.declared_bps)
        if excess > _TAKEN_BPS:
            found[name] = Demand(name, pair, _rounded(excess), 2, wish.paths, wish.never_through)
        elif are_few:
            found[name] = Demand(name, pair, float("inf"), 0, wish.paths, wish.never_through)
    return tuple(found.values())


def _rounded(rate_bps: float) -> float:
    """Up to a step of about a quarter, so that a rate that wavers asks for the same."""
    step = 1.0
    while step < rate_bps:
        step *= _GROWTH
    return step


def problem_of(
    links: Iterable[UsableLink],
    demands: tuple[Demand, ...],
    relays: frozenset[KmeId],
    max_hops: int,
    previous: Allocation | None,
) -> AllocationProblem:
    """The question for `allocate`."""
    capacities = tuple(LinkCapacity(link.link, link.ends, link.capacity_bps) for link in links)
    return AllocationProblem(capacities, demands, relays, max_hops, previous)
