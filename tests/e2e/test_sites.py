"""Whole sites as processes of their own: what applications and operators see of them."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from live_sites import LiveCity, LiveSite, live_city, poliqi

from bench.sites import POLIQI
from poliqi.base.errors import LinkDown
from poliqi.edge.keyclient import client_context
from poliqi.edge.network import Address
from poliqi.edge.pki import Authority
from poliqi.edge.stream_client import StreamClient
from poliqi.keys.etsi004_messages import Qos

pytestmark = pytest.mark.slow

RELAY = """
[[relay]]
link = "a.c"
to = "c"
scheme = "single"
paths = [["a", "b", "c"]]
low_water = "64 kbit"
"""
VIRTUAL = """
[[relay]]
link = "a.c"
to = "a"
scheme = "single"
paths = [["c", "b", "a"]]
low_water = "64 kbit"
"""


@pytest.fixture(scope="module")
def city() -> Iterator[LiveCity]:
    with live_city(["a", "b", "c"], [("a", "b"), ("b", "c")], relays={"a": RELAY, "c": VIRTUAL}) as city:
        for link in ("a-b", "b-c"):
            for number in range(1, 5):
                city.block(link, number, 60_000)
        yield city


def client(site: LiveSite, sae: str) -> httpx.Client:
    certificate, key = site.credentials(sae)
    context = ssl.create_default_context(cafile=str(site.ca))
    context.load_cert_chain(certificate, key)
    return httpx.Client(base_url=site.url, verify=context, trust_env=False)


def pair_of_keys(city: LiveCity, master: str, slave: str, number: int = 2) -> tuple[httpx.Response, httpx.Response]:
    with client(city[master], f"{master}1") as one, client(city[slave], f"{slave}1") as two:
        ordered = one.get(f"/api/v1/keys/{slave}1/enc_keys", params={"number": number})
        names = {"key_IDs": [{"key_ID": k["key_ID"]} for k in ordered.json().get("keys", [])]}
        return ordered, two.post(f"/api/v1/keys/{master}1/dec_keys", json=names)


def wait_for_stock(city: LiveCity, master: str, slave: str) -> None:
    end = time.monotonic() + 30
    with client(city[master], f"{master}1") as one:
        while not one.get(f"/api/v1/keys/{slave}1/status").json().get("stored_key_count"):
            assert time.monotonic() < end, city[master].log.read_text()[-3000:]
            time.sleep(0.1)


def test_neighbours_share_keys(city: LiveCity) -> None:
    ordered, fetched = pair_of_keys(city, "a", "b")
    assert ordered.status_code == fetched.status_code == 200
    assert ordered.json() == fetched.json()
    assert ordered.json()["keys"][0]["key_extension"]["simulated"] is True


def test_sites_without_a_fibre_share_keys_that_a_relay_carried(city: LiveCity) -> None:
    wait_for_stock(city, "a", "c")
    ordered, fetched = pair_of_keys(city, "a", "c")
    assert ordered.json() == fetched.json()
    assert ordered.json()["keys"][0]["key_extension"]["paths"] == [["a", "b", "c"]]


def test_an_independent_client_makes_the_round_trip(city: LiveCity) -> None:
    def run(site: str, sae: str, *words: str) -> str:
        certificate, key = city[site].credentials(sae)
        host = f"127.0.0.1:{city[site].https}"
        files = ["-c", certificate, "-k", key, "-r", city[site].ca]
        done = subprocess.run(
            ["qkd014-client", "-H", host, *map(str, files), *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={"PATH": str(Path(sys.executable).parent)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    text = run("a", "a1", "get_key", "b1")
    assert "key_ID" in str(text) or "key" in str(text).lower()


def test_a_pair_takes_one_row_in_the_audit_of_each_site(city: LiveCity) -> None:
    ordered, _ = pair_of_keys(city, "b", "a", 1)
    name = ordered.json()["keys"][0]["key_ID"].replace("-", "")
    lines = {s: poliqi("site", "audit", city[s].toml, "--json") for s in "ab"}
    promised = [json.loads(line) for line in lines["b"].splitlines() if name in line]
    released = [json.loads(line) for line in lines["a"].splitlines() if name in line]
    assert [line["event"] for line in promised] == ["promised"]
    assert [line["event"] for line in released] == ["released"]


def test_status_metrics_and_readiness(city: LiveCity) -> None:
    assert city["a"].get("/health")[0] == city["a"].get("/ready")[0] == 200
    status = city["a"].figures()
    assert {p["site"] for p in status["peers"]} == {"b", "c"}  # type: ignore[index, union-attr]
    text = city["a"].get("/metrics")[1].decode()
    assert 'poliqi_peer_connected{peer="b"} 1' in text


def test_a_revoked_certificate_is_refused_after_a_reload(city: LiveCity) -> None:
    site = city["c"]
    poliqi("pki", "issue", site.folder / "pki", "--sae", "leaver")
    certificate, key = site.credentials("leaver")
    context = ssl.create_default_context(cafile=str(site.ca))
    context.load_cert_chain(certificate, key)
    with httpx.Client(base_url=site.url, verify=context, trust_env=False) as leaver:
        assert leaver.get("/api/v1/keys/b1/status").status_code == 401  # known to the authority, not registered
        poliqi("pki", "revoke", site.folder / "pki", site.folder / "pki" / "issued" / "sae-leaver-01.pem")
        poliqi("site", "reload", site.toml)
        end = time.monotonic() + 20
        with pytest.raises(httpx.HTTPError):
            while time.monotonic() < end:
                leaver.get("/api/v1/keys/b1/status")
                time.sleep(0.05)


def wait_until(site: LiveSite, ready: int) -> str:
    """Wait for an answer of /ready; what it says."""
    end = time.monotonic() + 20
    while (answer := site.get("/ready"))[0] != ready:
        assert time.monotonic() < end, answer
        time.sleep(0.05)
    return answer[1].decode()


def test_a_site_whose_own_revocation_list_is_over_says_that_nobody_gets_in(city: LiveCity) -> None:
    site = city["c"]
    authority = Authority(site.folder / "pki")
    try:
        authority.refresh_crl(datetime.now(UTC) - timedelta(days=2), days=1)
        poliqi("site", "reload", site.toml)
        assert wait_until(site, 503).startswith("nobody can get in: revocation list of ")
        with client(site, "c1") as one, pytest.raises(httpx.HTTPError):
            one.get("/api/v1/keys/b1/status")
        days = [line for line in site.get("/metrics")[1].decode().splitlines() if "/crl.pem" in line]
        assert days[0].startswith("poliqi_certificate_days_left{file=")
        assert float(days[0].split()[-1]) < 0
        assert "poliqi_https_refused_total 0\n" not in site.get("/metrics")[1].decode()
        assert "a handshake failed: CRL has expired" in site.log.read_text()
        assert '"event": "expiry"' in site.log.read_text()
    finally:
        authority.refresh_crl(datetime.now(UTC))
        poliqi("site", "reload", site.toml)
    wait_until(site, 200)
    with client(site, "c1") as one:
        assert one.get("/api/v1/keys/b1/status").status_code == 200


def test_a_drained_site_ends_its_requests_and_takes_no_more(city: LiveCity) -> None:
    site = city["c"]
    certificate, key = site.credentials("c1")
    context = client_context(certificate, key, site.ca)
    address = Address("127.0.0.1", site.streams)
    with StreamClient.over_frames(address, context) as stream:
        stream.open("sae://c1", "sae://b1", Qos(chunk_bytes=32))
        poliqi("site", "drain", site.toml)
        wait_until(site, 503)
        with pytest.raises(LinkDown):
            stream.open("sae://c1", "sae://b1", Qos(chunk_bytes=32))
    with pytest.raises(LinkDown):
        StreamClient.over_frames(address, context)
    with client(site, "c1") as one, pytest.raises(httpx.HTTPError):
        one.get("/api/v1/keys/b1/status")
    assert site.stop() == 0
    site.start()
    city.join()


def test_zeroise_makes_the_store_unreadable_within_a_second() -> None:
    with live_city(["a", "b"], [("a", "b")]) as city:
        city.block("a-b", 1, 60_000)
        began = time.monotonic()
        poliqi("site", "zeroise", city["a"].toml, "--yes")
        took = time.monotonic() - began
        assert city["a"].process is not None
        city["a"].process.wait(10)
        assert not list((city["a"].folder / "kek").iterdir())
        again = subprocess.run(
            [*POLIQI, "site", "run", str(city["a"].toml)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert again.returncode != 0
        assert "was zeroised" in again.stdout + again.stderr
        assert took < 5  # the command as a whole, interpreter included, on a loaded machine
