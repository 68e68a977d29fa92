"""strongSwan (IKEv2 with RFC 8784, user-space ESP) with quantum keys, in two network namespaces."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from adapter_hosts import Host, Hosts, missing, read_ping, two_hosts, vici_socket, wait_until
from adapter_rig import two_ends

from bench.played_keys import PlayedSite
from poliqi.apps.adapters.events import Happening
from poliqi.apps.adapters.ipsec import Ipsec
from poliqi.base.errors import ConfigError, LinkDown
from poliqi.base.secret import SecretBytes

vici = pytest.importorskip("vici", reason="needs the extra 'ipsec'")

PLUGINS = "/usr/lib/ipsec/plugins/libstrongswan-"
pytestmark = missing(
    "ip",
    "unshare",
    "ping",
    "/usr/lib/ipsec/charon",
    *(f"{PLUGINS}{name}.so" for name in ("vici", "kernel-libipsec", "chapoly", "curve25519")),
)

INSIDE = "10.7.2.1"


@contextmanager
def charon(path: Path) -> Iterator[Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        yield vici.Session(connection)


def connection(own: str, other: str) -> dict[str, Any]:
    """As its owner writes it in SAE.toml; a plain secret authenticates the ends, and protects nothing by itself."""
    return {
        "local_addrs": [f"10.9.0.{own}"],
        "remote_addrs": [f"10.9.0.{other}"],
        "proposals": ["aes256-sha256-x25519"],
        "local": {"auth": "psk", "id": f"end{own}"},
        "remote": {"auth": "psk", "id": f"end{other}"},
        "children": {
            "net": {
                "local_ts": [f"10.7.{own}.1/32"],
                "remote_ts": [f"10.7.{other}.1/32"],
                "esp_proposals": ["chacha20poly1305"],
            }
        },
    }


def established(path: Path) -> list[dict[str, Any]]:
    """The IKE SAs that are up."""
    with charon(path) as session:
        found = [dict(sa) for entry in session.list_sas() for sa in entry.values()]
    return [sa for sa in found if sa["state"] == b"ESTABLISHED"]


class Both:
    def __init__(self, hosts: Hosts, folder: Path, proof_s: float) -> None:
        self.hosts = hosts
        self.paths = [self._prepare(host, str(number)) for number, host in ((1, hosts.left), (2, hosts.right))]
        self.ends = [
            Ipsec("office", path, connection(own, other), folder, proof_s)
            for path, own, other in zip(self.paths, "12", "21", strict=True)
        ]

    @staticmethod
    def _prepare(host: Host, number: str) -> Path:
        host.run("ip", "addr", "add", f"10.7.{number}.1/32", "dev", "lo")
        path = vici_socket(host)
        with charon(path) as session:
            session.load_shared({"id": "usual", "type": "IKE", "data": b"usual", "owners": ["end1", "end2"]})
        return path

    def has_traffic(self) -> bool:
        return self.hosts.ping(INSIDE, 3, 0.05, "-I", "10.7.1.1")[1] > 0


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    with two_hosts(tmp_path) as hosts:
        yield Both(hosts, tmp_path, proof_s=5.0)


def test_each_key_gets_an_sa_of_its_own_and_no_packet_is_lost(both: Both) -> None:
    with two_ends(*both.ends) as ends:
        assert not established(both.paths[0])
        first = ends.rotator().once()
        wait_until(lambda: ends.rotated("bravo") == [first])
        (before,) = established(both.paths[0])
        assert before["ppk"] == b"yes"
        ping = both.hosts.start_ping(INSIDE, 100, 0.02, "-I", "10.7.1.1")
        rotated = [ends.rotator().once() for _ in range(3)]
        sent, answered = read_ping(ping)
        assert sent == answered
        wait_until(lambda: len(ends.rotated("bravo")) == 4)
        assert ends.rotated("bravo") == ends.rotated("alfa") == [first, *rotated]
        for path in both.paths:
            (now,) = established(path)
            assert now["uniqueid"] != before["uniqueid"]
            with charon(path) as session:
                kept = [name.decode() for name in session.get_shared()["keys"]]
            assert sorted(kept) == sorted(["usual", f"poliqi/office/{rotated[-1]}"])
        assert not ends.told(Happening.FAILED)


def test_a_wrong_key_at_one_end_gives_no_sa(both: Both) -> None:
    for end in both.ends:
        end.open()
        end.hold("wrong", SecretBytes(os.urandom(32)))
    with pytest.raises(LinkDown, match=r"no IKE SA with key wrong: .*AUTHENTICATION_FAILED"):
        both.ends[0].use("wrong", is_starter=True)
    assert not any(established(path) for path in both.paths)
    assert not both.has_traffic()


def test_an_end_that_leaves_the_key_out_is_refused(both: Both) -> None:
    for end in both.ends:
        end.open()
        end.hold("same", SecretBytes(bytes(range(32))))
    with charon(both.paths[0]) as session:
        session.load_conn({"office": {**connection("1", "2"), "version": "2"}})
        with pytest.raises(vici.exception.CommandException):
            list(session.initiate({"child": "net", "ike": "office", "timeout": "3000"}))
    assert not any(established(path) for path in both.paths)
    # with it, it is taken
    both.ends[0].use("same", is_starter=True)
    both.ends[1].use("same", is_starter=False)
    assert both.has_traffic()


def test_no_session_begins_before_the_first_key_nor_after_the_last(both: Both) -> None:
    with two_ends(*both.ends, PlayedSite(stock_bytes=500), longest_s=2.0) as ends:
        assert both.hosts.ping(INSIDE, 2, 0.05, "-I", "10.7.1.1", "-W", "1")[1] == 0
        for path in both.paths:
            with charon(path) as session, pytest.raises(vici.exception.CommandException):
                list(session.initiate({"child": "net", "ike": "office", "timeout": "1000"}))
        ends.rotator().once()
        assert both.has_traffic()
        wait_until(lambda: len(ends.told(Happening.SHUT)) == 2)
        assert not established(both.paths[0])


def test_what_charon_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does charon run"):
        Ipsec("office", tmp_path / "no-socket", connection("1", "2"), tmp_path).open()
