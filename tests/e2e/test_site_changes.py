"""Changes of a running city of real site processes: an upgrade and a joining site, with requests all the while."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from bench.sites import LiveCity, LiveSite, live_city, poliqi

pytestmark = pytest.mark.slow


def client_of(site: LiveSite, sae: str) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(site.ca))
    context.load_cert_chain(*site.credentials(sae))
    return httpx.Client(base_url=f"https://127.0.0.1:{site.https}", verify=context, trust_env=False, timeout=20)


def exchange(city: LiveCity, master: str, slave: str) -> str:
    """Order at one site, fetch at the other, each over a connection of its own; empty where all was well."""
    with client_of(city[master], f"{master}1") as one, client_of(city[slave], f"{slave}1") as two:
        ordered = one.get(f"/api/v1/keys/{slave}1/enc_keys")
        if ordered.status_code != 200:
            return f"enc_keys at {master}: {ordered.status_code} {ordered.text}"
        (key,) = ordered.json()["keys"]
        fetched = two.get(f"/api/v1/keys/{master}1/dec_keys", params={"key_ID": key["key_ID"]})
        if fetched.status_code != 200:
            return f"dec_keys at {slave}: {fetched.status_code} {fetched.text}"
        return "" if fetched.json()["keys"][0]["key"] == key["key"] else f"{master} and {slave} differ"


@contextmanager
def requests_all_the_while(city: LiveCity, pairs: list[tuple[str, str]]) -> Iterator[list[str]]:
    """Exchanges in threads of their own until the block ends; what went wrong, and nothing if nothing did."""
    stop, outcomes = threading.Event(), list[str]()

    def ask(master: str, slave: str) -> None:
        while not stop.is_set():
            try:
                outcomes.append(exchange(city, master, slave))
            except httpx.HTTPError as error:
                outcomes.append(f"{master} to {slave}: {type(error).__name__} {error}")

    threads = [threading.Thread(target=ask, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def up_s(site: LiveSite) -> float:
    return json.loads(site.get("/status")[1])["up_s"]


def wait_for(what: str, is_so: object) -> None:
    end = time.monotonic() + 30
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_an_upgrade_fails_no_request() -> None:
    with live_city(["a", "b"], [("a", "b")]) as city:
        for number in range(1, 4):
            city.block("a-b", number, 100_000)
        with requests_all_the_while(city, [("a", "b"), ("b", "a")]) as outcomes:
            wait_for("no exchange", lambda: len(outcomes) > 10)
            for name in ("a", "b"):
                site = city[name]
                process = site.process
                assert process is not None
                ran_s = up_s(site)
                poliqi("site", "upgrade", site.toml)

                def is_anew(site: LiveSite = site, ran_s: float = ran_s) -> bool:
                    try:
                        return up_s(site) < ran_s
                    except (OSError, json.JSONDecodeError):
                        return False

                wait_for(f"{name} never came back", is_anew)
                assert process.poll() is None, "the process is the same one"
                before = len(outcomes)
                wait_for("no exchange after the upgrade", lambda before=before: len(outcomes) > before + 10)
        assert [o for o in outcomes if o] == []


def without(text: str, name: str) -> str:
    """site.toml as it was before a site was heard of."""
    tables = re.split(r"(?m)^(?=\[)", text)
    kept, skipping = [], False
    for table in tables:
        if table.startswith("[[peer.pool]]"):
            skipping = skipping and True
        else:
            skipping = f'site = "{name}"\n' in table and table.startswith(("[[peer]]", "[[sae]]"))
        if not skipping:
            kept.append(table)
    return re.sub(rf', "{name}1"|"{name}1", ', "", "".join(kept))


def test_a_site_joins_and_no_request_fails() -> None:
    with live_city(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")], start=False) as city:
        whole = {name: city[name].toml.read_text() for name in "ab"}
        for name in "ab":
            city[name].toml.write_text(without(whole[name], "c"))
            assert '"c' not in city[name].toml.read_text()
        for name in "ab":
            city[name].start(wait=False)
        for name in "ab":
            city[name].wait_ready()
        for number in range(1, 3):
            city.block("a-b", number, 100_000)
        with requests_all_the_while(city, [("a", "b")]) as outcomes:
            wait_for("no exchange", lambda: len(outcomes) > 5)
            for name in "ab":
                city[name].toml.write_text(whole[name])
                poliqi("site", "reload", city[name].toml)
            city["c"].start()
            city.join()
            city.block("b-c", 1, 100_000)
            assert exchange(city, "c", "b") == ""
            assert exchange(city, "b", "c") == ""
            before = len(outcomes)
            wait_for("no exchange", lambda: len(outcomes) > before + 5)
        assert [o for o in outcomes if o] == []
