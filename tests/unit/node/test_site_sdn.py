"""A site's key management as a controller reads it: real stocks, relays and orders, without sockets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from relay_rig import RelayCity
from sdn_rig import TYPES, validate

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.etsi015_names import link_uuid, node_uuid
from poliqi.control.messages import LightState, LinkReport
from poliqi.edge.complaints import Complaints
from poliqi.edge.network import Address
from poliqi.edge.tls import TlsFiles
from poliqi.node import site_rates, site_sdn
from poliqi.node.site_sdn import SiteSdn
from poliqi.node.site_settings import SdnSettings


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + 1_700_000_000.0


class Seen:
    """Site a of a city a - b - c, where relays fill a stock between a and c."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr(site_sdn, "time", self.clock)
        self.city = RelayCity([["a", "b", "c"]])
        self.why_not = ""
        driver: Any = SimpleNamespace(kme=self.city.sites[KmeId("a")].kme)
        nowhere = Path("nowhere")
        self.sdn = SiteSdn(
            driver,
            SdnSettings(frozenset({"controller"}), "room 1"),
            Address("127.0.0.1", 0),
            TlsFiles(nowhere, nowhere, nowhere),
            lambda: self.why_not,
            Complaints(lambda _: None),
        )

    def read(self, after_s: float = 1.0) -> dict[str, Any]:
        """The valid tree, some time later."""
        self.clock.now += after_s
        root, _ = self.sdn._data()
        whole = msgspec.json.decode(msgspec.json.encode({root.member: root.value}))
        validate(whole)
        return whole[root.member]

    def link(self, name: str, after_s: float = 1.0) -> dict[str, Any]:
        links = self.read(after_s)["qkd_links"]["qkd_link"]
        return next(link for link in links if link["qkdl_id"] == link_uuid(LinkId(name)))

    def carry(self) -> None:
        self.city.tick(1.0)
        self.city.tick(2.0)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


def test_relay_fills_a_virtual_link_at_the_cost_of_the_fibre(seen: Seen) -> None:
    seen.read()
    seen.carry()
    fibre, virtual = seen.link("a-b"), seen.link("a~c", 0.0)
    over = node_uuid(KmeId("b"))
    assert virtual["qkdl_type"] == f"{TYPES}VIRT"
    assert virtual["virt_next_hop"] == [over]
    assert virtual["qkdl_performance"]["skr"] > 0
    assert virtual["qkdl_status"] == f"{TYPES}ACTIVE"
    assert fibre["qkdl_performance"]["eskr"] == 0
    pool = seen.city.sites[KmeId("a")].kme.state.stock.pools[LinkId("a-b")]
    assert pool.relayed_bytes >= seen.city.size


def test_the_far_end_knows_over_whom_relays_come(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(monkeypatch)
    seen.carry()
    pool = seen.city.sites[KmeId("c")].kme.state.stock.pools[LinkId("a~c")]
    assert site_sdn._came_over(pool, KmeId("c")) == "b"


def test_what_an_application_took_is_told_after_the_minute(seen: Seen) -> None:
    seen.read()
    seen.carry()
    seen.city.exchange("a1", "c1", number=3)
    apps = seen.read(61.0)["qkd_applications"]["qkd_app"]
    told = {
        (app["server_app_id"], app["remote_qkdn_id"]): app["app_statistics"]["statistics"]
        for app in apps
        if "app_statistics" in app
    }
    assert list(told) == [("urn:poliqi:sae:sae-a1", node_uuid(KmeId("c")))]
    [[period]] = told.values()
    assert period["consumed_bits"] == 3 * 256
    assert period["end_time"] == site_rates.rfc3339(seen.clock.time())


def test_light_is_heard_at_once_and_grows_old(seen: Seen) -> None:
    seen.read()
    seen.sdn.light(LinkReport(link="a-b", state=LightState.LIT, key_rate_bps=777.0, loss_db=4.0))
    assert seen.link("a-b", 0.0)["qkdl_performance"]["skr"] == 777
    seen.sdn.light(LinkReport(link="a-b", state=LightState.DARK))
    assert seen.link("a-b", 0.0)["qkdl_status"] == f"{TYPES}PASSIVE"
    assert seen.read(60.0)["qkd_interfaces"]["qkd_interface"][0]["qkdi_status"] == f"{TYPES}FAILED"


def test_the_status_of_the_site(seen: Seen) -> None:
    assert seen.read()["qkdn_status"] == f"{TYPES}OPERATING"
    seen.why_not = "the site is drained"
    assert seen.read()["qkdn_status"] == f"{TYPES}OUT"
    seen.city.sites[KmeId("a")].kme.fail("the disk is full")
    assert seen.read()["qkdn_status"] == f"{TYPES}FAILURE"


def test_what_was_just_looked_at_is_not_looked_at_again(seen: Seen) -> None:
    before = seen.read()
    seen.why_not = "the site is drained"
    assert seen.read(0.1) == before
    assert seen.read(0.2) != before


def test_the_door_loads_nothing_heavy() -> None:
    code = "import sys, poliqi.node.site_sdn; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"starlette", "jinja2", "httpx", "numba", "scipy", "matplotlib", "highspy", "rustworkx"}
