"""A site judges the routes that a controller sends: what its own policy does not allow, it refuses and says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.messages import Route, Table
from poliqi.keys.relay_messages import MAX_SECRET_BYTES

__all__ = ["AgentRule", "check_table"]

_TEXT: Final = 512
_MOST_SHARE: Final = 1.0 + 1e-4


@dataclass(frozen=True, slots=True)
class AgentRule:
    """A site's own rule over its routes. `pools` are the stocks that relays fill here, with the site at their other
    end; `max_relays` how many sites one path may pass; `block_bytes` what one relay carries, at low rates.
    """

    pools: Mapping[LinkId, KmeId]
    never_through: frozenset[KmeId] = frozenset()
    max_relays: int = 7
    block_bytes: int = 4096

    def __post_init__(self) -> None:
        if not (0 < self.block_bytes <= MAX_SECRET_BYTES and 0 <= self.max_relays <= 7):
            raise ValueError(f"blocks of {self.block_bytes} bytes over {self.max_relays} relays: no rule of a site")


@dataclass(slots=True)
class _Checked:
    routes: dict[LinkId, Route] = field(default_factory=dict[LinkId, Route])
    refused: list[str] = field(default_factory=list[str])


def check_table(site: KmeId, rule: AgentRule, table: Table) -> tuple[dict[LinkId, Route], tuple[str, ...]]:
    """The routes, or parts of them, that are allowed, and why the others are not. A route all of whose ways are
    refused stays with its spares, if any.
    """
    found = _Checked()
    for route in table.routes:
        pool = LinkId(route.pool)
        reason = _wrong_pool(site, rule, route, found.routes)
        if reason:
            found.refused.append(f"pool {route.pool}: {reason}"[:_TEXT])
            continue
        kept = [_kept(site, rule, route, ways, found.refused) for ways in (route.ways, route.spares)]
        found.routes[pool] = msgspec.structs.replace(route, ways=kept[0], spares=kept[1])
    return found.routes, tuple(found.refused)


def _wrong_pool(site: KmeId, rule: AgentRule, route: Route, known: Mapping[LinkId, Route]) -> str:
    peer = rule.pools.get(LinkId(route.pool))
    if peer is None:
        return f"{site} has no stock of this name that relays fill"
    if peer != route.to:
        return f"{site} shares it with {peer}, not with {route.to}"
    if LinkId(route.pool) in known:
        return "it stands twice in the table"
    if sum(way.share for way in route.ways) > _MOST_SHARE:
        return "the shares of its ways are more than 1 together"
    return ""


def _kept(
    site: KmeId, rule: AgentRule, route: Route, ways: tuple[Route.Way, ...], refused: list[str]
) -> tuple[Route.Way, ...]:
    kept: list[Route.Way] = []
    for way in ways:
        reason = _wrong_way(site, rule, route, way)
        if reason:
            refused.append(f"pool {route.pool}: {reason}"[:_TEXT])
        else:
            kept.append(way)
    return tuple(kept)


def _wrong_way(site: KmeId, rule: AgentRule, route: Route, way: Route.Way) -> str:
    relays = [name for path in way.paths for name in path[1:-1]]
    for path in way.paths:
        words = " ".join(path)
        if path[0] != site or path[-1] != route.to:
            return f"the path {words} does not lead from {site} to {route.to}"
        if len(set(path)) < len(path):
            return f"the path {words} meets a site twice"
        if len(path) - 2 > rule.max_relays:
            return f"the path {words} passes {len(path) - 2} sites, {rule.max_relays} are allowed"
    if len(set(relays)) < len(relays) or len(set(way.paths)) < len(way.paths):
        return "paths that are used together share a site: " + "; ".join(" ".join(p) for p in way.paths)
    forbidden = sorted(rule.never_through.intersection(KmeId(name) for name in relays))
    if forbidden:
        return f"it leads through {', '.join(forbidden)}, which {site} never lets its key pass"
    return ""
