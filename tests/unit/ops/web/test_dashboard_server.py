"""The dashboard behind the project's own server: streams flow, end with their browsers and with the server."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from certificates import Authority, client_context
from http_wire import until
from kme_fixture import LoopThread, served

from bench.citymodel import LiveCity
from poliqi.edge.https import HttpsServer
from poliqi.edge.network import Address
from poliqi.edge.tls import TlsFiles
from poliqi.ops.web import Dashboard, DashboardSettings, Role, dashboard


@dataclass
class Served:
    city: LiveCity
    page: Dashboard
    server: HttpsServer
    where: Address
    thread: LoopThread

    def stir(self) -> None:
        async def go() -> None:
            self.city.stir()

        self.thread.run(go())


@pytest.fixture
def live() -> Iterator[Served]:
    city = LiveCity()
    page = dashboard(city, DashboardSettings(open_role=Role.OPERATOR, is_demo=True))
    with served(page, None) as (server, where, thread):
        yield Served(city, page, server, where, thread)


def events(answer: httpx.Response) -> Iterator[dict[str, str]]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def test_a_stream_flows_and_ends_with_its_browser(live: Served) -> None:
    with httpx.Client(base_url=f"http://{live.where}", trust_env=False) as client:
        with client.stream("GET", "/live?at=/") as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            found = events(answer)
            assert "All is well" in next(found)["main"]
            client.post("/api/act/cut", json={"subject": "leonardo-bovisa"})
            assert "is cut" in next(found)["main"]
            assert live.page.viewers == 1
        until(lambda: live.page.viewers == 0)
    until(lambda: live.server.connections == 0)


def test_a_browser_that_vanishes_ends_its_stream(live: Served) -> None:
    link = socket.create_connection((live.where.host, live.where.port), timeout=5)
    link.sendall(b"GET /live?at=/ HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert link.recv(100).startswith(b"HTTP/1.1 200")
    until(lambda: live.page.viewers == 1)
    link.close()
    until(lambda: live.page.viewers == 0)


def test_closing_the_dashboard_lets_the_server_drain_at_once(live: Served) -> None:
    with (
        httpx.Client(base_url=f"http://{live.where}", trust_env=False) as client,
        client.stream("GET", "/live?at=/links") as answer,
    ):
        found = events(answer)
        next(found)

        async def stop() -> None:
            await live.page.close()
            await live.server.drain(60.0)

        live.thread.run(stop())
        assert list(found) == []
    assert live.server.connections == 0


def test_over_tls_people_come_with_a_certificate_or_without(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, anna = authority.kme("control"), authority.sae("anna")
    files = TlsFiles(own.certificate, own.key, authority.path, are_clients_known=False)
    page = dashboard(LiveCity(), DashboardSettings(certificates={"anna": Role.VIEWER}))
    with served(page, files) as (_, where, _):
        with httpx.Client(verify=client_context(authority, anna), trust_env=False) as client:
            assert client.get(f"https://{where}/api/city").json()["name"] == "Milano"
        with httpx.Client(verify=client_context(authority, None), trust_env=False) as client:
            assert client.get(f"https://{where}/api/city").status_code == 401
            assert client.get(f"https://{where}/").headers["location"] == "/login?back=%2F"
        stranger = Authority(tmp_path / "other", "another").sae("anna")
        with (
            httpx.Client(verify=client_context(authority, stranger), trust_env=False) as client,
            pytest.raises((httpx.HTTPError, ssl.SSLError)),
        ):
            client.get(f"https://{where}/")
