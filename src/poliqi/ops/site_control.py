"""[control] of site.toml: the city's controller, and the stocks that its routes fill."""

from __future__ import annotations

from collections.abc import Sequence

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId, LinkId
from poliqi.base.units import parse_quantity
from poliqi.control.city import relayed_pool
from poliqi.edge.network import parse_address
from poliqi.keys.etsi014 import is_sae_id
from poliqi.keys.relay_messages import MAX_SECRET_BYTES, MIN_SECRET_BYTES
from poliqi.node.site_settings import ControlSettings, PeerSettings
from poliqi.ops.site_tables import ControlTable

__all__ = ["read_control", "virtual_pools"]


def read_control(t: ControlTable, site: KmeId, peers: Sequence[PeerSettings]) -> ControlSettings:
    """Check the table. Raises ConfigError."""
    if not is_sae_id(t.controller):
        raise ConfigError(f"control.controller {t.controller[:80]!r}: use 1 to 64 printable characters")
    if t.controller == site or t.controller in {p.kme for p in peers}:
        raise ConfigError(
            f"control.controller {t.controller!r}: is a site; a controller has a name and an authority of its own"
        )
    low = parse_quantity(t.low_water, "bit", "control.low_water")
    capacity = parse_quantity(t.capacity, "bit", "control.capacity")
    block = parse_quantity(t.block, "bit", "control.block")
    least, most = 8 * MIN_SECRET_BYTES, 8 * MAX_SECRET_BYTES
    if not (least <= block <= most and block % 8 == 0):
        raise ConfigError(f"control.block {t.block!r}: give {least} to {most} bit, in whole bytes")
    if not block <= low < capacity <= 1e13:
        raise ConfigError(
            f"control.low_water {t.low_water!r}, control.capacity {t.capacity!r}: block ({t.block}) <= low_water < "
            "capacity <= 10000 Gbit is needed"
        )
    address = parse_address(t.address, "control.address")
    return ControlSettings(KmeId(t.controller), address, int(low), int(capacity), int(block) // 8)


def virtual_pools(control: ControlSettings | None, site: KmeId, peers: Sequence[PeerSettings]) -> list[LinkId]:
    """Names of the stocks that the controller's routes fill."""
    return [] if control is None else [relayed_pool(site, p.kme) for p in peers]
