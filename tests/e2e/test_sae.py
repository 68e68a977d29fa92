"""An application set up by its commands, at two real sites: contacts, check, service, reload."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from live_saes import live_saes
from live_sites import live_city, poliqi

from poliqi.base.ids import SaeId
from poliqi.ops.cli import cli

SIZE = 1 << 20


@pytest.mark.slow
def test_supply_says_what_is_there_and_how_fast_more_comes() -> None:
    with live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]) as city:
        city.block("bovisa-leonardo", 1, SIZE)
        with live_saes(city, start=False) as saes:
            keys = saes["leonardo"].keys()
            first = keys.supply(SaeId("bovisa1"))
            time.sleep(0.3)
            city.block("bovisa-leonardo", 2, SIZE)
            second = keys.supply(SaeId("bovisa1"))
            keys.close()
    # a block is split between its two ends, but for what names and comparison take
    assert 0.4 * SIZE < first.available_bytes <= 0.6 * SIZE
    assert first.rate_bps is None
    assert first.is_connected
    assert [g.is_simulated for g in first.grades] == [True]
    grown = second.available_bytes - first.available_bytes
    assert second.rate_bps is not None
    assert second.rate_bps > 0.0
    assert 0.4 * SIZE < grown <= 0.6 * SIZE
    assert second.seconds_until(second.available_bytes) == 0.0
    assert second.seconds_until(second.available_bytes + 1000) == pytest.approx(8000 / second.rate_bps)


@pytest.mark.slow
def test_two_applications_meet_by_their_commands(tmp_path: Path) -> None:
    with live_city(["bovisa", "leonardo"], [("bovisa", "leonardo")]) as city:
        city.block("bovisa-leonardo", 1, SIZE)
        folders = {name: tmp_path / name for name in ("bovisa", "leonardo")}
        for name, folder in folders.items():
            certificate, key = city[name].credentials(f"{name}1")
            options = ["--certificate", certificate, "--key", key, "--authority", city[name].ca, "--folder", folder]
            made = poliqi("sae", "new", f"{name}1", "--site", city[name].url, *options)
            assert re.search(r"^  [0-9a-f]{64}$", made, re.MULTILINE)
        for name, other in (("bovisa", "leonardo"), ("leonardo", "bovisa")):
            own, theirs = folders[name] / "sae.toml", folders[other] / f"{other}1.pub"
            said = json.loads(poliqi("sae", "meet", theirs, "--sae", own, "--place", other, "--yes", "--json"))
            assert said["sae"] == f"{other}1"
        checked = CliRunner().invoke(cli, ["sae", "check", str(folders["leonardo"] / "sae.toml"), "--json"])
        row = json.loads(checked.output)["peers"][0]
    assert (row["sae"], row["place"], row["policy"], row["problem"]) == ("bovisa1", "bovisa", "strict", "")
    assert row["available_bytes"] > 0.4 * SIZE
    assert checked.exit_code == 0


def test_a_fingerprint_that_is_not_confirmed_makes_no_peer(tmp_path: Path) -> None:
    names = {"--certificate": "c.pem", "--key": "k.pem", "--authority": "ca.pem"}
    for name in names.values():
        (tmp_path / name).touch()
    options = [word for option, name in names.items() for word in (option, tmp_path / name)]
    for name in ("one", "two"):
        poliqi("sae", "new", name, "--site", "https://127.0.0.1:1", *options, "--folder", tmp_path / name)
    own = tmp_path / "one" / "sae.toml"
    before = own.read_text()
    words = ["sae", "meet", str(tmp_path / "two" / "two.pub"), "--sae", str(own)]
    done = CliRunner().invoke(cli, words, input="n\n")
    assert done.exit_code == 1
    assert own.read_text() == before
