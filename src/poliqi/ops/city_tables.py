"""The grammar of CITY.toml, table by table; docs/reference/city-toml.md explains each key.

A quantity is text with its unit ("7 km", "64 kbit/s"); a bare number is taken only where there is no unit.
"""

from __future__ import annotations

from typing import Final

import msgspec

from poliqi.control.candidates import Survives
from poliqi.ops.config import BlockTable, DetectorTable, ReceiverTable, SourceTable
from poliqi.optics.parameters import Direction

__all__ = [
    "TABLES",
    "ChannelTable",
    "CityHead",
    "CityTable",
    "CostTable",
    "DemandTable",
    "DeviceTable",
    "LinkTable",
    "ServiceTable",
    "SiteTable",
    "SpanTable",
    "Table",
]

Quantity = str | float
"""A number with a unit, as text; a bare number is taken in, so that the error can say which unit is missing."""

Pair = tuple[str, str]


class Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; an unknown key in it is an error."""


class CityHead(Table):
    name: str
    diameter: Quantity = "25 km"
    simulated: bool = False


class SiteTable(Table):
    name: str
    coordinates: tuple[float, float]
    title: str | None = None
    approximate: bool = False
    relay: bool = True
    relay_candidate: bool = False
    switch: Quantity | None = None
    switch_candidate: Quantity | None = None
    note: str = ""


class ChannelTable(Table):
    launch: Quantity
    wavelength: Quantity = "1530 nm"
    direction: Direction = Direction.FORWARD
    rho: Quantity = "2e-9 /(nm km)"


class SpanTable(Table):
    between: Pair
    length: Quantity
    name: str | None = None
    attenuation: Quantity = "0.3 dB/km"
    connectors: Quantity = "0 dB"
    groups: tuple[str, ...] = ()
    channel: tuple[ChannelTable, ...] = ()
    invented: bool = False
    candidate: bool = False


class LinkTable(Table):
    between: Pair
    name: str | None = None
    over: tuple[str, ...] = ()
    device: str | None = None


class DeviceTable(Table):
    source: SourceTable
    receiver: ReceiverTable
    detector: DetectorTable
    block: BlockTable = msgspec.field(default_factory=BlockTable)
    cost: float | None = None


class DemandTable(Table):
    between: Pair
    rate: Quantity
    name: str | None = None
    priority: int = 3
    paths: int = 1
    never_through: tuple[str, ...] = ()
    survives: Survives | None = None


class ServiceTable(Table):
    availability: float | str = 0.999
    rate_share: float | str = 1.0
    survives: Survives = Survives.SPAN


class CostTable(Table):
    span: float = 2.0
    span_km: float = 1.0
    relay: float = 5.0
    switch: float = 3.0
    device: float = 10.0
    invented: bool = False


class CityTable(Table):
    city: CityHead
    site: tuple[SiteTable, ...]
    span: tuple[SpanTable, ...] = ()
    link: tuple[LinkTable, ...] = ()
    device: dict[str, DeviceTable] = {}
    demand: tuple[DemandTable, ...] = ()
    service: ServiceTable = msgspec.field(default_factory=ServiceTable)
    cost: CostTable | None = None


TABLES: Final[dict[str, type[Table]]] = {
    "": CityTable,
    "city": CityHead,
    "site": SiteTable,
    "span": SpanTable,
    "span.channel": ChannelTable,
    "link": LinkTable,
    "device": DeviceTable,
    "demand": DemandTable,
    "service": ServiceTable,
    "cost": CostTable,
}
