"""Links of pairs and rate models as files, and what the commands say of them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pair_links import pair_link

from poliqi.base.errors import ConfigError
from poliqi.ops.commands.distill import command as distill
from poliqi.ops.commands.link_record import command as record
from poliqi.ops.commands.rate import command as rate
from poliqi.ops.config import load_link, read_link
from poliqi.ops.link_text import link_text
from poliqi.ops.model_toml import MODEL_TABLES, load_model, read_model
from poliqi.optics.cvqkd import CvLink
from poliqi.optics.mdi import MdiLink
from poliqi.optics.parameters import Detector, DetectorKind, PairStatistics, Receiver
from poliqi.proof import ProofName

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "examples" / "reference"
PAIRS = REFERENCE / "bbm92-20km.toml"
CV = ROOT / "examples" / "models" / "cv-qkd-25km.toml"
HUB = ROOT / "examples" / "models" / "mdi-50km.toml"
PAGE = ROOT / "docs" / "reference" / "rate-models.md"

OWN = """
name = "own"
[source]
clock = "100 MHz"
key_basis = 0.5
[pairs]
mean = 0.1
statistics = "thermal"
place = "50 %"
visibility_test = "98 %"
[pairs.receiver]
error_key = 0.02
error_test = 0.03
loss = "2 dB"
[fibre]
length = "10 km"
[receiver]
error_key = 0.01
error_test = "2 %"
[detector]
kind = "snspd"
efficiency = "85 %"
[block]
tolerated_error = "6 %"
"""


def answer(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(rate, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.output)


# ---------------------------------------------------------------- links of pairs


def test_a_table_of_pairs_makes_a_link_of_pairs() -> None:
    link = read_link(OWN)
    assert link.pairs is not None
    assert link.source.intensities == (0.1,)
    assert (link.pairs.statistics, link.pairs.place) == (PairStatistics.THERMAL, 0.5)
    assert (link.pairs.visibility_key, link.pairs.visibility_test) == (1.0, 0.98)
    own = link.pairs.receiver
    assert own is not None
    assert (own.error_key, own.error_test, own.loss_db) == (0.02, 0.03, 2.0)
    assert link.pairs.detector is None
    assert (link.block.proof, link.block.tolerated_error) == (ProofName.BBM92, 0.06)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean = 0.1", "", "missing required field `mean`"),
        ("mean = 0.1", "mean = -1.0", "source.intensities: -1"),
        ('place = "50 %"', "place = 2.0", "pairs.place"),
        (
            "key_basis = 0.5",
            "key_basis = 0.5\nintensities = [0.5]\nprobabilities = [1.0]",
            "entangled pairs have none",
        ),
        ("error_key = 0.02", "error_key = 0.02\nkey_basis = 0.3", "source.key_basis"),
        ('tolerated_error = "6 %"', 'tolerated_error = "50 %"', "block.tolerated_error"),
        ('tolerated_error = "6 %"', 'proof = "wiesemann"', "does not fit pairs"),
        ('tolerated_error = "6 %"', 'leak_model = "error-string"', "both-directions"),
        ("[pairs.receiver]", "[pairs.reciever]", "reciever"),
    ],
)
def test_what_is_wrong_with_pairs_is_named(old: str, new: str, message: str) -> None:
    assert old in OWN
    with pytest.raises(ConfigError, match=r"own\.toml") as caught:
        read_link(OWN.replace(old, new, 1), "own.toml")
    assert message in str(caught.value)


def test_weak_pulses_tolerate_nothing_beforehand() -> None:
    text = (REFERENCE / "snspd-10km.toml").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="agrees on none"):
        read_link(text.replace("[block]", "[block]\ntolerated_error = 0.03"))


def test_a_link_of_pairs_is_written_as_it_is_read() -> None:
    own = pair_link(
        pairs__receiver=Receiver(0.01, 0.02, loss_db=2.0),
        pairs__detector=Detector(DetectorKind.SNSPD, 0.3),
        pairs__place=0.25,
        block__tolerated_error=0.04,
    )
    for link in (own, pair_link(), load_link(PAIRS)):
        assert read_link(link_text(link)) == link


def test_rate_tells_of_both_ends_and_of_what_is_tolerated() -> None:
    found = answer(str(PAIRS))
    assert found["rate_bits_per_s"] > 1e5
    pairs = found["pairs"]
    assert pairs["alice_loss_db"] == 3.0
    assert pairs["bob_loss_db"] == pytest.approx(8.0)
    assert found["sifted_key_per_s"] < pairs["coincidences_per_s"] < pairs["bob_clicks_per_s"]
    assert found["qber_test"] < found["proof"]["tolerated_error"] < 0.05
    assert found["proof"]["name"] == "bbm92"
    shown = CliRunner().invoke(rate, [str(PAIRS)]).output
    assert "entangled pairs" in shown
    assert "Q_tol agreed beforehand" in shown


def test_best_settings_of_the_example_are_those_of_the_file() -> None:
    best = answer(str(PAIRS), "--optimise")
    assert best["rate_bits_per_s"] == pytest.approx(best["written"]["rate_bits_per_s"], rel=0.01)


def test_the_source_in_the_middle_reaches_farther() -> None:
    """Dark counts meet a photon at either end alike there: Ma, Fung and Lo 2007 have it so, too."""
    from poliqi.optics.prediction import at_length, predict

    link = at_length(load_link(PAIRS), 260e3)
    assert link.pairs is not None
    middle = replace(link, pairs=replace(link.pairs, place=0.5))
    assert predict(middle).endless_rate_hz > predict(link).endless_rate_hz


@pytest.mark.slow
def test_a_recording_of_pairs_is_distilled_under_its_own_proof(tmp_path: Path) -> None:
    link, events = tmp_path / "link.toml", tmp_path / "pairs.poliqi-events"
    link.write_text(PAIRS.read_text(encoding="utf-8").replace("1_000_000", "100_000"), encoding="utf-8")
    runner = CliRunner()
    recorded = runner.invoke(
        record, [str(link), "--blocks", "1", "--seed", "5", "-o", str(events)], catch_exceptions=False
    )
    assert recorded.exit_code == 0
    told = runner.invoke(distill, [str(events), "--link", str(link), "--json"], catch_exceptions=False)
    found = json.loads(told.output.splitlines()[-1])
    assert found["keys_equal"] is True
    assert found["secret_length"] == found["contract"]["length"] > 10_000
    assert found["contract"]["proof"] == found["bound"]["proof"] == "bbm92"
    assert found["epsilon"] is None
    assert len(found["counts"]["key"]["detections"]) == 1
    measured = runner.invoke(distill, [str(events)], catch_exceptions=False).output
    assert "entangled pairs" in measured
    assert "measured without a contract" in measured


# ---------------------------------------------------------------- rate models


def test_the_table_of_a_file_says_which_model_it_is() -> None:
    assert isinstance(load_model(CV), CvLink)
    assert isinstance(load_model(HUB), MdiLink)
    assert load_model(PAIRS) == load_link(PAIRS)


@pytest.mark.parametrize("path", [CV, HUB])
def test_nothing_but_rate_takes_a_rate_model(path: Path) -> None:
    with pytest.raises(ConfigError, match="rate model, for `poliqi rate` alone"):
        load_link(path)


@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        (CV, "reconciliation = 0.95", "reconcilation = 0.95", "reconcilation"),
        (CV, 'symbol_rate = "100 MHz"', "symbol_rate = 1e8", "cv_qkd"),
        (CV, "efficiency = 0.6", "efficiency = 2.0", "cv_qkd.efficiency"),
        (HUB, "place = 0.5", "place = -0.5", "mdi.place"),
        (HUB, 'clock = "1 GHz"', "", "missing required field `clock`"),
        (HUB, "[mdi]", "[cv_qkd]\n[mdi]", "keep one of the two"),
    ],
)
def test_what_is_wrong_with_a_model_is_named(path: Path, old: str, new: str, message: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(ConfigError, match=r"own\.toml") as caught:
        read_model(text.replace(old, new, 1), "own.toml")
    assert message in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_a_model_or_a_config_error(text: str) -> None:
    for candidate in (text, "[mdi]\n" + text, CV.read_text(encoding="utf-8") + text):
        try:
            read_model(candidate)
        except ConfigError:
            continue


@pytest.mark.parametrize("path", [CV, HUB])
def test_a_model_says_that_it_is_one(path: Path) -> None:
    shown = CliRunner().invoke(rate, [str(path)]).output
    assert "rate model, asymptotic; no device or session of this kind here" in shown
    assert "asymptotic" in answer(str(path))["model"]


@pytest.mark.parametrize("path", [CV, HUB])
def test_a_model_falls_with_distance_and_is_drawn(path: Path, tmp_path: Path) -> None:
    chart = tmp_path / "reach.svg"
    curve = answer(str(path), "--max-distance", "300 km", "--plot", str(chart))["against_distance"]
    rates = [point["rate_hz"] for point in curve]
    assert len(rates) == 61
    assert all(a >= b for a, b in pairwise(rates))
    assert "asymptotic" in chart.read_text(encoding="utf-8")


@pytest.mark.parametrize("option", [["--optimise"], ["--eve", "pns"], ["--block", "1000"]])
def test_options_of_real_links_are_refused(option: list[str]) -> None:
    result = CliRunner().invoke(rate, [str(CV), *option])
    assert isinstance(result.exception, ConfigError)
    assert option[0] in str(result.exception)


def test_every_key_field_and_default_of_the_models_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for table, struct in MODEL_TABLES.items():
        section = page.split(f"## [{table}]", 1)[1].split("\n## ", 1)[0]
        for field in msgspec.structs.fields(struct):
            row = next(line for line in section.splitlines() if line.startswith(f"| `{field.name}` |"))
            shown = row.split("|")[2].strip().strip("`")
            default = "required" if field.required else "-" if field.default is None else str(field.default)
            assert shown == default, field.name
    for path in (CV, HUB):
        for field in answer(str(path), "--max-distance", "30 km"):
            assert f"`{field}`" in page, field


def test_the_run_on_the_page_is_real() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = page.split("cv-qkd-25km.toml\n", 1)[1].split("this rests on", 1)[0]
    assert CliRunner().invoke(rate, [str(CV)]).output.startswith(shown)
