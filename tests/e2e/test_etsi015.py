"""A running site read by controllers: the whole tree over mutual TLS, a driver as others write it, the news."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from live_sites import LiveCity, LiveSite, free_ports, live_city, poliqi
from sdn_rig import TYPES, validate

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.etsi015_names import interface_number, link_uuid, node_uuid
from poliqi.control.messages import LightState, LinkReport
from poliqi.edge.ingest_light import tell_of_light

pytestmark = pytest.mark.slow

NODE = "/restconf/data/etsi-qkd-sdn-node:qkd_node"
RELAY = """
[[relay]]
link = "a.c"
to = "{to}"
scheme = "single"
paths = [{path}]
low_water = "64 kbit"
"""


@pytest.fixture(scope="module")
def city() -> Iterator[tuple[LiveCity, dict[str, int]]]:
    relays = {
        "a": RELAY.format(to="c", path='["a", "b", "c"]'),
        "c": RELAY.format(to="a", path='["c", "b", "a"]'),
    }
    with live_city(["a", "b", "c"], [("a", "b"), ("b", "c")], relays=relays, start=False) as city:
        ports = dict(zip("abc", free_ports(3), strict=True))
        for site in city.sites.values():
            door = f'[listen]\nsdn = "127.0.0.1:{ports[site.name]}"\n'
            text = site.toml.read_text().replace("[listen]\n", door)
            site.toml.write_text(text + '\n[sdn]\nreaders = ["controller"]\nlocation = "room 1"\nqber = true\n')
            poliqi("pki", "issue", site.folder / "pki", "--sae", "controller")
        city.start()
        for link in ("a-b", "b-c"):
            for number in range(1, 5):
                city.block(link, number, 60_000)
        yield city, ports


def context(site: LiveSite, sae: str) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(site.ca))
    made.load_cert_chain(*site.credentials(sae))
    return made


def controller(city: tuple[LiveCity, dict[str, int]], name: str, sae: str = "controller") -> httpx.Client:
    sites, ports = city
    url = f"https://127.0.0.1:{ports[name]}"
    # a site that another test has just stopped is about to listen again
    patient = httpx.HTTPTransport(verify=context(sites[name], sae), retries=6)
    return httpx.Client(base_url=url, transport=patient, trust_env=False, timeout=20)


def node_of(client: httpx.Client) -> Any:
    answer = client.get(NODE)
    assert answer.status_code == 200
    validate(answer.json())
    return answer.json()["etsi-qkd-sdn-node:qkd_node"]


def wait_for(client: httpx.Client, link: str, **words: Any) -> Any:
    """The link, once these leaves are so."""
    end = time.monotonic() + 30
    while True:
        [found] = [e for e in node_of(client)["qkd_links"]["qkd_link"] if e["qkdl_id"] == link_uuid(LinkId(link))]
        if all(found.get(name) == value for name, value in words.items()):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_a_controller_reads_every_site(city: tuple[LiveCity, dict[str, int]]) -> None:
    for name in "abc":
        with controller(city, name) as client:
            node = node_of(client)
            assert node["qkdn_id"] == node_uuid(KmeId(name))
            assert node["qkdn_status"] == f"{TYPES}OPERATING"
            assert node["qkdn_location_id"] == "room 1"
            [some, *_] = node["qkd_interfaces"]["qkd_interface"]
            assert some["qkdi_model"] == "simulated light"


def test_a_relayed_stock_is_a_virtual_link(city: tuple[LiveCity, dict[str, int]]) -> None:
    with controller(city, "a") as client:
        over = node_uuid(KmeId("b"))
        link = wait_for(client, "a.c", virt_next_hop=[over], virt_prev_hop=over)
        assert link["qkdl_type"] == f"{TYPES}VIRT"
        assert link["qkdl_remote"] == {"qkdn_id": node_uuid(KmeId("c"))}


def test_only_named_readers_get_in(city: tuple[LiveCity, dict[str, int]]) -> None:
    sites, ports = city
    with controller(city, "a", "a1") as client:
        assert client.get(NODE).status_code == 403
    nobody = ssl.create_default_context(cafile=str(sites["a"].ca))
    with httpx.Client(verify=nobody, trust_env=False) as client, pytest.raises(httpx.HTTPError):
        client.get(f"https://127.0.0.1:{ports['a']}{NODE}")
    reader = context(sites["a"], "controller")
    with httpx.Client(base_url=sites["a"].url, verify=reader, trust_env=False) as client:
        assert client.get("/api/v1/keys/b1/enc_keys").status_code == 401


def test_a_driver_that_wants_plain_names_and_a_slash_finds_its_topology(
    city: tuple[LiveCity, dict[str, int]],
) -> None:
    """As drivers in the field do: connect at the root, then read each list by a path that ends in a slash."""
    with controller(city, "b") as client:
        assert client.get(NODE).json()["etsi-qkd-sdn-node:qkd_node"]["qkdn_id"] == node_uuid(KmeId("b"))

        def part(name: str) -> Any:
            answer = client.get(f"{NODE}/{name}/")
            assert answer.headers["content-type"] == "application/json"
            return answer.json()[name]

        points = [i["qkdi_att_point"] for i in part("qkd_interfaces")["qkd_interface"]]
        ends = {f"{point['device']}:{point['port']}" for point in points}
        assert ends == {f"b:{interface_number(LinkId(link))}" for link in ("a-b", "b-c")}
        links = {link["qkdl_id"]: link for link in part("qkd_links")["qkd_link"]}
        assert {link["qkdl_remote"]["qkdn_id"] for link in links.values()} == {node_uuid(KmeId(n)) for n in "ac"}
        apps = part("qkd_applications")["qkd_app"]
        assert {link for app in apps for link in app["backing_qkdl_id"]} == links.keys()
        assert part("qkdn_capabilities")["key_relay_mode_enable"] is True
        whole = client.get(f"{NODE}/").json()["qkd_node"]
        assert whole["qkdn_id"] == node_uuid(KmeId("b"))


def apps_of(client: httpx.Client) -> list[dict[str, Any]]:
    """The applications that a site tells of."""
    return node_of(client).get("qkd_applications", {}).get("qkd_app", [])


def hear(lines: Iterator[str], name: str, site: LiveSite) -> Any:
    """The first notification of this name. A quiet stream says that it is alive, so this ends."""
    end = time.monotonic() + 30
    for line in lines:
        if line.startswith("data: "):
            notification = json.loads(line[6:])["ietf-restconf:notification"]
            if f"etsi-qkd-sdn-node:{name}" in notification:
                assert notification["eventTime"].endswith("Z")
                return notification[f"etsi-qkd-sdn-node:{name}"]
        assert time.monotonic() < end, site.log.read_text()[-4000:]
    raise AssertionError("the stream ended")


class Light:
    """A link's end that tells its site of its light, in a thread; `stop` and it is silent."""

    def __init__(self, site: LiveSite, link: str) -> None:
        self.report = LinkReport(link=link, state=LightState.LIT, key_rate_bps=4321.0, qber_key=0.02, loss_db=5.0)
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(tell_of_light(site.state / "ingest.sock", lambda: self.report))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(asyncio.gather(self._task, return_exceptions=True))
        finally:
            self._loop.close()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join()


def test_the_stream_tells_when_a_link_goes_down(city: tuple[LiveCity, dict[str, int]]) -> None:
    light = Light(city[0]["a"], "a-b")
    try:
        with controller(city, "a") as client:
            link = wait_for(client, "a-b", qkdl_status=f"{TYPES}ACTIVE", phys_channel_att="5.0")
            assert link["qkdl_performance"]["skr"] == 4321
            assert link["qkdl_performance"]["phys_perf"] == [{"perf_type": f"{TYPES}QBER", "value": "0.02"}]
            with client.stream("GET", "/restconf/streams/etsi-qkd") as answer:
                lines = answer.iter_lines()
                assert next(lines) == ": listening"
                light.stop()
                down = hear(lines, "qkdn_link_down", city[0]["a"])
            assert down == {"qkd_link": {"qkdl_id": link_uuid(LinkId("a-b"))}}
            wait_for(client, "a-b", qkdl_status=f"{TYPES}PASSIVE")
    finally:
        light.stop()


def test_a_drained_site_is_read_as_out(city: tuple[LiveCity, dict[str, int]]) -> None:
    site = city[0]["c"]
    with controller(city, "c") as client, client.stream("GET", "/restconf/streams/etsi-qkd") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": listening"
        with controller(city, "c") as other:  # only who was on can be disconnected
            end = time.monotonic() + 30
            while not any(app["app_status"] == f"{TYPES}ON" for app in apps_of(other)):
                assert time.monotonic() < end, apps_of(other)
                time.sleep(0.1)
        poliqi("site", "drain", site.toml)
        assert hear(lines, "qkdn_application_disconnected", site)
    with controller(city, "c") as client:
        assert node_of(client)["qkdn_status"] == f"{TYPES}OUT"
        began = time.monotonic()
        assert site.stop() == 0
        assert time.monotonic() - began < 10.0  # a listener does not hold the site up
    site.start()  # other tests want it
    city[0].join()
