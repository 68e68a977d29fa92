"""`poliqi rate`: figures, curve, plot, reasons, errors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from poliqi.base.errors import ConfigError
from poliqi.ops.commands.rate import command
from poliqi.ops.config import load_link
from poliqi.optics.channel import expectation

ROOT = Path(__file__).resolve().parents[3]
SNSPD = ROOT / "examples" / "reference" / "snspd-10km.toml"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def answer(*arguments: str) -> dict[str, Any]:
    return json.loads(run(*arguments, "--json"))


def test_json_has_the_figures() -> None:
    result = answer(str(SNSPD))
    mean = expectation(load_link(SNSPD))
    assert result["gains"] == pytest.approx(mean.gains)
    assert result["qber_key"] == pytest.approx(0.01, rel=1e-3)
    assert result["qber_test"] == pytest.approx(0.02, rel=1e-3)
    assert result["rate_bits_per_s"] == pytest.approx(4.515e6, rel=0.1)
    block = result["block"]
    assert block["secret_bits"] / block["seconds"] == pytest.approx(result["rate_bits_per_s"])
    assert block["pulses"] / block["seconds"] == pytest.approx(1e9)
    assert result["loss_db"]["total"] == pytest.approx(9.0)
    assert result["leak"] == {
        "bits": pytest.approx(result["leak"]["bits"]),
        "model": "error-string",
        "efficiency": 1.16,
    }
    assert result["proof"]["name"] == "wiesemann"
    assert result["proof"]["ledger"]
    assert result["assumptions"]


def test_without_a_file_the_built_in_link_is_taken() -> None:
    assert answer()["name"] == "Leonardo-Bovisa"


def test_optimise_reports_the_best_settings_and_both_rates() -> None:
    result = answer("--optimise")
    assert result["rate_bits_per_s"] > result["written"]["rate_bits_per_s"] > 0
    assert result["optimised"] is True
    assert len(result["source"]["intensities"]) == 2
    assert result["source"]["receiver_key_basis"] == result["source"]["key_basis"]


def test_a_block_too_small_names_the_reason_and_the_size_needed() -> None:
    result = answer("--block", "10000")
    assert result["block"]["secret_bits"] == 0
    assert result["block"]["reason"]
    factor = result["block"]["factor_needed"]
    assert answer("--block", str(int(10_000 * factor * 1.01)))["block"]["secret_bits"] > 0
    text = run("--block", "10000")
    assert "no key" in text
    assert "block needed" in text


def test_eve_raises_the_qber_or_starves_the_decoy() -> None:
    honest, intercepted, split = answer(), answer("--eve", "intercept=0.2"), answer("--eve", "pns")
    assert intercepted["qber_key"] == pytest.approx(honest["qber_key"] + 0.05, abs=0.002)
    assert split["qber_key"] == pytest.approx(honest["qber_key"], abs=0.002)
    assert split["block"]["secret_bits"] == 0
    assert split["block"]["factor_needed"] is None


def test_curve_falls_with_distance() -> None:
    result = answer(str(SNSPD), "--max-distance", "50 km")
    points = result["against_distance"]
    assert points[0]["length_m"] == 0
    assert points[-1]["length_m"] == 50e3
    rates = [p["rate_hz"] for p in points]
    assert rates == sorted(rates, reverse=True)
    assert all(p["endless_rate_hz"] > p["rate_hz"] for p in points)


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_plot_is_written(tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"reach.{ending}"
    assert str(target) in run(str(SNSPD), "--plot", str(target), "--max-distance", "30 km")
    data = target.read_bytes()
    assert data.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    if ending == "svg":
        words = re.sub(rb"<[^>]*>", b" ", data).decode()
        for word in (
            "snspd-10km",
            "fibre length (km)",
            "secret key (bit/s)",
            "10 km: 4.51 Mbit/s",
            "endless block",
        ):
            assert word in words


def test_the_same_plot_gives_the_same_file(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.svg" for i in (1, 2)]
    for file in files:
        run("--plot", str(file), "--max-distance", "30 km")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_link_without_a_key_can_be_plotted(tmp_path: Path) -> None:
    target = tmp_path / "none.svg"
    run("--eve", "pns", "--plot", str(target), "--max-distance", "30 km")
    assert b"7 km: no key" in target.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.toml"], "nowhere.toml: cannot be read"),
        (["--eve", "blind"], "eve: 'blind'"),
        (["--plot", "reach.pdf"], "--plot reach.pdf"),
        (["--max-distance", "50"], "--max-distance"),
        (["--max-distance", "5000 km"], "--max-distance"),
        (["--plot", "no/such/folder/reach.svg", "--max-distance", "30 km"], "no/such/folder"),
    ],
)
def test_errors_are_one_clear_line(arguments: list[str], message: str) -> None:
    from poliqi.base.errors import PoliqiError

    with pytest.raises(PoliqiError) as caught:
        run(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert issubclass(ConfigError, PoliqiError)


def test_help_teaches_with_examples() -> None:
    text = run("--help")
    assert "poliqi rate LINK.toml --optimise" in text


def test_table_has_the_main_figures() -> None:
    text = run(str(SNSPD), "--optimise")
    for word in (
        "Mbit/s of secret key",
        "block time",
        "QBER",
        "error-string, f = 1.16",
        "optimised:",
        "this rests on",
    ):
        assert word in text


def test_every_option_and_field_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "rate.md").read_text(encoding="utf-8")
    for parameter in command.params:
        assert f"`{parameter.opts[0] if parameter.opts[0].startswith('--') else 'LINK'}`" in page
    for field in answer("--optimise", "--max-distance", "30 km"):
        assert f"`{field}`" in page, field


def test_the_run_on_the_page_is_real() -> None:
    page = (ROOT / "docs" / "reference" / "rate.md").read_text(encoding="utf-8")
    shown = page.split("rate-snspd-10km.svg\n", 1)[1].split("this rests on", 1)[0]
    assert run(str(SNSPD)).startswith(shown)
