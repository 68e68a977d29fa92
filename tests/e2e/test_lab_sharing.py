"""A dataset from a laboratory to another site, and on to a company that has no node: live services, live stores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2e.command_line import poliqi
from live_saes import LiveSae, live_saes
from live_sites import free_ports, live_city

from bench.sites import POLIQI

pytestmark = pytest.mark.slow

LAB = '[lab]\nstore = "lab"\ntake_in = true\n'


@dataclass
class Region:
    """Laboratories at Leonardo and Bovisa; acme, a company without a node, knows Bovisa alone."""

    leonardo: LiveSae
    bovisa: LiveSae
    acme: Path
    acme_service: subprocess.Popen[bytes]

    def store(self, folder: Path) -> Path:
        return folder / "lab"


def until(look: Callable[[], Any], folder: Path) -> Any:
    end = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < end, (folder / "log.jsonl").read_text()[-3000:]
        time.sleep(0.05)
    return found


def done(*words: str | Path) -> Any:
    """A command that has to succeed; its JSON."""
    ran = poliqi(*words, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def listed(folder: Path, *more: str) -> list[dict[str, Any]]:
    where = ("--store", folder / "lab", *more)
    return [done("lab", "store", "show", found["id"], *where) for found in done("lab", "store", "list", *where)]


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]) as city:
        city.block("bovisa-leonardo", 1, 1 << 16)
        with live_saes(city, extra=LAB, start=False) as saes:
            leonardo, bovisa = saes["leonardo"], saes["bovisa"]
            acme = tmp_path_factory.mktemp("company") / "acme"
            acme.mkdir(mode=0o700)
            port, web = free_ports(2)
            where = ("--listen", f"127.0.0.1:{port}", "--web", f"127.0.0.1:{web}")
            done("sae", "new", "acme", "--without-site", "--folder", acme, *where)
            done("sae", "meet", bovisa.folder / f"{bovisa.name}.pub", "--sae", acme / "sae.toml", "--yes")
            with (acme / "sae.toml").open("a") as file:
                file.write(LAB)
            with bovisa.toml.open("a") as file:
                file.write('[lab.forward]\nacme = "acme-coatings"\n')
                file.write(f'[[peer]]\ncontact = "{acme}/acme.pub"\naddress = "127.0.0.1:{port}"\npolicy = "pqc"\n')
            for folder, name in ((leonardo.folder, "Milan"), (bovisa.folder, "Milan"), (acme, "Acme")):
                done("lab", "store", "init", folder / "lab", "--organisation", name)
            done("lab", "store", "tenant", "add", "acme-coatings", "--store", bovisa.folder / "lab")
            leonardo.start()
            bovisa.start()
            with (acme / "log.jsonl").open("ab") as log:
                words = [*POLIQI, "sae", "run", str(acme / "sae.toml"), "--json"]
                service = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            try:
                until(lambda: '"ready"' in (acme / "log.jsonl").read_text(), acme)
                yield Region(leonardo, bovisa, acme, service)
            finally:
                service.send_signal(signal.SIGTERM)
                service.wait(30)


@pytest.fixture(scope="module")
def dataset(region: Region, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    source = tmp_path_factory.mktemp("frames") / "frames"
    (source / "day 1").mkdir(parents=True)
    (source / "day 1" / "a.dat").write_bytes(os.urandom(300_000))
    (source / "b.dat").write_bytes(b"")
    where = ("--store", region.leonardo.folder / "lab")
    return done("lab", "store", "add", source, "--title", "Frames", "--licence", "CC-BY-4.0", *where)


def hashes(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(file["path"], file["blake3"]) for file in found["files"]]


def actions(folder: Path, found: dict[str, Any], *more: str) -> list[dict[str, Any]]:
    told = done("lab", "store", "provenance", found["id"], "--store", folder / "lab", *more)
    return [action | {"facts": json.loads(action["facts_json"])} for action in told["actions"]]


def test_a_dataset_sent_to_another_site_is_in_its_store_with_its_receipt(
    region: Region, dataset: dict[str, Any]
) -> None:
    leonardo, bovisa = region.leonardo, region.bovisa
    store = ("--store", leonardo.folder / "lab")
    receipt = done("lab", "store", "send", dataset["id"], "bovisa", "--sae", leonardo.toml, *store)
    [arrived] = until(lambda: listed(bovisa.folder), bovisa.folder)
    assert hashes(arrived) == hashes(dataset)
    assert (arrived["kind"], arrived["title"], arrived["licence"]) == ("received", "Frames", "CC-BY-4.0")
    for folder, found, kind in ((leonardo.folder, dataset, "sent"), (bovisa.folder, arrived, "received")):
        [action] = [one for one in actions(folder, found) if one["facts"]["transfer"] == receipt["transfer"]]
        facts = action["facts"]
        assert action["kind"] == kind
        assert facts["key_ids"] == [key for stream in receipt["streams"] for key in stream["key_ids"]] != []
        assert (facts["mode"], facts["epsilon"], facts["simulated"]) == ("quantum", "computational", True)
        assert (facts["sender"], facts["receiver"]) == (leonardo.name, bovisa.name)
    verified = poliqi("lab", "store", "verify", "--store", bovisa.folder / "lab")
    assert verified.code == 0, verified.err


def test_a_company_without_a_node_receives_from_the_nearest_site_and_the_receipt_says_how(
    region: Region, dataset: dict[str, Any], tmp_path: Path
) -> None:
    leonardo, bovisa, acme = region.leonardo, region.bovisa, region.acme
    before = listed(bovisa.folder)
    store = ("--store", leonardo.folder / "lab")
    done("lab", "store", "send", dataset["id"], "bovisa", "--for", "acme", "--sae", leonardo.toml, *store)
    [arrived] = until(lambda: listed(acme), acme)
    assert hashes(arrived) == hashes(dataset)
    # at the site it passed through it is the company's alone
    assert [found["id"] for found in listed(bovisa.folder)] == [found["id"] for found in before]
    [kept] = listed(bovisa.folder, "--tenant", "acme-coatings")
    legs = until(
        lambda: len(made := actions(bovisa.folder, kept, "--tenant", "acme-coatings")) == 2 and made, bovisa.folder
    )
    assert [(leg["kind"], leg["facts"]["mode"]) for leg in legs] == [("received", "quantum"), ("sent", "pqc")]
    # the company's own receipt: computational, no quantum key
    [last] = actions(acme, arrived)
    assert (last["facts"]["mode"], last["facts"]["key_ids"], last["facts"]["epsilon"]) == (
        "pqc",
        [],
        "computational",
    )
    receipts = poliqi("receive", "--receipts", "--sae", acme / "sae.toml")
    assert "NO QUANTUM KEY" in receipts.out
    # its crate tells both legs
    done("lab", "store", "export", arrived["id"], tmp_path / "crate", "--store", acme / "lab")
    graph = json.loads((tmp_path / "crate" / "ro-crate-metadata.json").read_bytes())["@graph"]
    received = [entity["name"] for entity in graph if "ReceiveAction" in entity["@type"]]
    assert sorted(received) == [
        f"Received from {bovisa.name} to acme",
        f"Received from {leonardo.name} to {bovisa.name}, keys of SIMULATED light",
    ]


def test_nobody_without_a_site_opens_a_stream_to_a_peer_that_wants_quantum_keys(
    region: Region, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    toml = region.acme / "strict.toml"
    text = (region.acme / "sae.toml").read_text()
    contact = f'[[peer]]\ncontact = "{region.leonardo.folder}/{region.leonardo.name}.pub"\n'
    toml.write_text(text + f'{contact}address = "127.0.0.1:{region.leonardo.port}"\npolicy = "strict"\n')
    refused = poliqi("send", tmp_path / "a.txt", region.leonardo.name, "--sae", toml)
    assert refused.code == 1
    assert "no [site]" in refused.err
    checked = poliqi("sae", "check", region.acme / "sae.toml")
    assert "without a site" in checked.out
    assert "NO QUANTUM KEY" in checked.out
