"""The site's page for supervisors, on loopback only: /health, /ready, /status, /metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from poliqi.node.site_figures import METRICS, Figures

__all__ = ["StatusApplication", "exposition"]

_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


def exposition(figures: Figures) -> str:
    """All figures in the text format of Prometheus (version 0.0.4)."""
    values: dict[str, list[str]] = {}
    for name, labels, value in figures.values():
        marks = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        values.setdefault(name, []).append(f"{name}{{{marks}}} {value:g}" if marks else f"{name} {value:.17g}")
    lines: list[str] = []
    for metric in METRICS:
        if metric.name in values:
            lines += [f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}"]
            lines += values[metric.name]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class StatusApplication:
    """Serves the figures; `why_not` says why the site does not serve, or nothing."""

    def __init__(self, figures: Figures, why_not: Callable[[], str]) -> None:
        self._figures: Final = figures
        self._why_not: Final = why_not

    async def __call__(self, scope: dict[str, Any], _receive: _Receive, send: _Send) -> None:
        """Answer one request (ASGI 3)."""
        status, kind, body = self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", kind), (b"cache-control", b"no-store"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        plain = b"text/plain; charset=utf-8"
        if method != "GET":
            return 405, plain, b"only GET\n"
        match path:
            case "/health":
                return 200, plain, b"alive\n"
            case "/ready":
                why = self._why_not()
                return (503, plain, f"{why}\n".encode()) if why else (200, plain, b"ready\n")
            case "/status":
                status = {"ready": not self._why_not(), **self._figures.status()}
                return 200, b"application/json", msgspec.json.encode(status)
            case "/metrics":
                return 200, b"text/plain; version=0.0.4; charset=utf-8", exposition(self._figures).encode()
            case _:
                return 404, plain, b"/health, /ready, /status and /metrics are here\n"
