"""Cities with virtual pools: what tests of relay need beside `kme_rig`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from kme_rig import City, MemoryStore, Site

from poliqi.base.ids import KmeId, LinkId
from poliqi.keys.kme import SharedPool
from poliqi.keys.relay_messages import Scheme
from poliqi.keys.relaying import RelayRoute

__all__ = ["RelayCity"]


class RelayCity(City):
    """A city where the first site of `paths` fills a virtual pool with the last one, named "first~last"."""

    def __init__(
        self,
        paths: Sequence[Sequence[str]],
        scheme: Scheme = Scheme.SINGLE,
        needed: int = 1,
        size: int = 4096,
        parity: bool = False,
        **limits: object,
    ) -> None:
        self.paths = tuple(tuple(KmeId(site) for site in path) for path in paths)
        self.origin, self.destination = self.paths[0][0], self.paths[0][-1]
        self.scheme, self.needed, self.size, self.parity = scheme, needed, size, parity
        names = sorted({site for path in self.paths for site in path})
        pairs = sorted({tuple(sorted(hop)) for path in self.paths for hop in pairwise(path)})
        self.virtual = LinkId(f"{self.origin}~{self.destination}")
        super().__init__([str(n) for n in names], [(str(a), str(b)) for a, b in pairs], **limits)  # type: ignore[arg-type]
        self.hops = pairs
        for a, b in pairs:
            self.join(a, b)
        if (self.origin, self.destination) not in pairs:
            self.join(self.origin, self.destination)
        if parity:
            for relay in {relay for path in self.paths for relay in path[1:-1]}:
                if (relay, self.destination) not in pairs:
                    self.join(relay, self.destination)
        self.settle()
        for number, (a, b) in enumerate(pairs, 1):
            self.block(a, b, number, 200_000)

    def settings(self, site: KmeId) -> list[SharedPool]:
        pools = super().settings(site)
        ends = {self.origin: self.destination, self.destination: self.origin}
        if site in ends:
            low_water = 2048 if site == self.origin else 0
            pools.append(SharedPool(self.virtual, ends[site], low_water=low_water, is_relayed=True))
        if self.parity and site not in ends:  # a relay that sends parities straight to the end knows it
            pools.append(SharedPool(LinkId(f"{site}~{self.destination}"), self.destination, is_relayed=True))
        if self.parity and site == self.destination:
            relays = {relay for path in self.paths for relay in path[1:-1]}
            pools += [SharedPool(LinkId(f"{r}~{site}"), r, is_relayed=True) for r in sorted(relays)]
        return pools

    def new_site(self, name: KmeId, store: MemoryStore) -> Site:
        site = super().new_site(name, store)
        if name == self.origin:
            facts = (self.virtual, self.destination, self.scheme, self.needed, self.paths, self.size, self.parity)
            site.kme.fill((RelayRoute(*facts),))
        return site
