"""`poliqi plan`: tables and JSON say the same, the exit code says whether the plan holds, the map is drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from poliqi.base.errors import ConfigError, StoreError
from poliqi.ops.commands.plan import command

ROOT = Path(__file__).resolve().parents[3]
MILAN = ROOT / "examples" / "milan"
PAGE = ROOT / "docs" / "reference" / "plan.md"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def answer(name: str, *options: str) -> dict:
    result = run(str(MILAN / name), "--json", *options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout)


def test_published_ring_of_five_with_spans_of_5_km() -> None:
    """Every pair is reached over two disjoint ways; by symmetry all links and all pairs are alike."""
    said = answer("ring-5km.city.toml")
    assert [link["length_km"] for link in said["links"]] == [5.0] * 5
    assert len(said["pairs"]) == 10
    assert {p["disjoint_ways"] for p in said["pairs"]} == {2}
    rate = said["links"][0]["key_rate_bps"]
    assert [link["key_rate_bps"] for link in said["links"]] == pytest.approx([rate] * 5, rel=1e-9)
    assert [p["alone_bps"] for p in said["pairs"]] == pytest.approx([rate] * 10, rel=1e-9)
    assert [p["together_bps"] for p in said["pairs"]] == pytest.approx([rate / 3] * 10, rel=1e-6)
    assert said["headroom"] == pytest.approx(rate / (3 * 64e3), rel=1e-4)
    assert [s["headroom_cut"] for s in said["spans"]] == pytest.approx([rate / (6 * 64e3)] * 5, rel=1e-4)
    assert said["is_sound"] and all(d["survives"] for d in said["demands"])


def test_milan_holds_and_says_what_it_rests_on() -> None:
    result = run(str(MILAN / "city.toml"))
    assert result.exit_code == 0
    for text in ("7.80 km of 25 km (leonardo to santa-barbara)", "INVENTED", "approximate", "SIMULATED", "PAIRS"):
        assert text in result.stdout
    assert "every demand is served and survives what it must" in result.stdout


def test_a_plan_that_falls_short_exits_with_1_and_names_it() -> None:
    result = run(str(MILAN / "sixth-site.city.toml"))
    assert result.exit_code == 1
    assert "NOT SOUND" in result.stdout and "newcomer" in result.stdout


def test_a_proposal_mends_it_with_a_printed_gap(tmp_path: Path) -> None:
    """Two fibres and two pairs of avalanche diodes: (2 + 4.5 + 4) + (2 + 5 + 4)."""
    path = tmp_path / "map.svg"
    result = run(str(MILAN / "sixth-site.city.toml"), "--propose", "--svg", str(path))
    assert result.exit_code == 0
    assert "cost           21.5 (invented, relative units)" in result.stdout
    assert "MILP gap       0.00 %" in result.stdout
    tree = ElementTree.parse(path)
    links = {e.get("data-link") for e in tree.iter() if e.get("data-link")}
    assert {"aria-sixth-apd", "bovisa-sixth-apd"} <= links
    assert [e.get("data-span") for e in tree.iter() if e.get("class") == "span candidate"] == ["leonardo-sixth"]


@pytest.mark.slow
def test_from_scratch_is_no_dearer_than_what_stands() -> None:
    """Five links and five trusted nodes of the file would cost 75."""
    said = answer("city.toml", "--propose", "--from-scratch")["proposal"]
    assert said["state"] == "optimal"
    assert said["gap"] == 0.0
    assert 50.0 <= said["cost"] <= 75.0


@pytest.mark.slow
def test_settings_of_the_file_give_less_than_the_best_ones() -> None:
    best, file = (answer("ring-5km.city.toml", *o)["links"][0]["key_rate_bps"] for o in ((), ("--as-set",)))
    assert 0.8 * best < file < best


def test_json_holds_no_infinity(tmp_path: Path) -> None:
    path = tmp_path / "alone.toml"
    path.write_text('[city]\nname = "x"\n[[site]]\nname = "a"\ncoordinates = [45.0, 9.0]\n')
    result = run(str(path), "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["headroom"] is None and said["links"] == [] and said["farthest"] is None


def test_bad_files_and_options_are_refused(tmp_path: Path) -> None:
    assert isinstance(run("none.toml").exception, ConfigError)
    assert isinstance(run(str(MILAN / "city.toml"), "--from-scratch").exception, ConfigError)
    assert isinstance(run(str(MILAN / "city.toml"), "--svg", "map.png").exception, ConfigError)
    nowhere = str(tmp_path / "no" / "map.svg")
    assert isinstance(run(str(MILAN / "city.toml"), "--svg", nowhere).exception, StoreError)


def test_every_option_is_documented() -> None:
    page = PAGE.read_text()
    assert "poliqi plan" in page and "exit code" in page
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert f"`{max(parameter.opts, key=len)}" in page, parameter.opts
