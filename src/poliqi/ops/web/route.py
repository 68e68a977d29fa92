"""What a route is: what it is for, how it speaks, what it asks of a person, who answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from starlette.responses import Response

from poliqi.ops.web.roles import Permission
from poliqi.ops.web.visit import Visit

if TYPE_CHECKING:
    from poliqi.ops.web.application import Dashboard

__all__ = ["Answer", "Kind", "RouteRow"]


class Kind(StrEnum):
    """How a route speaks, also where it refuses."""

    PAGE = "page"
    FORM = "form"
    """A POST of a page of ours, with its form token."""
    JSON = "json"
    STREAM = "stream"
    FILE = "file"


Answer = Callable[["Dashboard", Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class RouteRow:
    """`permission` None: for everybody, known or not."""

    method: str
    path: str
    kind: Kind
    permission: Permission | None
    answer: Answer
    meaning: str
