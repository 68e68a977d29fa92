"""Live sites by ETSI 004 (key streams), Cisco SKIP and ETSI 020 (a neighbour's keys), over real mutual TLS."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from live_sites import LiveCity, LiveSite, free_ports, live_city

from poliqi.edge.network import Address
from poliqi.edge.stream_client import StreamClient
from poliqi.keys.etsi004_messages import Qos, Status

pytestmark = pytest.mark.slow


def context_of(site: LiveSite, sae: str) -> ssl.SSLContext:
    certificate, key = site.credentials(sae)
    context = ssl.create_default_context(cafile=str(site.ca))
    context.load_cert_chain(certificate, key)
    return context


@pytest.fixture(scope="module")
def city() -> Iterator[LiveCity]:
    with live_city(["a", "b"], [("a", "b")]) as city:
        for number in range(1, 4):
            city.block("a-b", number, 60_000)
        yield city


@pytest.mark.parametrize("binding", ["frames", "http"])
def test_both_ends_of_a_key_stream_get_the_same_chunks(city: LiveCity, binding: str) -> None:
    def connect(site: LiveSite, sae: str) -> StreamClient:
        if binding == "http":
            return StreamClient.over_http(site.url, context_of(site, sae))
        return StreamClient.over_frames(Address("127.0.0.1", site.streams), context_of(site, sae))

    with connect(city["a"], "a1") as one, connect(city["b"], "b1") as two:
        qos = Qos(chunk_bytes=48, timeout_ms=5000)
        opened = one.open("sae://a1", "sae://b1", qos)
        assert opened.status in (Status.OK, Status.PEER_NOT_CONNECTED_YET)
        stream = opened.stream_id
        assert isinstance(stream, UUID)
        assert two.open("sae://a1", "sae://b1", qos, stream).status is Status.OK
        chunks: list[tuple[bytes, bytes]] = []
        for index in range(3):
            chunks.append((chunk(one, stream, index), chunk(two, stream, index)))
        assert all(left == right and len(left) == 48 for left, right in chunks)
        assert len({left for left, _ in chunks}) == 3
        assert one.close(stream) is Status.OK


def chunk(client: StreamClient, stream: UUID, index: int) -> bytes:
    """A chunk, asked for again while there is none yet."""
    end = time.monotonic() + 10
    while True:
        reply = client.get_key(stream, index)
        if reply.status is Status.OK:
            return reply.key
        assert time.monotonic() < end, reply.status
        time.sleep(0.05)


def test_skip_gives_a_key_and_its_twin(city: LiveCity) -> None:
    with (
        httpx.Client(base_url=city["a"].url, verify=context_of(city["a"], "a1"), trust_env=False) as one,
        httpx.Client(base_url=city["b"].url, verify=context_of(city["b"], "b1"), trust_env=False) as two,
    ):
        assert one.get("/capabilities").json()["localSystemID"] == "a1"
        key = one.get("/key", params={"remoteSystemID": "b1", "size": 256}).json()
        twin = two.get(f"/key/{key['keyId']}", params={"remoteSystemID": "a1"}).json()
        assert twin == key
        assert two.get(f"/key/{key['keyId']}", params={"remoteSystemID": "a1"}).status_code == 400


def test_a_neighbour_takes_keys_and_gives_them_once() -> None:
    """Sites a and n stand in one protected place and speak ETSI 020; n shares a fibre with z."""
    ports = dict(zip("an", free_ports(2), strict=True))
    with live_city(["a", "n", "z"], [("n", "z")], start=False) as city:
        for name, other in (("a", "n"), ("n", "a")):
            text = city[name].toml.read_text()
            text = text.replace("[policy]\n", "[policy]\n", 1).replace(
                "[listen]\n",
                f'[listen]\nneighbours = "127.0.0.1:{ports[name]}"\n'
                f'neighbours_url = "https://127.0.0.1:{ports[name]}"\n',
                1,
            )
            text = text.replace('"simulated"]', '"simulated", "unproven"]')
            start = text.find(f'[[peer]]\nsite = "{other}"')
            if start >= 0:
                raise AssertionError("neighbours are not peers here")
            text += (
                f'[[neighbour]]\nsite = "{other}"\nurl = "https://127.0.0.1:{ports[other]}"\n'
                f'authority = "{city[other].ca}"\n'
            )
            city[name].toml.write_text(text)
        # to a, z's application lives behind n; to z, a's application lives at n
        retell(city["a"], "z1", "n")
        retell(city["z"], "a1", "n")
        text = city["z"].toml.read_text().replace('"simulated"]', '"simulated", "unproven"]')
        city["z"].toml.write_text(text)
        city.start()
        for number in range(1, 4):
            city.block("n-z", number, 60_000)
        with (
            httpx.Client(base_url=city["a"].url, verify=context_of(city["a"], "a1"), trust_env=False) as one,
            httpx.Client(base_url=city["z"].url, verify=context_of(city["z"], "z1"), trust_env=False) as two,
        ):
            ordered = one.get("/api/v1/keys/z1/enc_keys", params={"number": 2})
            assert ordered.status_code == 200, ordered.text + city["n"].log.read_text()[-2000:]
            names = {"key_IDs": [{"key_ID": k["key_ID"]} for k in ordered.json()["keys"]]}
            fetched = two.post("/api/v1/keys/a1/dec_keys", json=names)
            assert fetched.status_code == 200, fetched.text
            assert [k["key"] for k in fetched.json()["keys"]] == [k["key"] for k in ordered.json()["keys"]]
            assert fetched.json()["keys"][0]["key_extension"]["origin"] in ("unproven", "simulated")
            assert two.post("/api/v1/keys/a1/dec_keys", json=names).status_code == 400


def retell(site: LiveSite, sae: str, home: str) -> None:
    """Have a site believe that an application lives elsewhere."""
    text = site.toml.read_text()
    old = text[text.index(f'[[sae]]\nid = "{sae}"\n') :].split("[[", 2)[1]
    site.toml.write_text(text.replace("[[" + old, f'[[sae]]\nid = "{sae}"\nsite = "{home}"\n', 1))
