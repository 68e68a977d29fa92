"""`poliqi distill`: recordings become a key under a contract, and an honest report without one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from e2e.command_line import TINY, poliqi

EVENTS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bb84-events" / "events-4000.csv"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "tiny.events"
    answer = poliqi("link", "record", TINY, "--pulses", "450000", "--seed", "3", "-o", path)
    assert answer.code == 0, answer.err
    return path


@pytest.mark.skipif(not EVENTS.exists(), reason="shared data is not beside the repository")
def test_sample_of_a_real_device_is_measured_and_gives_no_key() -> None:
    answer = poliqi("distill", EVENTS, "--json")
    assert answer.code == 0, answer.err
    [told] = answer.lines()
    # counted by hand from the CSV: rows with tx_basis == rx_basis, and among them tx_state != rx_state
    rows = [line.split(",") for line in EVENTS.read_text().splitlines()[1:]]
    kept = {basis: [r for r in rows if r[2] == r[5] == basis] for basis in "01"}
    errors = {basis: sum(r[1] != r[4] for r in kept[basis]) for basis in "01"}
    assert told["sifted"] == {"key": len(kept["0"]), "test": len(kept["1"])}
    assert told["qber"]["key"] == pytest.approx(errors["0"] / len(kept["0"]))
    assert told["qber"]["test"] == pytest.approx(errors["1"] / len(kept["1"]))
    assert (told["verified"], told["secret_length"], told["keys_equal"]) == (True, 0, None)
    assert told["link"]["intensities_assumed"]
    assert told["bound"]["block_needed"]["factor"] > 10


def test_contract_gives_both_ends_the_agreed_length(recording: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    answer = poliqi("distill", recording, "--link", TINY, "--length", 5000, "--report", report, "--json")
    assert answer.code == 0, answer.err
    [told] = answer.lines()
    assert (told["secret_length"], told["keys_equal"], told["reason"]) == (5000, True, None)
    assert told["epsilon"] is None
    assert told["leak"]["counted"] == told["leak"]["alice"] + told["leak"]["bob"] <= told["leak"]["cap"]
    assert json.loads(report.read_text()) == told


def test_planned_contract_is_met(recording: Path) -> None:
    [told] = poliqi("distill", recording, "--link", TINY, "--json").lines()
    assert told["secret_length"] == told["contract"]["length"] > 0
    assert told["bound"]["largest_length"] >= told["secret_length"]


@pytest.mark.parametrize("length", [20_000, 10**12])
def test_contract_that_the_counts_do_not_support_gives_nothing(recording: Path, length: int) -> None:
    answer = poliqi("distill", recording, "--link", TINY, "--length", length, "--json")
    assert answer.code == 0, answer.err
    [told] = answer.lines()
    assert (told["secret_length"], told["keys_equal"]) == (0, None)
    assert f"the contract asks {length}" in told["reason"]


def test_report_for_people_says_where_the_light_came_from(recording: Path) -> None:
    answer = poliqi("distill", recording)
    assert "replayed" in answer.out
    assert "SECRET LENGTH   0" in answer.out


def test_length_without_a_link_is_refused(recording: Path) -> None:
    answer = poliqi("distill", recording, "--length", 10)
    assert (answer.code, "give --link too" in answer.err) == (1, True)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"not,what,was\nmeant\n")
    answer = poliqi("distill", path)
    assert answer.code == 1
    assert answer.err.startswith("poliqi: ")
    assert "Traceback" not in answer.err


def test_a_link_that_is_not_the_recorded_one_is_refused(recording: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    text = re.sub(r"intensities = \[.*?\]", "intensities = [0.61, 0.13]", TINY.read_text())
    other.write_text(text)
    answer = poliqi("distill", recording, "--link", other)
    assert (answer.code, "name the link that was recorded" in answer.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [(("--length", 100), "repays no pad"), (("--proof", "lim"), "lim")],
)
def test_options_that_no_contract_can_have_are_named(recording: Path, words: tuple[object, ...], says: str) -> None:
    answer = poliqi("distill", recording, "--link", TINY, *words)
    assert answer.code == 1
    assert says in answer.err
    assert "Traceback" not in answer.err
