"""[[relay]] of site.toml: over which sites a stock without a fibre is filled."""

from __future__ import annotations

from collections.abc import Sequence

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId
from poliqi.base.units import parse_quantity
from poliqi.keys.relay_messages import MAX_SECRET_BYTES, MIN_SECRET_BYTES, Scheme
from poliqi.node.site_settings import PeerSettings, PoolSettings, RelaySettings
from poliqi.ops.site_tables import RelayTable

__all__ = ["read_relay"]


def read_relay(t: RelayTable, site: KmeId, peers: Sequence[PeerSettings], pool: PoolSettings) -> RelaySettings:
    """Check a relay's paths and shares. Raises ConfigError."""
    paths = tuple(tuple(KmeId(name) for name in path) for path in t.paths)
    near = {p.kme for p in peers}
    for path in paths:
        shown = " - ".join(path)
        if len(path) < 2 or path[0] != site or path[-1] != t.to:
            raise ConfigError(f"relay.paths {shown!r}: a path begins with {site!r} and ends with {t.to!r}")
        if len(set(path)) < len(path):
            raise ConfigError(f"relay.paths {shown!r}: it meets a site twice; leave out the loop")
        if path[1] not in near:
            raise ConfigError(f"relay.paths {shown!r}: there is no [[peer]] {path[1]!r} to begin with")
    relays = [name for path in paths for name in path[1:-1]]
    if len(set(relays)) < len(relays) or len(set(paths)) < len(paths):
        raise ConfigError("relay.paths: two paths share a site; they must be disjoint between their ends")
    size = parse_quantity(t.block, "bit", "relay.block")
    least, most = 8 * MIN_SECRET_BYTES, 8 * MAX_SECRET_BYTES
    if not (least <= size <= most and size % 8 == 0):
        raise ConfigError(f"relay.block {t.block!r}: give {least} to {most} bit, in whole bytes")
    if t.parity and t.scheme is Scheme.SHAMIR:
        raise ConfigError(
            "relay.parity: nobody chooses what parities end in, so it goes with 'single' and 'xor' only"
        )
    needed = _needed(t, len(paths))
    return RelaySettings(pool, KmeId(t.to), t.scheme, paths, needed, int(size) // 8, t.parity)


def _needed(t: RelayTable, count: int) -> int:
    """How many paths' relays together know the key."""
    match t.scheme:
        case Scheme.SINGLE:
            fits, usual, rule = count == 1 and len(t.paths[0]) > 2, 1, "one path over at least one relay"
        case Scheme.XOR:
            fits, usual, rule = count >= 2, count, "two paths or more, all of them needed"
        case Scheme.SHAMIR:
            usual = count // 2 + 1
            fits, rule = count >= 3, "three paths or more"
    needed = usual if t.needed is None else t.needed
    bad = needed != usual if t.scheme is not Scheme.SHAMIR else not 2 <= needed <= count < 2 * needed
    if not fits:
        raise ConfigError(f"relay.scheme {t.scheme.value!r}: it takes {rule}, and there are {count}")
    if bad:
        most = f"more than half of {count} paths and at most all" if t.scheme is Scheme.SHAMIR else f"{usual}"
        raise ConfigError(f"relay.needed {needed}: scheme {t.scheme.value!r} over {count} paths needs {most}")
    return needed
