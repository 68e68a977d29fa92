"""What a route is: what it is for, how it speaks, what it asks of a person, who answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from starlette.responses import Response

from poliqi.ops.web.roles import Permission
from poliqi.ops.web.visit import Visit

__all__ = ["Answer", "Kind", "RouteRow"]

_Pages = TypeVar("_Pages")


class Kind(StrEnum):
    """How a route speaks, also where it refuses."""

    PAGE = "page"
    FORM = "form"
    """A POST of a page of ours, with its form token."""
    UPLOAD = "upload"
    """The same with files in it; the token stands in the body."""
    JSON = "json"
    PART = "part"
    """A part of a file, as it is."""
    STREAM = "stream"
    FILE = "file"


Answer = Callable[[_Pages, Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class RouteRow(Generic[_Pages]):
    """A route of some pages. `permission` None: for everybody, known or not."""

    method: str
    path: str
    kind: Kind
    permission: Permission | None
    answer: Callable[[_Pages, Visit], Awaitable[Response]]
    meaning: str
