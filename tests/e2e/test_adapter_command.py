"""`poliqi adapter` at both ends: processes of their own, keys of two real sites, wireguard-go between them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from adapter_hosts import Hosts, missing, two_hosts, wait_until, wireguard
from click.testing import CliRunner
from live_sites import LiveSite, free_ports, live_city

from poliqi.apps.identity import Identity
from poliqi.base.ids import SaeId
from poliqi.edge.entropy import OperatingSystemEntropy
from poliqi.ops.cli import cli


class End:
    """An application's files and its adapter process."""

    def __init__(self, folder: Path, site: LiveSite, sae: str) -> None:
        self.folder = folder / sae
        self.folder.mkdir()
        self.sae = sae
        self.site = site
        self.identity = Identity.make(SaeId(sae), OperatingSystemEntropy())
        self.identity.write(self.folder / "identity.key")
        (folder / f"{sae}.pub").write_text(self.identity.contact.text())
        self.log = self.folder / "log.jsonl"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def toml(self) -> Path:
        return self.folder / "sae.toml"

    def write(self, other: End, table: str) -> None:
        certificate, key = self.site.credentials(self.sae)
        self.toml.write_text(
            f'identity = "identity.key"\nallow_simulated = true\n[site]\nurl = "{self.site.url}"\n'
            f'certificate = "{certificate}"\nkey = "{key}"\nauthority = "{self.site.ca}"\n'
            f'[[peer]]\ncontact = "../{other.sae}.pub"\nplace = "There"\n[adapter.office]\n{table}'
        )

    def start(self, *words: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "poliqi", "adapter", "wireguard", "--sae", str(self.toml), "--json", *words],
                stdout=log,
                stderr=log,
            )

    def records(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def two_adapters(folder: Path, hosts: Hosts) -> Iterator[list[End]]:
    """alfa1 and bravo1, with keys in stock at their sites."""
    with live_city(["alfa", "bravo"], [("alfa", "bravo")]) as city:
        city.block("alfa-bravo", 0, 1 << 16)
        ends = [End(folder, city[name], f"{name}1") for name in ("alfa", "bravo")]
        (port,) = free_ports(1)
        doors = (f'address = "127.0.0.1:{port}"', f'listen = "127.0.0.1:{port}"')
        for end, other, (name, peer), door in zip(ends, ends[::-1], wireguard(hosts), doors, strict=True):
            end.write(
                other,
                f'kind = "wireguard"\npeer = "There"\ninterface = "{name}"\npublic_key = "{peer}"\n{door}\n',
            )
        try:
            yield ends
        finally:
            for end in ends:
                if end.process is not None and end.process.poll() is None:
                    end.process.kill()
                    end.process.wait()


@missing("ip", "wg", "wireguard-go", "ping")
@pytest.mark.slow
def test_two_sites_keep_a_wireguard_tunnel_in_fresh_keys(tmp_path: Path) -> None:
    with two_hosts(tmp_path) as hosts, two_adapters(tmp_path, hosts) as (first, second):
        second.start()
        wait_until(lambda: second.records("listening"), 20)
        assert hosts.ping("10.8.0.2", 2)[1] == 0
        first.start("--every", "2s")
        wait_until(lambda: len(second.records("rotated")) >= 3, 30)
        assert hosts.ping("10.8.0.2", 20) == (20, 20)
        assert first.stop() == 0
        assert second.stop() == 0
        ids = [[record["key_id"] for record in end.records("rotated")] for end in (first, second)]
        count = min(map(len, ids))
        assert ids[0][:count] == ids[1][:count]
        assert len(set(ids[0])) == len(ids[0])
        for end in (first, second):
            assert all(record["simulated"] for record in end.records("rotated"))
            assert end.records("shut")
            assert not end.records("failed")
        # one key by hand, left in force
        second.start()
        wait_until(lambda: len(second.records("listening")) == 2, 20)
        first.start("--once")
        assert first.process is not None
        assert first.process.wait(20) == 0
        assert hosts.ping("10.8.0.2", 3) == (3, 3)
        check_macsec(first, second)


def check_macsec(first: End, second: End) -> None:
    """Both ends write the same key, for their owner alone."""
    common = ["macsec", "--peer", "There", "--interface", "eth1", "--json"]
    code, said = command(*common, "--sae", str(first.toml), "-o", str(first.folder / "macsec.conf"))
    assert code == 0
    drawn = json.loads(said)
    assert drawn["simulated"]
    assert "UNTESTED" in drawn["note"]
    words = ["--key-id", drawn["key_id"], "--sae", str(second.toml), "-o", str(second.folder / "macsec.conf")]
    assert command(*common, *words)[0] == 0
    files = [end.folder / "macsec.conf" for end in (first, second)]
    assert files[0].read_text() == files[1].read_text()
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    key = next(line for line in files[0].read_text().splitlines() if "mka_cak=" in line).partition("=")[2]
    assert key not in said
    code, said = command(*common, *words)
    assert code == 1
    assert "never overwritten" in said


def command(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["adapter", *words])
    return done.exit_code, done.output + str(done.exception or "")


def test_the_help_teaches_by_an_example() -> None:
    assert "[adapter.office]" in command("--help")[1]
    assert "poliqi adapter wireguard --peer Bovisa" in command("wireguard", "--help")[1]
    assert "UNTESTED" in command("macsec", "--help")[1]


def test_the_end_that_answers_says_who_does_it(tmp_path: Path) -> None:
    zulu = Identity.make(SaeId("zulu"), OperatingSystemEntropy())
    zulu.write(tmp_path / "identity.key")
    other = Identity.make(SaeId("alfa"), OperatingSystemEntropy())
    (tmp_path / "alfa.pub").write_text(other.contact.text())
    program = tmp_path / "wg"
    program.write_text(
        '#!/bin/sh\n[ "$1" = show ] && printf "%s\\tx\\n" jEj0ZSnMIEB2CATPGstm1RGYw/d92ABijTt7bSdGBhk=\nexit 0\n'
    )
    program.chmod(0o700)
    (tmp_path / "sae.toml").write_text(
        'identity = "identity.key"\n[site]\nurl = "https://127.0.0.1:1"\ncertificate = "c"\nkey = "k"\n'
        'authority = "a"\n[[peer]]\ncontact = "alfa.pub"\n[adapter.office]\nkind = "wireguard"\npeer = "alfa"\n'
        f'interface = "wg0"\npublic_key = "jEj0ZSnMIEB2CATPGstm1RGYw/d92ABijTt7bSdGBhk="\ncommand = ["{program}"]\n'
    )
    toml = str(tmp_path / "sae.toml")
    code, said = command("wireguard", "--sae", toml)
    assert code == 1
    assert "zulu sorts behind alfa, so it answers" in said
    code, said = command("wireguard", "--sae", toml, "--shut")
    assert code == 0
    assert said.startswith("shut: office with alfa: ")
    code, said = command("stunnel", "--sae", toml)
    assert code == 1
    assert "0 tables [adapter.NAME] of kind 'stunnel' fit" in said
    code, said = command("wireguard", "--sae", toml, "--every", "10 min")
    assert code == 1
    assert "from 1 s to the table's `longest`, 180 s" in said
