"""What stands before every route: the name that was asked for, where a form comes from, headers of each answer."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

__all__ = ["HEADERS", "is_for_loopback", "is_from_another_page", "is_same_origin", "local_path"]

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
_PORT: Final = re.compile(r":[0-9]{1,5}\Z")
_LOCAL: Final = re.compile(r"/(?![/\\])[!-~]{0,500}")


def is_for_loopback(host: str) -> bool:
    """True where a Host header names this machine. A page in somebody's browser whose name was made to point here
    (DNS rebinding) names another.
    """
    name = _PORT.sub("", host)
    if name.lower() == "localhost":
        return True
    address = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def is_same_origin(request: Request) -> bool:
    """True unless the browser says that another site's page made the request. Programs say nothing."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme == request.url.scheme and parts.netloc == request.headers.get("host", "")


def local_path(text: str) -> str:
    """An address of this dashboard to go on to; the overview where it is any other."""
    return text if _LOCAL.fullmatch(text) else "/"


def is_from_another_page(request: Request) -> bool:
    """True where the browser says that a page of another site asks, other than by a link that a person follows."""
    site, mode = (request.headers.get(f"sec-fetch-{name}", "") for name in ("site", "mode"))
    return site in ("cross-site", "same-site") and mode != "navigate"
