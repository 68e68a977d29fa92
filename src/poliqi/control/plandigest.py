"""A plan of a city in one word, and what changed between two of them in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from poliqi.control.city import City

__all__ = ["change_text", "plan_digest"]

_encoder: Final = msgspec.json.Encoder(order="deterministic")
_NAMED: Final = 8
_LONGEST: Final = 400


def plan_digest(city: City) -> str:
    """SHA-256 of all that the plan says, but its version."""
    parts = (
        city.name,
        city.sites,
        city.spans,
        city.links,
        city.demands,
        city.service,
        city.diameter_km,
        city.is_simulated,
    )
    return hashlib.sha256(_encoder.encode(parts)).hexdigest()


def change_text(old: City, new: City) -> str:
    """What changed, for people: names with a + or a -, the kinds of things that are otherwise."""
    parts: list[str] = []
    kinds: tuple[tuple[str, Mapping[str, object], Mapping[str, object]], ...] = (
        ("sites", {**old.site}, {**new.site}),
        ("spans", {**old.span}, {**new.span}),
        ("links", {**old.link}, {**new.link}),
        ("demands", old.demand, new.demand),
    )
    for kind, before, after in kinds:
        come = [f"+{name}" for name in after if name not in before]
        gone = [f"-{name}" for name in before if name not in after]
        other = [f"~{name}" for name in after if name in before and before[name] != after[name]]
        if come or gone or other:
            parts.append(f"{kind} {_some([*come, *gone, *other])}")
    return ("; ".join(parts) or "settings")[:_LONGEST]


def _some(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return " ".join(found[:_NAMED]) + more
