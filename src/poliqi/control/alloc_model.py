"""Links, demands and grants: the question of an allocation and its answer, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.city import Demand
from poliqi.keys.relay_messages import MAX_HOPS

__all__ = ["Allocation", "AllocationProblem", "Effort", "Grant", "GrantedWay", "LinkCapacity", "hop_of"]


@dataclass(frozen=True, slots=True)
class LinkCapacity:
    """A link and the secret bits a second that may be promised on it, as measured."""

    link: LinkId
    ends: tuple[KmeId, KmeId]
    capacity_bps: float

    def __post_init__(self) -> None:
        if self.ends[0] == self.ends[1] or not 0.0 <= self.capacity_bps < math.inf:
            raise ValueError(f"link {self.link!r} between {self.ends} with {self.capacity_bps} bit/s: no capacity")


@dataclass(frozen=True, slots=True)
class GrantedWay:
    """Paths that are used together (one, or node-disjoint ones whose shares are summed) and their rate: so much is
    taken from each link of each path.
    """

    paths: tuple[tuple[KmeId, ...], ...]
    rate_bps: float

    @property
    def is_direct(self) -> bool:
        """A link between the ends serves: nothing is relayed."""
        return len(self.paths) == 1 and len(self.paths[0]) == 2

    @property
    def hops(self) -> int:
        """Key bits spent for each bit granted."""
        return sum(len(path) - 1 for path in self.paths)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a demand gets; ways with the highest rate first. Paths run from the demand's first end to its second."""

    demand: Demand
    ways: tuple[GrantedWay, ...]

    @property
    def granted_bps(self) -> float:
        """Over all ways."""
        return math.fsum(way.rate_bps for way in self.ways)

    @property
    def share(self) -> float:
        """Of what was asked for; 0 where no end of the wish was given."""
        return self.granted_bps / self.demand.rate_bps if self.demand.rate_bps > 0.0 else 1.0

    @property
    def is_met(self) -> bool:
        """It gets what it asked for, to one part in a hundred thousand."""
        return self.granted_bps >= self.demand.rate_bps * (1.0 - 1e-5)


@dataclass(frozen=True, slots=True)
class Effort:
    """What it took. `gap`: how far, at most, a share may lie below the optimum of its round, relative."""

    rounds: int = 0
    solves: int = 0
    columns: int = 0
    solver_s: float = 0.0
    gap: float = 0.0


@dataclass(frozen=True)
class Allocation:
    """Grants in the order of the problem's demands, and what each link gives away."""

    grants: tuple[Grant, ...]
    used_bps: dict[LinkId, float]
    effort: Effort = field(default_factory=Effort)

    @cached_property
    def grant(self) -> dict[str, Grant]:
        """Grants by the demand's name."""
        return {grant.demand.name: grant for grant in self.grants}

    @property
    def spent_bps(self) -> float:
        """Key bits a second of all links together."""
        return math.fsum(self.used_bps.values())


@dataclass(frozen=True)
class AllocationProblem:
    """Usable links (each site between two others of a pair may have several), demands, and who may relay.

    A demand's rate may be infinite: it takes what is left, in step with its priority's others. Where `previous` is
    given, its ways are kept while a change would gain less than `hysteresis`.
    """

    links: tuple[LinkCapacity, ...]
    demands: tuple[Demand, ...]
    relays: frozenset[KmeId]
    max_hops: int = MAX_HOPS
    previous: Allocation | None = None
    hysteresis: float = 0.05

    def __post_init__(self) -> None:
        if len({link.link for link in self.links}) < len(self.links):
            raise ValueError("two links of an allocation have one name")
        if len({demand.name for demand in self.demands}) < len(self.demands):
            raise ValueError("two demands of an allocation have one name")
        for demand in self.demands:
            if demand.ends[0] == demand.ends[1] or not demand.rate_bps >= 0.0 or demand.paths < 1:
                raise ValueError(f"demand {demand.name!r} between {demand.ends}: not what can be granted")

    @cached_property
    def capacity(self) -> dict[tuple[KmeId, KmeId], float]:
        """Bits a second between neighbours (in the order of their names), parallel links together."""
        found: dict[tuple[KmeId, KmeId], float] = {}
        for link in sorted(self.links, key=lambda one: one.link):
            if link.capacity_bps > 0.0:
                hop = hop_of(*link.ends)
                found[hop] = found.get(hop, 0.0) + link.capacity_bps
        return dict(sorted(found.items()))


def hop_of(a: KmeId, b: KmeId) -> tuple[KmeId, KmeId]:
    """Two neighbours in the order of their names."""
    return (a, b) if a < b else (b, a)
