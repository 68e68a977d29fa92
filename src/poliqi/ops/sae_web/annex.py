"""More pages under the door of an application's: other rows, templates, words; the same people, the same look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from poliqi.ops.web.people import Person
from poliqi.ops.web.roles import Permission
from poliqi.ops.web.route import RouteRow

__all__ = ["Annex"]


def _as_is(person: Person) -> Person:
    return person


@dataclass(frozen=True, slots=True)
class Annex:
    """`package` has `templates`, `static` and `words.toml`; `macros` are templates that all templates have by name.

    `tabs`: address, phrase, and what a person needs to see it; the first is where those go who may not see the
    application's own pages. `judge` may take rights from a person, and runs for each request.
    """

    package: str
    rows: tuple[RouteRow[Any], ...]
    tabs: tuple[tuple[str, str, Permission], ...]
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])
    styles: tuple[str, ...] = ()
    macros: Mapping[str, str] = field(default_factory=dict[str, str])
    judge: Callable[[Person], Person] = _as_is
