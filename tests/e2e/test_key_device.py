"""Another vendor's key management as a device: two of its sites, two of ours, `poliqi device run` between them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.command_line import start
from live_sites import LiveCity, LiveSite, free_ports, live_city, poliqi

from poliqi.edge.keyclient import KeyClient, KeysNotReady

pytestmark = pytest.mark.slow

LINK = "bovisa-leonardo"
ENDS = {"leonardo": "alice", "bovisa": "bob"}
VENDOR = {"leonardo": "vendorl", "bovisa": "vendorb"}


def configure(city: LiveCity) -> None:
    """Ours take unproven keys; leonardo2 and bovisa2 do not, though their sites have some."""
    for name in ENDS:
        site = city[name]
        text = site.toml.read_text().replace(
            'origins = ["photons", "simulated"]', 'origins = ["photons", "unproven"]', 1
        )
        everyone = json.dumps([sae for s in city.sites.values() for sae in s.saes])
        pairs = [(f"leonardo{i}", f"bovisa{i}") for i in (1, 2)]
        rules = "".join(
            f'[[allow]]\nbetween = {json.dumps(pair)}\norigins = ["photons"{extra}]\n'
            for pair, extra in zip(pairs, (', "unproven"', ""), strict=True)
        )
        old = f'[[allow]]\nbetween = {everyone}\norigins = ["photons", "simulated"]\n'
        assert old in text
        site.toml.write_text(text.replace(old, rules))


@contextmanager
def devices(city: LiveCity, vendors: LiveCity, folder: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Both ends of the device, each an application of the vendor's site at its place."""
    poliqi("link", "pair", "new", "--link", LINK, "-o", folder / "pair")
    [port] = free_ports(1)
    running: dict[str, subprocess.Popen[str]] = {}
    for name, role in ENDS.items():
        keep = ["--keep"] if role == "alice" else []
        poliqi("link", "pair", "install", folder / "pair", "--role", role, "--state", folder / name, *keep)
        vendor, other = vendors[VENDOR[name]], VENDOR["bovisa" if name == "leonardo" else "leonardo"]
        cert, key = vendor.credentials(f"{vendor.name}1")
        meeting = "connect" if role == "alice" else "listen"
        options = {"url": vendor.url, "cert": cert, "key": key, "ca": vendor.ca, "other": f"{other}1"}
        lines = "".join(f'{key} = "{value}"\n' for key, value in options.items())
        (folder / f"{name}.toml").write_text(
            f'device = "etsi014"\nstate = "{name}"\nsite = "{city[name].state / "ingest.sock"}"\n'
            f'{meeting} = "127.0.0.1:{port}"\nblock = "64 kbit"\ngather = "1 s"\n[options]\n{lines}'
        )
        running[name] = start("device", "run", folder / f"{name}.toml", "--json")
    try:
        yield running
    finally:
        for process in running.values():
            if process.poll() is None:
                process.terminate()
        for process in running.values():
            out, err = process.communicate(timeout=30)
            assert (process.returncode, err) == (0, ""), out[-3000:]


def client(site: LiveSite, sae: str) -> KeyClient:
    cert, key = site.credentials(sae)
    return KeyClient(site.url, cert=cert, key=key, ca=site.ca)


def test_keys_of_another_vendor_reach_applications_of_ours_and_no_strict_one(tmp_path: Path) -> None:
    with (
        live_city([*VENDOR.values()], [("vendorb", "vendorl")]) as vendor,
        live_city([*ENDS], [("bovisa", "leonardo")], applications=2, start=False) as city,
    ):
        configure(city)
        city.start()
        vendor.block("vendorb-vendorl", 1, 1 << 16)
        with devices(city, vendor, tmp_path):
            leonardo, bovisa = city["leonardo"], city["bovisa"]
            for site in (leonardo, bovisa):
                site.wait_stocked(1)
            with client(leonardo, "leonardo1") as here, client(bovisa, "bovisa1") as there:
                mine = here.get_key("bovisa1", 256)
                same = there.get_named_key("leonardo1", mine.key_id)
            assert bytes(mine.value.view()) == bytes(same.value.view())
            assert (mine.grade["origin"], mine.grade["epsilon"]) == ("unproven", None)
            with client(leonardo, "leonardo2") as strict, pytest.raises(KeysNotReady, match="origin is unproven"):
                strict.get_key("bovisa2", 256)
