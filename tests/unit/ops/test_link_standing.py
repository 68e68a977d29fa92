"""`poliqi link status`, `release` and what is said of a key under attack: whoever looks learns where it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from link_states import make_state

from poliqi.base.errors import PoliqiError
from poliqi.link.response import Action, WatchSettings
from poliqi.node.linkwatch import LinkWatch, standing
from poliqi.ops.cli import cli
from poliqi.ops.commands.link_demo import unproven
from poliqi.ops.config import default_link
from poliqi.optics.attack import parse_attack


def run(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    if isinstance(result.exception, PoliqiError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A state whose end quarantined itself."""
    state = make_state(tmp_path / "state")
    watch = LinkWatch(state, default_link(), WatchSettings(commissioning=0, covered=Action.QUARANTINE))
    for _ in range(2):
        watch.forged(0.0)
    assert watch.quarantine is not None
    return state


def test_status_says_why_an_end_is_quarantined_and_how_to_end_it(held: Path) -> None:
    told = run("link", "status", "--state", held)
    assert "QUARANTINED for tampering since 20" in told
    assert "forged" in told
    assert f"poliqi link release --state {held}" in told
    found = json.loads(run("link", "status", "--state", held, "--json"))["quarantine"]
    assert (found["attack"], found["since"] > 1.7e9) == ("tampering", True)


def test_release_ends_it_and_status_is_silent_of_it(held: Path) -> None:
    assert "released" in run("link", "release", "--state", held)
    assert "QUARANTINED" not in run("link", "status", "--state", held)
    assert json.loads(run("link", "status", "--state", held, "--json"))["quarantine"] is None


def test_status_counts_the_blocks_of_commissioning(tmp_path: Path) -> None:
    state = make_state(tmp_path / "state")
    assert standing(state).lessons is None
    LinkWatch(state, default_link(), WatchSettings(commissioning=12))
    assert "commissioning, 0 of 12 clear blocks" in run("link", "status", "--state", state)
    found = json.loads(run("link", "status", "--state", state, "--json"))
    assert (found["commissioning"], found["baseline_blocks"]) == ([0, 12], None)


def test_release_refuses_a_folder_that_is_no_state(tmp_path: Path) -> None:
    (tmp_path / "quarantine.json").write_text("{}")
    with pytest.raises(PoliqiError, match=str(tmp_path)):
        run("link", "release", "--state", tmp_path)
    assert (tmp_path / "quarantine.json").exists()


@pytest.mark.parametrize("eve", ["blinding=0.5", "time-shift", "time-shift=0.1", "trojan=1e-6", "trojan=1"])
def test_a_key_under_an_attack_outside_the_proofs_is_called_not_secure(eve: str) -> None:
    told = unproven(parse_attack(eve), 1000)
    assert told is not None
    assert told.startswith("NOT SECURE")
    assert unproven(parse_attack(eve), 0) is None


@pytest.mark.parametrize("eve", ["intercept=0.02", "pns=0.1", "tap=3dB", "jam=1e-6", "time-shift=0"])
def test_a_key_that_the_proof_pays_for_is_not(eve: str) -> None:
    assert unproven(parse_attack(eve), 1000) is None


def test_a_tap_in_decibel_without_its_unit_is_guessed() -> None:
    with pytest.raises(PoliqiError, match="did you mean tap=3dB"):
        parse_attack("tap=3")


def test_attacks_on_pairs_are_refused_with_a_remedy() -> None:
    pairs = Path(__file__).resolve().parents[3] / "examples" / "reference" / "bbm92-20km.toml"
    with pytest.raises(PoliqiError, match=r"bbm92-20km.toml: .*give the LINK.toml"):
        run("link", "attacks", pairs, "--seeds", 1)


@pytest.mark.parametrize("name", ["cvqkd", "cv-qkd", "CV_QKD"])
def test_a_misspelt_table_of_a_rate_model_is_guessed(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.toml").write_text(f"[{name}]\nx = 1\n")
    with pytest.raises(PoliqiError, match=r"did you mean \[cv_qkd\]"):
        run("rate", tmp_path / "m.toml")
