"""Mutual TLS: who gets in, and how certificates and revocation lists change while the server runs."""

from __future__ import annotations

import datetime
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from certificates import SERVER, Authority, Pair, client_context
from http_wire import LIMITS, echo, one, rest, said, until
from kme_fixture import served

from poliqi.base.errors import ConfigError
from poliqi.base.ids import KmeId
from poliqi.edge.https import HttpsServer
from poliqi.edge.network import Address
from poliqi.edge.tls import TlsFiles, load_credentials


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def files(authority: Authority) -> TlsFiles:
    kme = authority.kme("kme-a")
    return TlsFiles(kme.certificate, kme.key, authority.path)


@contextmanager
def connected(where: Address, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    link = socket.create_connection((where.host, where.port), timeout=5)
    with link, context.wrap_socket(link, server_hostname=where.host) as secured:
        yield secured


def ask(where: Address, context: ssl.SSLContext) -> str | None:
    """Who the server takes us for; raises where it does not let us in."""
    with connected(where, context) as link:
        link.sendall(one("GET /"))
        return said(rest(link))["caller"]


def is_refused(where: Address, context: ssl.SSLContext) -> bool:
    """True where the handshake, or the first read after it (TLS 1.3), fails."""
    try:
        ask(where, context)
    except (ssl.SSLError, OSError, AssertionError):
        return True
    return False


def test_the_caller_is_whom_the_certificate_names(authority: Authority, files: TlsFiles) -> None:
    with served(echo, files) as (_, where, _):
        assert ask(where, client_context(authority, authority.sae("sae-a"))) == "sae-a"


def test_only_certificates_of_the_authority_get_in(authority: Authority, files: TlsFiles, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "another authority")
    namesake = Authority(tmp_path / "namesake")
    past = datetime.timedelta(days=-1)
    outsiders: dict[str, Pair | None] = {
        "no certificate": None,
        "another authority": stranger.sae("sae-a"),
        "another authority of the same name": namesake.sae("sae-a"),
        "expired": authority.issue("sae-a", lives=past),
        "for servers only": authority.issue("sae-a", usages=(SERVER,)),
    }
    with served(echo, files) as (server, where, _):
        for why, pair in outsiders.items():
            assert is_refused(where, client_context(authority, pair)), why
        assert server.refused == len(outsiders)
        assert ask(where, client_context(authority, authority.sae("sae-a"))) == "sae-a"


def test_a_revoked_certificate_does_not_get_in(authority: Authority, files: TlsFiles) -> None:
    good, bad = authority.sae("good"), authority.sae("bad")
    with served(echo, replace(files, crl=authority.revoke(bad))) as (_, where, _):
        assert ask(where, client_context(authority, good)) == "good"
        assert is_refused(where, client_context(authority, bad))


def test_a_reload_hangs_up_on_who_was_revoked(authority: Authority, files: TlsFiles) -> None:
    good, bad = authority.sae("good"), authority.sae("bad")
    files = replace(files, crl=authority.revoke())
    with served(echo, files) as (server, where, thread):
        with (
            connected(where, client_context(authority, bad)) as revoked,
            connected(where, client_context(authority, good)) as kept,
        ):
            until(lambda: server.connections == 2)
            authority.revoke(bad)
            thread.call(server.reload)
            assert rest(revoked) == b""
            kept.sendall(one("GET /"))
            assert said(rest(kept))["caller"] == "good"
        assert is_refused(where, client_context(authority, bad))


def test_a_certificate_that_ends_ends_its_connection(authority: Authority, files: TlsFiles) -> None:
    brief = authority.issue("brief", lives=datetime.timedelta(seconds=2))
    with served(echo, files, LIMITS) as (_, where, _):
        start = time.monotonic()
        with connected(where, client_context(authority, brief)) as link:
            assert rest(link) == b""
        assert time.monotonic() - start < LIMITS.idle_s


def test_a_reload_shows_the_new_certificate_and_keeps_open_connections(
    authority: Authority, files: TlsFiles
) -> None:
    context = client_context(authority, authority.sae("sae-a"))
    with served(echo, files) as (server, where, thread), connected(where, context) as old:
        before = old.getpeercert(binary_form=True)
        renewed = authority.kme("kme-a")
        files.certificate.write_bytes(renewed.certificate.read_bytes())
        files.key.write_bytes(renewed.key.read_bytes())
        thread.call(server.reload)
        with connected(where, context) as new:
            assert new.getpeercert(binary_form=True) != before
        old.sendall(one("GET /"))
        assert said(rest(old))["caller"] == "sae-a"


def test_a_reload_that_fails_changes_nothing(authority: Authority, files: TlsFiles) -> None:
    context = client_context(authority, authority.sae("sae-a"))
    with served(echo, files) as (server, where, thread):
        files.key.write_bytes(b"nothing")
        with pytest.raises(ConfigError, match=str(files.key)):
            thread.call(server.reload)
        assert ask(where, context) == "sae-a"


def test_sessions_are_not_resumed(authority: Authority, files: TlsFiles) -> None:
    for old in (False, True):
        context = client_context(authority, authority.sae("sae-a"))
        if old:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        with served(echo, replace(files, allow_tls12=old)) as (_, where, _):
            with connected(where, context) as link:
                link.sendall(one("GET /"))
                rest(link)
                session = link.session
            assert session is None or not session.has_ticket


def test_tls_1_2_is_refused_unless_it_is_allowed(authority: Authority, files: TlsFiles) -> None:
    context = client_context(authority, authority.sae("sae-a"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with served(echo, files) as (_, where, _):
        assert is_refused(where, context)
    with served(echo, replace(files, allow_tls12=True)) as (_, where, _):
        assert ask(where, context) == "sae-a"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 300, b""])
def test_what_is_no_tls_is_dropped(authority: Authority, files: TlsFiles, data: bytes) -> None:
    limits = replace(LIMITS, handshake_s=0.3)
    with served(echo, files, limits) as (server, where, _):
        with socket.create_connection((where.host, where.port), timeout=5) as link:
            link.sendall(data)
            rest(link)
        until(lambda: server.connections == 0)
        assert server.refused == 1
        assert ask(where, client_context(authority, authority.sae("sae-a"))) == "sae-a"


def test_one_caller_cannot_take_every_connection(authority: Authority, files: TlsFiles) -> None:
    greedy, other = (client_context(authority, authority.sae(name)) for name in ("greedy", "other"))
    with served(echo, files, replace(LIMITS, connections_of_one=2)) as (server, where, _):
        with connected(where, greedy), connected(where, greedy):
            until(lambda: server.connections == 2)
            assert is_refused(where, greedy)
            assert ask(where, other) == "other"
        until(lambda: server.connections == 0)
        assert ask(where, greedy) == "greedy"


def test_files_that_cannot_be_used_are_named(authority: Authority, files: TlsFiles, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_bytes(b"nothing")
    missing = tmp_path / "missing.pem"
    for bad in (nothing, missing):
        for changed in (
            replace(files, certificate=bad),
            replace(files, key=bad),
            replace(files, clients_ca=bad),
            replace(files, crl=bad),
        ):
            with pytest.raises(ConfigError, match=str(bad)):
                load_credentials(changed)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_plain_http_stays_on_loopback(host: str) -> None:
    with pytest.raises(ConfigError, match="loopback"), served(echo, None, address=host):
        pass


def test_an_address_in_use_is_named() -> None:
    with served(echo, None) as (_, where, thread), pytest.raises(ConfigError, match=str(where.port)):
        thread.run(HttpsServer(echo, where, None).start())


@dataclass
class Neighbours:
    """Two sites, each with an authority of its own, at a third one's door."""

    x: Authority
    y: Authority
    files: TlsFiles
    server: Authority


@pytest.fixture
def neighbours(tmp_path: Path, authority: Authority, files: TlsFiles) -> Neighbours:
    x, y = Authority(tmp_path / "x", "authority of x"), Authority(tmp_path / "y", "authority of y")
    return Neighbours(x, y, replace(files, clients_ca={KmeId("x"): x.path, KmeId("y"): y.path}), authority)


def test_a_neighbour_gets_in_with_its_own_authority_only(neighbours: Neighbours) -> None:
    n = neighbours
    with served(echo, n.files) as (server, where, _):
        assert ask(where, client_context(n.server, n.x.kme("x"))) == "x"
        assert ask(where, client_context(n.server, n.y.kme("y"))) == "y"
        outsiders = [n.x.kme("y"), n.y.kme("x"), n.x.kme("z"), n.x.sae("x"), n.x.issue("x", "y")]
        for pair in outsiders:
            assert is_refused(where, client_context(n.server, pair))
        until(lambda: server.refused == len(outsiders))


def test_names_of_authorities_prove_nothing(tmp_path: Path, neighbours: Neighbours) -> None:
    n = neighbours
    namesake = Authority(tmp_path / "namesake", "authority of y")
    both = replace(n.files, clients_ca={KmeId("x"): namesake.path, KmeId("y"): n.y.path})
    with served(echo, both) as (_, where, _):
        assert is_refused(where, client_context(n.server, namesake.kme("y")))
        assert ask(where, client_context(n.server, n.y.kme("y"))) == "y"


def test_an_authority_below_a_neighbours_may_not_vouch(tmp_path: Path, neighbours: Neighbours) -> None:
    n = neighbours
    top, below = Authority(tmp_path / "top", "authority of w", below=None), Authority(tmp_path / "below", "below w")
    signed = top.endorse(below)
    pair = below.kme("w")
    pair.certificate.write_bytes(pair.certificate.read_bytes() + signed)
    with served(echo, replace(n.files, clients_ca=top.path)) as (_, where, _):
        assert ask(where, client_context(n.server, pair)) == "w"  # one authority for all: the handshake decides
    with served(echo, replace(n.files, clients_ca={KmeId("w"): top.path})) as (_, where, _):
        assert is_refused(where, client_context(n.server, pair))


def test_a_reload_takes_a_neighbours_new_authority_and_hangs_up_on_the_old(
    tmp_path: Path, neighbours: Neighbours
) -> None:
    n = neighbours
    with served(echo, n.files) as (server, where, thread):
        with connected(where, client_context(n.server, n.x.kme("x"))) as old:
            until(lambda: len(server._service.open) == 1)
            new = Authority(tmp_path / "new", "authority of x")
            n.x.path.write_bytes(new.path.read_bytes())
            thread.call(server.reload)
            assert rest(old) == b""
        assert ask(where, client_context(n.server, new.kme("x"))) == "x"


def test_two_neighbours_cannot_share_an_authority(neighbours: Neighbours) -> None:
    n = neighbours
    with pytest.raises(ConfigError, match="each needs its own"):
        load_credentials(replace(n.files, clients_ca={KmeId("x"): n.x.path, KmeId("y"): n.x.path}))


def test_a_list_that_is_over_is_named_as_the_reason(authority: Authority, files: TlsFiles) -> None:
    lines: list[str] = []
    over = authority.revoke(lives=datetime.timedelta(seconds=-1))
    with served(echo, replace(files, crl=over), lines=lines) as (server, where, _):
        assert is_refused(where, client_context(authority, authority.sae("sae-a")))
        until(lambda: server.refused == 1)
    assert lines == ["127.0.0.1: a handshake failed: CRL has expired"]
