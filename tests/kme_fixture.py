"""Two sites that serve applications over real mutual TLS on loopback, for tests that speak to them from outside.

Whoever points these tests at other sites needs a `KmePair` with their addresses and certificates.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from certificates import Authority, Pair, client_context
from fake_desk import FakeDesk, FakeSites, fake_pair

from poliqi.base.ids import SaeId
from poliqi.edge.asgi import Application
from poliqi.edge.complaints import Complaints
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.edge.http1 import HttpLimits
from poliqi.edge.https import HttpsServer
from poliqi.edge.kme_http import KmeApplication
from poliqi.edge.network import Address
from poliqi.edge.tls import TlsFiles

__all__ = ["KmePair", "LoopThread", "kme_pair", "live_fake_pair", "served"]


class LoopThread:
    """An event loop in a thread of its own, so that a test may block."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any], timeout_s: float = 20.0) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def call(self, work: Callable[[], Any]) -> Any:
        async def _call() -> Any:
            return work()

        return self.run(_call())

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@contextmanager
def served(
    application: Application,
    tls: TlsFiles | None,
    limits: HttpLimits | None = None,
    lines: list[str] | None = None,
    address: str = "127.0.0.1",
) -> Iterator[tuple[HttpsServer, Address, LoopThread]]:
    """A server in a thread while the block runs."""
    said: list[str] = [] if lines is None else lines
    thread = LoopThread()
    server = HttpsServer(application, Address(address, 0), tls, limits, Complaints(said.append))
    try:
        where = thread.run(server.start())
        try:
            yield server, where, thread
        finally:
            thread.run(server.close())
    finally:
        thread.close()


@dataclass
class KmePair:
    """Two sites, who lives where, everybody's certificates. `sites` is what a test can turn, None at live sites."""

    authority: Authority
    addresses: dict[str, Address]
    homes: dict[str, str]
    certificates: dict[str, Pair] = field(default_factory=dict)
    sites: FakeSites | None = None
    _clients: dict[str, httpx.Client] = field(default_factory=dict)

    def certificate(self, sae: str) -> Pair:
        if sae not in self.certificates:
            self.certificates[sae] = self.authority.sae(sae)
        return self.certificates[sae]

    def client(self, sae: str) -> httpx.Client:
        """A client with this application's certificate, at its own site."""
        if sae not in self._clients:
            self._clients[sae] = httpx.Client(
                verify=client_context(self.authority, self.certificate(sae)),
                base_url=f"https://{self.addresses[self.homes[sae]]}",
                trust_env=False,
            )
        return self._clients[sae]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextmanager
def live_fake_pair(folder: Path) -> Iterator[KmePair]:
    """Two servers over two fake desks that share their keys."""
    authority = Authority(folder)
    desks = fake_pair()
    sites = desks[0].sites
    homes = {str(sae): str(kme) for sae, kme in sites.homes.items()}
    with (
        served(_application(desks[0]), _files(authority, "kme-a")) as (_, first, _),
        served(_application(desks[1]), _files(authority, "kme-b")) as (_, second, _),
    ):
        pair = KmePair(authority, {"kme-a": first, "kme-b": second}, homes, sites=sites)
        try:
            yield pair
        finally:
            pair.close()


def _application(desk: FakeDesk) -> KmeApplication:
    def partners(sae: SaeId) -> list[SaeId]:
        return [other for other in desk.sites.homes if other != sae and desk.sites.may(sae, other)]

    return KmeApplication(desk, entropy=OperatingSystemEntropy(), partners=partners)


def _files(authority: Authority, kme: str) -> TlsFiles:
    pair = authority.kme(kme)
    return TlsFiles(pair.certificate, pair.key, authority.path)


@pytest.fixture(scope="module")
def kme_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmePair]:
    """Two live sites, kept for a module's tests."""
    with live_fake_pair(tmp_path_factory.mktemp("kme")) as pair:
        yield pair
