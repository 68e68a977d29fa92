"""`poliqi twin`: a run, its log and chart, a sweep; what breaks comes with the line that does it again."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from poliqi.base.errors import ConfigError
from poliqi.ops.commands.twin import command, read_seeds, replay_line
from poliqi.twin import invariants

ROOT = Path(__file__).resolve().parents[3]
CUT = str(ROOT / "examples" / "milan" / "cut.scenario.toml")
QUICK = ["--set", "duration=8 s", "--set", "fault.0.at=3 s", "--set", "fault.0.for=2 s", "--set", "sifted_key=1e7"]


def test_a_run_says_what_came_of_it(tmp_path: Path) -> None:
    log, plot = tmp_path / "log.jsonl", tmp_path / "plot.svg"
    done = CliRunner().invoke(command, ["run", CUT, *QUICK, "--log", str(log), "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    assert "every invariant held" in done.output
    assert "light is simulated" in done.output
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    assert digest in done.output
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["what"] for line in (lines[0], lines[-1])] == ["begin", "end"]
    assert all(a["t"] <= b["t"] for a, b in pairwise(lines))
    assert "free key of a pair" in plot.read_text()


def test_json_has_the_same_digest_for_the_same_seed() -> None:
    found = [
        json.loads(CliRunner().invoke(command, ["run", CUT, "--seed", str(s), "--json", *QUICK]).output)
        for s in (4, 4, 5)
    ]
    assert found[0]["digest"] == found[1]["digest"] != found[2]["digest"]
    assert found[0]["faults"][0]["where"] == "aria-leonardo"
    assert found[0]["replay"].endswith(
        "--seed 4" + "".join(f" --set '{v}'" for v in QUICK[1::2] if " " in v) + " --set sifted_key=1e7"
    )


def test_a_broken_invariant_comes_with_its_replay_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariants, "find_key", lambda _data: True)
    done = CliRunner().invoke(command, ["run", CUT, "--seed", "3", "--set", "duration=2 s"])
    assert done.exit_code == 1
    assert "BROKEN: at 0.000000 s: key material stands in the log" in done.output
    assert f"replay with: poliqi twin run {CUT} --seed 3 --set 'duration=2 s'" in done.output


def test_a_sweep_runs_seeds_and_settings() -> None:
    values = ["--set", "load.share=0.1,0.3", *QUICK, "--workers", "1", "--json", "--seeds", "0..1"]
    done = CliRunner().invoke(command, ["sweep", CUT, *values])
    assert done.exit_code == 0, done.output
    runs = json.loads(done.output)["runs"]
    assert [(r["changes"]["load.share"], r["seed"]) for r in runs] == [
        ("0.1", 0),
        ("0.1", 1),
        ("0.3", 0),
        ("0.3", 1),
    ]
    assert len({r["digest"] for r in runs}) == 4


def test_a_sweep_names_broken_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariants, "find_key", lambda _data: True)
    done = CliRunner().invoke(command, ["sweep", CUT, "--seeds", "7", "--workers", "1"])
    assert done.exit_code == 1
    assert f"poliqi twin run {CUT} --seed 7" in done.output


@pytest.mark.parametrize("text", ["", "a", "1..", "..3", "5..2", "0..9999999", "1...3", "-1..3"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        read_seeds(text)


def test_seeds() -> None:
    assert (read_seeds("7"), read_seeds("0..499")) == (range(7, 8), range(500))


def test_a_replay_line_can_be_pasted() -> None:
    assert (
        replay_line(Path("a b.toml"), 1, ("load.share=1",))
        == "poliqi twin run 'a b.toml' --seed 1 --set load.share=1"
    )


def test_every_option_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "twin.md").read_text()
    for name, sub in command.commands.items():  # type: ignore[attr-defined]
        part = page.split(f"## `poliqi twin {name}")[1].split("\n## ")[0]
        options = {o for p in sub.params for o in p.opts if o.startswith("--")}
        assert options == set(re.findall(r"^\| `(--[a-z-]+)` \|", part, re.M))
