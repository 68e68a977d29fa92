"""A running city changes: a sixth site joins the five, one is upgraded, the controller restarts; nobody notices."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest

from bench.controlled import ControlledCity, controlled_city, plan
from bench.heal import RING, SITES, Asking
from bench.sites import poliqi

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NEW = "bicocca"
NEW_LINKS = (("bicocca", "leonardo"), ("bicocca", "bovisa"))


def without(text: str, name: str) -> str:
    """site.toml as it was before a site was heard of."""
    kept, skips = list[str](), False
    for table in re.split(r"(?m)^(?=\[)", text):
        is_of_it = f'site = "{name}"\n' in table and table.startswith(("[[peer]]", "[[sae]]"))
        skips = skips if table.startswith("[[peer.pool]]") else is_of_it
        if not skips:
            kept.append(table)
    return re.sub(rf', "{name}1"|"{name}1", ', "", "".join(kept))


def wait_for(what: str, is_so: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def feed(city: ControlledCity, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        for device in list(city.devices.values()):
            device.make(50_000)


def test_a_sixth_site_joins_and_nobody_notices() -> None:
    with controlled_city([*SITES, NEW], [*RING, *NEW_LINKS], start=False) as city:
        sites = city.sites.sites
        whole = {name: sites[name].toml.read_text() for name in SITES}
        for name in SITES:
            sites[name].toml.write_text(without(whole[name], NEW))
        (city.folder / "city.toml").write_text(plan(SITES, RING, ""))
        city.start_controller()
        for name in SITES:
            sites[name].start(wait=False)
        for name in SITES:
            sites[name].wait_ready()
        for a, b in RING:
            city.play(a, b).make(100_000)
        stop = threading.Event()
        feeder = threading.Thread(target=feed, args=(city, stop))
        feeder.start()
        try:
            sites["intesa"].wait_stocked(4)
            sites["leonardo"].wait_stocked(4)
            with Asking(city, "intesa", "leonardo", size_bits=256) as asking:
                join(city, whole)
                with Asking(city, NEW, "intesa", size_bits=256) as new:
                    wait_for("no key for the new site", lambda: new.asked > 20)
                assert new.failures == []
                upgrade(city, "aria", asking)
                restart_controller(city, asking)
        finally:
            stop.set()
            feeder.join()
        assert asking.failures == []
        assert asking.asked > 100


def join(city: ControlledCity, whole: dict[str, str]) -> None:
    sites = city.sites.sites
    for name in SITES:
        sites[name].toml.write_text(whole[name])
        poliqi("site", "reload", sites[name].toml)
    (city.folder / "city.toml").write_text(plan([*SITES, NEW], [*RING, *NEW_LINKS], ""))
    poliqi("control", "reload", city.toml)
    city.wait("city-changed")
    sites[NEW].start()
    city.wait("site-connected", site=NEW)
    for a, b in NEW_LINKS:
        city.play(a, b).make(100_000)
    sites[NEW].wait_stocked(5)
    sites["intesa"].wait_stocked(5)


def upgrade(city: ControlledCity, name: str, asking: Asking) -> None:
    site = city.sites.sites[name]
    before = sum(line["event"] == "ready" for line in site.lines())
    poliqi("site", "upgrade", site.toml)
    wait_for("it is not ready again", lambda: sum(line["event"] == "ready" for line in site.lines()) > before)
    asked = asking.asked
    wait_for("no request after the upgrade", lambda: asking.asked > asked + 10)


def restart_controller(city: ControlledCity, asking: Asking) -> None:
    """kill -9; keys go on meanwhile, and the new one knows the routes from its log."""
    city.stop_controller(kill=True)
    asked = asking.asked
    wait_for("no request without the controller", lambda: asking.asked > asked + 20)
    before = len(city.lines())
    city.start_controller()
    for name in (*SITES, NEW):
        city.wait("site-connected", after=before, site=name)
    asked = asking.asked
    wait_for("no request after the restart", lambda: asking.asked > asked + 20)
