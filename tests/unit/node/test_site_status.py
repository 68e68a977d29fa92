"""The status door: who is answered, and what it says of readiness."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from poliqi.node.site_status import StatusApplication


class NoFigures:
    def status(self) -> dict[str, Any]:
        return {"site": "a"}


def ask(path: str, host: bytes | None, why: str = "") -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("no body is read")

    headers = [] if host is None else [(b"host", host)]
    application = StatusApplication(NoFigures(), lambda: why)  # type: ignore[arg-type]
    asyncio.run(application({"method": "GET", "path": path, "headers": headers}, receive, send))
    return sent[0]["status"], sent[1]["body"]


LOOPBACK = [b"localhost", b"LocalHost:9", b"127.0.0.1", b"127.0.0.1:9000", b"127.0.0.2", b"[::1]", b"[::1]:80"]
OTHERS = [b"evil.example", b"evil.example:80", b"localhost.evil.example", b"127.0.0.1.evil.example", b"10.0.0.1"]
BROKEN = [b"", b"localhost:x", b"localhost:80:80", b"[::1", b"\xff", b"@localhost"]


@pytest.mark.parametrize("host", [*LOOPBACK, None])
def test_hosts_of_loopback_are_answered(host: bytes | None) -> None:
    assert ask("/health", host) == (200, b"alive\n")


@pytest.mark.parametrize("host", [*OTHERS, *BROKEN])
def test_other_names_that_point_here_are_not(host: bytes) -> None:
    status, body = ask("/status", host)
    assert status == 421
    assert b"site" not in body


def test_the_status_says_why_it_is_not_ready() -> None:
    assert ask("/status", b"localhost", "nobody can get in") == (
        200,
        b'{"ready":false,"why_not_ready":"nobody can get in","site":"a"}',
    )
    assert ask("/ready", b"localhost", "nobody can get in") == (503, b"nobody can get in\n")
