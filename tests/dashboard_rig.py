"""A dashboard over a city in memory, asked without a network: pages, forms, objects, streams."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx

from bench.citymodel import LiveCity
from poliqi.edge.identity import Caller, CallerKind
from poliqi.ops.web import Dashboard, DashboardSettings, Role, TokenEntry, new_token
from poliqi.ops.web.settings import read_tokens

__all__ = ["NAMES", "Page", "Rig", "Token", "certificate_of", "fill", "form_token", "parsed", "token_for"]

NAMES = {
    "link": "leonardo-bovisa",
    "site": "aria",
    "span": "leonardo-bovisa",
    "demand": "leonardo-aria",
    "number": "1",
    "language": "it",
    "version": "x",
    "name": "dashboard.css",
}


def fill(path: str, subject: str = "leonardo-bovisa") -> str:
    """A route's path with names of things that exist."""
    return path.format_map({**NAMES, "subject": subject})


@dataclass
class Rig:
    """`scheme` "https" is what others than this machine come by; `caller` is whom their certificate names."""

    settings: DashboardSettings = field(default_factory=lambda: DashboardSettings(open_role=Role.OPERATOR))
    scheme: str = "http"
    caller: Caller | None = None
    clock: list[float] = field(default_factory=lambda: [1_790_000_000.0])
    complaints: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.city = LiveCity(clock=lambda: 5000.0)
        self.dashboard = Dashboard(self.city, self.settings, self.complaints.append, lambda: self.clock[0])

    def ask(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        """One request; redirects are not followed."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await self.dashboard({**scope, "state": {"caller": self.caller}}, receive, send)

        async def go() -> httpx.Response:
            host = "localhost" if self.scheme == "http" else "dashboard.example"
            transport = httpx.ASGITransport(application, client=("192.0.2.7", 4711))
            cookies = more.pop("cookies", {})
            async with httpx.AsyncClient(
                transport=transport, base_url=f"{self.scheme}://{host}", cookies=cookies
            ) as client:
                return await client.request(method, path, **more)

        return asyncio.run(go())

    def log_in(self, token: str, **more: Any) -> dict[str, str]:
        """The cookies of a new session."""
        answer = self.ask("/login", "POST", data={"secret": token, "back": "/"}, **more)
        assert answer.status_code == 303, answer.text
        return dict(answer.cookies)


@dataclass(frozen=True)
class Token:
    """A token and its entry."""

    text: str
    entry: TokenEntry


def token_for(name: str, role: Role, folder: Any) -> Token:
    """A new token, its entry read back from a file."""
    text, lines = new_token(name, role)
    path = folder / f"{name}.toml"
    path.write_text(lines)
    return Token(text, read_tokens(path)[0])


def certificate_of(name: str, kind: CallerKind = CallerKind.SAE) -> Caller:
    """Whom a verified certificate names."""
    return Caller(kind, name, 4e9, 1, b"issuer", "ab" * 32)


def form_token(text: str) -> str:
    """What a page's form carries."""
    found = re.search(r'name="token" value="([0-9a-f]{64})"', text)
    assert found, text
    return found[1]


@dataclass
class Page(HTMLParser):
    """A page's elements and its text, as a parser of its own sees them."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str, where: Callable[[dict[str, str | None]], bool] = lambda _: True) -> list[Any]:
        return [attrs for name, attrs in self.tags if name == tag and where(attrs)]


def parsed(text: str) -> Page:
    """Read a page."""
    page = Page()
    page.feed(text)
    page.close()
    return page
