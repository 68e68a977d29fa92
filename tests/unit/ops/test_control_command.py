"""`poliqi control`: what it finds wrong before a start, tokens, and the month report of a real controller's log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.controlled import plan
from poliqi.base.ids import KmeId
from poliqi.control.controller import Controller
from poliqi.edge.controllog import ControlLog
from poliqi.ops.city_toml import read_city
from poliqi.ops.cli import cli
from poliqi.ops.web.settings import find_token, read_tokens

DEMANDS = '[[demand]]\nname = "finance"\nbetween = ["a", "b"]\nrate = "1 kbit/s"\n'
CITY = plan(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")], DEMANDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = ["pki", "init", str(tmp_path / "pki"), "--site", "city-control"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    words = ["pki", "issue", str(tmp_path / "pki"), "--kme", "city-control", "--host", "127.0.0.1"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    (tmp_path / "city.toml").write_text(CITY)
    (tmp_path / "control.toml").write_text(
        """
controller = "city-control"
city = "city.toml"
state = "state"
[tls]
certificate = "pki/issued/kme-city-control-01-chain.pem"
key = "pki/issued/kme-city-control-01.key"
trust = "pki/trust"
[listen]
sites = "127.0.0.1:9300"
"""
    )
    return tmp_path


def control(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["control", words[0], str(folder / "control.toml"), *words[1:]])


def test_check_names_every_site_that_nobody_vouches_for(folder: Path) -> None:
    (folder / "pki" / "trust").mkdir(exist_ok=True)
    done = control(folder, "check", "--json")
    assert done.exit_code == 1
    failures = json.loads(done.output)["failures"]
    assert [any(f"for {site};" in line for line in failures) for site in "abc"] == [True] * 3


def test_check_says_what_it_looked_at_and_who_knows_the_rest(folder: Path) -> None:
    for site in "abc":
        pki = folder / site
        assert CliRunner().invoke(cli, ["pki", "init", str(pki), "--site", site]).exit_code == 0
        words = ["pki", "trust", str(folder / "pki"), str(pki / "ca.pem"), "--site", site]
        assert CliRunner().invoke(cli, words).exit_code == 0
    done = control(folder, "check")
    assert done.exit_code == 0
    last = done.output.splitlines()[-1]
    assert "files and trust are in order" in last
    assert "poliqi control status" in last


def test_a_token_logs_in_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["control", "token", "anna", "--role", "operator", "--json"])
    made = json.loads(done.output)
    (tmp_path / "tokens.toml").write_text(made["lines"])
    assert made["token"] not in made["lines"]
    entry = find_token(read_tokens(tmp_path / "tokens.toml"), made["token"])
    assert entry is not None
    assert (entry.name, entry.role) == ("anna", "operator")
    assert find_token(read_tokens(tmp_path / "tokens.toml"), made["token"][:-1] + "x") is None


def test_the_report_counts_the_time_that_a_controller_saw(folder: Path) -> None:
    (folder / "state").mkdir(mode=0o700)
    start = int(datetime(2026, 3, 4, tzinfo=UTC).timestamp()) * 1_000_000_000
    core = Controller(read_city(CITY).city, KmeId("city-control"), "one", [], 0.0, start)
    log = ControlLog(folder / "state")
    for second in range(1, 3601):
        wall_ns = start + second * 1_000_000_000
        core.tick(float(second), wall_ns)
        lines = core.take_records()
        if lines:
            log.append(lines, wall_ns)
        core.take_frames()
    log.close()
    done = control(folder, "report", "--month", "2026-03", "--json")
    found = json.loads(done.output)
    assert found["seen_s"] == pytest.approx(3600, abs=61)
    assert found["demands"][0]["available_s"] == 0.0, "no site ever reported"
    month_s = 31 * 86400
    assert found["unknown_s"] == pytest.approx(month_s - 3600, abs=61)
    words = control(folder, "report", "--month", "2026-03", "--language", "it")
    assert "finance" in words.output


def test_a_month_of_which_nothing_is_known_is_said(folder: Path) -> None:
    (folder / "state").mkdir(mode=0o700)
    done = control(folder, "report", "--month", "2026-02")
    assert "says nothing of 2026-02" in str(done.exception)
