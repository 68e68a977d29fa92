"""The page for supervisors of a site or a controller, on loopback only: /health, /ready, /status, /metrics."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec

from poliqi.node.site_figures import METRICS, Metric

__all__ = ["Shown", "StatusApplication", "exposition"]

_PLAIN: Final = b"text/plain; charset=utf-8"
_PORT: Final = re.compile(r":[0-9]{1,5}\Z")

_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


class Shown(Protocol):
    """Whose figures are shown."""

    def values(self) -> Iterable[tuple[str, dict[str, str], float]]:
        """Name, labels and value of every figure."""
        ...

    def status(self) -> dict[str, Any]:
        """What a person wants to know."""
        ...


def exposition(figures: Shown, metrics: Sequence[Metric] = METRICS) -> str:
    """All figures of the table in the text format of Prometheus (version 0.0.4)."""
    values: dict[str, list[str]] = {}
    for name, labels, value in figures.values():
        marks = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        values.setdefault(name, []).append(
            f"{name}{{{marks}}} {_number(value)}" if marks else f"{name} {_number(value)}"
        )
    lines: list[str] = []
    for metric in metrics:
        if metric.name in values:
            lines += [f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}"]
            lines += values[metric.name]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """The shortest text that reads as the same number."""
    return repr(value).removesuffix(".0")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class StatusApplication:
    """Serves the figures; `why_not` says why it does not serve, or nothing.

    Only requests for a loopback host are answered: a page in somebody's browser whose name was made to point here
    (DNS rebinding) asks for another.
    """

    def __init__(self, figures: Shown, why_not: Callable[[], str], metrics: Sequence[Metric] = METRICS) -> None:
        self._figures: Final = figures
        self._metrics: Final = metrics
        self._why_not: Final = why_not

    async def __call__(self, scope: dict[str, Any], _receive: _Receive, send: _Send) -> None:
        """Answer one request (ASGI 3)."""
        if _is_for_loopback(scope["headers"]):
            status, kind, body = self._answer(scope["method"], scope["path"])
        else:
            status, kind, body = 421, _PLAIN, b"ask for localhost\n"
        headers = [(b"content-type", kind), (b"cache-control", b"no-store"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        plain = _PLAIN
        if method != "GET":
            return 405, plain, b"only GET\n"
        match path:
            case "/health":
                return 200, plain, b"alive\n"
            case "/ready":
                why = self._why_not()
                return (503, plain, f"{why}\n".encode()) if why else (200, plain, b"ready\n")
            case "/status":
                why = self._why_not()
                status = {"ready": not why, "why_not_ready": why, **self._figures.status()}
                return 200, b"application/json", msgspec.json.encode(status)
            case "/metrics":
                return (
                    200,
                    b"text/plain; version=0.0.4; charset=utf-8",
                    exposition(self._figures, self._metrics).encode(),
                )
            case _:
                return 404, plain, b"/health, /ready, /status and /metrics are here\n"


def _is_for_loopback(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """True where Host is localhost or a loopback address; without one (HTTP/1.0) it was no browser that asked."""
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    return all(_is_loopback(_PORT.sub("", host)) for host in hosts)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    address = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
