"""What a planner may add to a city, what it would cost, and which failures each demand must survive."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.city import Span

__all__ = ["INVENTED_COSTS", "Candidates", "Costs", "Survives"]


class Survives(StrEnum):
    """Which single failures a demand must outlive: none; any span or shared risk group; any site besides these."""

    NONE = "none"
    SPAN = "span"
    SITE = "site"


@dataclass(frozen=True, slots=True)
class Costs:
    """Prices in one relative unit, whatever it is. The defaults are invented; `is_invented` says so on every table.

    `span` is paid once for a new fibre, `span_km` for each km of it; `device` is what a pair of devices costs,
    by device; `relay` what it takes to make a site a trusted node; `switch` an optical switch.
    """

    span: float = 2.0
    span_km: float = 1.0
    relay: float = 5.0
    switch: float = 3.0
    device: dict[str, float] = field(default_factory=dict[str, float])
    other_device: float = 10.0
    is_invented: bool = True

    def of_span(self, span: Span) -> float:
        """Price of a new fibre."""
        return self.span + self.span_km * span.length_km

    def of_device(self, device: str) -> float:
        """Price of a pair of devices."""
        return self.device.get(device, self.other_device)


INVENTED_COSTS: Final = Costs()


@dataclass(frozen=True, slots=True)
class Candidates:
    """Fibres that could be had, sites that could become trusted nodes, sites that could get a switch (loss, dB)."""

    spans: tuple[Span, ...] = ()
    relays: frozenset[KmeId] = frozenset()
    switches: dict[KmeId, float] = field(default_factory=dict[KmeId, float])
