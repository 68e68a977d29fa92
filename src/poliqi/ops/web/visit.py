"""One request as routes see it, and the answers that all of them give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from poliqi.control.events import Language
from poliqi.ops.web.people import Person
from poliqi.ops.web.speaker import Speaker

__all__ = [
    "LANGUAGE_COOKIE",
    "Visit",
    "form_of",
    "json_answer",
    "language_of",
    "page_answer",
    "see",
    "session_cookie",
]

LANGUAGE_COOKIE: Final = "poliqi_language"
_FIELDS: Final = 16


@dataclass(frozen=True, slots=True)
class Visit:
    """`person` is who asks, None where nobody is known; `form` what a form says."""

    request: Request
    person: Person | None
    say: Speaker
    form: Mapping[str, str]

    @property
    def here(self) -> str:
        """The address with its query, as it was asked for."""
        query = self.request.url.query
        return quote(self.request.url.path, safe="/%") + (f"?{query}" if query else "")

    @property
    def names(self) -> Mapping[str, str]:
        """The names in the address."""
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        return dict(self.request.query_params)


def session_cookie(request: Request) -> tuple[str, bool]:
    """The name of the cookie of a login, and whether it is Secure. Over TLS no other host can set one of its name
    (RFC 6265bis, section 4.1.3).
    """
    is_secure = request.url.scheme == "https"
    return ("__Host-poliqi", True) if is_secure else ("poliqi", False)


def form_of(body: bytes) -> dict[str, str]:
    """The fields of an urlencoded form. Raises ValueError."""
    return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS))


def language_of(request: Request) -> Language:
    """The one that was chosen, else the first that the browser asks for and we speak, else English."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in set(Language):
        return Language(chosen)
    wanted: list[tuple[float, str]] = []
    for part in request.headers.get("accept-language", "")[:500].split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1.0), tag.split("-")[0].lower()))
        except ValueError:
            continue
    known = [tag for _, tag in sorted(wanted, key=lambda pair: pair[0]) if tag in set(Language)]
    return Language(known[0]) if known else Language.ENGLISH


def page_answer(text: str, status: int = 200) -> Response:
    """A page."""
    return Response(text, status, {"cache-control": "no-store"}, "text/html; charset=utf-8")


def json_answer(value: Any, status: int = 200) -> Response:
    """An object; for errors use `refusal`."""
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")


def see(path: str) -> Response:
    """Go on to another page with a GET."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, {"cache-control": "no-store"})
