"""Single failures of a city, and what each leaves: a span that is cut, a shared risk, a site that is gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from poliqi.base.ids import KmeId
from poliqi.control.candidates import Survives
from poliqi.control.city import City, Demand, QuantumLink, Span, SpanId

__all__ = ["Failure", "FailureKind", "concerns", "failures", "hardest", "sites_of"]


class FailureKind(StrEnum):
    """What fails at once."""

    SPAN = "span"
    GROUP = "group"
    SITE = "site"


@dataclass(frozen=True, slots=True)
class Failure:
    """One event: these spans carry no light, this site (if any) is gone with its devices, relay and switch."""

    kind: FailureKind
    name: str
    spans: frozenset[SpanId] = frozenset()
    site: KmeId | None = None

    def spares(self, link: QuantumLink, sites: frozenset[KmeId]) -> bool:
        """Whether a link goes on that stands on these sites (its ends and those it passes as light)."""
        return self.spans.isdisjoint(link.spans) and self.site not in sites

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def failures(
    city: City, survives: Survives = Survives.SITE, candidates: Iterable[Span] = ()
) -> tuple[Failure, ...]:
    """Every single failure that `survives` names: spans, groups of two spans or more, sites."""
    if survives is Survives.NONE:
        return ()
    spans = (*city.spans, *candidates)
    found = [Failure(FailureKind.SPAN, span.span, frozenset({span.span})) for span in spans]
    for group in sorted({group for span in spans for group in span.groups}):
        members = frozenset(span.span for span in spans if group in span.groups)
        if len(members) > 1:
            found.append(Failure(FailureKind.GROUP, group, members))
    if survives is Survives.SITE:
        found += [Failure(FailureKind.SITE, site.kme, site=site.kme) for site in city.sites]
    return tuple(found)


def hardest(found: Iterable[Failure]) -> tuple[Failure, ...]:
    """Without failures that another one contains: who outlives that one outlives them too."""
    found = tuple(found)
    return tuple(
        one
        for one in found
        if one.site is not None or not any(one.spans < other.spans for other in found if other.site is None)
    )


def concerns(failure: Failure, demand: Demand, rule: Survives) -> bool:
    """Whether a demand must outlive this failure: its rule asks for it, and no end of it is what fails."""
    match rule:
        case Survives.NONE:
            return False
        case Survives.SPAN:
            return failure.site is None
        case Survives.SITE:
            return failure.site not in demand.ends


def sites_of(link: QuantumLink, spans: dict[SpanId, Span]) -> frozenset[KmeId]:
    """The sites that a link stands on: its ends and those whose switch it passes."""
    return frozenset(end for name in link.spans for end in spans[name].ends)
