"""A city as it is meant to be: sites, fibre spans, quantum links over them, demands. Immutable snapshots.

What is measured stands elsewhere (linkstate.py); a change of the plan is a new `City`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NewType

from poliqi.base.ids import KmeId, LinkId
from poliqi.optics.parameters import Direction

__all__ = [
    "City",
    "ClassicalChannel",
    "Demand",
    "QuantumLink",
    "ServiceLevel",
    "Site",
    "Span",
    "SpanId",
    "distance_km",
    "relayed_pool",
]

SpanId = NewType("SpanId", str)
"""Name of a fibre between two sites."""

_EARTH_KM: Final = 6371.0088


@dataclass(frozen=True, slots=True)
class Site:
    """A place with a key management. `switch_loss_db`: what light loses that passes the site on its optical switch,
    None where there is no switch. `is_relay`: it may carry other sites' key and then knows it (a trusted node).
    `is_approximate`: the coordinates are no surveyed ones; every map says so.
    """

    kme: KmeId
    title: str
    latitude: float
    longitude: float
    is_relay: bool = True
    switch_loss_db: float | None = None
    note: str = ""
    is_approximate: bool = False


@dataclass(frozen=True, slots=True)
class ClassicalChannel:
    """Data light that shares a span's fibre with the photons. Forward: from the span's first end to its second.

    `rho_per_km_nm`: Raman light that it makes, per km of fibre and nm of the receiver's filter.
    """

    wavelength_nm: float
    launch_dbm: float
    direction: Direction = Direction.FORWARD
    rho_per_km_nm: float = 2e-9


@dataclass(frozen=True, slots=True)
class Span:
    """A fibre between two sites. `groups` are the shared risks: ducts, bridges, cables that fail together.

    `is_invented` where length or loss is no measured figure; every screen says so.
    """

    span: SpanId
    ends: tuple[KmeId, KmeId]
    length_km: float
    attenuation_db_km: float
    connectors_db: float = 0.0
    groups: frozenset[str] = frozenset()
    classical: tuple[ClassicalChannel, ...] = ()
    is_invented: bool = False

    @property
    def loss_db(self) -> float:
        """Fibre and connectors."""
        return self.length_km * self.attenuation_db_km + self.connectors_db


@dataclass(frozen=True, slots=True)
class QuantumLink:
    """A pair of devices; Alice stands at the first end. `spans` lead from the first end to the second: over more
    than one, light passes the sites between on their switches (optical bypass).
    """

    link: LinkId
    ends: tuple[KmeId, KmeId]
    spans: tuple[SpanId, ...]
    device: str

    @property
    def is_bypass(self) -> bool:
        """True where light passes a site."""
        return len(self.spans) > 1


@dataclass(frozen=True, slots=True)
class Demand:
    """Key that two sites want for their applications, each second.

    `priority` 0 to 7; 7 is emergency traffic, served before all others. `paths` > 1: the key is summed over so many
    node-disjoint paths, so that no site on the way knows it.
    """

    name: str
    ends: tuple[KmeId, KmeId]
    rate_bps: float
    priority: int = 3
    paths: int = 1
    never_through: frozenset[KmeId] = frozenset()


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """What the operator promises, checked by the month report."""

    availability: float = 0.999
    """Share of the time in which a demand's key was to be had."""
    rate_share: float = 1.0
    """Share of a demand's rate that must have been granted for it to count as available."""


@dataclass(frozen=True)
class City:
    """A snapshot of the plan. `version` grows by one with each change."""

    name: str
    sites: tuple[Site, ...]
    spans: tuple[Span, ...]
    links: tuple[QuantumLink, ...]
    demands: tuple[Demand, ...] = ()
    service: ServiceLevel = field(default_factory=ServiceLevel)
    diameter_km: float = 25.0
    is_simulated: bool = False
    """Light of the links is simulated: every screen and every key says so."""
    version: int = 1

    @cached_property
    def site(self) -> dict[KmeId, Site]:
        """Sites by name."""
        return {s.kme: s for s in self.sites}

    @cached_property
    def span(self) -> dict[SpanId, Span]:
        """Spans by name."""
        return {s.span: s for s in self.spans}

    @cached_property
    def link(self) -> dict[LinkId, QuantumLink]:
        """Links by name."""
        return {link.link: link for link in self.links}

    @cached_property
    def demand(self) -> dict[str, Demand]:
        """Demands by name."""
        return {d.name: d for d in self.demands}

    def links_between(self, a: KmeId, b: KmeId) -> tuple[QuantumLink, ...]:
        """Links whose ends are these two sites."""
        return tuple(link for link in self.links if set(link.ends) == {a, b})

    def loss_db(self, link: QuantumLink) -> float:
        """What a link's light loses between its two devices: spans, and the switches it passes."""
        passed = {end for name in link.spans for end in self.span[name].ends} - set(link.ends)
        return sum(self.span[name].loss_db for name in link.spans) + sum(
            self.site[kme].switch_loss_db or 0.0 for kme in passed
        )


def distance_km(a: Site, b: Site) -> float:
    """Distance of two sites as the crow flies (haversine on the mean sphere), km."""
    phi_a, phi_b = math.radians(a.latitude), math.radians(b.latitude)
    d_phi, d_lambda = phi_b - phi_a, math.radians(b.longitude - a.longitude)
    h = math.sin(d_phi / 2) ** 2 + math.cos(phi_a) * math.cos(phi_b) * math.sin(d_lambda / 2) ** 2
    return 2.0 * _EARTH_KM * math.asin(math.sqrt(min(1.0, h)))


def relayed_pool(a: KmeId, b: KmeId) -> LinkId:
    """Name of the stock that relays fill between two sites, the same at both ends; a site name holds no dot."""
    first, second = sorted((a, b))
    return LinkId(f"{first}.{second}")
